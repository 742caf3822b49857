"""What predicting needs of the head: some tokens' scores, the highest and one exact normaliser, without a table of scores.

A vocabulary of 262,144 words has a megabyte of scores for each position. Taken a piece of the vocabulary at a time they
stay in a CPU's cache and in memory that is already there: fresh memory for every piece costs as much as half the product.

A CPU that multiplies bf16 itself does so twice as fast as fp32. Scores that are computed in bf16 are off by a few
hundredths, which is too much for a token that is asked for, but not for the rest of the vocabulary when all of it together has
a thousandth of the probability: that is how a trained model answers. So only the former are computed in fp32, and where the
rest has more, everything is.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch

from studio.core.batch_sizes import PREDICTED_SCORES
from studio.core.machine import cpu_has_bf16, device_kind

_FEWEST_WORDS = 512
_FEWEST_POSITIONS = 128
"""Below this reading the weights, and rounding them, takes longer than it saves."""
_LARGEST_REST = 5e-4
"""The share of the probability whose scores may be off: a logarithm of a probability is then by 0.00003 at most (measured)."""
_FEWEST_SURE = 0.5
"""Below this share of positions it is faster to compute all of them in fp32 at once."""


class HeadScores:
    """The scores of one model's head, over the positions of one batch after another."""

    def __init__(self, weight: torch.Tensor) -> None:
        """``weight`` (vocabulary, hidden)."""
        self._weight = weight
        self._surely = weight.device.type == "cpu" and weight.dtype == torch.float32 and cpu_has_bf16()

    def of(self, states: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities of ``tokens`` (n, tokens) and of the vocabulary's most probable token (n,), after each of n positions.

        ``states`` (n, hidden), ``tokens`` (tokens,) ascending ids. Sums are in fp32.
        """
        if not self._surely or len(states) < _FEWEST_POSITIONS:
            return _log_probabilities(_sums(states, self._weight, tokens))
        scores, highest, rest = _mostly_in_bf16(states, self._weight, tokens)
        unsure = (rest > _LARGEST_REST).nonzero()[:, 0]
        self._surely = len(unsure) <= (1 - _FEWEST_SURE) * len(states)
        if len(unsure):
            scores[unsure], highest[unsure] = _log_probabilities(_sums(states[unsure], self._weight, tokens))
        return scores, highest


class _Sums(NamedTuple):
    """Over the whole vocabulary, after each of n positions."""

    chosen: torch.Tensor
    """Scores of the tokens that were asked for (n, tokens)."""
    largest: torch.Tensor
    """The highest score (n,)."""
    whole: torch.Tensor
    """The sum of the exponentials of all scores less the highest (n,)."""


def _sums(states: torch.Tensor, weight: torch.Tensor, tokens: torch.Tensor) -> _Sums:
    words = max(_FEWEST_WORDS, PREDICTED_SCORES[device_kind(states.device.type)] // max(1, len(states)))
    largest = torch.full(states.shape[:1], -torch.inf, device=states.device)
    whole = torch.zeros_like(largest)
    # From the very products that the highest is from: in bf16 others are rounded otherwise.
    chosen: list[torch.Tensor] = []
    starts = range(0, len(weight), words)
    firsts = torch.searchsorted(tokens, torch.tensor([*starts, len(weight)], device=tokens.device)).tolist()
    for start, (first, last) in zip(starts, pairwise(firsts), strict=True):
        scores = (states @ weight[start : start + words].to(states.dtype).t()).float()
        chosen.append(scores[:, tokens[first:last] - start])
        before, largest = largest, torch.maximum(largest, scores.amax(-1))
        whole = whole * (before - largest).exp() + scores.sub_(largest[:, None]).exp_().sum(-1)
    return _Sums(torch.cat(chosen, 1), largest, whole)


def _log_probabilities(sums: _Sums) -> tuple[torch.Tensor, torch.Tensor]:
    normaliser = sums.largest + sums.whole.log()
    return sums.chosen - normaliser[:, None], sums.largest - normaliser


def _mostly_in_bf16(
    states: torch.Tensor, weight: torch.Tensor, tokens: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As ``_log_probabilities``, and the share of the words of which only bf16 knows the score (n,).

    Where that is small, the most probable word is one of ``tokens``.
    """
    rounded = _sums(states.bfloat16(), weight, tokens)
    chosen = states @ weight[tokens].t()
    rest = (rounded.whole - (rounded.chosen - rounded.largest[:, None]).exp().sum(-1)).clamp(min=0)
    exact = (chosen - rounded.largest[:, None]).exp().sum(-1)
    normaliser = rounded.largest + (exact + rest).log()
    return chosen - normaliser[:, None], chosen.amax(-1) - normaliser, rest / (exact + rest)
