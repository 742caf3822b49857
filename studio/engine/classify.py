"""Classification by one rule, everywhere: p(label | message), normalised over the label set.

p(label | message) is the probability that the model writes the label's tokens and then ends, divided by the sum of the
same over all labels: full-vocabulary log-probabilities, no length normalisation. That likelihood is what training
maximises. Here the prefixes that the search asks for are scored, many messages at once.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from peft import PeftModel

from studio.core.batch_sizes import PREDICTED_MESSAGES, PREDICTED_TOKENS
from studio.core.errors import InterruptedByUserError
from studio.core.failures import is_out_of_memory
from studio.core.labels import LabelSet
from studio.engine.devices import Compute
from studio.engine.label_search import LabelSearch, Query, Scored, Step
from studio.engine.padded_scoring import PaddedScoring
from studio.engine.plain_head import has_plain_head
from studio.engine.token_tree import ATTENTION
from studio.engine.tree_scoring import TreeScoring

_FEW, _SURE = 8, 0.03
"""Searches that are few, and the share of all labels' probability with which a prefix is followed further than it must be."""
_TOLD_AT_ONCE = 32
"""Messages between two tidings of progress."""
_TOLERANCE, _HALF_TOLERANCE = 1e-3, 0.3
"""In nats, of a label's log-probability."""
_READS_TREES: WeakKeyDictionary[torch.nn.Module, bool] = WeakKeyDictionary()
"""Whether a model gives as a tree what it gives padded."""


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
    compute: Compute,
    *,
    batch_size: int = PREDICTED_MESSAGES,
    progress: Callable[[int], object] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Scored]:
    """Classify every query; results come in the order of ``queries``. A stop raises ``InterruptedByUserError``.

    At most ``batch_size`` messages are computed together, fewer if they are long.
    """
    results: dict[int, Scored] = {}
    by_length = sorted(range(len(queries)), key=lambda index: len(queries[index].prompt))
    if not queries:
        return []
    with predicting(model):
        scoring = _scoring(model, labels, queries[by_length[0]], compute, batch_size)
        told = 0
        for done in _searched(scoring, ((index, LabelSearch(labels, queries[index])) for index in by_length)):
            if should_stop():
                raise InterruptedByUserError
            results.update((index, search.result()) for index, search in done.items())
            # All that is told is kept in a run's record.
            if progress is not None and (len(results) - told >= _TOLD_AT_ONCE or len(results) == len(queries) > told):
                told = len(results)
                progress(told)
    return [results[index] for index in range(len(queries))]


def reads_trees(model: torch.nn.Module) -> bool | None:
    """Whether a model is asked the fast way; None before it was tried."""
    return _READS_TREES.get(_bare(model))


class _Scoring(Protocol):
    """What scores the prefixes of several searches, each known by its row."""

    def room(self, left: int, lengths: Sequence[int]) -> int:
        """How many searches to begin with beside those ``left``, from the first of those whose prompts have these ``lengths``."""

    def read(self, searches: Mapping[int, LabelSearch], left: Set[int]) -> None:
        """Read the prompts of new ``searches`` and enter what comes first; ``left`` are the rows of those before, not yet done."""

    def follow(self, steps: Sequence[Step], left: Set[int]) -> None:
        """Score the steps' prefixes and enter what was found; ``left`` are the rows of searches that are not done."""


def _searched(scoring: _Scoring, searches: Iterable[tuple[int, LabelSearch]]) -> Iterator[dict[int, LabelSearch]]:
    """Search to the end; yields after every forward the searches that are done now."""
    coming = iter(searches)
    waiting: deque[tuple[int, LabelSearch]] = deque()
    left: dict[int, LabelSearch] = {}
    while True:
        waiting.extend(islice(coming, PREDICTED_MESSAGES - len(waiting)))
        if not waiting and not left:
            return
        room = scoring.room(len(left), [len(search.query.prompt) for _row, search in waiting])
        if new := dict(waiting.popleft() for _ in range(room)):
            scoring.read(new, left.keys())
            left |= new
        # Few tokens take as long as one, because the weights are read: then a guess at what will be wanted costs nothing.
        sure = 0.0 if len(left) <= _FEW else _SURE
        wanted = {row: search.wanted(sure) for row, search in left.items()}
        yield {row: left.pop(row) for row, chains in wanted.items() if not chains}
        steps: list[Step] = []
        held = 0
        for row, search in left.items():
            held += len(search.greedy) + sum(map(len, wanted[row]))
            if steps and held > PREDICTED_TOKENS:
                break  # the others wait until these are done, and what is kept of them is gone
            steps += [Step(row, search, chain) for chain in wanted[row]]
        if steps:
            scoring.follow(steps, left.keys())


def _search(scoring: _Scoring, search: LabelSearch) -> None:
    for _ in _searched(scoring, [(0, search)]):
        pass


def _scoring(model: torch.nn.Module, labels: LabelSet, query: Query, compute: Compute, most: int) -> _Scoring:
    """As a tree, where that gives for this very model what padding gives; tried once for each model, on ``query``."""
    whole = _bare(model)
    padded = PaddedScoring(model, compute.device, most)
    if whole not in _READS_TREES:
        _READS_TREES[whole] = _reads_trees(whole, padded, labels, query, compute)
    return TreeScoring(whole, compute, most) if _READS_TREES[whole] else padded


def _reads_trees(whole: Any, padded: _Scoring, labels: LabelSet, query: Query, compute: Compute) -> bool:
    before = getattr(getattr(whole, "config", None), "_attn_implementation", None)
    if before not in ("sdpa", ATTENTION):
        return False
    expected, found = LabelSearch(labels, query), LabelSearch(labels, query)
    _search(padded, expected)
    try:
        whole.set_attn_implementation(ATTENTION)
        head = whole.get_output_embeddings()
        fits = type(head) is torch.nn.Linear and head.bias is None and has_plain_head(whole, query.prompt, compute.device)
        if fits:
            _search(TreeScoring(whole, compute), found)
    except Exception as error:
        # A model's own code may raise anything when it is called in a way that it does not know.
        if is_out_of_memory(error):
            raise
        fits = False
    tolerance = _TOLERANCE if compute.kind != "cuda" or compute.precision == "fp32" else _HALF_TOLERANCE
    common = expected.found.keys() & found.found.keys()
    if (
        fits
        and common
        and all(math.isclose(expected.found[label], found.found[label], abs_tol=tolerance, rel_tol=1e-5) for label in common)
    ):
        return True
    whole.set_attn_implementation(before)
    return False


def _bare(model: torch.nn.Module) -> Any:
    return model.get_base_model() if isinstance(model, PeftModel) else model
