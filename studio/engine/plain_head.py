"""Whether a model's scores are its head's product with its decoder's states, and nothing else.

Some scale the states before the head, or scale or cap the scores after it. A loss or a probability does not tell: those of a
model that is sure of its answer are the same either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

_TOLERANCE = 1e-2
"""Of the states, relative to the largest: two ways through the same layers may round differently, a scale is another order."""


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
    # The scores are the very numbers that the head has made: a cap far above them changes them by less than any rounding.
    untouched = torch.equal(made[0, -1].float(), scores.float())
    given, states = given[0, -1].float(), states.float()
    return untouched and bool((given - states).abs().max() <= _TOLERANCE * states.abs().max())
