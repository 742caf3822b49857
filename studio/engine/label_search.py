"""The search for one message's label: best-first over the label trie.

The probability of a prefix bounds that of every label below it, so a label is only scored while it could matter. What
scores the prefixes is not known here.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from studio.core.answers import LabelProbability, Prediction
from studio.core.errors import StudioError
from studio.core.labels import LabelSet, TrieNode

UNEXPLORED = 1e-5
"""The search ends when what is unexplored is less than this share of the label mass found."""
TOP = 5
_EXPANDED_AT_ONCE = 4


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


@dataclass
class LabelSearch:
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
        if not self.found or not all(map(math.isfinite, self.found.values())):
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


def _sum(log_probabilities: Iterable[float], largest: float = 0.0) -> float:
    """The probabilities' sum, in units of the one whose logarithm is ``largest``."""
    return math.fsum(math.exp(value - largest) for value in log_probabilities)
