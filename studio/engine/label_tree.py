"""Label tokens in one row, each of which sees its message's prompt, the label tokens before it, and itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from studio.core.batch_sizes import NODES_STEP, rounded_up
from studio.core.labels import TrieNode
from studio.engine.label_search import Step
from studio.engine.prompt_memory import PromptMemory
from studio.engine.token_tree import Memory

_MESSAGES_AT_ONCE = 32
"""Messages whose attention is computed together."""


class LabelTree:
    """What the label tokens of some steps see, in the layers' attention."""

    def __init__(
        self,
        prompts: PromptMemory,
        labels: Memory,
        kept: dict[int, dict[TrieNode, int]],
        steps: Sequence[Step],
        device: torch.device,
    ) -> None:
        """``kept`` is told where the tokens that others may follow are from now on."""
        self._prompts, self._labels = prompts.memory, labels
        before = sum(map(len, kept.values()))
        messages = {step.row: _Message(prompts.slots[step.row], prompts.lengths[step.row]) for step in steps}
        keep: list[int] = []
        new = 0
        for step in steps:
            message, known = messages[step.row], kept[step.row]
            path = [known[node] for node in _above(step.search.labels.root, step.chain[0])]
            last_branch = _last_branch(step.chain)
            for index, node in enumerate(step.chain):
                path.append(before + new)
                message.add(new, path)
                if index <= last_branch:
                    known[node] = before + len(keep)
                    keep.append(new)
                new += 1
        self._keep = torch.tensor(keep, dtype=torch.long, device=device)
        # Those with similarly many tokens go together, because attention pads them.
        by_size = sorted(messages.values(), key=lambda message: (len(message.queries), len(message.slots)))
        groups = [by_size[start : start + _MESSAGES_AT_ONCE] for start in range(0, len(by_size), _MESSAGES_AT_ONCE)]
        self._groups = [_Group(group, device) for group in groups]
        places = [0] * rounded_up(new, NODES_STEP)
        start = 0
        for group in groups:
            width = max(len(message.queries) for message in group)
            for row, message in enumerate(group):
                for index, query in enumerate(message.queries):
                    places[query] = start + row * width + index
            start += len(group) * width
        self._places = torch.tensor(places, device=device)

    def attend(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scaling: float | None = None,
        sliding_window: int | None = None,
        **_rest: Any,
    ) -> torch.Tensor:
        query, key, value = (each[0].transpose(0, 1) for each in (query, key, value))  # tokens, heads, size
        keys, values, kept = key, value, (key[self._keep], value[self._keep])
        if module in self._labels:
            known = self._labels[module]
            keys, values = (torch.cat(pair) for pair in zip(known, (key, value), strict=True))
            kept = torch.cat([known[0], kept[0]]), torch.cat([known[1], kept[1]])
        self._labels[module] = kept
        scaling = scaling or query.shape[-1] ** -0.5
        states = [
            group.attend(query, keys, values, self._prompts[module], scaling, sliding_window).flatten(0, 1)
            for group in self._groups
        ]
        return torch.cat(states).index_select(0, self._places)[None]


@dataclass
class _Message:
    """Which label tokens of one message are computed, and which of all that are known they see."""

    slot: int
    """Of its prompt."""
    length: int
    """The prompt's."""
    queries: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    """Of the queries: how many label tokens each sees, itself included."""
    slots: dict[int, tuple[int, int]] = field(default_factory=dict)
    """The place among the kept and the new of each token that is seen: its index here, and its depth."""
    seen: list[tuple[int, int]] = field(default_factory=list)
    """Pairs of a query and the index of a slot."""

    def add(self, query: int, path: Sequence[int]) -> None:
        """``query`` sees all places of ``path``, of which the last is its own."""
        for depth, place in enumerate(path, start=1):
            slot, _depth = self.slots.setdefault(place, (len(self.slots), depth))
            self.seen.append((len(self.queries), slot))
        self.queries.append(query)
        self.depths.append(len(path))


class _Group:
    """Messages whose attention is computed together, padded to the largest."""

    def __init__(self, messages: Sequence[_Message], device: torch.device) -> None:
        most_queries = max(len(message.queries) for message in messages)
        most_slots = max(len(message.slots) for message in messages)
        self._longest = max(message.length for message in messages)
        self._prompts = torch.tensor([message.slot for message in messages], device=device)
        self._queries = _table([message.queries for message in messages], most_queries, device)
        self._slots = _table([list(message.slots) for message in messages], most_slots, device)
        among_labels = torch.zeros(len(messages), most_queries, most_slots, dtype=torch.bool)
        pairs = [(row, query, slot) for row, message in enumerate(messages) for query, slot in message.seen]
        among_labels[tuple(torch.tensor(pairs).t())] = True
        prompt = torch.arange(self._longest, device=device)
        lengths = torch.tensor([[message.length] for message in messages], device=device)
        in_prompt = (prompt < lengths)[:, None].expand(-1, most_queries, -1)
        self._seen = torch.cat([in_prompt, among_labels.to(device)], 2)
        slot_depths = _table([[depth for _, depth in message.slots.values()] for message in messages], most_slots, device)
        key_positions = torch.cat([prompt.expand(len(messages), -1), lengths + slot_depths - 1], 1)
        query_positions = lengths + _table([message.depths for message in messages], most_queries, device) - 1
        self._distance = query_positions[:, :, None] - key_positions[:, None]

    def attend(
        self,
        query: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        prompt: tuple[torch.Tensor, torch.Tensor],
        scaling: float,
        sliding_window: int | None,
    ) -> torch.Tensor:
        """What each query sees (messages, queries, heads, size).

        In so many words, because prompts and label tokens need not be copied into one tensor that way.
        """
        (rows, queries), (heads, size) = self._queries.shape, keys.shape[1:]
        groups = query.shape[1] // heads
        prompt_keys, prompt_values = (each.index_select(0, self._prompts)[:, :, : self._longest] for each in prompt)
        label_keys, label_values = (each[self._slots].transpose(1, 2) for each in (keys, values))
        asked = query[self._queries] * scaling
        asked = asked.view(rows, queries, heads, groups, size).permute(0, 2, 3, 1, 4).reshape(rows, heads, groups * queries, size)
        scores = torch.cat([asked @ prompt_keys.transpose(2, 3), asked @ label_keys.transpose(2, 3)], 3)
        seen = self._seen if sliding_window is None else self._seen & (self._distance < sliding_window)
        scores = scores.view(rows, heads, groups, queries, -1).masked_fill_(~seen[:, None, None], -torch.inf)
        weights = scores.softmax(-1, dtype=torch.float32).to(values.dtype).flatten(2, 3)
        prompt_weights, label_weights = weights.split([self._longest, weights.shape[-1] - self._longest], 3)
        states: torch.Tensor = prompt_weights @ prompt_values + label_weights @ label_values
        return states.view(rows, heads, groups, queries, -1).permute(0, 3, 1, 2, 4).flatten(2, 3)


def _last_branch(chain: Sequence[TrieNode]) -> int:
    """Where in a chain the last node is from which another token than the chain's next may be followed; -1 for nowhere."""
    following = [*chain[1:], None]
    return max(
        (
            index
            for index, node in enumerate(chain)
            if any(child.label is None and child is not following[index] for child in node.children.values())
        ),
        default=-1,
    )


def _above(root: TrieNode, node: TrieNode) -> list[TrieNode]:
    """The prefixes between the root and ``node``, from the shortest."""
    above = []
    for token in node.path[:-1]:
        root = root.children[token]
        above.append(root)
    return above


def _table(rows: Sequence[Sequence[int]], width: int, device: torch.device) -> torch.Tensor:
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)
