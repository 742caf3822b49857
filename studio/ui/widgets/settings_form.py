"""The training settings: the four that matter most, and the rest folded away under Advanced."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QGridLayout, QToolButton, QWidget

from studio.core.config import DEFAULT_LEARNING_RATES, MethodKind, RunConfig
from studio.core.errors import StudioError
from studio.core.words import METHOD_NAMES
from studio.ui.theme import GRID
from studio.ui.widgets.basics import Card, allow, named, text_label
from studio.ui.widgets.fields import Field, choice, decimal, number_or_auto, optional_number, paragraph, switch, whole

ADAPTER_ONLY = ("method.rank", "method.alpha", "method.dropout")


class SettingsForm(Card):
    """Holds no run; it gives and takes the values by their place in run.toml."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__("Training", "settingsForm")
        self._main = [
            decimal("training.epochs", "Epochs", 0.1, 1000, 1, 1, "passes over the training data"),
            whole("training.batch_size", "Batch size", 1, 65536, 1, "messages"),
            optional_number("training.learning_rate", "Learning rate", "", "per step"),
            whole("prompt.max_length", "Longest prompt", 16, 131072, 16, "tokens"),
        ]
        self._advanced_fields = [
            whole("method.rank", "Rank", 1, 1024, 1, "directions"),
            decimal("method.alpha", "Alpha", 0.1, 4096, 1, 1, "plain factor"),
            decimal("method.dropout", "Dropout", 0, 0.95, 0.01, 2, "share from 0 to 1"),
            number_or_auto("training.micro_batch", "Micro-batch", "messages, or auto"),
            choice("training.precision", "Precision"),
            number_or_auto("training.checkpoint_every", "Checkpoint every", "steps, or evaluation"),
            whole("training.keep_checkpoints", "Checkpoints to keep", 1, 1000, 1, "checkpoints besides the best"),
            optional_number("training.early_stopping_patience", "Patience", "never ends early", "validations"),
            choice("training.scheduler", "Schedule"),
            decimal("training.warmup_ratio", "Warm-up", 0, 0.99, 0.01, 2, "share of all steps"),
            decimal("training.weight_decay", "Weight decay", 0, 10, 0.01, 3, "share per unit of learning rate"),
            decimal("training.max_grad_norm", "Clip gradients at", 0.01, 1000, 0.1, 2, "gradient length"),
            whole("training.seed", "Seed", 0),
            choice("device.kind", "Device"),
            optional_number("dataset.limit", "Row limit", "all rows", "training rows"),
            optional_number("training.max_steps", "Step limit", "none", "optimizer steps"),
        ]
        self._wide = [
            switch("training.activation_checkpointing", "Checkpoint activations: less memory, slower, the same result"),
            switch("training.evaluate_base", "Also predict the test messages with the untrained base"),
            paragraph("prompt.template", "Prompt template; {text} stands for the message"),
        ]
        self.fields: dict[str, Field] = {field.path: field for field in (*self._main, *self._advanced_fields, *self._wide)}
        self.warning = text_label("", "warning", wrap=True)
        self.warning.setObjectName("settingsWarning")
        self.warning.hide()
        self._toggle = named(
            QToolButton(), "advancedToggle", "Advanced settings", "Show or hide the settings that rarely need a change"
        )
        self._toggle.setText("Advanced")
        self._toggle.setCheckable(True)
        self._toggle.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._toggle.setArrowType(Qt.ArrowType.RightArrow)
        self._toggle.setIconSize(QSize(12, 12))
        self._toggle.toggled.connect(self.show_advanced)
        self._advanced = QWidget()
        self._advanced.setObjectName("advancedSettings")
        grid = _grid(self._advanced, self._advanced_fields)
        for field in self._wide:
            grid.addWidget(field, grid.rowCount(), 0, 1, 4)
        self._advanced.hide()
        main = QWidget()
        _grid(main, self._main)
        self.body.addWidget(main)
        self.body.addWidget(self.warning)
        self.body.addWidget(self._toggle, 0, Qt.AlignmentFlag.AlignLeft)
        self.body.addWidget(self._advanced)
        for field in self.fields.values():
            field.changed.connect(self.changed)
        self.show_method("lora")

    def show_method(self, kind: MethodKind) -> None:
        """Show the method's own learning rate, and only let change what the method uses."""
        rate = DEFAULT_LEARNING_RATES[kind]
        self.fields["training.learning_rate"].editor.setProperty(
            "placeholderText", f"{rate:.0e}".replace("e-0", "e-") + f" ({METHOD_NAMES[kind]})"
        )
        for path in ADAPTER_ONLY:
            allow(self.fields[path].editor, "Full fine-tuning has no adapter. Choose LoRA or QLoRA." if kind == "full" else "")

    def show_advanced(self, shown: bool) -> None:
        self._toggle.setChecked(shown)
        self._toggle.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        self._advanced.setVisible(shown)

    def fill(self, table: dict[str, dict[str, Any]]) -> None:
        """Write the settings into a nested table, as run.toml has them."""
        for path, field in self.fields.items():
            section, name = path.split(".")
            value = field.value()
            if value is not None:
                table.setdefault(section, {})[name] = value

    def show_config(self, config: RunConfig) -> None:
        """Show the settings of another run."""
        for path, field in self.fields.items():
            field.set_value(_setting(config, path))

    def replace_preset(self, before: RunConfig, after: RunConfig) -> None:
        """Show ``after`` in every field that still says what ``before`` does; what a person changed stays."""
        for path, field in self.fields.items():
            if field.value() == _setting(before, path) != _setting(after, path):
                field.set_value(_setting(after, path))

    def show_problems(self, error: StudioError | None) -> list[str]:
        """Put each problem under its field; returns those that have no field here."""
        lines = error.detail.splitlines() if error else []
        told: dict[str, str] = {}
        rest = []
        for line in lines:
            path, _, words = line.partition(": ")
            if path in self.fields:
                told.setdefault(path, words[:1].upper() + words[1:])
            else:
                rest.append(line)
        for path, field in self.fields.items():
            field.show_error(told.get(path, ""))
        if any(field.path in told for field in (*self._advanced_fields, *self._wide)):
            self.show_advanced(True)
        return rest

    def show_warnings(self, warnings: list[str]) -> None:
        self.warning.setText("\n".join(warnings))
        self.warning.setVisible(bool(warnings))


def _setting(config: RunConfig, path: str) -> Any:
    section, name = path.split(".")
    return getattr(getattr(config, section), name)


def _grid(parent: QWidget, fields: list[Field]) -> QGridLayout:
    grid = QGridLayout(parent)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setHorizontalSpacing(2 * GRID)
    grid.setVerticalSpacing(12)
    for number, field in enumerate(fields):
        grid.addWidget(field, number // 4, number % 4)
    for column in range(4):
        grid.setColumnStretch(column, 1)
    return grid
