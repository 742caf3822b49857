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
    monkeypatch.setattr(head_scores, "_LARGE_VOCABULARY", WORDS)
    # Several pieces of the vocabulary, none of which ends with it.
    monkeypatch.setitem(head_scores.PREDICTED_SCORES, "cpu", 2**17)


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


@pytest.mark.parametrize("offset", [-300.0, -100.0, 0.0, 60.0])
def test_what_all_scores_have_in_common_is_not_rounded(weight: torch.Tensor, exactly: list[int], offset: float) -> None:
    """Probabilities do not depend on it, and many models have it; in bf16 a score of 300 is off by up to 1."""
    states = states_after(weight, [3, 700, 4999] * 50, 20.0)
    wide = torch.cat([weight, torch.full((WORDS, 1), offset)], 1)
    found = HeadScores(wide).of(torch.cat([states, torch.ones(150, 1)], 1), TOKENS)
    right = (states.double() @ weight.double().t()).log_softmax(-1)
    assert (found[0] - right[:, TOKENS]).abs().max() < 1e-4
    assert sum(exactly) < 150


def test_asked_words_of_a_block_count_once(weight: torch.Tensor, exactly: list[int]) -> None:
    """705 is as probable as 700, which is asked for, and both are in one block."""
    weight[705] = weight[700]
    states = torch.cat([states_after(weight, [3] * 140, 30.0), states_after(weight, [700] * 10, 30.0)])
    assert largest_error(HeadScores(weight).of(states, TOKENS), states, weight) < 5e-5
    assert not exactly


def test_what_remains_is_looked_at_too(weight: torch.Tensor, exactly: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Seventy words in as many blocks have 0.0002 each: those of the blocks that are scored again are not enough."""
    level = weight.clone()
    level[torch.arange(70) * 64 + 7] = weight[3] * 0.72
    states = torch.cat([states_after(level, [700] * 140, 30.0), states_after(level, [3] * 10, 30.0)])
    scores = HeadScores(level)
    assert largest_error(scores.of(states, TOKENS), states, level) < 5e-5
    assert exactly == [16]
    monkeypatch.setattr(head_scores, "_LARGEST_REMAINDER", 0.1)
    scores.of(states, TOKENS)
    assert exactly == [16]


def test_the_rest_holds_no_highest_score() -> None:
    """However many tokens are asked for."""
    rest, whole = torch.tensor([0.4, 0.6]), torch.tensor(5000.0)
    assert head_scores._improbable(rest, whole, 1e-3).tolist() == [True, False]


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
