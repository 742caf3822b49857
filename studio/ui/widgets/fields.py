"""One setting of a run: its label, its editor and the words for what is wrong with it."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel
from PySide6.QtCore import QLocale, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QPlainTextEdit,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from studio.core.config import RunConfig, field_description
from studio.ui.theme import GRID, restyle
from studio.ui.widgets.basics import guard_wheel, named, text_label
from studio.ui.words import plain_tooltip

LARGEST_INTEGER = 2**31 - 1


def describe(path: str) -> str:
    """The documentation of a setting such as ``training.epochs``, from where it is declared."""
    table, name = _declared(path)
    return field_description(type(table), name)


def default_of(path: str) -> Any:
    """The value a setting has when nothing is said."""
    table, name = _declared(path)
    return getattr(table, name)


def choices_of(path: str) -> list[str]:
    """The words a setting may be."""
    table, name = _declared(path)
    return [str(choice) for choice in get_args(type(table).model_fields[name].annotation)]


def _declared(path: str) -> tuple[BaseModel, str]:
    table, name = path.split(".")
    return getattr(RunConfig(), table), name


class Field(QWidget):
    """A label above an editor. ``path`` is the setting's place in run.toml, e.g. ``training.epochs``."""

    changed = Signal()

    def __init__(self, path: str, title: str, editor: QWidget, unit: str = "") -> None:
        super().__init__()
        self.path = path
        self.editor = editor
        tooltip = describe(path) + (f" Unit: {unit}." if unit else "")
        named(editor, path.replace(".", "_"), f"{title}, {unit}" if unit else title, tooltip)
        editor.setAccessibleDescription(tooltip)
        self._error = text_label("", "bad", wrap=True)
        self._error.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        if not isinstance(editor, QCheckBox):
            label = text_label(title, "field")
            label.setBuddy(editor)
            label.setToolTip(plain_tooltip(tooltip))
            column.addWidget(label)
        column.addWidget(editor)
        column.addWidget(self._error)
        column.addStretch(1)
        self._connect()

    def value(self) -> Any:
        """What is in the editor, as run.toml would hold it; None for left out."""
        editor = self.editor
        if isinstance(editor, QSpinBox | QDoubleSpinBox):
            return editor.value()
        if isinstance(editor, QComboBox):
            return editor.currentText()
        if isinstance(editor, QCheckBox):
            return editor.isChecked()
        if isinstance(editor, QPlainTextEdit):
            return editor.toPlainText()
        assert isinstance(editor, QLineEdit)
        return _number(editor.text().strip())

    def set_value(self, value: Any) -> None:
        editor = self.editor
        if isinstance(editor, QSpinBox | QDoubleSpinBox):
            editor.setValue(value)
        elif isinstance(editor, QComboBox):
            editor.setCurrentText(str(value))
        elif isinstance(editor, QCheckBox):
            editor.setChecked(bool(value))
        elif isinstance(editor, QPlainTextEdit):
            editor.setPlainText(str(value))
        elif isinstance(editor, QLineEdit):
            editor.setText("" if value is None else f"{value:g}" if isinstance(value, float) else str(value))

    def show_error(self, words: str) -> None:
        """Show what is wrong under the editor; nothing hides it."""
        self._error.setText(words)
        self._error.setVisible(bool(words))
        restyle(self.editor, "invalid", bool(words))

    @property
    def error(self) -> str:
        return self._error.text()

    def _connect(self) -> None:
        editor = self.editor
        if isinstance(editor, QSpinBox | QDoubleSpinBox):
            editor.valueChanged.connect(lambda _value: self.changed.emit())
        elif isinstance(editor, QComboBox):
            editor.currentTextChanged.connect(lambda _text: self.changed.emit())
        elif isinstance(editor, QCheckBox):
            editor.toggled.connect(lambda _on: self.changed.emit())
        elif isinstance(editor, QPlainTextEdit):
            editor.textChanged.connect(self.changed.emit)
        elif isinstance(editor, QLineEdit):
            editor.textChanged.connect(lambda _text: self.changed.emit())


def _number(text: str) -> int | float | str | None:
    # What is no number is handed on as it is, so that the check of the whole config can quote it.
    if not text:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def whole(path: str, title: str, smallest: int, largest: int = LARGEST_INTEGER, step: int = 1, unit: str = "") -> Field:
    """A setting that is a whole number."""
    editor = QSpinBox()
    editor.setRange(smallest, largest)
    editor.setSingleStep(step)
    editor.setValue(default_of(path))
    return _spin_field(path, title, editor, unit)


def decimal(path: str, title: str, smallest: float, largest: float, step: float, places: int, unit: str = "") -> Field:
    """A setting that is a number with decimals."""
    editor = QDoubleSpinBox()
    editor.setDecimals(places)
    editor.setRange(smallest, largest)
    editor.setSingleStep(step)
    editor.setValue(default_of(path))
    return _spin_field(path, title, editor, unit)


def _spin_field(path: str, title: str, editor: QSpinBox | QDoubleSpinBox, unit: str) -> Field:
    editor.setLocale(QLocale.c())
    editor.setMinimumWidth(9 * GRID)
    editor.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    # Qt takes the padding of the stylesheet for the box, not for the text in it.
    editor.lineEdit().setTextMargins(6, 0, 0, 0)
    return Field(path, title, guard_wheel(editor), unit)


def optional_number(path: str, title: str, placeholder: str, unit: str = "") -> Field:
    """A number that may be left out; the placeholder says what is taken then."""
    editor = QLineEdit()
    editor.setPlaceholderText(placeholder)
    editor.setMinimumWidth(9 * GRID)
    return Field(path, title, editor, unit)


def number_or_auto(path: str, title: str, unit: str = "") -> Field:
    """A number, or the word that stands when nothing is said, such as auto."""
    word = default_of(path)
    field = optional_number(path, title, word, unit)
    field.set_value(word)
    return field


def choice(path: str, title: str) -> Field:
    """One of the words that the config allows."""
    editor = QComboBox()
    editor.addItems(choices_of(path))
    editor.setCurrentText(str(default_of(path)))
    editor.setMinimumWidth(9 * GRID)
    return Field(path, title, guard_wheel(editor))


def switch(path: str, title: str) -> Field:
    """A setting that is on or off."""
    editor = QCheckBox(title)
    editor.setChecked(bool(default_of(path)))
    return Field(path, title, editor)


def paragraph(path: str, title: str) -> Field:
    """A setting of several lines."""
    editor = QPlainTextEdit()
    editor.setPlainText(str(default_of(path)))
    editor.setTabChangesFocus(True)
    editor.setFixedHeight(9 * GRID)
    return Field(path, title, editor)
