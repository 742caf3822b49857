"""The predicted messages of a run as a table, and the filter that the confusion matrix sets on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, QSortFilterProxyModel, Qt
from PySide6.QtGui import QColor

from studio.core.events import Prediction
from studio.core.predictions import PredictionTable
from studio.core.words import percent
from studio.ui import theme
from studio.ui.models.confusion_model import EVERYTHING, Scope
from studio.ui.words import plain_tooltip

Index = QModelIndex | QPersistentModelIndex
RIGHT, TEXT, TRUE, PREDICTED, PROBABILITY = range(5)
_HEADERS = ("", "Message", "True", "Predicted", "Prob.")
_HEADER_TIPS = (
    "Whether the prediction is right",
    "The message, on one line; choose it to read it whole",
    "The intent that the data gives",
    "The intent that the model gives",
    "Probability of the predicted intent, in percent of all intents",
)


class MessagesModel(QAbstractTableModel):
    """One row for each predicted message, in the order of the test split."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.rows: list[Prediction] = []
        self.true: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.predicted: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._lines: list[str] = []
        self._folded: list[str] = []

    def show_table(self, table: PredictionTable) -> None:
        """Raises KeyError when a row has no label or one outside the table's set."""
        self.beginResetModel()
        self.rows = table.predictions
        self.true = np.array(table.true_indices(), dtype=np.int64)
        self.predicted = np.array(table.predicted_indices(), dtype=np.int64)
        self._lines = [" ".join(row.text.split()) for row in table.predictions]
        self._folded = [line.casefold() for line in self._lines]
        self.endResetModel()

    def mask(self, scope: Scope, misclassified_only: bool, words: str = "") -> NDArray[np.bool_]:
        """Which rows belong to a scope and hold every one of the ``words``, in any case and order; shape (rows,)."""
        chosen = np.ones(len(self.rows), dtype=np.bool_)
        if scope.true is not None:
            chosen &= self.true == scope.true
        if scope.predicted is not None:
            chosen &= self.predicted == scope.predicted
        if misclassified_only:
            chosen &= self.true != self.predicted
        for word in words.casefold().split():
            chosen &= np.fromiter((word in line for line in self._folded), dtype=np.bool_, count=len(self._folded))
        return chosen

    def sort_keys(self, column: int) -> list[float] | list[str]:
        """What the rows are ordered by in a column: numbers for the mark and the probability, else text without its case."""
        if column == RIGHT:
            return [float(wrong) for wrong in (self.true != self.predicted).tolist()]
        if column == PROBABILITY:
            return [row.probability for row in self.rows]
        return [self._text(number, column).casefold() for number in range(len(self.rows))]

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
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = self.rows[index.row()], index.column()
        wrong = row.predicted != row.label
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
        row = self.rows[number]
        if column == RIGHT:
            return "✓" if row.predicted == row.label else "✗"
        if column == TRUE:
            return row.label or ""
        if column == PREDICTED:
            return row.predicted
        return percent(row.probability) if column == PROBABILITY else self._lines[number]


class MessageFilter(QSortFilterProxyModel):
    """Shows the messages of a scope; sorts by any column."""

    def __init__(self, messages: MessagesModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.messages = messages
        self.scope = EVERYTHING
        self._accepted = messages.mask(EVERYTHING, False)
        self._keys: dict[int, list[Any]] = {}
        messages.modelReset.connect(self._keys.clear)
        self.setSourceModel(messages)

    def show_only(self, scope: Scope, misclassified_only: bool, words: str = "") -> None:
        """Filter anew, as in ``MessagesModel.mask``; call it after the messages changed too."""
        self.scope = scope
        self._accepted = self.messages.mask(scope, misclassified_only, words)
        self.invalidate()

    def filterAcceptsRow(self, source_row: int, source_parent: Index) -> bool:  # noqa: ARG002, N802
        return source_row >= len(self._accepted) or bool(self._accepted[source_row])

    def lessThan(self, source_left: Index, source_right: Index) -> bool:  # noqa: N802
        # Called some hundred thousand times for a long split, so the keys are made once.
        column = source_left.column()
        if column not in self._keys:
            self._keys[column] = list(self.messages.sort_keys(column))
        return bool(self._keys[column][source_left.row()] < self._keys[column][source_right.row()])

    def prediction(self, index: QModelIndex) -> Prediction:
        """The message at a valid index of this model."""
        return self.messages.rows[self.mapToSource(index).row()]
