"""The confusion matrix as a table model: row = true intent, column = predicted intent. All of its maths is done here, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from studio.core.metrics import label_scores, normalised
from studio.core.words import UNKNOWN, counted, percent
from studio.ui.words import plain_tooltip

Mode = Literal["counts", "row", "column"]
Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True)
class Scope:
    """Which messages a part of the matrix stands for: those of a true intent, a predicted one, or both. Label indices."""

    true: int | None = None
    predicted: int | None = None


EVERYTHING = Scope()


class ConfusionModel(QAbstractTableModel):
    """Counts over labels, shown as counts or as shares of a row (recall) or of a column (precision)."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.labels: list[str] = []
        self.counts: NDArray[np.int64] = np.zeros((0, 0), dtype=np.int64)
        self.heat: NDArray[np.float64] = np.zeros((0, 0))
        """Colour of each cell, 0 to 1: the square root of its share of the greatest, so that single mistakes show."""
        self.texts: list[list[str]] = []
        """What each cell says; empty for a zero."""
        self.greatest = 0.0
        """The number that the strongest colour stands for: a count, or a share."""
        self.mode: Mode = "counts"
        self._recall: NDArray[np.float64] = np.zeros(0)
        self._precision: NDArray[np.float64] = np.zeros(0)

    def show_counts(self, labels: list[str], counts: NDArray[np.int64]) -> None:
        """``counts`` has the shape (labels, labels)."""
        self.beginResetModel()
        self.labels, self.counts = list(labels), counts
        scores = label_scores(counts)
        self._recall, self._precision = scores.recall, scores.precision
        self._compute()
        self.endResetModel()

    def show_mode(self, mode: Mode) -> None:
        self.mode = mode
        self._compute()
        if self.labels:
            last = len(self.labels) - 1
            self.dataChanged.emit(self.index(0, 0), self.index(last, last))

    def scope_name(self, scope: Scope) -> str:
        """The scope in words."""
        true = self.labels[scope.true] if scope.true is not None else None
        predicted = self.labels[scope.predicted] if scope.predicted is not None else None
        if true is not None and predicted is not None:
            return f"{true}, predicted right" if true == predicted else f"{true}, predicted as {predicted}"
        if true is not None:
            return f"true intent {true}"
        return f"predicted as {predicted}" if predicted is not None else "all messages"

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802
        return 0 if parent.isValid() else len(self.labels)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, N802
        return 0 if parent.isValid() else len(self.labels)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = index.row(), index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self.texts[row][column]
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return self.describe(row, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tooltip(self.describe(row, column))
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: N802
        if not 0 <= section < len(self.labels):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.labels[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tooltip(self.describe_intent(section, orientation))
        return None

    def describe_intent(self, section: int, orientation: Qt.Orientation) -> str:
        """A row (a true intent) or a column (a predicted one) in words."""
        hits, name = int(self.counts[section, section]), self.labels[section]
        if orientation == Qt.Orientation.Vertical:
            total = int(self.counts[section].sum())
            recall = percent(float(self._recall[section])) if total else UNKNOWN
            return f"True intent {name}\n{hits} of {counted(total, 'message')} found: recall {recall}"
        total = int(self.counts[:, section].sum())
        precision = percent(float(self._precision[section])) if total else UNKNOWN
        return f"Predicted intent {name}\n{hits} of {counted(total, 'prediction')} right: precision {precision}"

    def describe(self, row: int, column: int) -> str:
        """One cell in words."""
        number = int(self.counts[row, column])
        share_of_row = percent(number / total) if (total := int(self.counts[row].sum())) else UNKNOWN
        share_of_column = percent(number / total) if (total := int(self.counts[:, column].sum())) else UNKNOWN
        return (
            f"True intent {self.labels[row]}\nPredicted intent {self.labels[column]}\n"
            f"{counted(number, 'message')}: {share_of_row} of the row, {share_of_column} of the column"
        )

    def _compute(self) -> None:
        if self.mode == "counts":
            values = self.counts.astype(np.float64)
            self.greatest = float(values.max(initial=0))
            self.texts = [[str(number) if number else "" for number in row] for row in self.counts.tolist()]
        else:
            values = normalised(self.counts, self.mode)
            self.greatest = 1.0 if values.any() else 0.0
            self.texts = [[_share(share) for share in row] for row in values.tolist()]
        self.heat = np.sqrt(values / self.greatest) if self.greatest else np.zeros_like(values)


def _share(share: float) -> str:
    """Percent without its sign; what would round to nothing says so."""
    if share == 0:
        return ""
    return "<1" if share < 0.005 else f"{100 * share:.0f}"
