"""The base model: chosen, looked at by a worker, downloaded when it is wanted, with what is known of it before any run."""

from __future__ import annotations

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QProgressBar, QWidget

from studio.core.answers import MissingFiles, ModelDescribed
from studio.core.commands import Command, DescribeModel, DownloadModel
from studio.core.config import ModelConfig
from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed, StageChanged
from studio.core.model_description import ModelDescription
from studio.core.runs import Home
from studio.core.words import sentence, size
from studio.supervise.jobs import Job, run_job
from studio.ui.widgets.basics import Card, ErrorPanel, named, text_label
from studio.ui.widgets.setup.hub_download import HubDownload
from studio.ui.widgets.setup.known_models import KnownModels
from studio.ui.widgets.setup.model_facts import ModelFacts
from studio.ui.widgets.setup.model_sources import ModelSources


class ModelPicker(Card):
    """``description`` is what the worker said of the chosen model, None until then."""

    reading_started = Signal()
    event_received = Signal(object)
    """Each Event of the worker that reads or downloads the model."""
    described = Signal()
    """The description, or the problem, has come."""

    def __init__(self, home: Home) -> None:
        super().__init__("Model", "modelPicker")
        self._home = home
        self.description: ModelDescription | None = None
        self._job: Job | None = None
        self._online = False
        self._timer = QTimer(self, interval=0, singleShot=True)
        self._timer.timeout.connect(self._read)
        self.known = KnownModels()
        self.header.addWidget(self.known)
        self.sources = ModelSources()
        self.hint = text_label("", "muted", wrap=True)
        self.hint.setObjectName("modelHint")
        self.stage = text_label("", "muted", wrap=True)
        self.stage.setObjectName("modelStage")
        self.busy = named(QProgressBar(), "modelBusy", "The model is being read", "How much of this stage is done")
        self.busy.setTextVisible(False)
        self.error = ErrorPanel("modelError", closable=False)
        self.download = HubDownload("model", "the model")
        self.facts = ModelFacts()
        self.body.addWidget(self.sources)
        for widget in (self.hint, self.stage, self.busy, self.error):
            widget.hide()
            self.body.addWidget(widget)
        self.body.addWidget(self.facts)
        self.body.addWidget(self.download)
        self.known.picked.connect(self.open_model)
        self.sources.chosen.connect(self.read_again)
        self.sources.edited.connect(self._edited)
        self.sources.look_up_asked.connect(lambda: self.read_again(online=True))
        self.download.wanted.connect(self._start_download)
        self.download.cancelled.connect(self._cancel_download)

    @property
    def model(self) -> ModelConfig | None:
        """As in run.toml; None while no model is named."""
        return self.sources.model()

    @property
    def controls(self) -> dict[str, QWidget]:
        """The controls of this card by the place of their setting in run.toml."""
        sources = self.sources
        base = sources.starter if sources.starter.isChecked() else sources.folder.edit if sources.other.isChecked() else sources.id
        return {"model.base": base, "model.revision": sources.revision}

    @property
    def reading(self) -> bool:
        return self._timer.isActive() or (self._job is not None and self._job.active)

    @property
    def missing(self) -> MissingFiles | None:
        """What of the model is yet to be downloaded."""
        return self.download.missing

    def obstacle(self) -> str:
        """What stands between this model and a run, in words; empty for nothing."""
        if self.download.running:
            return "The model is being downloaded."
        if self.reading:
            return "The model is being read."
        if self.model is None:
            return self.sources.what_is_missing()
        if self.description is None:
            return "Look the model up; see Model." if not self.hint.isHidden() else "The model cannot be used; see Model."
        return "" if self.missing is None else f"Download the model first ({size(self.missing.missing)}); see Model."

    def open_model(self, model: ModelConfig) -> None:
        """Choose a model and look at what this computer has of it."""
        self.sources.show_model(model)
        self.read_again()

    def read_again(self, *, online: bool = False) -> None:
        """Have a worker describe the chosen model; ``online``: the hub may be asked."""
        self._forget()
        if self.model is not None:
            self._online = online
            self.stage.setText("Asking the Hugging Face hub…" if online else "Reading the model…")
            self.stage.show()
            self.busy.setRange(0, 0)
            self.busy.show()
            self._timer.start()
            self.reading_started.emit()
        else:
            self.described.emit()

    def _forget(self) -> None:
        """Nothing is known of the model, and nobody is asked."""
        if self._job is not None:
            self._job.cancel()
            self._job = None
        self._timer.stop()
        self.description = None
        self.error.clear()
        self.download.offer(None)
        self.facts.terms.setVisible(self.sources.starter.isChecked())
        for widget in (self.hint, self.stage, self.busy):
            widget.hide()
        self.facts.show_description(None)

    def _edited(self) -> None:
        self._forget()
        self._suggest("Press Return to look it up. Nothing is downloaded before you have seen its size.")
        self.described.emit()

    def _suggest(self, words: str) -> None:
        self.hint.setText(words)
        self.hint.setVisible(self.model is not None)

    def _read(self) -> None:
        model = self.model
        assert model is not None, "read_again() looked"
        self._ask(DescribeModel(model=model, home=str(self._home.path), online=self._online))

    def _start_download(self) -> None:
        model = self.model
        assert model is not None, "it was offered for this one"
        self.error.clear()
        self.download.start()
        self._ask(DownloadModel(model=model, home=str(self._home.path)))
        self.reading_started.emit()

    def _ask(self, command: Command) -> None:
        try:
            self._job = run_job(self, command, self._succeeded, self._failed, self._progressed)
        except StudioError as error:
            self.error.show_problem(error)
            self._settle()

    def _cancel_download(self) -> None:
        if self._job is not None:
            self._job.cancel()
        self._settle()

    def _progressed(self, event: Event) -> None:
        self.event_received.emit(event)
        if self.missing is not None:
            self.download.hear(event)
        elif isinstance(event, StageChanged):
            amount = f" ({event.done / event.total:.0%})" if event.total else ""
            self.stage.setText(f"{sentence(event.stage)}{amount}")
            self.busy.setRange(0, event.total)
            self.busy.setValue(event.done)

    def _succeeded(self, event: Event) -> None:
        assert isinstance(event, ModelDescribed)
        self.description = event.description
        self.download.offer(event.missing)
        self._settle()

    def _failed(self, event: Event) -> None:
        assert isinstance(event, Failed | Crashed)
        if isinstance(event, Failed) and event.kind == "not_downloaded" and self.missing is None:
            self._suggest(f"{event.message} Look it up to see how large it is; then you can download it.")
        else:
            self.error.show_problem(event)
        self._settle()

    def _settle(self) -> None:
        self.stage.hide()
        self.busy.hide()
        self.download.offer(self.missing)
        self.facts.show_description(self.description)
        self.described.emit()
