"""What a run and its export say to the same messages, as a table that can be sorted and searched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QColor

from studio.core.answers import ComparedMessage
from studio.core.words import percent, short_number
from studio.ui import theme
from studio.ui.models.table_model import AT_RIGHT, Column, Index, TableModel
from studio.ui.words import plain_tooltip

TEXT, RUN, EXPORT, RUN_PROBABILITY, EXPORT_PROBABILITY, DIFFERENCE = range(6)
_COLUMNS = (
    Column("Message", "The test message, on one line; hold the pointer on it to read it whole"),
    Column("Run", "The intent that the run gives"),
    Column("Export", "The intent that the reloaded export gives"),
    Column("Run prob.", "The run's probability of its own intent, in percent of all intents", AT_RIGHT),
    Column("Export prob.", "The export's probability of its own intent, in percent of all intents", AT_RIGHT),
    Column("Difference", "Largest difference of an intent's probability, as a share from 0 to 1", AT_RIGHT),
)


class ComparedModel(TableModel):
    """One row for each compared message, the worst first."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(_COLUMNS, parent)
        self._tolerance = 0.0

    def show_messages(self, messages: Sequence[ComparedMessage], tolerance: float) -> None:
        """A difference above ``tolerance`` and another intent are marked."""
        self.beginResetModel()
        self.rows, self._tolerance = messages, tolerance
        self.endResetModel()

    def words(self, number: int) -> str:
        """What is searched in a row."""
        row: ComparedMessage = self.rows[number]
        return f"{row.text}\n{row.run_predicted}\n{row.export_predicted}"

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = self.rows[index.row()], index.column()
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return _text(row, column)
            case Qt.ItemDataRole.UserRole:
                return _key(row, column)
            case Qt.ItemDataRole.ToolTipRole if column in (TEXT, RUN, EXPORT):
                return plain_tooltip(row.text if column == TEXT else _text(row, column))
            case Qt.ItemDataRole.ForegroundRole if self._marked(row, column):
                return QColor(theme.current().bad)
            case Qt.ItemDataRole.TextAlignmentRole if column >= RUN_PROBABILITY:
                return AT_RIGHT
        return None

    def _marked(self, row: ComparedMessage, column: int) -> bool:
        return (column == EXPORT and row.export_predicted != row.run_predicted) or (
            column == DIFFERENCE and row.difference > self._tolerance
        )


def _text(row: ComparedMessage, column: int) -> str:
    match column:
        case 0:
            return " ".join(row.text.split())
        case 1:
            return row.run_predicted
        case 2:
            return row.export_predicted
        case 3:
            return percent(row.run_probability, 2)
        case 4:
            return percent(row.export_probability, 2)
    return short_number(row.difference)


def _key(row: ComparedMessage, column: int) -> float | str:
    if column < RUN_PROBABILITY:
        return _text(row, column).casefold()
    return (row.run_probability, row.export_probability, row.difference)[column - RUN_PROBABILITY]
