"""Scores of a head that are mostly computed in bf16, compared with float64."""

from __future__ import annotations

import pytest
import torch

from studio.engine import head_scores
from studio.engine.head_scores import HeadScores

WORDS, HIDDEN = 5000, 64
TOKENS = torch.tensor([3, 700, 701, 4999])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[torch.dtype, int]]:
    """In which types whole vocabularies are multiplied, and for how many positions."""
    products: list[tuple[torch.dtype, int]] = []
    plain = head_scores._sums

    def sums(states: torch.Tensor, weight: torch.Tensor, tokens: torch.Tensor) -> head_scores._Sums:
        products.append((states.dtype, len(states)))
        return plain(states, weight, tokens)

    monkeypatch.setattr(head_scores, "_sums", sums)
    monkeypatch.setattr(head_scores, "cpu_has_bf16", lambda: True)
    return products


@pytest.fixture
def weight() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(WORDS, HIDDEN)


def states_after(weight: torch.Tensor, words: list[int], sharpness: float) -> torch.Tensor:
    """Positions after which a word is probable, with a score of ``sharpness`` before the noise of all others."""
    return sharpness * weight[words] / weight[words].square().sum(-1, keepdim=True) + 0.1 * torch.randn(len(words), HIDDEN)


def expected(states: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    all_of_them = (states.double() @ weight.double().t()).log_softmax(-1)
    return all_of_them[:, TOKENS], all_of_them.amax(-1)


def test_positions_that_are_sure_are_computed_in_bf16(asked: list[tuple[torch.dtype, int]], weight: torch.Tensor) -> None:
    states = states_after(weight, [3, 700, 4999] * 50, 30.0)
    found = HeadScores(weight).of(states, TOKENS)
    assert asked == [(torch.bfloat16, 150)]
    for values, right in zip(found, expected(states, weight), strict=True):
        assert (values - right).abs().max() < 5e-5
    rounded = (states.bfloat16() @ weight.bfloat16().t()).float().log_softmax(-1)[:, TOKENS]
    assert (rounded - expected(states, weight)[0]).abs().max() > 1e-2, "bf16 alone would have done"


def test_positions_that_are_not_are_computed_again(asked: list[tuple[torch.dtype, int]], weight: torch.Tensor) -> None:
    states = torch.cat(
        [states_after(weight, [3] * 120, 30.0), states_after(weight, [3] * 20, 7.0), states_after(weight, [17] * 20, 30.0)]
    )
    scores = HeadScores(weight)
    found = scores.of(states, TOKENS)
    assert asked == [(torch.bfloat16, 160), (torch.float32, 40)]
    for values, right in zip(found, expected(states, weight), strict=True):
        assert (values - right).abs().max() < 5e-5
    scores.of(states, TOKENS)
    assert asked[2][0] == torch.bfloat16


def test_a_model_that_is_not_sure_is_computed_in_fp32(asked: list[tuple[torch.dtype, int]], weight: torch.Tensor) -> None:
    states = states_after(weight, [3] * 150, 7.0)
    scores = HeadScores(weight)
    scores.of(states, TOKENS)
    del asked[:]
    found = scores.of(states, TOKENS)
    assert asked == [(torch.float32, 150)]
    for values, right in zip(found, expected(states, weight), strict=True):
        assert (values - right).abs().max() < 5e-6


@pytest.mark.parametrize("count", [1, 127])
def test_few_positions_are_computed_in_fp32(asked: list[tuple[torch.dtype, int]], weight: torch.Tensor, count: int) -> None:
    HeadScores(weight).of(states_after(weight, [3] * count, 30.0), TOKENS)
    assert asked == [(torch.float32, count)]


def test_other_types_stay_what_they_are(asked: list[tuple[torch.dtype, int]], weight: torch.Tensor) -> None:
    HeadScores(weight.bfloat16()).of(states_after(weight, [3] * 150, 30.0).bfloat16(), TOKENS)
    assert asked == [(torch.bfloat16, 150)]


def test_a_cpu_that_emulates_bf16_computes_in_fp32(
    asked: list[tuple[torch.dtype, int]], weight: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_scores, "cpu_has_bf16", lambda: False)
    HeadScores(weight).of(states_after(weight, [3] * 150, 30.0), TOKENS)
    assert asked == [(torch.float32, 150)]
