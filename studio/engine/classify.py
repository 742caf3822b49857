"""Classification by one rule, everywhere: p(label | message), normalised over the label set.

p(label | message) is the probability that the model writes the label's tokens and then ends, divided by the sum of the
same over all labels: full-vocabulary log-probabilities, no length normalisation. That likelihood is what training
maximises. Here the prefixes that the search asks for are scored, many messages at once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from studio.core.batch_sizes import PREDICTED_MESSAGES, PREDICTED_SCORES
from studio.core.errors import InterruptedByUserError, StudioError
from studio.core.labels import LabelSet, TrieNode
from studio.engine.label_search import LabelSearch, Query, Scored

SUPPORTED = "Choose a transformer that writes text, such as Gemma, Llama, Qwen or GPT-2."
_CACHE_AT_ONCE = 2**28
"""Bytes of the prompts' keys and values copied at once."""


@contextmanager
def predicting(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every module's own mode comes back afterwards."""
    before = {module: module.training for module in model.modules()}
    model.eval()
    for module in model.modules():
        # With AVX512-BF16, bitsandbytes 0.50's Linear4bit repacks its weight in the first forward in evaluation mode and
        # stays packed: later training steps would silently lose that layer's gradient.
        if type(module).__name__ == "Linear4bit":
            module.training = True
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in before.items():
            module.training = training


def classify(
    model: torch.nn.Module,
    labels: LabelSet,
    queries: Sequence[Query],
    device: torch.device,
    *,
    batch_size: int = PREDICTED_MESSAGES,
    progress: Callable[[int], object] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Scored]:
    """Classify every query; results come in the order of ``queries``. A stop raises ``InterruptedByUserError``."""
    results: dict[int, Scored] = {}
    by_length = sorted(range(len(queries)), key=lambda index: len(queries[index].prompt))
    with predicting(model):
        for start in range(0, len(by_length), batch_size):
            if should_stop():
                raise InterruptedByUserError
            rows = by_length[start : start + batch_size]
            searches = [LabelSearch(labels, queries[index]) for index in rows]
            _run(model, searches, device)
            results.update((index, search.result()) for index, search in zip(rows, searches, strict=True))
            if progress is not None:
                progress(len(results))
    return [results[index] for index in range(len(queries))]


@dataclass(frozen=True)
class _Step:
    """Follow ``start`` to the next branch or label: the prefixes on the way, all but a label's own end."""

    row: int
    search: LabelSearch
    start: TrieNode
    chain: list[TrieNode]

    @classmethod
    def make(cls, row: int, search: LabelSearch, start: TrieNode) -> _Step:
        chain = [start]
        while len(chain[-1].children) == 1:
            (following,) = chain[-1].children.values()
            if following.label is not None:
                break
            chain.append(following)
        return cls(row, search, start, chain)


def _run(model: torch.nn.Module, searches: list[LabelSearch], device: torch.device) -> None:
    prompts = [search.query.prompt for search in searches]
    longest = max(map(len, prompts))
    # On the left, so that the distance between two tokens in the cache is their true one, which sliding windows need.
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    # A mask, not ``logits_to_keep=1``: that gives the head a strided (rows, 1, hidden) view, for which torch 2.13 on a CPU
    # copies the whole head once for every row.
    last = torch.zeros_like(mask, dtype=torch.bool)
    last[:, -1] = True
    outputs = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=last)
    cache = outputs.past_key_values
    check_cache(cache)
    most_scores = max(1, PREDICTED_SCORES // outputs.logits.shape[-1])
    most_rows = max(1, _CACHE_AT_ONCE // sum(layer.keys[0].nbytes + layer.values[0].nbytes for layer in cache.layers))
    _take(outputs.logits, [_Step(row, search, search.labels.root, [search.labels.root]) for row, search in enumerate(searches)])

    while steps := [_Step.make(row, search, node) for row, search in enumerate(searches) for node in search.wanted()]:
        for group in _affordable(steps, most_scores, most_rows):
            _follow(model, group, cache, mask, device)


def _follow(model: torch.nn.Module, steps: list[_Step], cache: Any, mask: torch.Tensor, device: torch.device) -> None:
    """One forward over the label tokens of ``steps``, on the prompts' keys and values."""
    rows = torch.tensor([step.row for step in steps], device=device)
    paths = [step.chain[-1].path for step in steps]
    longest = max(map(len, paths))
    ids = torch.tensor([list(path) + [0] * (longest - len(path)) for path in paths], device=device)
    graded = torch.zeros(ids.shape, dtype=torch.bool)
    for index, step in enumerate(steps):
        graded[index, step.start.depth - 1 : step.chain[-1].depth] = True
    prompt_mask = mask[rows]
    positions = prompt_mask.sum(1, keepdim=True) + torch.arange(longest, device=device)
    outputs = model(
        input_ids=ids,
        attention_mask=torch.cat([prompt_mask, torch.ones_like(ids)], dim=1),
        position_ids=positions,
        past_key_values=_select(cache, rows),
        use_cache=True,
        logits_to_keep=graded.to(device),
    )
    _take(outputs.logits, steps)


def _take(scores: torch.Tensor, steps: list[_Step]) -> None:
    """Enter the scores (prefixes of all steps in a row, vocabulary) into the searches."""
    scores = scores.float()
    wanted_row, wanted_token = [], []
    prefixes = [(step, node) for step in steps for node in step.chain]
    for row, (_, node) in enumerate(prefixes):
        wanted_row += [row] * len(node.children)
        wanted_token += list(node.children)
    index = torch.tensor([wanted_row, wanted_token], device=scores.device)
    log_probabilities = (scores[index[0], index[1]] - scores.logsumexp(-1)[index[0]]).tolist()
    best = scores.argmax(-1).tolist()

    values = iter(log_probabilities)
    reached: dict[tuple[int, tuple[int, ...]], float] = {}
    for (step, node), token in zip(prefixes, best, strict=True):
        search = step.search
        so_far = search.open.pop(node.path, 0.0) if node is step.start else reached[step.row, node.path]
        search.greedy[node.path] = token
        for child in node.children.values():
            value = so_far + next(values)
            if len(node.children) == 1 and child in step.chain:
                reached[step.row, child.path] = value
            else:
                search.reach(child, value)


def _affordable(steps: list[_Step], most_scores: int, most_rows: int) -> Iterator[list[_Step]]:
    """The steps in groups of similar length whose scores and cached prompts fit into memory together."""
    group: list[_Step] = []
    held = 0
    for step in sorted(steps, key=lambda step: step.chain[-1].depth):
        if group and (held + len(step.chain) > most_scores or len(group) == most_rows):
            yield group
            group, held = [], 0
        group.append(step)
        held += len(step.chain)
    if group:
        yield group


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
