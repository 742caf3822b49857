"""Headline figures: a caption, a number, and what to hold it against."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from studio.ui.theme import GRID
from studio.ui.widgets.basics import named, text_label


class Figure(QFrame):
    """One number in a card."""

    def __init__(self, object_name: str, caption: str, tooltip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        named(self, object_name, caption, tooltip)
        self.setProperty("card", True)
        self._caption = caption
        self._value = text_label("", "figure", selectable=True)
        self._note = text_label("", "small", wrap=True)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID + GRID // 2, GRID, GRID, GRID)
        column.setSpacing(0)
        self._shown_caption = text_label(caption, "small")
        column.addWidget(self._shown_caption)
        column.addWidget(self._value)
        column.addWidget(self._note)
        column.addStretch(1)

    @property
    def value(self) -> str:
        return self._value.text()

    @property
    def note(self) -> str:
        return self._note.text()

    def show_caption(self, caption: str) -> None:
        """Call the figure otherwise."""
        self._caption = caption
        self._shown_caption.setText(caption)
        self.setAccessibleName(caption)

    def show_figure(self, value: str, note: str = "") -> None:
        self._value.setText(value)
        self._note.setText(note.replace(" %", "\u00a0%"))  # a number keeps its unit when the line breaks
        self.setAccessibleDescription(f"{self._caption}: {value}. {note}".strip())
