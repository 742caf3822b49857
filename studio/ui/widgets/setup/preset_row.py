"""Presets as buttons, with what each changes said in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from studio.core.presets import Preset, load_presets
from studio.core.words import counted
from studio.ui.theme import GRID
from studio.ui.widgets.basics import named, text_label

_WORDS: dict[str, Callable[[Any], str]] = {
    "dataset.limit": lambda value: f"at most {counted(value, 'training message')}",
    "method.rank": lambda value: f"rank {value}",
    "method.alpha": lambda value: f"alpha {value:g}",
    "training.epochs": lambda value: counted(value, "epoch"),
    "training.batch_size": lambda value: f"batches of {value}",
    "training.warmup_ratio": lambda value: f"warm-up over {value:.0%} of the steps",
    "training.early_stopping_patience": lambda value: f"ends after {counted(value, 'validation')} without a better one",
    "training.evaluate_base": lambda value: "the untrained base is tested too" if value else "no test of the untrained base",
}


def changes_in_words(preset: Preset) -> str:
    """What picking a preset sets: "rank 8, alpha 16, 1 epoch"."""
    return ", ".join(_WORDS[path](value) if path in _WORDS else f"{path} = {value}" for path, value in preset.changes.items())


class PresetRow(QWidget):
    """``preset_picked`` comes when a person pressed one. The one that the settings agree with is shown as pressed."""

    preset_picked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("presetRow")
        self.presets = {preset.name: preset for preset in load_presets()}
        self.buttons: dict[str, QPushButton] = {}
        row = QHBoxLayout()
        row.setSpacing(GRID // 2)
        label = text_label("Preset", "field")
        row.addWidget(label)
        row.addSpacing(GRID // 2)
        for preset in self.presets.values():
            tip = f"{preset.purpose} Sets: {changes_in_words(preset)}. Everything else stays"
            made = named(QPushButton(preset.title), f"preset_{preset.name}", f"Preset: {preset.title}", tip)
            made.setCheckable(True)
            made.setAccessibleDescription(tip)
            made.clicked.connect(lambda _checked=False, preset=preset: self.preset_picked.emit(preset))
            self.buttons[preset.name] = made
            row.addWidget(made)
        row.addStretch(1)
        self.words = text_label("", "small", wrap=True)
        self.words.setObjectName("presetWords")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        column.addLayout(row)
        column.addWidget(self.words)

    def show_settings(self, values: Mapping[str, Any], untouched: bool) -> None:
        """Mark the preset whose every setting is as in ``values`` (by place in run.toml). ``untouched``: nobody changed any."""
        found = None
        for preset in self.presets.values():
            agrees = all(values.get(path) == value for path, value in preset.changes.items())
            self.buttons[preset.name].setChecked(agrees)
            found = preset if agrees else found
        if found is None:
            whose = "The usual settings for this data" if untouched else "Settings of your own"
            self.words.setText(f"{whose}. A preset changes a few of them and leaves the rest.")
        else:
            self.words.setText(f"{found.purpose} {changes_in_words(found).capitalize()}.")
