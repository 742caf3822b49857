"""The rows behind a problem of a data set as a table that reads a cell when it is painted."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import Qt

from studio.core.problem_rows import ProblemRow, ProblemRows
from studio.ui.models.table_model import AT_LEFT, AT_RIGHT, NO_PARENT, Column, Index, TableModel
from studio.ui.words import plain_tooltip

SPLIT, FILE, ROW, TEXT, LABEL = range(5)
_COLUMNS = (
    Column("Split", "Where the row went: train, validation, test, left out, or not used because of the settings", AT_LEFT),
    Column("File", "The file that it stands in", AT_LEFT),
    Column("Row", "Its number in that file, the line of column names not counted"),
    Column("Message", "The message, on one line", AT_LEFT),
    Column("Intent", "The intent that the data gives", AT_LEFT),
)
_TIP_FROM = 40


class ProblemRowsModel(TableModel):
    """Shows the rows that hold some words, in the order in which they were found."""

    def __init__(self, rows: ProblemRows) -> None:
        super().__init__(_COLUMNS)
        self.found = rows
        self._shown = np.arange(len(rows))
        self._last: tuple[int, ProblemRow] | None = None

    def find(self, words: str) -> None:
        """Show only rows that hold each of the words."""
        self.beginResetModel()
        self._shown = self.found.matching(words)
        self.endResetModel()

    def chosen(self, first: int, last: int) -> list[ProblemRow]:
        """Some of the rows shown, both ends included."""
        return self.found.rows(self._shown[first : last + 1].tolist())

    def rowCount(self, parent: Index = NO_PARENT) -> int:  # noqa: N802
        return 0 if parent.isValid() else len(self._shown)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() == ROW:
            return AT_RIGHT
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return None
        cell = self._row(index.row())[index.column()]
        words = f"{cell:,}" if isinstance(cell, int) else cell
        if role == Qt.ItemDataRole.DisplayRole:
            return " ".join(words.split())
        return plain_tooltip(words) if len(words) > _TIP_FROM else None

    def _row(self, number: int) -> ProblemRow:
        # A row is painted cell by cell.
        if self._last is None or self._last[0] != self._shown[number]:
            self._last = (int(self._shown[number]), self.found.row(int(self._shown[number])))
        return self._last[1]
