"""Classification by one rule, everywhere: p(label | message), normalised over the label set.

p(label | message) is the probability that the model writes the label's tokens and then ends, divided by the sum of the
same over all labels: full-vocabulary log-probabilities, no length normalisation. That likelihood is what training
maximises. The search is best-first over the label trie: the probability of a prefix bounds that of every label below
it, so a label is only scored while it could matter.
"""

from __future__ import annotations

import copy
import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from studio.core.errors import InterruptedByUserError, StudioError
from studio.core.events import LabelProbability, Prediction
from studio.core.labels import LabelSet, TrieNode

UNEXPLORED = 1e-5
"""The search ends when what is unexplored is less than this share of the label mass found."""
TOP = 5
SUPPORTED = "Choose a transformer that writes text, such as Gemma, Llama, Qwen or GPT-2."
_EXPANDED_AT_ONCE = 4
_SCORES_AT_ONCE = 2**24
"""Scores (positions x vocabulary) kept at once: 64 MiB in fp32."""
_CACHE_AT_ONCE = 2**28
"""Bytes of the prompts' keys and values copied at once."""


@dataclass(frozen=True)
class Query:
    """A message to classify: its prompt's token ids and, where it is known, the index of its true label."""

    text: str
    prompt: Sequence[int]
    label: int | None = None


@dataclass(frozen=True)
class Scored:
    """One message's result. ``nats`` is -log p(true label's tokens | prompt), not normalised; None without a true label."""

    prediction: Prediction
    nats: float | None


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
    batch_size: int = 32,
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
            searches = [_Search(labels, queries[index]) for index in rows]
            _run(model, searches, device)
            results.update((index, search.result()) for index, search in zip(rows, searches, strict=True))
            if progress is not None:
                progress(len(results))
    return [results[index] for index in range(len(queries))]


@dataclass
class _Search:
    """Best-first search for one message. All probabilities are natural logarithms."""

    labels: LabelSet
    query: Query
    found: dict[int, float] = field(default_factory=dict)
    """Log-probability of each label that was scored to its end."""
    open: dict[tuple[int, ...], float] = field(default_factory=dict)
    """Log-probability of each prefix that was reached but not followed."""
    greedy: dict[tuple[int, ...], int] = field(default_factory=dict)
    """The vocabulary's most probable token after each prefix that was followed."""

    def reach(self, node: TrieNode, log_probability: float) -> None:
        if node.label is not None:
            self.found[node.label] = log_probability
        else:
            self.open[node.path] = log_probability

    def wanted(self) -> list[TrieNode]:
        """The prefixes to follow next; none when the search is done."""
        wanted = {node.path: node for node in (self._greedy_end(), self._towards_true_label()) if node is not None}
        # Relative to the largest, because the probabilities themselves may be too small for a float.
        largest = max((*self.found.values(), *self.open.values()))
        found, unexplored = _sum(self.found.values(), largest), _sum(self.open.values(), largest)
        if self.open and unexplored >= UNEXPLORED * found:
            best = heapq.nlargest(_EXPANDED_AT_ONCE, self.open.items(), key=lambda entry: entry[1])
            # Followed together: those that each hold a fair share of what is still open.
            for path, log_probability in best:
                if path == best[0][0] or math.exp(log_probability - largest) > 0.05 * unexplored:
                    wanted[path] = self._node(path)
        return list(wanted.values())

    def result(self) -> Scored:
        if not all(map(math.isfinite, self.found.values())):
            raise StudioError(
                "The model gives no label a probability: its scores are not finite numbers.",
                "The run has become unstable; train again with a lower learning rate or in fp32.",
                kind="not_finite",
            )
        ranked = sorted(self.found.items(), key=lambda entry: (-entry[1], entry[0]))
        names = self.labels.names
        true = self.query.label
        share = {label: math.exp(value - ranked[0][1]) for label, value in ranked}
        whole = sum(share.values())
        return Scored(
            Prediction(
                text=self.query.text,
                predicted=names[ranked[0][0]],
                probability=share[ranked[0][0]] / whole,
                top=[LabelProbability(label=names[label], probability=share[label] / whole) for label, _ in ranked[:TOP]],
                left_set=self._greedy_left_set(),
                outside_mass=max(0.0, 1.0 - _sum(self.found.values()) - _sum(self.open.values())),
                label=None if true is None else names[true],
                label_probability=None if true is None else share[true] / whole,
            ),
            None if true is None else -self.found[true],
        )

    def _greedy_end(self) -> TrieNode | None:
        """The first prefix on the greedy path that was not followed yet; None once it left the set or closed a label."""
        node = self.labels.root
        while node.path in self.greedy:
            following = node.children.get(self.greedy[node.path])
            if following is None:
                return None
            node = following
        return node if node.label is None else None

    def _greedy_left_set(self) -> bool:
        node = self.labels.root
        while node.label is None:
            following = node.children.get(self.greedy[node.path])
            if following is None:
                return True
            node = following
        return False

    def _towards_true_label(self) -> TrieNode | None:
        if self.query.label is None or self.query.label in self.found:
            return None
        ids = self.labels.token_ids[self.query.label]
        return next(self._node(ids[:depth]) for depth in range(len(ids)) if ids[:depth] in self.open)

    def _node(self, path: tuple[int, ...]) -> TrieNode:
        node = self.labels.root
        for token in path:
            node = node.children[token]
        return node


@dataclass(frozen=True)
class _Step:
    """Follow ``start`` to the next branch or label: the prefixes on the way, all but a label's own end."""

    row: int
    search: _Search
    start: TrieNode
    chain: list[TrieNode]

    @classmethod
    def make(cls, row: int, search: _Search, start: TrieNode) -> _Step:
        chain = [start]
        while len(chain[-1].children) == 1:
            (following,) = chain[-1].children.values()
            if following.label is not None:
                break
            chain.append(following)
        return cls(row, search, start, chain)


def _run(model: torch.nn.Module, searches: list[_Search], device: torch.device) -> None:
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
    most_scores = max(1, _SCORES_AT_ONCE // outputs.logits.shape[-1])
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


def _sum(log_probabilities: Iterable[float], largest: float = 0.0) -> float:
    """The probabilities' sum, in units of the one whose logarithm is ``largest``."""
    return math.fsum(math.exp(value - largest) for value in log_probabilities)
