"""The rows behind a problem of a data set as a table that reads a cell when it is painted."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt

from studio.core.problem_rows import ProblemRow, ProblemRows
from studio.ui.words import plain_tooltip

Index = QModelIndex | QPersistentModelIndex
SPLIT, FILE, ROW, TEXT, LABEL = range(5)
_HEADERS = ("Split", "File", "Row", "Message", "Intent")
_TIPS = (
    "Where the row went: train, validation, test, left out, or not used because of the settings",
    "The file that it stands in",
    "Its number in that file, the line of column names not counted",
    "The message, on one line",
    "The intent that the data gives",
)
_TIP_FROM = 40


class ProblemRowsModel(QAbstractTableModel):
    """Shows the rows that hold some words, in the order in which they were found."""

    def __init__(self, rows: ProblemRows) -> None:
        super().__init__()
        self.rows = rows
        self._shown = np.arange(len(rows))
        self._last: tuple[int, ProblemRow] | None = None

    def find(self, words: str) -> None:
        """Show only rows that hold each of the words."""
        self.beginResetModel()
        self._shown = self.rows.matching(words)
        self.endResetModel()

    def chosen(self, first: int, last: int) -> list[ProblemRow]:
        """Some of the rows shown, both ends included."""
        return self.rows.rows(self._shown[first : last + 1].tolist())

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802
        return 0 if parent.isValid() else len(_HEADERS)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() == ROW:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return None
        cell = self._row(index.row())[index.column()]
        words = f"{cell:,}" if isinstance(cell, int) else cell
        if role == Qt.ItemDataRole.DisplayRole:
            return " ".join(words.split())
        return plain_tooltip(words) if len(words) > _TIP_FROM else None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: N802
        if orientation == Qt.Orientation.Vertical:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return _HEADERS[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return _TIPS[section]
        if role == Qt.ItemDataRole.TextAlignmentRole and section != ROW:
            return int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        return None

    def _row(self, number: int) -> ProblemRow:
        # A row is painted cell by cell.
        if self._last is None or self._last[0] != self._shown[number]:
            self._last = (int(self._shown[number]), self.rows.row(int(self._shown[number])))
        return self._last[1]
