"""One setting of a run: its label, its editor and the words for what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QLineEdit,
    QPlainTextEdit,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from studio.core.config import LARGEST
from studio.core.settings import annotation_of, choices_of, default_of, describe
from studio.ui.theme import GRID, restyle
from studio.ui.widgets.basics import guard_wheel, named, text_label
from studio.ui.words import plain_tooltip

_MOST_PLACES = 10


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
        self._label = text_label(title, "field")
        self._label.setBuddy(editor)
        self._label.setToolTip(plain_tooltip(tooltip))
        if isinstance(editor, QCheckBox):  # setHidden(False) would show it, as a window of its own while it has no parent
            self._label.hide()
        self.help = text_label(describe(path), "small", wrap=True)
        self.help.hide()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(GRID // 2)
        self._grid.setHorizontalSpacing(2 * GRID)
        for row, part in enumerate((self._label, editor, self._error)):
            self._grid.addWidget(part, row, 0)
        self._grid.setRowStretch(3, 1)
        self._connect()

    def beside_its_help(self) -> Field:
        """The same as one line of a list: label, editor, and what the setting is for."""
        for part in (self._label, self.editor, self._error):
            self._grid.removeWidget(part)
        if isinstance(self.editor, QCheckBox):
            self._grid.addWidget(self.editor, 0, 0, 1, 2)
        else:
            self._grid.addWidget(self._label, 0, 0)
            self._grid.addWidget(self.editor, 0, 1)
        self._grid.addWidget(self.help, 0, 2, Qt.AlignmentFlag.AlignVCenter)
        self._grid.addWidget(self._error, 1, 1, 1, 2)
        for column, width in enumerate((15, 18)):
            self._grid.setColumnMinimumWidth(column, width * GRID)
            self._grid.setColumnStretch(column, 0)
        self._label.setFixedWidth(15 * GRID)
        self._label.setWordWrap(True)
        if not isinstance(self.editor, QCheckBox):
            self.editor.setFixedWidth(18 * GRID)
        self._grid.setColumnStretch(2, 1)
        self.help.show()
        return self

    def value(self) -> Any:
        """What is in the editor, as run.toml would hold it; None for left out."""
        editor = self.editor
        if isinstance(editor, QSpinBox | QDoubleSpinBox):
            return editor.value()
        if isinstance(editor, QComboBox):
            return editor.currentData()
        if isinstance(editor, QCheckBox):
            return editor.isChecked()
        if isinstance(editor, QPlainTextEdit):
            return self._lines() if self._is_list else editor.toPlainText()
        assert isinstance(editor, QLineEdit)
        text = editor.text().strip()
        if self._is_list:
            names = [name.strip() for name in text.split(",") if name.strip()]
            return names if names and names != [default_of(self.path)] else default_of(self.path)
        return text or None if self._is_text else _number(text)

    def set_value(self, value: Any) -> None:
        editor = self.editor
        if isinstance(editor, QSpinBox | QDoubleSpinBox):
            # What a run file says is shown as it stands, also where the arrows would not lead.
            editor.setRange(min(editor.minimum(), value), max(editor.maximum(), value))
            editor.setValue(value)
        elif isinstance(editor, QComboBox):
            editor.setCurrentIndex(max(0, editor.findData(value)))
        elif isinstance(editor, QCheckBox):
            editor.setChecked(bool(value))
        elif isinstance(editor, QPlainTextEdit):
            editor.setPlainText("\n".join(value or []) if self._is_list else str(value))
        elif isinstance(editor, QLineEdit):
            editor.setText(_written(value))

    def _lines(self) -> list[str] | None:
        """One name a line; none for an empty editor."""
        assert isinstance(self.editor, QPlainTextEdit)
        return [line.strip() for line in self.editor.toPlainText().splitlines() if line.strip()] or None

    @property
    def _is_list(self) -> bool:
        return "list" in str(annotation_of(self.path))

    @property
    def _is_text(self) -> bool:
        return not {"int", "float"} & {getattr(kind, "__name__", "") for kind in get_args(annotation_of(self.path))}

    def show_note(self, words: str) -> None:
        """Add to the help what is known of the chosen model or data."""
        self.help.setText(f"{describe(self.path)} {words}".strip())

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


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


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


def whole(path: str, title: str, smallest: int, largest: int = LARGEST, step: int = 1, unit: str = "") -> Field:
    """A setting that is a whole number."""
    editor = QSpinBox()
    editor.setRange(smallest, largest)
    editor.setSingleStep(step)
    editor.setValue(default_of(path))
    return _spin_field(path, title, editor, unit)


class _DecimalBox(QDoubleSpinBox):
    """Keeps every digit that it is given: Qt's own rounds a value to the places that it shows."""

    def __init__(self, places: int) -> None:
        self._places = places
        super().__init__()
        self.setDecimals(_MOST_PLACES)

    def textFromValue(self, value: float) -> str:  # noqa: N802
        short = f"{value:.{self._places}f}"
        return short if float(short) == value else f"{value:.{_MOST_PLACES}f}".rstrip("0")


def decimal(path: str, title: str, smallest: float, largest: float, step: float, places: int, unit: str = "") -> Field:
    """A setting that is a number with decimals, of which at least ``places`` are shown."""
    editor = _DecimalBox(places)
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


def choice(path: str, title: str, words: Mapping[Any, str] | None = None) -> Field:
    """One of the values that the config allows; ``words`` says how each is shown where it is not its own word."""
    editor = QComboBox()
    for value, shown in (words or {word: word for word in choices_of(path)}).items():
        editor.addItem(shown, value)
    editor.setCurrentIndex(max(0, editor.findData(default_of(path))))
    editor.setMinimumWidth(9 * GRID)
    return Field(path, title, guard_wheel(editor))


def names(path: str, title: str, placeholder: str, unit: str) -> Field:
    """Names with commas between them, or the one word that stands for all."""
    field = optional_number(path, title, placeholder, unit)
    field.set_value(default_of(path))
    return field


def lines(path: str, title: str, placeholder: str) -> Field:
    """Names that may hold commas themselves, one a line."""
    editor = QPlainTextEdit()
    editor.setPlaceholderText(placeholder)
    editor.setTabChangesFocus(True)
    editor.setFixedHeight(7 * GRID)
    return Field(path, title, editor)


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
