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


@pytest.mark.parametrize("score", [30.0, 100.0, 10_000.0])
def test_positions_that_are_not_are_computed_again(weight: torch.Tensor, exactly: list[int], score: float) -> None:
    """After some nothing is probable, after others a word that nobody asks for."""
    sure, flat = states_after(weight, [3] * 120, 30.0), states_after(weight, [3] * 20, 7.0)
    states = torch.cat([sure, flat, states_after(weight, [17] * 21, score)])
    scores = HeadScores(weight)
    for _ in range(2):
        found = scores.of(states, TOKENS)
        assert largest_error(found, states, weight) < 5e-5 * max(1, score / 30)
    assert exactly == [48, 48], "41, and some twice"


def test_a_model_that_is_not_sure_is_computed_in_fp32(weight: torch.Tensor, exactly: list[int]) -> None:
    states = states_after(weight, [3] * 150, 7.0)
    scores = HeadScores(weight)
    for _ in range(2):
        assert largest_error(scores.of(states, TOKENS), states, weight) < 2e-5
    assert exactly == [150, 150]


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
