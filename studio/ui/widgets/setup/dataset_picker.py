"""The data set: where it comes from, which columns count, what is in it, and what is wrong with it."""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import ValidationError
from PySide6.QtCore import QTemporaryDir, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QSizePolicy, QVBoxLayout, QWidget

from studio.core.answers import DataInspected, DownloadOffered
from studio.core.bases import HUB_PREFIX, hub_id
from studio.core.commands import InspectData
from studio.core.config import DatasetConfig
from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed
from studio.core.run_file import validate_run_config
from studio.core.settings import describe
from studio.core.words import size
from studio.supervise.jobs import Job, run_job
from studio.ui.theme import GRID
from studio.ui.widgets.basics import Card, ErrorPanel, allow, button, named, text_label
from studio.ui.widgets.fields import decimal
from studio.ui.widgets.job_progress import JobProgress
from studio.ui.widgets.paths import PathField
from studio.ui.widgets.setup.data_views import DataViews
from studio.ui.widgets.setup.hub_download import HubDownload
from studio.ui.widgets.setup.reading_choices import ReadingChoices
from studio.ui.widgets.setup.source_menu import RecentSources, SourceMenu

SAMPLE = "sample"
LARGEST_DOWNLOAD = 50 * 2**20
"""Bytes of a hub data set that are fetched as soon as it is named; more is shown first, and fetched when asked for."""
_OF_THE_SAMPLE = "The sample has its own columns and test messages. Choose a file to decide."
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
        self.reading_choices = ReadingChoices()
        self.text_column, self.label_column = self.reading_choices.text_column, self.reading_choices.label_column
        self.answer: DataInspected | None = None
        self._options: dict[str, Any] = {}
        self._source = SAMPLE
        self._job: Job | None = None
        self._rows, self._next_rows = QTemporaryDir(), QTemporaryDir()
        """Where the rows behind the problems shown are, and where the worker writes those that it finds now."""
        self._timer = QTimer(self, interval=_DELAY_MS, singleShot=True)
        self._timer.timeout.connect(self._read)
        self._build_inputs()
        self._build_views()
        self._show_source()

    @property
    def source(self) -> str:
        return self._source

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
        table: dict[str, Any] = {"source": self._source, "validation_fraction": self.validation.value()}
        if self._source != SAMPLE:
            table["test_fraction"] = self.test_fraction.value()
            if self.test_file.path:
                table["test"] = self.test_file.path
            table |= self.reading_choices.table()
        if hub_id(self._source) is not None:
            for name, edit in (("config", self.hub_config), ("revision", self.hub_revision)):
                if text := edit.text().strip():
                    table[name] = text
        if self.validation_file.path:
            table["validation"] = self.validation_file.path
        return table | self._options

    @property
    def controls(self) -> dict[str, QWidget]:
        """The controls of this card by the place of their setting in run.toml."""
        read = {f"dataset.{name}": choice for name, choice in self.reading_choices.all.items()}
        return read | {
            "dataset.source": self.file.edit,
            "dataset.config": self.hub_config,
            "dataset.revision": self.hub_revision,
            "dataset.validation": self.validation_file.edit,
            "dataset.validation_fraction": self.validation.editor,
            "dataset.test": self.test_file.edit,
            "dataset.test_fraction": self.test_fraction.editor,
        }

    def open_source(self, source: str) -> None:
        """Read a file, or the sample. Nothing that was chosen for the data before, or read of it, is kept."""
        self._source = source or SAMPLE
        self.answer = None
        self.views.show_answer(None)
        self.reading_choices.forget()
        self.hub_config.clear()
        self.hub_revision.clear()
        for file in (self.validation_file, self.test_file):
            file.show_path("")
        self._show_source()
        self.source_opened.emit()
        self.read_again()

    def open_dataset(self, dataset: DatasetConfig) -> None:
        """Read the data set of another run, with its columns and shares."""
        self.open_source(dataset.source)
        self.validation.set_value(dataset.validation_fraction)
        self.test_fraction.set_value(dataset.test_fraction)
        if self._source != SAMPLE:
            self.validation_file.show_path(dataset.validation or "")
            self.test_file.show_path(dataset.test or "")
            self.reading_choices.take(dataset)
        self.hub_config.setText(dataset.config or "")
        self.hub_revision.setText(dataset.revision or "")
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

    def _build_inputs(self) -> None:
        self.sample_button = button(
            "Use the sample",
            "useSample",
            "Load the built-in sample: messages to a bank, in 13 intents about cards and accounts",
            lambda: self.open_source(SAMPLE),
            "link",
        )
        self.header.addWidget(self.sample_button)
        self.header.addWidget(self.menu)
        self.menu.chosen.connect(self.open_source)
        self.menu.hub_wanted.connect(self._ask_for_hub_id)
        self.file = PathField(
            "datasetPath",
            "Data file",
            "The sample is in use. A file, a folder, or hub:org/name",
            describe("dataset.source"),
            "data",
        )
        self.file.chosen.connect(self.open_source)
        nothing = "None"
        self.validation_file = PathField("validationPath", "Validation file", nothing, describe("dataset.validation"), "file")
        self.test_file = PathField("testPath", "Test file", nothing, describe("dataset.test"), "file")
        for file in (self.validation_file, self.test_file):
            file.chosen.connect(self.read_again)
        self.hub_config = _typed("dataset.config", "Configuration", "its default")
        self.hub_revision = _typed("dataset.revision", "Revision", "main")
        for edit in (self.hub_config, self.hub_revision):
            edit.editingFinished.connect(partial(self._confirm, edit))
        for choice in self.reading_choices.all.values():
            choice.chosen.connect(self.read_again)
        self.validation = decimal("dataset.validation_fraction", "Validation share", 0.001, 0.999, 0.05, 2, "share from 0 to 1")
        self.test_fraction = decimal("dataset.test_fraction", "Test share", 0.001, 0.999, 0.05, 2, "share from 0 to 1")
        for field in (self.validation, self.test_fraction):
            field.changed.connect(self.read_again)
        inputs = QWidget()
        inputs.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        rows = QVBoxLayout(inputs)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(GRID)
        choices = self.reading_choices
        encoding, delimiter = _labelled("Encoding", choices.encoding), _labelled("Delimiter", choices.delimiter)
        validation_file = _labelled("Validation file (optional)", self.validation_file)
        test_file = _labelled("Test file (optional)", self.test_file)
        config, revision = _labelled("Configuration", self.hub_config), _labelled("Revision", self.hub_revision)
        # The sample comes with all of this.
        self._of_files = (encoding, delimiter, validation_file, test_file)
        self._of_the_hub = (config, revision)
        columns = [("Message column", self.text_column), ("Intent column", self.label_column), ("Names of intents", choices.names)]
        for parts, shares in (
            ([_labelled("File", self.file)], (1,)),
            ([_labelled(title, column) for title, column in columns], (1, 1, 1)),
            ([encoding, delimiter], (7, 5)),  # the names of encodings are long
            ([self.validation, self.test_fraction], (1, 1)),
            ([validation_file, test_file], (1, 1)),
            ([config, revision], (1, 1)),
        ):
            row = QHBoxLayout()
            row.setSpacing(2 * GRID)
            for part, share in zip(parts, shares, strict=True):
                row.addWidget(part, share)
            rows.addLayout(row)
        self.body.addWidget(inputs)

    def _build_views(self) -> None:
        self.busy = JobProgress("dataset", "reading the data")
        self.error = ErrorPanel("datasetError", closable=False)
        self.views = DataViews()
        self.body.addWidget(self.busy)
        self.body.addWidget(self.error)
        self.download = HubDownload("dataset", "the data set")
        self.download.wanted.connect(self._start_download)
        self.download.cancelled.connect(self._cancel_download)
        self.body.addWidget(self.download)
        self.body.addWidget(self.views, 1)
        # Takes the room of the views while they are hidden.
        self.body.addStretch(0)

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
        self.reading_choices.show_answer(event)
        if self._source != SAMPLE:
            self.menu.recent.add(self._source)
        self._settle()

    def _failed(self, event: Event) -> None:
        assert isinstance(event, Failed | Crashed)
        self._show_failure(event)

    def _show_failure(self, problem: StudioError | Failed | Crashed) -> None:
        self.answer = None
        self.error.show_problem(problem)
        self.reading_choices.show_failure(self._source != SAMPLE)
        self._settle()

    def _settle(self) -> None:
        """Show what is known now that no worker is at work."""
        self.busy.hide()
        self.download.offer(self.download.missing)
        self._allow()
        self.views.show_answer(self.answer)
        self.inspected.emit()

    def _show_source(self) -> None:
        sample = self._source == SAMPLE
        self.file.show_path("" if sample else self._source)
        self.sample_button.setVisible(not sample)
        for part in self._of_files:
            part.setVisible(not sample)
        for part in self._of_the_hub:
            part.setVisible(hub_id(self._source) is not None)
        self._allow()

    def _ask_for_hub_id(self) -> None:
        """Let the id of a data set be typed."""
        self.file.edit.setText(HUB_PREFIX)
        self.file.edit.setFocus()

    def _confirm(self, edit: QLineEdit) -> None:
        if edit.isModified():
            edit.setModified(False)
            self.read_again()

    def _allow(self) -> None:
        reason = _OF_THE_SAMPLE if self._source == SAMPLE else ""
        drawn = ("validation", "test") if self.answer is None else self.answer.drawn
        for share, name in ((self.validation, "validation"), (self.test_fraction, "test")):
            own = "" if name in drawn else f"This data has its own {name} messages, so no share is set aside."
            allow(share.editor, reason if reason and name == "test" else own)
        self.reading_choices.allow(reason, self.answer)


def _typed(path: str, title: str, placeholder: str) -> QLineEdit:
    edit = named(QLineEdit(), path.replace(".", "_"), title, describe(path))
    edit.setPlaceholderText(placeholder)
    return edit


def _labelled(title: str, editor: QWidget) -> QWidget:
    box = QWidget()
    column = QVBoxLayout(box)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(GRID // 2)
    label = text_label(title, "field")
    label.setBuddy(editor)
    column.addWidget(label)
    column.addWidget(editor)
    column.addStretch(1)
    return box
