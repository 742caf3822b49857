"""What the tables of the window have in common: columns that say what they hold, rows, and a search by words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import (
    QAbstractItemModel,
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
)

Index = QModelIndex | QPersistentModelIndex
NO_PARENT = QModelIndex()
Role = Qt.ItemDataRole
AT_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
AT_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True)
class Column:
    """The name above a column, what it holds in a sentence, and on which side the name stands; None: as the view has it."""

    name: str
    tip: str = ""
    side: Qt.AlignmentFlag | None = None


class TableModel(QAbstractTableModel):
    """Rows under columns; a subclass gives ``rows`` and says in ``data`` what their cells show."""

    def __init__(self, columns: Sequence[Column] = (), parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.columns = columns
        self.rows: Sequence[Any] = ()

    def rowCount(self, parent: Index = NO_PARENT) -> int:  # noqa: N802
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = NO_PARENT) -> int:  # noqa: N802
        return 0 if parent.isValid() else len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:  # noqa: N802
        if orientation == Qt.Orientation.Vertical or not 0 <= section < len(self.columns):
            return None
        column = self.columns[section]
        match role:
            case Role.DisplayRole:
                return column.name
            case Role.ToolTipRole:
                return column.tip or None
            case Role.TextAlignmentRole:
                return column.side
        return None


class WordsFilter(QSortFilterProxyModel):
    """The rows that hold every one of the words searched for, in any case and order."""

    def __init__(self, rows: QAbstractItemModel, words_of: Callable[[int], str], parent: QObject | None = None) -> None:
        """``words_of`` a row is what is searched in it."""
        super().__init__(parent)
        self._words_of = words_of
        self._words: list[str] = []
        self.setSourceModel(rows)

    def search(self, words: str) -> None:
        """Show only rows with these words; all for none."""
        self._words = words.casefold().split()
        self.invalidate()

    def filterAcceptsRow(self, source_row: int, source_parent: Index) -> bool:  # noqa: ARG002, N802
        text = self._words_of(source_row).casefold() if self._words else ""
        return all(word in text for word in self._words)
