"""The predicted messages of a run as a table, and the filter that the confusion matrix sets on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt
from PySide6.QtGui import QColor

from studio.core.answers import Prediction
from studio.core.predictions import PredictionTable
from studio.core.words import percent
from studio.ui import theme
from studio.ui.models.confusion_model import EVERYTHING, Scope
from studio.ui.models.table_model import AT_RIGHT, NO_PARENT, Column, Index, TableModel
from studio.ui.words import plain_tooltip

RIGHT, TEXT, TRUE, PREDICTED, PROBABILITY = range(5)
_COLUMNS = (
    Column("", "Whether the prediction is right"),
    Column("Message", "The message, on one line; choose it to read it whole"),
    Column("True", "The intent that the data gives"),
    Column("Predicted", "The intent that the model gives"),
    Column("Prob.", "Probability of the predicted intent, in percent of all intents", AT_RIGHT),
)


class MessagesModel(TableModel):
    """One row for each predicted message, in the order of the test split."""

    rows: Sequence[Prediction]

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(_COLUMNS, parent)
        self._show(PredictionTable.of([], []))

    def show_table(self, table: PredictionTable) -> None:
        """Raises KeyError when a row has no label or one outside the table's set."""
        self.beginResetModel()
        self._show(table)
        self.endResetModel()

    def _show(self, table: PredictionTable) -> None:
        self.table = table
        self.rows = table.predictions
        self.true, self.predicted = table.true_indices(), table.predicted_indices()
        self._texts, self._probabilities = table.texts, table.probabilities
        self._lowered: Any = None
        self._keys: dict[int, NDArray[np.float64]] = {}

    def mask(self, scope: Scope, misclassified_only: bool, words: str = "") -> NDArray[np.bool_]:
        """Which rows belong to a scope and hold every one of the ``words``, in any case and order; shape (rows,)."""
        chosen = np.ones(len(self.rows), dtype=np.bool_)
        if scope.true is not None:
            chosen &= self.true == scope.true
        if scope.predicted is not None:
            chosen &= self.predicted == scope.predicted
        if misclassified_only:
            chosen &= self.true != self.predicted
        for word in words.lower().split():
            found: Any = pc.match_substring(self._lower, word)
            chosen &= np.asarray(found.to_numpy(), dtype=np.bool_)
        return chosen

    def key(self, column: int) -> NDArray[np.float64]:
        """What the rows are ordered by in a column, shape (rows,): texts by their rank without case, equal ones alike."""
        if column not in self._keys:
            self._keys[column] = self._key(column)
        return self._keys[column]

    @property
    def _lower(self) -> Any:
        """The messages in lower case, once they are searched or sorted: of many that takes a moment."""
        if self._lowered is None:
            self._lowered = pc.utf8_lower(self._texts)
        return self._lowered

    def _key(self, column: int) -> NDArray[np.float64]:
        if column == RIGHT:
            return np.asarray(self.true != self.predicted, dtype=np.float64)
        if column == PROBABILITY:
            return np.asarray(self._probabilities, dtype=np.float64)
        if column in (TRUE, PREDICTED):
            names = sorted(range(len(self.table.labels)), key=lambda number: self.table.labels[number].casefold())
            ranks = np.argsort(np.array(names, dtype=np.int64))
            return np.asarray(ranks[self.true if column == TRUE else self.predicted], dtype=np.float64)
        ranks_of_texts: Any = pc.rank(self._lower, sort_keys="ascending", tiebreaker="dense")
        return np.asarray(ranks_of_texts.to_numpy(), dtype=np.float64)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        column = index.column()
        wrong = bool(self.true[index.row()] != self.predicted[index.row()])
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self._text(index.row(), column)
            case Qt.ItemDataRole.ForegroundRole if column == RIGHT:
                return QColor(theme.current().bad if wrong else theme.current().good)
            case Qt.ItemDataRole.TextAlignmentRole if column in (RIGHT, PROBABILITY):
                across = Qt.AlignmentFlag.AlignRight if column == PROBABILITY else Qt.AlignmentFlag.AlignHCenter
                return across | Qt.AlignmentFlag.AlignVCenter
            case Qt.ItemDataRole.AccessibleTextRole if column == RIGHT:
                return "wrong" if wrong else "right"
            case Qt.ItemDataRole.ToolTipRole if column in (TRUE, PREDICTED):
                return plain_tooltip(self._text(index.row(), column))
        return None

    def _text(self, number: int, column: int) -> str:
        if column == RIGHT:
            return "✓" if self.true[number] == self.predicted[number] else "✗"
        if column in (TRUE, PREDICTED):
            return str(self.table.labels[(self.true if column == TRUE else self.predicted)[number]])
        if column == PROBABILITY:
            return percent(float(self._probabilities[number]))
        return " ".join(str(self._texts[number]).split())


class MessageFilter(QAbstractTableModel):
    """The messages of a scope in the order of a column: row numbers in an array, found for all rows at once.

    Not a QSortFilterProxyModel: it asks Python some million times to sort a hundred thousand rows.
    """

    def __init__(self, messages: MessagesModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.messages = messages
        self.scope = EVERYTHING
        self._column, self._descending = -1, False
        self._order: NDArray[np.int64] = np.arange(len(messages.rows))
        messages.modelAboutToBeReset.connect(self._empty)

    def show_only(self, scope: Scope, misclassified_only: bool, words: str = "") -> None:
        """Filter anew, as in ``MessagesModel.mask``; call it after the messages changed too."""
        self.scope = scope
        # Not a reset, which would forget how wide the columns are.
        self._empty()
        order = self._sorted(np.flatnonzero(self.messages.mask(scope, misclassified_only, words)))
        if len(order):
            self.beginInsertRows(QModelIndex(), 0, len(order) - 1)
            self._order = order
            self.endInsertRows()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """By a column, or by -1 in the order of the test split. Equal rows stay in that order."""
        self.layoutAboutToBeChanged.emit()
        self._column, self._descending = column, order == Qt.SortOrder.DescendingOrder
        before = self.persistentIndexList()
        rows = [int(self._order[index.row()]) for index in before]
        self._order = self._sorted(np.sort(self._order))
        if before:
            places = np.empty(len(self.messages.rows), dtype=np.int64)
            places[self._order] = np.arange(len(self._order))
            after = [self.index(int(places[row]), index.column()) for row, index in zip(rows, before, strict=True)]
            self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def rowCount(self, parent: Index = NO_PARENT) -> int:  # noqa: N802
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: Index = NO_PARENT) -> int:  # noqa: N802
        return self.messages.columnCount(parent)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: N802
        return self.messages.headerData(section, orientation, role)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        return self.messages.data(self.messages.index(int(self._order[index.row()]), index.column()), role)

    def prediction(self, index: QModelIndex) -> Prediction:
        """The message at a valid index of this model."""
        return self.messages.rows[int(self._order[index.row()])]

    def shown(self) -> tuple[PredictionTable, NDArray[np.int64]]:
        """All messages, and the numbers of those that are shown, in their order here. Neither is changed any more."""
        return self.messages.table, self._order

    def _sorted(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ascending row numbers in the order that was asked for."""
        if self._column < 0 or not len(rows):
            return rows
        key = self.messages.key(self._column)[rows]
        return rows[np.argsort(-key if self._descending else key, kind="stable")]

    def _empty(self) -> None:
        if len(self._order):
            self.beginRemoveRows(QModelIndex(), 0, len(self._order) - 1)
            self._order = np.arange(0)
            self.endRemoveRows()
