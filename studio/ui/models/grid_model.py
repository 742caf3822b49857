"""A table of words: rows of texts under headers, some of them marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QFont

from studio.ui import theme
from studio.ui.models.table_model import Column, Index, TableModel
from studio.ui.words import plain_tooltip


class GridModel(TableModel):
    """Read-only; each cell is shown as plain text, and whole in its tooltip."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent=parent)
        self.rows: Sequence[Sequence[str]] = ()
        self._tones: list[list[str | None]] = []

    def show_rows(
        self, headers: Sequence[str], rows: Sequence[Sequence[str]], tones: Sequence[Sequence[str | None]] | None = None
    ) -> None:
        """``tones``: for each cell a colour of the theme in which it is written, bold for the accent, or None."""
        self.beginResetModel()
        self.columns = [Column(header) for header in headers]
        self.rows = [list(row) for row in rows]
        self._tones = [list(row) for row in tones] if tones is not None else [[None] * len(row) for row in rows]
        self.endResetModel()

    def words(self, number: int) -> str:
        """What is searched in a row."""
        return "\n".join(self.rows[number])

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        text, tone = self.rows[index.row()][index.column()], self._tones[index.row()][index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return " ".join(text.split())
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tooltip(text)
        if tone is not None and role == Qt.ItemDataRole.ForegroundRole:
            return theme.current().color(tone)
        if tone == "accent" and role == Qt.ItemDataRole.FontRole:
            font = QFont()
            font.setBold(True)
            return font
        return None
