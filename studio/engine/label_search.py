"""The search for one message's label: best-first over the label trie.

The probability of a prefix bounds that of every label below it, so a label is only scored while it could matter. What
scores the prefixes is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from studio.core.answers import LabelProbability, Prediction
from studio.core.errors import StudioError
from studio.core.labels import LabelSet, TrieNode

TOLERANCE = 8e-5
"""A search ends when no probability can be further than this from the one that following every prefix would give."""
TOP = 5
_ROUNDING = 1e-4


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


@dataclass(frozen=True)
class Step:
    """Prefixes of one search, the ``row``-th of its batch, that are scored together: ``chain`` goes down from an open one."""

    row: int
    search: LabelSearch
    chain: list[TrieNode]


@dataclass
class LabelSearch:
    """Best-first search for one message. All probabilities are natural logarithms."""

    labels: LabelSet
    query: Query
    found: dict[int, float] = field(default_factory=dict)
    """Log-probability of each label that was scored to its end."""
    open: dict[TrieNode, float] = field(default_factory=dict)
    """Log-probability of each prefix that was reached but not followed."""
    greedy: dict[TrieNode, TrieNode | None] = field(default_factory=dict)
    """What free greedy decoding writes after each prefix that was followed; None where that leaves the labels."""

    def enter(self, chain: Sequence[TrieNode], scores: Iterable[Mapping[int, float]], highest: Iterable[float]) -> None:
        """What was found after each prefix of ``chain``: its children's log-probabilities, and the vocabulary's ``highest``."""
        so_far = self.open.pop(chain[0], 0.0)
        for node, following, log_probabilities, most in zip(chain, [*chain[1:], None], scores, highest, strict=True):
            token = max(log_probabilities, key=log_probabilities.__getitem__)
            # The two were computed in products of other shapes.
            self.greedy[node] = node.children[token] if log_probabilities[token] >= most - _ROUNDING else None
            for child in node.children.values():
                value = so_far + log_probabilities[child.path[-1]]
                if child.label is not None:
                    self.found[child.label] = value
                elif child is not following:
                    self.open[child] = value
            if following is not None:
                so_far += log_probabilities[following.path[-1]]

    def wanted(self, sure: float = 0.0) -> list[list[TrieNode]]:
        """The prefixes to follow next, as chains from an open one downwards; none when the search is done.

        Those with at least the share ``sure`` of what labels can still have are followed to the next branch at once.
        """
        true, greedy = self._towards_true_label(), self._greedy_end()
        chains = {chain[0]: chain for chain in (_forced(greedy) if greedy else None, true) if chain}
        # Relative to the largest, because the probabilities themselves may be too small for a float.
        largest = max((*self.found.values(), *self.open.values()))
        found, unexplored = _sum(self.found.values(), largest), _sum(self.open.values(), largest)
        mass = {node: math.exp(value - largest) for node, value in self.open.items()}
        # The search cannot end before these are followed, because what is found never exceeds what is known now.
        needed = [node for node, share in mass.items() if share >= 2 * TOLERANCE * (found + unexplored)]
        # Half of what is unexplored is taken to belong to labels, all or nothing of it may: see ``result``.
        best = max(self.found.values(), default=-math.inf)
        small = 2 * TOLERANCE * found**2 / math.exp(best - largest) if found else 0.0
        surest = max(mass.values(), default=0.0)
        if needed or unexplored > small or surest > math.exp(best - largest):
            for node in needed or _until_the_rest_is_small(mass, small):
                chains.setdefault(node, _forced(node) if mass[node] >= sure * (found + unexplored) else [node])
        return list(chains.values())

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
        # A probability lies between those with all and with nothing of the unexplored in the sum.
        whole = sum(share.values()) + _sum(self.open.values(), ranked[0][1]) / 2
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
        node: TrieNode | None = self.labels.root
        while node in self.greedy:
            node = self.greedy[node]
        return None if node is None or node.label is not None else node

    def _greedy_left_set(self) -> bool:
        node: TrieNode | None = self.labels.root
        while node is not None and node.label is None:
            node = self.greedy[node]
        return node is None

    def _towards_true_label(self) -> list[TrieNode] | None:
        """All that is still to be scored of the true label."""
        if self.query.label is None or self.query.label in self.found:
            return None
        chain: list[TrieNode] = []
        node = self.labels.root
        for token in self.labels.token_ids[self.query.label]:
            if chain or node in self.open:
                chain.append(node)
            node = node.children[token]
        return chain


def _forced(start: TrieNode) -> list[TrieNode]:
    """From ``start`` to the next branch or label, without the label's own end."""
    chain = [start]
    while len(chain[-1].children) == 1:
        (following,) = chain[-1].children.values()
        if following.label is not None:
            break
        chain.append(following)
    return chain


def _until_the_rest_is_small(mass: Mapping[TrieNode, float], small: float) -> list[TrieNode]:
    """The largest, so many that the others together are below ``small``."""
    rest = math.fsum(mass.values())
    chosen: list[TrieNode] = []
    for node in sorted(mass, key=lambda node: -mass[node]):
        if chosen and rest < small:
            break
        chosen.append(node)
        rest -= mass[node]
    return chosen


def _sum(log_probabilities: Iterable[float], largest: float = 0.0) -> float:
    """The probabilities' sum, in units of the one whose logarithm is ``largest``."""
    return math.fsum(math.exp(value - largest) for value in log_probabilities)
