"""Prefixes of labels scored as a tree that grows from the prompts: each token is computed once and nothing is padded.

Prompts are read as a tree of tokens, and each layer leaves their keys and values. The label tokens that the searches ask for
next stand in one row, whichever message they belong to; only attention sees them message by message. New prompts are read as
messages are done, so that there are many tokens in a row to the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from studio.core.batch_sizes import LENGTH_STEP, NODES_STEP, PREDICTED_MESSAGES, PREDICTED_TOKENS, rounded_up
from studio.core.labels import TrieNode
from studio.data.prompts import Encoded
from studio.engine.devices import Compute
from studio.engine.head_scores import HeadScores
from studio.engine.label_search import LabelSearch, Step
from studio.engine.prompt_memory import PromptMemory
from studio.engine.token_tree import Memory, TokenTree, Tree

_NODES_AT_ONCE = 1024
"""Label tokens in one forward."""
_MESSAGES_AT_ONCE = 32
"""Messages whose attention is computed together."""
_PROMPTS_AT_ONCE = 32
"""Prompts that are waited for before new ones are read."""


class TreeScoring:
    """Searches whose prefixes are scored by a model's decoder and head; ``classify`` tries out for which models that is right."""

    def __init__(self, model: Any, compute: Compute, most: int = PREDICTED_MESSAGES) -> None:
        """``model`` is bare, and its attention understands trees; ``most`` messages are searched for at once."""
        self._decoder, self._head = model.get_decoder(), HeadScores(model.get_output_embeddings().weight)
        self._compute = compute
        self._most = most
        self._prompts = PromptMemory()
        self._labels: Memory = {}
        """Keys and values of label tokens that others may follow, each (tokens, heads, size)."""
        self._kept: dict[int, dict[TrieNode, int]] = {}
        """Where in these a message's tokens are."""

    def room(self, left: int, lengths: Sequence[int]) -> int:
        """See ``classify``."""
        new, longest = 0, self._prompts.length if left else 0
        for length in lengths:
            longest = max(longest, rounded_up(length, LENGTH_STEP))
            searched = left + new
            if searched and (searched == self._most or (searched + 1) * longest > PREDICTED_TOKENS):
                break
            new += 1
        # Few prompts take as long as some.
        return new if not left or new >= min(_PROMPTS_AT_ONCE, len(lengths)) else 0

    def read(self, searches: Mapping[int, LabelSearch], left: Set[int]) -> None:
        """See ``classify``."""
        prompts = [search.query.prompt for search in searches.values()]
        # One more token, because the tree leaves out the last one, which is only ever predicted.
        rows = [Encoded([*prompt, 0], [False] * len(prompt) + [True], False) for prompt in prompts]
        read: Memory = {}
        tree = TokenTree.of(rows, self._compute.device, read)
        steps = [Step(row, search, [search.labels.root]) for row, search in searches.items()]
        self._score(tree, tree.ids, tree.positions, tree.graded, steps)
        self._prompts.add(list(searches), list(map(len, prompts)), read, left)
        self._kept.update({row: {} for row in searches})

    def follow(self, steps: Sequence[Step], left: Set[int]) -> None:
        """See ``classify``."""
        self._forget(left)
        group: list[Step] = []
        for step in steps:
            if group and sum(len(other.chain) for other in group) + len(step.chain) > _NODES_AT_ONCE:
                self._grow(group)
                group = []
            group.append(step)
        if group:
            self._grow(group)

    def _forget(self, left: Set[int]) -> None:
        """Let go the label tokens of messages that are done, once they are most of those kept."""
        if 2 * sum(len(self._kept[row]) for row in left) > sum(map(len, self._kept.values())):
            return
        self._kept = {row: known for row, known in self._kept.items() if row in left}
        stay: list[int] = []
        for known in self._kept.values():
            for node, place in known.items():
                known[node] = len(stay)
                stay.append(place)
        index = torch.tensor(stay, dtype=torch.long, device=self._compute.device)
        for module, (keys, values) in self._labels.items():
            self._labels[module] = keys[index], values[index]

    def _grow(self, steps: Sequence[Step]) -> None:
        """One forward over the last tokens of all prefixes in ``steps``."""
        device = self._compute.device
        nodes = [(step.row, node) for step in steps for node in step.chain]
        spare = rounded_up(len(nodes), NODES_STEP) - len(nodes)
        tree = _Growth(self._prompts, self._labels, self._kept, steps, device)
        ids = torch.tensor([[*(node.path[-1] for _, node in nodes), *[0] * spare]], device=device)
        positions = torch.tensor(
            [[*(self._prompts.lengths[row] + node.depth - 1 for row, node in nodes), *[0] * spare]], device=device
        )
        self._score(tree, ids, positions, torch.arange(len(nodes) + spare, device=device), steps)

    def _score(self, tree: Tree, ids: torch.Tensor, positions: torch.Tensor, graded: torch.Tensor, steps: Sequence[Step]) -> None:
        """Compute ``ids`` and enter what follows the ``graded`` ones of them, which are the prefixes of ``steps`` in a row."""
        device = self._compute.device
        prefixes = [node for step in steps for node in step.chain]
        tokens = sorted({token for node in prefixes for token in node.children})
        column = {token: index for index, token in enumerate(tokens)}
        # Predictions are in fp32 but on CUDA.
        with self._compute.accelerator.autocast() if self._compute.kind == "cuda" else nullcontext():
            states = self._decoder(
                input_ids=ids,
                position_ids=positions,
                # Four dimensions: taken as it is, where any other would be made into a mask of nodes by nodes.
                attention_mask=torch.empty(1, 1, 0, 0, device=device),
                use_cache=False,
                tree=tree,
            ).last_hidden_state[0]
            scores, highest = self._head.of(states.index_select(0, graded), torch.tensor(tokens, device=device))
        rows = [row for row, node in enumerate(prefixes) for _ in node.children]
        columns = [column[token] for node in prefixes for token in node.children]
        values, most = iter(scores[rows, columns].tolist()), iter(highest.tolist())
        for step in steps:
            step.search.enter(step.chain, [{token: next(values) for token in node.children} for node in step.chain], most)


class _Growth:
    """Label tokens that see their prompt, the label tokens before them and themselves."""

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
