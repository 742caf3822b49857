"""What predicting needs of the head: some tokens' scores, the highest and one exact normaliser, without a table of scores.

A vocabulary of 262,144 words has a megabyte of scores for each position. Taken a piece of the vocabulary at a time they
stay in a CPU's cache and in memory that is already there: fresh memory for every piece costs as much as half the product.
"""

from __future__ import annotations

from itertools import pairwise

import torch

from studio.core.batch_sizes import PREDICTED_SCORES
from studio.core.machine import device_kind

_FEWEST_WORDS = 512


def head_scores(states: torch.Tensor, weight: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of ``tokens`` (n, tokens) and of the vocabulary's most probable token (n,), after each of n positions.

    ``states`` (n, hidden), ``weight`` (vocabulary, hidden), ``tokens`` (tokens,) ascending ids. Sums are in fp32.
    """
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
    normaliser = largest + whole.log()
    return torch.cat(chosen, 1) - normaliser[:, None], largest - normaliser
