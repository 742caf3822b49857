"""Metrics against scikit-learn, intervals against published figures."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from studio.core.metrics import accuracy, confused_pairs, confusion_counts, label_scores, macro_f1, normalised, wilson_interval

LABELS = 5
PAIRS = st.lists(st.tuples(st.integers(0, LABELS - 1), st.integers(0, LABELS - 1)), min_size=1, max_size=60)


@settings(deadline=None)
@given(pairs=PAIRS)
def test_scores_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    counts = confusion_counts(true, predicted, LABELS)
    every = list(range(LABELS))
    np.testing.assert_array_equal(counts, reference.confusion_matrix(true, predicted, labels=every))
    assert accuracy(counts) == pytest.approx(reference.accuracy_score(true, predicted), abs=1e-12)
    assert macro_f1(counts) == pytest.approx(reference.f1_score(true, predicted, average="macro", zero_division=0), abs=1e-12)
    precision, recall, f1, _ = reference.precision_recall_fscore_support(true, predicted, labels=every, zero_division=0)
    scores = label_scores(counts)
    for ours, theirs in ((scores.precision, precision), (scores.recall, recall), (scores.f1, f1)):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_by_hand() -> None:
    counts = confusion_counts([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2], 3)
    assert counts.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert accuracy(counts) == 4 / 6
    assert label_scores(counts).f1.tolist() == [0.8, 0.5, pytest.approx(2 / 3)]


def test_shares_of_rows_and_columns() -> None:
    counts = confusion_counts([0, 0, 1], [0, 1, 1], 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert normalised(counts, "row").tolist() == [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 0]]
        assert normalised(counts, "column").tolist() == [[1, 0.5, 0], [0, 0.5, 0], [0, 0, 0]]


def test_confused_pairs() -> None:
    counts = np.array([[5, 1, 2], [2, 1, 0], [0, 0, 7]])
    assert [(pair.true, pair.predicted, pair.messages) for pair in confused_pairs(counts)] == [(1, 0, 2), (0, 2, 2), (0, 1, 1)]
    assert confused_pairs(counts)[0].share == pytest.approx(2 / 3)
    assert confused_pairs(np.diag([3, 4])) == []


def test_nothing_predicted() -> None:
    empty = confusion_counts([], [], 3)
    assert empty.shape == (3, 3)
    assert math.isnan(accuracy(empty))
    assert math.isnan(macro_f1(empty))
    assert all(map(math.isnan, wilson_interval(0, 0)))


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 1 - 0.1170, 1.0),
    ],
)
def test_interval_against_published_figures(hits: int, total: int, low: float, high: float) -> None:
    assert wilson_interval(hits, total) == pytest.approx((low, high), abs=5e-5)


@given(total=st.integers(1, 10_000), share=st.floats(0, 1))
def test_interval_holds_the_share(total: int, share: float) -> None:
    hits = round(share * total)
    low, high = wilson_interval(hits, total)
    assert 0 <= low <= hits / total + 1e-12
    assert hits / total - 1e-12 <= high <= 1
    assert wilson_interval(total - hits, total) == pytest.approx((1 - high, 1 - low), abs=1e-9)
