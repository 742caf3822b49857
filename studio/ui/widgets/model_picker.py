"""The base model: the starter or a folder, with what is known of it before any run."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QButtonGroup, QGridLayout, QHBoxLayout, QLabel, QProgressBar, QRadioButton

from studio.core.commands import DescribeModel
from studio.core.config import ModelConfig
from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed, ModelDescribed, StageChanged
from studio.core.memory import ModelDescription
from studio.core.runs import Home
from studio.core.starter import STARTER, STARTER_NAME, TERMS, TERMS_URL
from studio.core.words import UNKNOWN, sentence, short_count, size
from studio.supervise.jobs import Job, run_job
from studio.ui import theme
from studio.ui.theme import GRID
from studio.ui.widgets.basics import Card, ErrorPanel, named, text_label
from studio.ui.widgets.paths import PathField
from studio.ui.words import plain_tooltip


class ModelPicker(Card):
    """``description`` is what the worker said of the chosen model, None until then."""

    reading_started = Signal()
    event_received = Signal(object)
    """Each Event of the worker that reads the model."""
    described = Signal()
    """The description, or the problem, has come."""

    def __init__(self, home: Home) -> None:
        super().__init__("Model", "modelPicker")
        self._home = home
        self.description: ModelDescription | None = None
        self._job: Job | None = None
        self._timer = QTimer(self, interval=0, singleShot=True)
        self._timer.timeout.connect(self._read)
        self.starter = named(
            QRadioButton(f"Starter: {STARTER_NAME}"),
            "starterModel",
            f"Starter: {STARTER_NAME}",
            "The model that comes with this app; works offline",
        )
        self.other = named(
            QRadioButton("A model folder"),
            "folderModel",
            "A model folder on this computer",
            "A folder with a model in the Hugging Face format",
        )
        group = QButtonGroup(self)
        group.addButton(self.starter)
        group.addButton(self.other)
        self.folder = PathField(
            "modelPath", "Model folder", "Folder with config.json and safetensors", "A folder with a Hugging Face model", "folder"
        )
        choice = QHBoxLayout()
        choice.setSpacing(2 * GRID)
        choice.addWidget(self.starter)
        choice.addWidget(self.other)
        choice.addStretch(1)
        self.body.addLayout(choice)
        self.body.addWidget(self.folder)
        self._build_answer()
        self.starter.setChecked(True)
        self.folder.hide()
        self.starter.toggled.connect(self._toggled)
        self.folder.chosen.connect(lambda _path: self.read_again())

    @property
    def base(self) -> str:
        """As in run.toml; empty while no folder was chosen."""
        return STARTER if self.starter.isChecked() else self.folder.path

    @property
    def reading(self) -> bool:
        return self._timer.isActive() or (self._job is not None and self._job.active)

    def open_base(self, base: str) -> None:
        """Choose a model and read it."""
        self.folder.show_path("" if base == STARTER else base)
        chosen = self.starter if base == STARTER else self.other
        if chosen.isChecked():
            self.read_again()
        else:
            chosen.setChecked(True)

    def read_again(self) -> None:
        """Have a worker describe the chosen model."""
        if self._job is not None:
            self._job.cancel()
            self._job = None
        self._timer.stop()
        self.description = None
        self.error.clear()
        self._show_figures()
        if not self.base:
            self.busy.hide()
            self.stage.hide()
            self.described.emit()
            return
        self.stage.setText("Reading the model…")
        self.stage.show()
        self.busy.setRange(0, 0)
        self.busy.show()
        self._timer.start()
        self.reading_started.emit()

    def _build_answer(self) -> None:
        self.stage = text_label("", "muted", wrap=True)
        self.stage.setObjectName("modelStage")
        self.busy = named(QProgressBar(), "modelBusy", "The model is being read")
        self.busy.setTextVisible(False)
        self.error = ErrorPanel("modelError", closable=False)
        self._figures = QGridLayout()
        self._figures.setHorizontalSpacing(3 * GRID)
        self._figures.setVerticalSpacing(2)
        self._values: dict[str, QLabel] = {}
        names = ("Parameters", "Size on disk", "Architecture", "Licence")
        for column, name in enumerate(names):
            self._figures.addWidget(text_label(name, "field"), 0, column)
            self._figures.setColumnStretch(column, 2 if column < 2 else 3)
            self._values[name] = text_label("", "strong", wrap=name in ("Architecture", "Licence"), selectable=True)
            self._values[name].setObjectName("model" + name.replace(" ", ""))
            self._figures.addWidget(self._values[name], 1, column, Qt.AlignmentFlag.AlignTop)
        # This text is ours alone, so it may hold a link.
        self.terms = QLabel()
        self.terms.setObjectName("gemmaTerms")
        self.terms.setProperty("role", "small")
        self.terms.setTextFormat(Qt.TextFormat.RichText)
        self.terms.setWordWrap(True)
        self.terms.setOpenExternalLinks(True)
        self.terms.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.terms.setAccessibleName("Terms of the starter model")
        self.terms.setToolTip(plain_tooltip(TERMS_URL))
        theme.notifier.changed.connect(self._show_terms)
        self._show_terms()
        for widget in (self.stage, self.busy, self.error):
            widget.hide()
            self.body.addWidget(widget)
        self.body.addLayout(self._figures)
        self.body.addWidget(self.terms)

    def _read(self) -> None:
        command = DescribeModel(model=ModelConfig(base=self.base), home=str(self._home.path))
        try:
            self._job = run_job(self, command, self._succeeded, self._failed, self._progressed)
        except StudioError as error:
            self.error.show_problem(error)
            self._settle()

    def _progressed(self, event: Event) -> None:
        self.event_received.emit(event)
        if isinstance(event, StageChanged):
            amount = f" ({event.done / event.total:.0%})" if event.total else ""
            self.stage.setText(f"{sentence(event.stage)}{amount}")
            self.busy.setRange(0, event.total)
            self.busy.setValue(event.done)

    def _succeeded(self, event: Event) -> None:
        assert isinstance(event, ModelDescribed)
        self.description = event.description
        self._settle()

    def _failed(self, event: Event) -> None:
        assert isinstance(event, Failed | Crashed)
        self.error.show_problem(event)
        self._settle()

    def _settle(self) -> None:
        self.stage.hide()
        self.busy.hide()
        self._show_figures()
        self.described.emit()

    def _show_figures(self) -> None:
        known = self.description
        shown = dict.fromkeys(self._values, "")
        if known is not None:
            shown = {
                "Parameters": short_count(known.parameters),
                "Size on disk": size(known.disk_bytes),
                "Architecture": known.architecture,
                "Licence": known.licence or "not stated",
            }
        for name, label in self._values.items():
            label.setText(shown[name] or UNKNOWN)
        self._values["Parameters"].setToolTip(plain_tooltip(f"{known.parameters:,} parameters" if known else ""))

    def _toggled(self, starter: bool) -> None:
        self.folder.setVisible(not starter)
        self.terms.setVisible(starter)
        self.read_again()
        if not starter and not self.folder.path:
            self.folder.edit.setFocus()

    def _show_terms(self) -> None:
        colour = theme.current().accent
        address = TERMS_URL.removeprefix("https://")
        self.terms.setText(TERMS.replace(address, f'<a style="color:{colour}" href="{TERMS_URL}">{address}</a>'))
