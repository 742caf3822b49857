"""What a run and its export say to the same messages, as a table that can be sorted and searched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, QSortFilterProxyModel, Qt
from PySide6.QtGui import QColor

from studio.core.answers import ComparedMessage
from studio.core.words import percent, short_number
from studio.ui import theme
from studio.ui.words import plain_tooltip

Index = QModelIndex | QPersistentModelIndex
TEXT, RUN, EXPORT, RUN_PROBABILITY, EXPORT_PROBABILITY, DIFFERENCE = range(6)
_HEADERS = ("Message", "Run", "Export", "Run prob.", "Export prob.", "Difference")
_HEADER_TIPS = (
    "The test message, on one line; hold the pointer on it to read it whole",
    "The intent that the run gives",
    "The intent that the reloaded export gives",
    "The run's probability of its own intent, in percent of all intents",
    "The export's probability of its own intent, in percent of all intents",
    "Largest difference of an intent's probability, as a share from 0 to 1",
)


class ComparedModel(QAbstractTableModel):
    """One row for each compared message, the worst first."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.rows: Sequence[ComparedMessage] = ()
        self._tolerance = 0.0

    def show_messages(self, messages: Sequence[ComparedMessage], tolerance: float) -> None:
        """A difference above ``tolerance`` and another intent are marked."""
        self.beginResetModel()
        self.rows, self._tolerance = messages, tolerance
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802
        return 0 if parent.isValid() else len(_HEADERS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: N802
        if orientation == Qt.Orientation.Horizontal and 0 <= section < len(_HEADERS):
            if role == Qt.ItemDataRole.DisplayRole:
                return _HEADERS[section]
            if role == Qt.ItemDataRole.ToolTipRole:
                return _HEADER_TIPS[section]
            if role == Qt.ItemDataRole.TextAlignmentRole and section >= RUN_PROBABILITY:
                return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

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
                return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def _marked(self, row: ComparedMessage, column: int) -> bool:
        return (column == EXPORT and row.export_predicted != row.run_predicted) or (
            column == DIFFERENCE and row.difference > self._tolerance
        )


class ComparedFilter(QSortFilterProxyModel):
    """Shows the messages whose text or intents hold every one of some words."""

    def __init__(self, messages: ComparedModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._messages = messages
        self._words: list[str] = []
        self.setSourceModel(messages)
        self.setSortRole(Qt.ItemDataRole.UserRole)

    def search(self, words: str) -> None:
        self._words = words.casefold().split()
        self.invalidate()

    def filterAcceptsRow(self, source_row: int, source_parent: Index) -> bool:  # noqa: ARG002, N802
        row = self._messages.rows[source_row]
        searched = f"{row.text}\n{row.run_predicted}\n{row.export_predicted}".casefold()
        return all(word in searched for word in self._words)


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
