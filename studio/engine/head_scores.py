"""What predicting needs of the head: some tokens' scores, the highest and one exact normaliser, without a table of scores.

A vocabulary of 262,144 words has a megabyte of scores for each position. Taken a piece of the vocabulary at a time they
stay in a CPU's cache and in memory that is already there: fresh memory for every piece costs as much as half the product.

A CPU that multiplies bf16 itself does so twice as fast as fp32. Scores that are computed in bf16 are off by a few
hundredths, which is too much for a token that is asked for, but not for the rest of the vocabulary when all of it together has
half a thousandth of the probability: that is how a trained model answers. So only the former are computed in fp32; where the rest
has more, the blocks of the vocabulary that have most of it as well; and where that is not enough, everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch.nn.functional import pad

from studio.core.batch_sizes import GRADED_STEP, PREDICTED_SCORES, rounded_up
from studio.core.machine import cpu_has_bf16, device_kind

_FEWEST_WORDS = 512
_FEWEST_POSITIONS = 128
"""Below this reading the weights, and rounding them, takes longer than it saves."""
_LARGEST_REST = 5e-4
"""The share of the probability whose scores may be off. Of 30,048 positions of the starter, tuned in full or with LoRA, no
logarithm that was taken for sure was off by more than 0.00003."""
_BLOCK, _BLOCKS = 64, 32
"""The words whose shares are added up together, and how many such blocks are scored again where the share is larger."""
_LARGEST_REMAINDER = 1e-3
"""The share without those blocks: errors of words that are all improbable cancel out. The figure above includes those."""
_LARGE_VOCABULARY = 2**17
"""From here on reading those blocks for each position is much faster than scoring all words again."""
_FEWEST_SURE = 0.75
"""Below this share of positions at one time it is faster to compute everything in fp32 from then on."""


class HeadScores:
    """The scores of one model's head, over one batch of positions after another."""

    def __init__(self, weight: torch.Tensor) -> None:
        """``weight`` (vocabulary, hidden)."""
        self._weight = weight
        self._mostly_sure = weight.device.type == "cpu" and weight.dtype == torch.float32 and cpu_has_bf16()

    def of(self, states: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities of ``tokens`` (n, tokens) and of the vocabulary's most probable token (n,), after each of n positions.

        ``states`` (n, hidden), ``tokens`` (tokens,) ascending ids. Sums are in fp32.
        """
        if not self._mostly_sure or len(states) < _FEWEST_POSITIONS:
            return self._in_one_type(states, tokens)
        scores, highest, sure = self._mostly_in_bf16(states, tokens)
        unsure = (~sure).nonzero()[:, 0]
        self._mostly_sure = len(unsure) <= (1 - _FEWEST_SURE) * len(states)
        if len(unsure):
            # As many as a product has been prepared for; some twice.
            unsure = unsure.repeat(GRADED_STEP)[: rounded_up(len(unsure), GRADED_STEP)]
            scores[unsure], highest[unsure] = self._in_one_type(states[unsure], tokens)
        return scores, highest

    def _in_one_type(self, states: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """All products in the type of ``states``."""
        weight = self._weight
        largest = torch.full(states.shape[:1], -torch.inf, device=states.device)
        whole = torch.zeros_like(largest)
        # From the very products that the highest is from: in bf16 others are rounded otherwise.
        chosen: list[torch.Tensor] = []
        for start, end, wanted in _pieces(weight, tokens, len(states)):
            scores = (states @ weight[start:end].to(states.dtype).t()).float()
            chosen.append(scores[:, wanted])
            before, largest = largest, torch.maximum(largest, scores.amax(-1))
            whole = whole * (before - largest).exp() + scores.sub_(largest[:, None]).exp_().sum(-1)
        normaliser = largest + whole.log()
        return torch.cat(chosen, 1) - normaliser[:, None], largest - normaliser

    def _mostly_in_bf16(self, states: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Only ``tokens`` and the most probable of the others in fp32, and whether that is enough (n,)."""
        weight = self._weight
        chosen = states @ weight[tokens].t()
        highest = chosen.amax(-1)
        whole = (chosen - highest[:, None]).exp().sum(-1)
        # The highest score goes inside the product, as two numbers in bf16, because what comes out of it is rounded: a score of
        # 100 by up to a quarter, and one near the highest, which is then near 0, hardly at all.
        coarse = highest.bfloat16()
        fine = (highest - coarse).bfloat16()
        rounded = torch.cat([states.bfloat16(), -coarse[:, None], -fine[:, None]], 1)
        table = rounded.new_ones(_words_at_once(weight, len(states)), rounded.shape[1])
        pieces: list[torch.Tensor] = []
        for start, end, wanted in _pieces(weight, tokens, len(states)):
            piece = table[: end - start]
            piece[:, :-2] = weight[start:end]
            # A share that is too large for a number leaves no doubt either.
            shares = (rounded @ piece.t()).exp_()
            shares[:, wanted] = 0
            pieces.append(pad(shares, (0, -(end - start) % _BLOCK)).unflatten(-1, (-1, _BLOCK)).sum(-1, dtype=torch.float32))
        blocks = torch.cat(pieces, 1)
        rest = blocks.sum(-1)
        sure = _improbable(rest, whole, _LARGEST_REST)
        unsure = (~sure).nonzero()[:, 0].tolist()
        worth_it = len(weight) >= _LARGE_VOCABULARY and 2 * len(unsure) <= len(states)
        for row in unsure if worth_it else ():
            largest = blocks[row].topk(min(_BLOCKS, blocks.shape[1])).indices
            others = states[row] @ weight[self._words_of(largest, tokens)].t()
            before, highest[row] = highest[row].clone(), torch.maximum(highest[row], others.amax())
            shrunk = (before - highest[row]).exp()
            blocks[row, largest] = 0
            whole[row] = whole[row] * shrunk + (others - highest[row]).exp().sum()
            rest[row] = blocks[row].sum() * shrunk
            sure[row] = _improbable(rest[row], whole[row], _LARGEST_REMAINDER)
        normaliser = highest + (whole + rest).log()
        return chosen - normaliser[:, None], highest - normaliser, sure

    def _words_of(self, blocks: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """The words of some blocks that are not among ``tokens``."""
        words = (blocks[:, None] * _BLOCK + torch.arange(_BLOCK)).flatten()
        return words[(words < len(self._weight)) & ~torch.isin(words, tokens)]


def _improbable(rest: torch.Tensor, whole: torch.Tensor, share: float) -> torch.Tensor:
    """Whether the rest has at most this share of ``whole``, and none of it is the highest, which counts as 1."""
    return rest < (share * whole).clamp(max=0.5)


def _pieces(weight: torch.Tensor, tokens: torch.Tensor, positions: int) -> Iterator[tuple[int, int, torch.Tensor]]:
    """The first and the end of each piece of the vocabulary, and which of its words are among ``tokens``."""
    words = _words_at_once(weight, positions)
    bounds = [*range(0, len(weight), words), len(weight)]
    firsts = torch.searchsorted(tokens, torch.tensor(bounds, device=tokens.device)).tolist()
    for (start, end), (first, last) in zip(pairwise(bounds), pairwise(firsts), strict=True):
        yield start, end, tokens[first:last] - start


def _words_at_once(weight: torch.Tensor, positions: int) -> int:
    return rounded_up(max(_FEWEST_WORDS, PREDICTED_SCORES[device_kind(weight.device.type)] // max(1, positions)), _BLOCK)
