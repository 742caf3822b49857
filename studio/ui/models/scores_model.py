"""What the confusion matrix says of each intent, and of each pair that was confused, as tables whose rows are scopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Qt

from studio.core.metrics import confused_pairs, label_scores
from studio.core.words import UNKNOWN, percent
from studio.ui.models.confusion_model import Scope
from studio.ui.models.table_model import AT_LEFT, AT_RIGHT, Column, Index, TableModel
from studio.ui.words import plain_tooltip

SORT_ROLE = int(Qt.ItemDataRole.UserRole) + 1
Value = str | int | float | None
"""Of a cell: a name, a count, a share from 0 to 1, or None where there is none."""


# On the left are names, on the right numbers.
INTENT_COLUMNS = (
    Column("Intent", "The true intent", AT_LEFT),
    Column("Messages", "Messages of this intent", AT_RIGHT),
    Column("Recall", "Share of its messages that were predicted right, in percent", AT_RIGHT),
    Column("Precision", "Share of the predictions of this intent that are right, in percent", AT_RIGHT),
    Column("F1", "Harmonic mean of recall and precision, in percent", AT_RIGHT),
    Column("Most taken for", "The intent that its misclassified messages are predicted as most often", AT_LEFT),
)
PAIR_COLUMNS = (
    Column("True", "The intent that the data gives", AT_LEFT),
    Column("Predicted", "The intent that the model gives in its place", AT_LEFT),
    Column("Messages", "Messages confused this way", AT_RIGHT),
    Column("Share", "Of the true intent's messages, in percent", AT_RIGHT),
    Column("Reverse", "Messages confused the other way round", AT_RIGHT),
)


@dataclass(frozen=True)
class Row:
    """``values`` has one for each column."""

    scope: Scope
    values: tuple[Value, ...]


def intent_rows(labels: Sequence[str], counts: NDArray[np.int64]) -> list[Row]:
    """One row for each intent, in the order of the label set."""
    scores = label_scores(counts)
    true, predicted = counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    return [
        Row(
            Scope(true=number),
            (
                name,
                true[number],
                float(scores.recall[number]) if true[number] else None,
                float(scores.precision[number]) if predicted[number] else None,
                float(scores.f1[number]) if true[number] + predicted[number] else None,
                labels[int(wrong[number].argmax())] if wrong[number].any() else None,
            ),
        )
        for number, name in enumerate(labels)
    ]


def pair_rows(labels: Sequence[str], counts: NDArray[np.int64]) -> list[Row]:
    """One row for each pair that was confused, the most messages first."""
    return [
        Row(
            Scope(pair.true, pair.predicted),
            (
                labels[pair.true],
                labels[pair.predicted],
                pair.messages,
                pair.share,
                int(counts[pair.predicted, pair.true]),
            ),
        )
        for pair in confused_pairs(counts)
    ]


class ScoresModel(TableModel):
    """Rows that each stand for a scope of the messages."""

    def __init__(self, columns: Sequence[Column], parent: QObject | None = None) -> None:
        super().__init__(columns, parent)
        self.rows: Sequence[Row] = ()

    def show_rows(self, rows: Sequence[Row]) -> None:
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        value = self.rows[index.row()].values[index.column()]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return _shown(value)
            case Qt.ItemDataRole.ToolTipRole if isinstance(value, str):
                return plain_tooltip(value)
            case Qt.ItemDataRole.TextAlignmentRole:
                return self.columns[index.column()].side
            case _ if role == SORT_ROLE:
                # What is unknown comes before everything that is known.
                return value.casefold() if isinstance(value, str) else -1.0 if value is None else value
        return None


def _shown(value: Value) -> str:
    if isinstance(value, float):
        return percent(value)
    return UNKNOWN if value is None else f"{value:,}" if isinstance(value, int) else value
