"""The training settings: presets, the four that matter most, and the rest folded away under Advanced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QGridLayout, QToolButton, QWidget

from studio.core.config import DEFAULT_LEARNING_RATES, MethodKind, RunConfig
from studio.core.errors import StudioError
from studio.core.model_description import ModelDescription
from studio.core.presets import Preset
from studio.core.words import METHOD_NAMES
from studio.ui.theme import GRID
from studio.ui.widgets.basics import Card, allow, named, text_label
from studio.ui.widgets.fields import Field, decimal, optional_number, whole
from studio.ui.widgets.setup.advanced_settings import AdvancedSettings, advanced_fields
from studio.ui.widgets.setup.preset_row import PresetRow
from studio.ui.widgets.setup.rank_choice import RankChoice

_ADAPTER_ONLY = ("method.rank", "method.alpha", "method.dropout", "method.target_modules")


class SettingsForm(Card):
    """Holds no run; it gives and takes the values by their place in run.toml.

    ``elsewhere`` are fields that stand on other cards and are given and taken together with those here; ``controlled``
    the places of the settings that have other controls than a field.
    """

    changed = Signal()

    def __init__(self, elsewhere: Sequence[Field] = (), controlled: Sequence[str] = ("method.kind",)) -> None:
        super().__init__("Training", "settingsForm")
        main = [
            decimal("training.epochs", "Epochs", 0.001, 100_000, 1, 1, "passes over the training data"),
            whole("training.batch_size", "Batch size", 1, 1_000_000, 1, "messages"),
            optional_number("training.learning_rate", "Learning rate", "", "per step"),
            whole("method.rank", "Rank", 1, 1024, 1, "directions"),
        ]
        self._folded = advanced_fields([*controlled, *(field.path for field in (*main, *elsewhere))])
        self.fields: dict[str, Field] = {field.path: field for field in (*main, *self._folded, *elsewhere)}
        self._base = RunConfig()
        """What a setting is when neither a person nor a picked preset says anything."""
        self._picked: dict[str, Any] = {}
        self.warning = text_label("", "warning", wrap=True)
        self.warning.setObjectName("settingsWarning")
        self.warning.hide()
        self.presets = PresetRow()
        self.presets.preset_picked.connect(self.pick_preset)
        self.ranks = RankChoice()
        self.ranks.rank_chosen.connect(self.fields["method.rank"].set_value)
        self._toggle = named(
            QToolButton(), "advancedToggle", "Advanced settings", "Show or hide the settings that rarely need a change"
        )
        self._toggle.setText("Advanced: every other setting")
        self._toggle.setCheckable(True)
        self._toggle.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._toggle.setArrowType(Qt.ArrowType.RightArrow)
        self._toggle.setIconSize(QSize(12, 12))
        self._toggle.toggled.connect(self.show_advanced)
        self._advanced = AdvancedSettings(self._folded)
        self._advanced.hide()
        for part in (self.presets, _grid(main), self.ranks, self.warning):
            self.body.addWidget(part)
        self.body.addWidget(self._toggle, 0, Qt.AlignmentFlag.AlignLeft)
        self.body.addWidget(self._advanced)
        for field in self.fields.values():
            field.changed.connect(self._field_changed)
        self.show_method("lora")
        self._show_preset()

    def show_method(self, kind: MethodKind) -> None:
        """Show the method's own learning rate, and only let change what the method uses."""
        rate = DEFAULT_LEARNING_RATES[kind]
        self.fields["training.learning_rate"].editor.setProperty(
            "placeholderText", f"{rate:.0e}".replace("e-0", "e-") + f" ({METHOD_NAMES[kind]})"
        )
        for path in _ADAPTER_ONLY:
            allow(self.fields[path].editor, "Full fine-tuning has no adapter. Choose LoRA or QLoRA." if kind == "full" else "")
        self.ranks.setVisible(kind != "full")

    def show_model(self, model: ModelDescription | None, config: RunConfig | None) -> None:
        """Say what an adapter of this model costs, and which layers it has."""
        if config is not None:
            self.ranks.show_model(model, config.method)
        layers = ", ".join(sorted({linear.name for linear in model.linears})) if model is not None else ""
        self.fields["method.target_modules"].show_note(f"This model has {layers}." if layers else "")

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

    def values(self, section: str) -> dict[str, Any]:
        """The settings of one table by their names."""
        table: dict[str, dict[str, Any]] = {}
        self.fill(table)
        return table.get(section, {})

    def show_config(self, config: RunConfig) -> None:
        """Show the settings of another run."""
        self._picked = {}
        for path, field in self.fields.items():
            field.set_value(_setting(config, path))

    def replace_preset(self, before: RunConfig, after: RunConfig) -> None:
        """Show ``after`` in every field that still says what ``before`` does; what a person changed stays."""
        self._base = after
        for path, field in self.fields.items():
            if path not in self._picked and field.value() == _setting(before, path) != _setting(after, path):
                field.set_value(_setting(after, path))

    def pick_preset(self, preset: Preset) -> None:
        """Set what the preset names, and take back what another one had set unless a person changed it since."""
        for path, value in self._picked.items():
            if path not in preset.changes and self.fields[path].value() == value:
                self.fields[path].set_value(_setting(self._base, path))
        self._picked = dict(preset.changes)
        for path, value in preset.changes.items():
            self.fields[path].set_value(value)
        self._show_preset()

    def show_problems(self, error: StudioError | None) -> None:
        """Put each problem that has a field here under it."""
        told: dict[str, str] = {}
        for line in error.detail.splitlines() if error else ():
            path, _, words = line.partition(": ")
            if path in self.fields:
                words = words.partition(" (given: ")[0]  # it stands right above
                told.setdefault(path, words[:1].upper() + words[1:])
        for path, field in self.fields.items():
            field.show_error(told.get(path, ""))
        if any(field.path in told for field in self._folded):
            self.show_advanced(True)

    def show_warnings(self, warnings: list[str]) -> None:
        self.warning.setText("\n".join(warnings))
        self.warning.setVisible(bool(warnings))

    def _field_changed(self) -> None:
        self._show_preset()
        self.changed.emit()

    def _show_preset(self) -> None:
        values = {path: field.value() for path, field in self.fields.items()}
        self.presets.show_settings(values, all(value == _setting(self._base, path) for path, value in values.items()))


def _setting(config: RunConfig, path: str) -> Any:
    section, name = path.split(".")
    return getattr(getattr(config, section), name)


def _grid(fields: list[Field]) -> QWidget:
    parent = QWidget()
    grid = QGridLayout(parent)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setHorizontalSpacing(2 * GRID)
    for number, field in enumerate(fields):
        grid.addWidget(field, 0, number)
        grid.setColumnStretch(number, 1)
    return parent
