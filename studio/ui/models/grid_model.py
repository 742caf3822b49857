"""A table of words: rows of texts under headers, some of them marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, QSortFilterProxyModel, Qt
from PySide6.QtGui import QFont

from studio.ui import theme
from studio.ui.words import plain_tooltip

Index = QModelIndex | QPersistentModelIndex
NO_PARENT = QModelIndex()


class GridModel(QAbstractTableModel):
    """Read-only; each cell is shown as plain text, and whole in its tooltip."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.headers: list[str] = []
        self.rows: list[list[str]] = []
        self._tones: list[list[str | None]] = []

    def show_rows(
        self, headers: Sequence[str], rows: Sequence[Sequence[str]], tones: Sequence[Sequence[str | None]] | None = None
    ) -> None:
        """``tones``: for each cell a colour of the theme in which it is written, bold for the accent, or None."""
        self.beginResetModel()
        self.headers = list(headers)
        self.rows = [list(row) for row in rows]
        self._tones = [list(row) for row in tones] if tones is not None else [[None] * len(row) for row in rows]
        self.endResetModel()

    def rowCount(self, parent: Index = NO_PARENT) -> int:  # noqa: N802
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = NO_PARENT) -> int:  # noqa: N802
        return 0 if parent.isValid() else len(self.headers)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: N802
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole and section < len(self.headers):
            return self.headers[section]
        return None

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


class GridFilter(QSortFilterProxyModel):
    """The rows that hold every one of the words searched for, in any column, case and order."""

    def __init__(self, grid: GridModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._grid = grid
        self._words: list[str] = []
        self.setSourceModel(grid)

    def search(self, words: str) -> None:
        self._words = words.casefold().split()
        self.invalidate()

    def filterAcceptsRow(self, source_row: int, source_parent: Index) -> bool:  # noqa: ARG002, N802
        text = "\n".join(self._grid.rows[source_row]).casefold()
        return all(word in text for word in self._words)
