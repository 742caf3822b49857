"""Setup: data, model, method and settings become one RunConfig, with a forecast of its memory before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from PySide6.QtCore import QSettings, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from studio.core.config import MethodKind, ModelConfig, RunConfig
from studio.core.errors import StudioError
from studio.core.fit import fit_config
from studio.core.machine import DeviceName, cpu_has_bf16
from studio.core.memory import estimate_lengths, forecast_config
from studio.core.model_description import check_layers
from studio.core.run_file import load_run_config, sample_run_config, validate_run_config
from studio.core.runs import Home
from studio.core.settings import default_of
from studio.core.words import size
from studio.supervise.gauges import MemorySample
from studio.ui.theme import GRID
from studio.ui.widgets.basics import allow, button, primary_button, text_label
from studio.ui.widgets.setup.dataset_inputs import SAMPLE
from studio.ui.widgets.setup.dataset_picker import DatasetPicker
from studio.ui.widgets.setup.method_selector import KINDS, MethodSelector
from studio.ui.widgets.setup.model_picker import ModelPicker
from studio.ui.widgets.setup.prompt_card import PromptCard
from studio.ui.widgets.setup.run_file_dialog import RunFileDialog
from studio.ui.widgets.setup.settings_form import SettingsForm
from studio.ui.widgets.setup.source_menu import RecentSources
from studio.ui.widgets.tab_order import tab_through

TWO_COLUMNS_FROM = 1180
_DELAY_MS = 120
_OF_ANY_DATA = ("dataset.limit", "dataset.seed")


class SetupPage(QWidget):
    """Builds a RunConfig and asks for its training; holds no run."""

    train_requested = Signal(object)
    """The RunConfig, once data and model are known to be good."""

    def __init__(self, home: Home, settings: QSettings | None = None) -> None:
        super().__init__()
        self.setObjectName("setupPage")
        self.dataset = DatasetPicker(RecentSources(settings))
        self._home = home
        self.model = ModelPicker(home)
        self.method = MethodSelector()
        self.prompt = PromptCard(home)
        controlled = (*self.dataset.controls, *self.model.controls, *self.method.controls)
        self.settings = SettingsForm(self.prompt.fields, controlled)
        self._preset = RunConfig()
        self._running: str | None = None
        self._sample: MemorySample | None = None
        self._shown_available = 0
        self._delay = QTimer(self, interval=_DELAY_MS, singleShot=True)
        self._delay.timeout.connect(self.refresh)
        self._build()
        for signal in (self.dataset.reading_started, self.dataset.inspected, self.model.reading_started, self.model.described):
            signal.connect(self._delay.start)
        self.dataset.source_opened.connect(self._source_opened)
        self.method.kind_changed.connect(self._method_changed)
        self.settings.changed.connect(self._settings_changed)
        # Not all of refresh(): that would ask again what has just failed.
        self.prompt.tokens.answered.connect(lambda _answer: self._show_forecasts())

    @property
    def controls(self) -> dict[str, QWidget]:
        """The one control of each setting, by its place in run.toml."""
        fields = {path: field.editor for path, field in self.settings.fields.items()}
        return fields | self.dataset.controls | self.model.controls | self.method.controls

    def start(self, source: str = "sample", model: ModelConfig = ModelConfig()) -> None:  # noqa: B008  # it cannot change
        """Read the data and the model that the page opens with."""
        self.dataset.open_source(source)
        self.model.open_model(model)
        self.refresh()

    def begin(self) -> None:
        """Let the person name the data, with which setting up a run begins."""
        self.dataset.controls["dataset.source"].setFocus(Qt.FocusReason.TabFocusReason)

    def config(self) -> RunConfig:
        """The run as it is set up now. Raises StudioError naming every field that is wrong."""
        table: dict[str, Any] = {
            "dataset": self.dataset.table(),
            "method": {"kind": self.method.kind},
        }
        self.settings.fill(table)
        if self.model.model is not None:
            table["model"] = self.model.model.model_dump()
        return validate_run_config(table)

    def show_config(self, config: RunConfig) -> None:
        """Set everything up as in another run."""
        self.method.choose(config.method.kind)
        self.model.open_model(config.model)
        self.dataset.open_dataset(config.dataset)
        self.settings.show_config(config)
        self.refresh()

    def missing(self) -> list[str]:
        """What stands between this page and a run, in words; empty when Train may be pressed."""
        found = []
        if self._running is not None:
            found.append(f"{self._running} is being trained; one run at a time.")
        found += [obstacle for obstacle in (self.dataset.obstacle(), self.model.obstacle()) if obstacle]
        _config, problem = self._checked()
        if problem is not None:
            found.append("Some settings are wrong: " + "; ".join(problem.detail.splitlines()) + ".")
        return found

    def _checked(self) -> tuple[RunConfig | None, StudioError | None]:
        """The run as it is set up now, or what is wrong with it."""
        try:
            config = self.config()
            if self.model.description is not None:
                check_layers(config.method, self.model.description)
        except StudioError as error:
            return None, error
        return config, None

    def show_running(self, name: str | None) -> None:
        """A run of that name is active, or none is."""
        self._running = name
        self.refresh()

    def show_machine(self, sample: MemorySample) -> None:
        """Take in how much memory there is. Forecasts are drawn again only when the figure moved by a hundredth."""
        self._sample = sample
        if abs(self._machine()[1] - self._shown_available) > self._shown_available / 100:
            self._show_forecasts()

    def request_training(self) -> None:
        """What the Train button does; nothing happens while something is missing."""
        self.refresh()
        if not self.missing():
            self.train_requested.emit(self.config())

    def refresh(self) -> None:
        """Check the settings, forecast all three methods and say what is missing."""
        config, problem = self._checked()
        self.settings.show_problems(problem)
        self.settings.show_warnings(config.warnings() if config is not None else [])
        self.settings.show_model(self.model.description, config)
        self.prompt.show_data(self.dataset.answer)
        self.prompt.show_model(self.model.description)
        self._inspect_tokens(config)
        unnamed = self.model.sources.what_is_missing() if self.model.model is None else ""
        allow(self.run_file_button, unnamed if config is not None else "Some settings are wrong; they are marked in red.")
        self.train_button.setText("Training…" if self._running is not None else "Train")
        self._show_forecasts()

    def open_run_file(self, path: Path) -> None:
        """Set everything up as a run.toml says. Raises StudioError."""
        self.show_config(load_run_config(path))

    def _show_run_file(self) -> None:
        self.refresh()  # what was typed a moment ago may be wrong
        config, _problem = self._checked()
        if config is None or not self.run_file_button.isEnabled():
            return
        dialog = RunFileDialog(config, self._home, self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def _inspect_tokens(self, config: RunConfig | None) -> None:
        waits_for = ""
        if config is None:
            waits_for = "Tokens are shown once the settings are right."
        elif self.model.missing is not None:
            waits_for = "Tokens are shown once the model is downloaded."
        elif self.dataset.answer is None or self.dataset.reading or self.model.obstacle():
            waits_for = "Tokens are shown once data and model are read."
        self.prompt.show_config(None if waits_for else config, self._machine()[0], waits_for)

    def _ready_words(self) -> str:
        found = self.method.forecasts.get(self.method.kind)
        if found is None:
            return "Ready to train."
        return f"Ready: about {size(found.total)} of memory at its peak (estimate), {size(found.output_bytes)} on disk afterwards."

    def _show_forecasts(self) -> None:
        """Forecast all three methods, and say beside Train what is missing or what the run will take."""
        self._forecast_methods()
        missing = self.missing()
        allow(self.train_button, "\n".join(missing))
        self._status.setText(missing[0] if missing else self._ready_words())

    def _forecast_methods(self) -> None:
        description, answer = self.model.description, self.dataset.answer
        config, _problem = self._checked()
        if description is None or answer is None or config is None:
            waits_for = "the settings are right" if config is None else "data and model are read"
            self.method.clear_forecasts(f"Memory is forecast once {waits_for}")
            return
        device, available = self._machine()
        self._shown_available = available
        labels = max(answer.train_counts, key=len, default="")
        lengths = self.prompt.lengths(config, device) or estimate_lengths(answer.longest_text, labels, config, device)
        precision = config.training.precision
        if precision == "auto":
            precision = "bf16" if device == "cuda" or (device == "cpu" and cpu_has_bf16()) else "fp32"
        methods = {kind: config.model_copy(update={"method": config.method.model_copy(update={"kind": kind})}) for kind in KINDS}
        found = {kind: forecast_config(description, run, lengths, precision, device) for kind, run in methods.items()}
        fit = fit_config(description, methods[self.method.kind], lengths, precision, device, available)
        self.method.show_forecasts(found, description.parameters, available, fit)

    def _machine(self) -> tuple[DeviceName, int]:
        """Where training would happen, and the bytes that it could have there."""
        sample = self._sample
        wanted = self.settings.fields["device.kind"].value()
        if sample is None:
            return "cpu", 0
        if sample.device.startswith("cuda") and wanted in ("auto", "cuda"):
            return "cuda", sample.total - sample.others
        kind: DeviceName = "mps" if wanted == "mps" or (wanted == "auto" and sys.platform == "darwin") else "cpu"
        return kind, sample.host_total - sample.host_used + sample.ours_host

    def _source_opened(self) -> None:
        """The sample comes with settings of its own, a file takes the defaults. What names a part of the data before goes."""
        for path, field in self.settings.fields.items():
            if path.startswith("dataset.") and path not in _OF_ANY_DATA:
                field.set_value(default_of(path))
        before, self._preset = self._preset, sample_run_config() if self.dataset.source == SAMPLE else RunConfig()
        self.settings.replace_preset(before, self._preset)

    def _method_changed(self, kind: MethodKind) -> None:
        self.settings.show_method(kind)
        self.refresh()

    def _settings_changed(self) -> None:
        self.dataset.set_options(self.settings.values("dataset"))
        self._delay.start()

    def _build(self) -> None:
        self._left, self._right = QVBoxLayout(), QVBoxLayout()
        # As high as it needs: what is listed of problems comes and goes.
        self._left.addWidget(self.dataset)
        self._left.addWidget(self.prompt)
        self._left.addStretch(1)
        for card in (self.model, self.method, self.settings):
            self._right.addWidget(card)
        self._right.addStretch(1)
        self._columns = QBoxLayout(QBoxLayout.Direction.TopToBottom)
        self._columns.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        for layout in (self._left, self._right, self._columns):
            layout.setSpacing(2 * GRID)
        self._columns.addLayout(self._left)
        self._columns.addLayout(self._right)
        content = QWidget()
        content.setObjectName("setupContent")
        content.setLayout(self._columns)
        self.scroll_area = QScrollArea()
        self.scroll_area.setObjectName("setupScroll")
        self.scroll_area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.scroll_area.setWidgetResizable(True)
        self.scroll_area.setFrameShape(QFrame.Shape.NoFrame)
        self.scroll_area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroll_area.setWidget(content)
        self._status = text_label("", "muted", wrap=True)
        self._status.setObjectName("setupStatus")
        tip = "Show all settings as a run.toml, to copy, save or train in a terminal"
        self.run_file_button = button("As run.toml", "showRunFile", tip, self._show_run_file)
        self.train_button = primary_button("Train", "trainButton", "Start training (Ctrl+Return)", self.request_training)
        actions = QWidget()
        actions.setObjectName("actionBar")
        actions.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        row = QHBoxLayout(actions)
        row.setContentsMargins(2 * GRID, 12, 2 * GRID, 12)
        row.setSpacing(2 * GRID)
        row.addWidget(self._status, 1)
        row.addWidget(self.run_file_button)
        row.addWidget(self.train_button)
        page = QVBoxLayout(self)
        page.setContentsMargins(0, 0, 0, 0)
        page.setSpacing(0)
        page.addWidget(self.scroll_area, 1)
        page.addWidget(actions)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        super().showEvent(event)
        self._arrange(self.width())

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._arrange(event.size().width())

    def _arrange(self, width: int) -> None:
        side_by_side, stacked = QBoxLayout.Direction.LeftToRight, QBoxLayout.Direction.TopToBottom
        wide = width >= TWO_COLUMNS_FROM
        self._columns.setDirection(side_by_side if wide else stacked)
        for place, share in enumerate((5, 6) if wide else (0, 1)):
            self._columns.setStretch(place, share)
        self.dataset.views.stack(wide)
        # One below the other, the prompt comes behind the model that it is for.
        column, place = (self._left, 1) if wide else (self._right, 1)
        if column.indexOf(self.prompt) < 0:
            (self._right if wide else self._left).removeWidget(self.prompt)
            column.insertWidget(place, self.prompt)
            first = (self.dataset, self.prompt, self.model) if wide else (self.dataset, self.model, self.prompt)
            tab_through((*first, self.method, self.settings))
