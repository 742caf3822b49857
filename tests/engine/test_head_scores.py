"""Scores of a head that are mostly computed in bf16, compared with float64."""

from __future__ import annotations

import pytest
import torch

from studio.engine import head_scores
from studio.engine.head_scores import HeadScores

WORDS, HIDDEN = 5000, 64
TOKENS = torch.tensor([3, 700, 701, 4999])


@pytest.fixture(autouse=True)
def bf16_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_scores, "cpu_has_bf16", lambda: True)


@pytest.fixture
def exactly(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many positions were computed in their own type, each time."""
    counts: list[int] = []
    plain = HeadScores._in_one_type

    def counted(scores: HeadScores, states: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        counts.append(len(states))
        return plain(scores, states, tokens)

    monkeypatch.setattr(HeadScores, "_in_one_type", counted)
    return counts


@pytest.fixture
def weight() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(WORDS, HIDDEN)


def states_after(weight: torch.Tensor, words: list[int], sharpness: float) -> torch.Tensor:
    """Positions after which a word is probable, with a score of ``sharpness`` before the noise of all others."""
    return sharpness * weight[words] / weight[words].square().sum(-1, keepdim=True) + 0.1 * torch.randn(len(words), HIDDEN)


def largest_error(found: tuple[torch.Tensor, torch.Tensor], states: torch.Tensor, weight: torch.Tensor) -> float:
    right = (states.double() @ weight.double().t()).log_softmax(-1)
    return max(float((found[0] - right[:, TOKENS]).abs().max()), float((found[1] - right.amax(-1)).abs().max()))


def test_positions_that_are_sure_are_computed_in_bf16(weight: torch.Tensor, exactly: list[int]) -> None:
    states = states_after(weight, [3, 700, 4999] * 50, 30.0)
    found = HeadScores(weight).of(states, TOKENS)
    assert not exactly
    assert largest_error(found, states, weight) < 5e-5
    in_bf16 = (states.bfloat16() @ weight.bfloat16().t()).float().log_softmax(-1)[:, TOKENS]
    assert (in_bf16 - found[0]).abs().max() > 1e-2, "bf16 alone would have done"


@pytest.mark.parametrize(("score", "all_words"), [(30.0, []), (100.0, []), (10_000.0, [32, 32])])
def test_words_that_nobody_asks_for_are_computed_again(
    weight: torch.Tensor, exactly: list[int], score: float, all_words: list[int]
) -> None:
    """After some positions another word is the most probable; with 10,000 the shares of most words are larger than a number."""
    sure = states_after(weight, [3] * 120, 30.0)
    states = torch.cat([sure, states_after(weight, [17] * 10 + [4998] * 11, score)])
    scores = HeadScores(weight)
    for _ in range(2):
        found = scores.of(states, TOKENS)
        assert largest_error(found, states, weight) < 2e-5 * max(1, score / 30)
    assert exactly == all_words, "21, and some twice"


def test_positions_after_which_nothing_is_probable_are_computed_again(weight: torch.Tensor, exactly: list[int]) -> None:
    states = torch.cat([states_after(weight, [3] * 120, 30.0), states_after(weight, [3] * 20, 7.0)])
    scores = HeadScores(weight)
    for _ in range(2):
        assert largest_error(scores.of(states, TOKENS), states, weight) < 3e-5
    assert exactly == [32, 32], "20, and some twice"


def test_the_highest_score_may_be_rounded(weight: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """All scores are computed less the highest in bf16, off by up to 0.06 at 30: what that adds to each is taken away again."""
    monkeypatch.setattr(head_scores, "_LARGEST_REST", 0.02)
    states = states_after(weight, [3, 700, 4999] * 50, 15.9)
    errors = HeadScores(weight).of(states, TOKENS)[1] - (states.double() @ weight.double().t()).log_softmax(-1).amax(-1)
    assert abs(errors.mean()) < 2e-5, "as often too high as too low"


def test_a_model_that_is_not_sure_is_computed_in_fp32(weight: torch.Tensor, exactly: list[int]) -> None:
    states = states_after(weight, [3] * 150, 7.0)
    scores = HeadScores(weight)
    for _ in range(2):
        assert largest_error(scores.of(states, TOKENS), states, weight) < 2e-5
    assert exactly == [160, 150], "only the first time it had to be found out"


@pytest.mark.parametrize(
    ("count", "dtype", "units"),
    [(1, torch.float32, True), (127, torch.float32, True), (150, torch.bfloat16, True), (150, torch.float32, False)],
)
def test_where_it_would_not_be_faster_nothing_is_rounded(
    weight: torch.Tensor, exactly: list[int], monkeypatch: pytest.MonkeyPatch, count: int, dtype: torch.dtype, units: bool
) -> None:
    """Few positions, a model in another type, and a CPU that only imitates bf16."""
    monkeypatch.setattr(head_scores, "cpu_has_bf16", lambda: units)
    HeadScores(weight.to(dtype)).of(states_after(weight, [3] * count, 30.0).to(dtype), TOKENS)
    assert exactly == [count]
