"""Whether a model's scores are its head's product with its decoder's states, and nothing else.

Some scale the states before the head, or scale or cap the scores after it. A loss or a probability does not tell: those of a
model that is sure of its answer are the same either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

_TOLERANCE = 1e-2
"""Relative to the largest number: two ways through the same layers may round differently, a scale is another order of size."""


def has_plain_head(whole: Any, ids: Sequence[int], device: torch.device) -> bool:
    """Tried on one text. ``whole`` is a bare causal model, and gradients are off."""
    head = whole.get_output_embeddings()
    asked: list[tuple[torch.Tensor, torch.Tensor]] = []
    hook = head.register_forward_hook(lambda _head, inputs, scores: asked.append((inputs[0], scores)))
    text = torch.tensor([list(ids)], device=device)
    try:
        scores = whole(input_ids=text, use_cache=False, logits_to_keep=1).logits[0, -1]
    finally:
        hook.remove()
    states = whole.get_decoder()(input_ids=text, use_cache=False).last_hidden_state[0, -1]
    if len(asked) != 1:
        return False
    given, made = asked[0]
    return _alike(given[0, -1], states) and _alike(made[0, -1], scores)


def _alike(left: torch.Tensor, right: torch.Tensor) -> bool:
    left, right = left.float(), right.float()
    return bool((left - right).abs().max() <= _TOLERANCE * right.abs().max())
