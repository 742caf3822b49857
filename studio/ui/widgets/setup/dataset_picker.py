"""The data set: it is read in a worker as it was chosen, and shown with what is in it and what is wrong with it."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from PySide6.QtCore import QTemporaryDir, QTimer, Signal
from PySide6.QtWidgets import QWidget

from studio.core.answers import DataInspected, DownloadOffered
from studio.core.commands import InspectData
from studio.core.config import DatasetConfig
from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed
from studio.core.run_file import validate_run_config
from studio.core.words import size
from studio.supervise.jobs import Job, run_job
from studio.ui.widgets.basics import Card, ErrorPanel, button
from studio.ui.widgets.job_progress import JobProgress
from studio.ui.widgets.setup.data_views import DataViews
from studio.ui.widgets.setup.dataset_inputs import SAMPLE, DatasetInputs
from studio.ui.widgets.setup.hub_download import HubDownload
from studio.ui.widgets.setup.source_menu import RecentSources, SourceMenu

LARGEST_DOWNLOAD = 50 * 2**20
"""Bytes of a hub data set that are fetched as soon as it is named; more is shown first, and fetched when asked for."""
_DELAY_MS = 250


class DatasetPicker(Card):
    """Every change has the data read again in a worker; ``answer`` is what it said, None until then."""

    source_opened = Signal()
    """Another source was chosen, or the same one anew."""
    reading_started = Signal()
    event_received = Signal(object)
    """Each Event of the worker that reads the data."""
    inspected = Signal()
    """The answer, or the problem, has come."""

    def __init__(self, recent: RecentSources | None = None) -> None:
        super().__init__("Dataset", "datasetPicker")
        self.menu = SourceMenu(recent or RecentSources())
        self.inputs = DatasetInputs()
        self.answer: DataInspected | None = None
        self._options: dict[str, Any] = {}
        self._job: Job | None = None
        self._rows, self._next_rows = QTemporaryDir(), QTemporaryDir()
        """Where the rows behind the problems shown are, and where the worker writes those that it finds now."""
        self._timer = QTimer(self, interval=_DELAY_MS, singleShot=True)
        self._timer.timeout.connect(self._read)
        self._build()
        self._connect()

    @property
    def source(self) -> str:
        return self.inputs.source

    @property
    def reading(self) -> bool:
        return self._timer.isActive() or (self._job is not None and self._job.active)

    def obstacle(self) -> str:
        """What stands between this data and a run, in words; empty for nothing."""
        if self.download.running:
            return "The data set is being downloaded."
        if self.reading:
            return "The data is being read."
        if self.answer is not None:
            return ""
        if (missing := self.download.missing) is not None:
            return f"Download the data set first ({size(missing.missing)}); see Dataset."
        return "The data cannot be used yet; see Dataset."

    def table(self) -> dict[str, Any]:
        """The choices as run.toml's [dataset] has them."""
        return self.inputs.table() | self._options

    @property
    def controls(self) -> dict[str, QWidget]:
        """The controls of this card by the place of their setting in run.toml."""
        return self.inputs.controls

    def open_source(self, source: str) -> None:
        """Read a file, or the sample. Nothing that was chosen for the data before, or read of it, is kept."""
        source = source or SAMPLE
        self.answer = None
        self.views.show_answer(None)
        self.inputs.show_source(source)
        self.sample_button.setVisible(source != SAMPLE)
        self.source_opened.emit()
        self.read_again()

    def open_dataset(self, dataset: DatasetConfig) -> None:
        """Read the data set of another run, with its columns and shares."""
        self.open_source(dataset.source)
        self.inputs.take(dataset)
        self.read_again()

    def set_options(self, options: dict[str, Any]) -> None:
        """Settings of [dataset] that have their controls elsewhere: how many rows, which intents, which seed.

        What no data can be read with is left to the check of the whole run.
        """
        if options == self._options:
            return
        before, self._options = self._options, dict(options)
        try:
            DatasetConfig.model_validate(self.table())
        except ValidationError:
            self._options = before
            return
        self.read_again()

    def read_again(self) -> None:
        """Read soon; several changes in a row are read once."""
        if self._job is not None:
            self._job.cancel()
            self._job = None
        self._timer.start()
        self.error.clear()
        self.download.offer(None)
        self.busy.start()
        self.reading_started.emit()

    def _build(self) -> None:
        self.sample_button = button(
            "Use the sample",
            "useSample",
            "Load the built-in sample: messages to a bank, in 13 intents about cards and accounts",
            lambda: self.open_source(SAMPLE),
            "link",
        )
        self.sample_button.hide()  # it is in use
        self.busy = JobProgress("dataset", "reading the data")
        self.error = ErrorPanel("datasetError", closable=False)
        self.download = HubDownload("dataset", "the data set")
        self.views = DataViews()
        self.header.addWidget(self.sample_button)
        self.header.addWidget(self.menu)
        for part in (self.inputs, self.busy, self.error, self.download):
            self.body.addWidget(part)
        self.body.addWidget(self.views, 1)
        # Takes the room of the views while they are hidden.
        self.body.addStretch(0)

    def _connect(self) -> None:
        self.menu.chosen.connect(self.open_source)
        self.menu.hub_wanted.connect(self.inputs.ask_for_hub_id)
        self.inputs.source_chosen.connect(self.open_source)
        self.inputs.changed.connect(self.read_again)
        self.download.wanted.connect(self._start_download)
        self.download.cancelled.connect(self._cancel_download)

    def _start_download(self) -> None:
        self.error.clear()
        self.download.start()
        self._ask(None)
        self.reading_started.emit()

    def _cancel_download(self) -> None:
        if self._job is not None:
            self._job.cancel()
        self._settle()

    def _read(self) -> None:
        self._ask(LARGEST_DOWNLOAD)

    def _ask(self, largest_download: int | None) -> None:
        self._next_rows = rows = QTemporaryDir()
        try:
            dataset = validate_run_config({"dataset": self.table()}).dataset
            folder = rows.path() if rows.isValid() else None
            command = InspectData(dataset=dataset, rows_folder=folder, largest_download=largest_download)
            self._job = run_job(self, command, self._succeeded, self._failed, self._hear)
        except StudioError as error:
            self._show_failure(error)

    def _hear(self, event: Event) -> None:
        if self.download.running:
            self.download.hear(event)
        else:
            self.busy.hear(event)
        self.event_received.emit(event)

    def _succeeded(self, event: Event) -> None:
        if isinstance(event, DownloadOffered):
            self.answer = None
            self.download.offer(event.missing)
            self._settle()
            return
        assert isinstance(event, DataInspected)
        self.answer = event
        self._rows = self._next_rows
        self.download.offer(None)
        self.error.clear()
        self.inputs.reading_choices.show_answer(event)
        if self.source != SAMPLE:
            self.menu.recent.add(self.source)
        self._settle()

    def _failed(self, event: Event) -> None:
        assert isinstance(event, Failed | Crashed)
        self._show_failure(event)

    def _show_failure(self, problem: StudioError | Failed | Crashed) -> None:
        self.answer = None
        self.error.show_problem(problem)
        self.inputs.reading_choices.show_failure(self.source != SAMPLE)
        self._settle()

    def _settle(self) -> None:
        """Show what is known now that no worker is at work."""
        self.busy.hide()
        self.download.offer(self.download.missing)
        self.inputs.allow(self.answer)
        self.views.show_answer(self.answer)
        self.inspected.emit()
