"""Prefixes of labels scored the way that is right for every causal model: padded prompts, and copies of their cache."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from studio.core.batch_sizes import LENGTH_STEP, PREDICTED_TOKENS, rounded_up
from studio.core.errors import StudioError
from studio.engine.label_search import LabelSearch, Step

SUPPORTED = "Choose a transformer that writes text, such as Gemma, Llama, Qwen or GPT-2."
_CACHE_AT_ONCE, _SCORES_AT_ONCE = 2**28, 2**24
"""Bytes of the prompts' keys and values copied at once; positions times vocabulary scored at once."""
_MESSAGES_AT_ONCE = 32
"""Messages whose first scores exist as a table."""


class PaddedScoring:
    """Searches whose prefixes are scored by the model's own ``forward``, a batch after the other."""

    def __init__(self, model: torch.nn.Module, device: torch.device, most: int = _MESSAGES_AT_ONCE) -> None:
        """At most ``most`` messages are searched for at once, and never more than 32."""
        self._model, self._device = model, device
        self._most = min(most, _MESSAGES_AT_ONCE)

    def room(self, left: int, lengths: Sequence[int]) -> int:
        """See ``classify``."""
        if left:
            return 0
        new = min(self._most, len(lengths))
        while new > 1 and new * rounded_up(max(lengths[:new]), LENGTH_STEP) > PREDICTED_TOKENS:
            new -= 1
        return new

    def read(self, searches: Mapping[int, LabelSearch], left: Set[int]) -> None:  # noqa: ARG002
        """See ``classify``."""
        model, device = self._model, self._device
        self._places = {row: place for place, row in enumerate(searches)}
        prompts = [search.query.prompt for search in searches.values()]
        longest = max(map(len, prompts))
        # On the left, so that the distance between two tokens in the cache is their true one, which sliding windows need.
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
        ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        # A mask, not ``logits_to_keep=1``: that gives the head a strided (rows, 1, hidden) view, for which torch 2.13 on a CPU
        # copies the whole head once for every row.
        last = torch.zeros_like(mask, dtype=torch.bool)
        last[:, -1] = True
        outputs: Any = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=last)
        check_cache(outputs.past_key_values)
        self._mask, self._cache = mask, outputs.past_key_values
        self._most_scores = max(1, _SCORES_AT_ONCE // outputs.logits.shape[-1])
        row_bytes = sum(layer.keys[0].nbytes + layer.values[0].nbytes for layer in self._cache.layers)
        self._most_rows = max(1, _CACHE_AT_ONCE // row_bytes)
        _enter(outputs.logits, [Step(row, search, [search.labels.root]) for row, search in searches.items()])

    def follow(self, steps: Sequence[Step], left: Set[int]) -> None:  # noqa: ARG002
        """See ``classify``."""
        for group in self._affordable(steps):
            self._score(group)

    def _score(self, steps: list[Step]) -> None:
        """One forward over the label tokens of ``steps``, on the prompts' keys and values."""
        rows = torch.tensor([self._places[step.row] for step in steps], device=self._device)
        paths = [step.chain[-1].path for step in steps]
        longest = max(map(len, paths))
        ids = torch.tensor([list(path) + [0] * (longest - len(path)) for path in paths], device=self._device)
        graded = torch.zeros(ids.shape, dtype=torch.bool)
        for index, step in enumerate(steps):
            graded[index, step.chain[0].depth - 1 : step.chain[-1].depth] = True
        prompt_mask = self._mask[rows]
        outputs: Any = self._model(
            input_ids=ids,
            attention_mask=torch.cat([prompt_mask, torch.ones_like(ids)], dim=1),
            position_ids=prompt_mask.sum(1, keepdim=True) + torch.arange(longest, device=self._device),
            past_key_values=_select(self._cache, rows),
            use_cache=True,
            logits_to_keep=graded.to(self._device),
        )
        _enter(outputs.logits, steps)

    def _affordable(self, steps: Sequence[Step]) -> Iterator[list[Step]]:
        """The steps in groups of similar length whose scores and cached prompts fit into memory together."""
        group: list[Step] = []
        held = 0
        for step in sorted(steps, key=lambda step: step.chain[-1].depth):
            if group and (held + len(step.chain) > self._most_scores or len(group) == self._most_rows):
                yield group
                group, held = [], 0
            group.append(step)
            held += len(step.chain)
        if group:
            yield group


def _enter(scores: torch.Tensor, steps: Sequence[Step]) -> None:
    """Enter the scores (prefixes of all steps in a row, vocabulary) into the searches."""
    scores = scores.float()
    prefixes = [node for step in steps for node in step.chain]
    rows = [row for row, node in enumerate(prefixes) for _ in node.children]
    tokens = [token for node in prefixes for token in node.children]
    normaliser = scores.logsumexp(-1)
    values = iter((scores[rows, tokens] - normaliser[rows]).tolist())
    highest = iter((scores.amax(-1) - normaliser).tolist())
    for step in steps:
        found = [{token: next(values) for token in node.children} for node in step.chain]
        step.search.enter(step.chain, found, [next(highest) for _ in step.chain])


def _select(cache: DynamicCache, rows: torch.Tensor) -> DynamicCache:
    """A cache of the given rows that can be added to: its layers are copied, and selecting makes new tensors."""
    selected = copy.copy(cache)
    selected.layers = [copy.copy(layer) for layer in cache.layers]
    selected.batch_select_indices(rows)
    return selected


def check_cache(cache: Any) -> None:
    """Raises StudioError for a cache whose rows cannot be copied."""
    layers = getattr(cache, "layers", None)
    if not layers or any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
        raise StudioError(
            "This model keeps no plain cache of keys and values, which classification needs.",
            SUPPORTED,
            kind="unsupported_model",
        )
