"""The item models of the dataset picker: the first rows of a file, and how often each intent occurs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, Qt
from PySide6.QtGui import QFont

from studio.core.answers import ColumnGuess, DataInspected
from studio.ui.models.table_model import AT_LEFT, NO_PARENT, Column, Index, Role, TableModel
from studio.ui.words import plain_tooltip


class PreviewModel(QAbstractTableModel):
    """The first rows of a data set as they stand in the file. The columns in use come first."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[dict[str, str]] = []
        self._columns: list[str] = []
        self._uses: dict[str, str] = {}

    def show_rows(self, rows: list[dict[str, str]], guess: ColumnGuess) -> None:
        self.beginResetModel()
        intent = guess.label_name_column or guess.label_column
        used = [guess.text_column, intent]
        self._rows = rows
        # Of a very wide table not every column is sent.
        self._columns = used + [name for name in guess.columns if name not in used and (not rows or name in rows[0])]
        self._uses = {guess.text_column: "message", intent: "intent"}
        self.endResetModel()

    def rowCount(self, parent: Index = NO_PARENT) -> int:  # noqa: N802
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = NO_PARENT) -> int:  # noqa: N802
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: Index, role: int = Role.DisplayRole) -> Any:
        text = self._rows[index.row()].get(self._columns[index.column()], "")
        if role == Role.DisplayRole:
            return text
        if role == Role.ToolTipRole and len(text) > 40:
            return plain_tooltip(text)
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:  # noqa: N802
        if orientation == Qt.Orientation.Vertical:
            return str(section + 1) if role == Role.DisplayRole else None
        name = self._columns[section]
        use = self._uses.get(name)
        if role == Role.DisplayRole:
            return f"{name} ({use})" if use and use != name else name
        if role == Role.TextAlignmentRole:
            return AT_LEFT
        if role == Role.ToolTipRole:
            return f"Used as the {use}" if use else "Not used"
        if role == Role.FontRole and use is None:
            font = QFont()
            font.setItalic(True)
            return font
        return None


@dataclass(frozen=True)
class IntentCount:
    """Rows of one intent in each split."""

    name: str
    train: int
    validation: int
    test: int

    @property
    def total(self) -> int:
        return self.train + self.validation + self.test

    @property
    def words(self) -> str:
        return f"{self.train:,} train, {self.validation:,} validation, {self.test:,} test"


COUNT_ROLE = int(Role.UserRole) + 1
LARGEST_ROLE = int(Role.UserRole) + 2


class IntentsModel(TableModel):
    """One row an intent, most frequent first: its name, and its counts for the bar."""

    def __init__(self) -> None:
        super().__init__((Column("Intent", side=AT_LEFT), Column("Messages", side=AT_LEFT)))
        self.rows: list[IntentCount] = []
        self._largest = 1

    def show_counts(self, answer: DataInspected) -> None:
        self.beginResetModel()
        tables = (answer.train_counts, answer.validation_counts, answer.test_counts)
        names = dict.fromkeys(name for table in tables for name in table)
        self.rows = [IntentCount(name, *(table.get(name, 0) for table in tables)) for name in names]
        self.rows.sort(key=lambda row: (-row.total, row.name.casefold()))
        self._largest = max((row.total for row in self.rows), default=1)
        self.endResetModel()

    def data(self, index: Index, role: int = Role.DisplayRole) -> Any:
        row = self.rows[index.row()]
        if role == Role.DisplayRole:
            return row.name if index.column() == 0 else f"{row.total:,}"
        if role in (Role.ToolTipRole, Role.AccessibleTextRole):
            return f"{row.name}: {row.words}" if role == Role.AccessibleTextRole else row.words
        if role == COUNT_ROLE:
            return row
        if role == LARGEST_ROLE:
            return self._largest
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self.beginResetModel()
        descending = order == Qt.SortOrder.DescendingOrder
        if column == 0:
            self.rows.sort(key=lambda row: row.name.casefold(), reverse=descending)
        else:
            self.rows.sort(key=lambda row: (-row.total if descending else row.total, row.name.casefold()))
        self.endResetModel()
