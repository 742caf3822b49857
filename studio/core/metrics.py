"""Confusion counts and what follows from them. Label indices in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = Sequence[int] | NDArray[np.int64]
Z_95 = 1.959963984540054


def confusion_counts(true: Indices, predicted: Indices, labels: int) -> NDArray[np.int64]:
    """(labels, labels) counts: row = true intent, column = predicted intent."""
    counts = np.zeros((labels, labels), dtype=np.int64)
    np.add.at(counts, (np.asarray(true, dtype=np.int64), np.asarray(predicted, dtype=np.int64)), 1)
    return counts


@dataclass(frozen=True)
class LabelScores:
    """Per-intent scores, each an array over labels; 0 where nothing was predicted or nothing is true."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


def label_scores(counts: NDArray[np.int64]) -> LabelScores:
    hits = np.diag(counts).astype(np.float64)
    true, predicted = counts.sum(axis=1), counts.sum(axis=0)
    precision = _ratio(hits, predicted)
    recall = _ratio(hits, true)
    return LabelScores(precision, recall, _ratio(2 * hits, true + predicted))


def accuracy(counts: NDArray[np.int64]) -> float:
    """Share of the diagonal; NaN for an empty matrix."""
    total = int(counts.sum())
    return float(np.trace(counts)) / total if total else math.nan


def macro_f1(counts: NDArray[np.int64]) -> float:
    """Mean F1 over the intents that occur, true or predicted (as scikit-learn does); NaN for an empty matrix."""
    occurs = (counts.sum(axis=0) + counts.sum(axis=1)) > 0
    return float(label_scores(counts).f1[occurs].mean()) if occurs.any() else math.nan


def wilson_interval(hits: int, total: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927, no continuity correction); (NaN, NaN) for no trials."""
    if total == 0:
        return math.nan, math.nan
    share, z2 = hits / total, Z_95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class ConfusedPair:
    """Messages of one intent that were predicted as another; intents as label indices."""

    true: int
    predicted: int
    messages: int
    share: float
    """Of the true intent's messages."""


def confused_pairs(counts: NDArray[np.int64]) -> list[ConfusedPair]:
    """Every pair that was confused, the most messages first, then the greatest share."""
    shares = normalised(counts, "row")
    pairs = [
        ConfusedPair(true, predicted, int(counts[true, predicted]), float(shares[true, predicted]))
        for true, predicted in np.argwhere(counts > 0).tolist()
        if true != predicted
    ]
    return sorted(pairs, key=lambda pair: (-pair.messages, -pair.share, pair.true, pair.predicted))


def normalised(counts: NDArray[np.int64], by: str) -> NDArray[np.float64]:
    """The matrix as shares ``by`` "row" (of the true intent) or "column" (of the predicted one); empty lines stay 0."""
    totals = counts.sum(axis=1, keepdims=True) if by == "row" else counts.sum(axis=0, keepdims=True)
    return _ratio(counts.astype(np.float64), np.broadcast_to(totals, counts.shape))


def _ratio(top: NDArray[np.float64], bottom: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(top, bottom, out=np.zeros(top.shape, dtype=np.float64), where=bottom > 0)
