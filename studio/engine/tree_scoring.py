"""Prefixes of labels scored as a tree that grows from the prompts: each token is computed once and nothing is padded.

The prompts of a batch are read as a tree of tokens, and each layer leaves their keys and values. The label tokens that the
searches ask for next stand in one row, whichever message they belong to; only attention sees them message by message.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from contextlib import nullcontext
from typing import Any

import torch

from studio.core.batch_sizes import NODES_STEP, rounded_up
from studio.core.labels import TrieNode
from studio.data.prompts import Encoded
from studio.engine.devices import Compute
from studio.engine.head_scores import head_scores
from studio.engine.label_search import LabelSearch, Step
from studio.engine.token_tree import Memory, TokenTree, Tree

_NODES_AT_ONCE = 2048
"""Label tokens in one forward."""


class TreeScoring:
    """One batch of searches whose prefixes are scored by a model's decoder and head; ``tried_scoring`` says for which models."""

    def __init__(self, model: Any, searches: Sequence[LabelSearch], compute: Compute) -> None:
        """``model`` is bare, and its attention understands trees."""
        self._decoder, self._head = model.get_decoder(), model.get_output_embeddings()
        self._compute = compute
        self._prompts: Memory = {}
        self._labels: Memory = {}
        """Keys and values of label tokens that others may follow, each (tokens, heads, size)."""
        self._kept: list[dict[TrieNode, int]] = [{} for _ in searches]
        """Where in these a message's tokens are."""
        self._lengths = [len(search.query.prompt) for search in searches]
        # One more token, because the tree leaves out the last one, which is only ever predicted.
        prompts = [Encoded([*search.query.prompt, 0], [False] * len(search.query.prompt) + [True], False) for search in searches]
        tree = TokenTree.of(prompts, compute.device, self._prompts)
        steps = [Step(row, search, [search.labels.root]) for row, search in enumerate(searches)]
        self._score(tree, tree.ids, tree.positions, tree.graded, steps)

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
        if 2 * sum(len(self._kept[row]) for row in left) > sum(map(len, self._kept)):
            return
        stay: list[int] = []
        for row, known in enumerate(self._kept):
            if row not in left:
                known.clear()
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
        tree = _Growth(self._prompts, self._labels, self._lengths, self._kept, steps, device)
        ids = torch.tensor([[*(node.path[-1] for _, node in nodes), *[0] * spare]], device=device)
        positions = torch.tensor([[*(self._lengths[row] + node.depth - 1 for row, node in nodes), *[0] * spare]], device=device)
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
            scores, highest = head_scores(states.index_select(0, graded), self._head.weight, torch.tensor(tokens, device=device))
        rows = [row for row, node in enumerate(prefixes) for _ in node.children]
        columns = [column[token] for node in prefixes for token in node.children]
        values, most = iter(scores[rows, columns].tolist()), iter(highest.tolist())
        for step in steps:
            step.search.enter(step.chain, [{token: next(values) for token in node.children} for node in step.chain], most)


class _Growth:
    """Label tokens that see their prompt, the label tokens before them and themselves."""

    def __init__(
        self,
        prompts: Memory,
        labels: Memory,
        lengths: Sequence[int],
        kept: list[dict[TrieNode, int]],
        steps: Sequence[Step],
        device: torch.device,
    ) -> None:
        """``kept`` is told where the tokens that others may follow are from now on."""
        self._prompts, self._labels = prompts, labels
        before = sum(map(len, kept))
        rows = sorted({step.row for step in steps})
        place = {row: index for index, row in enumerate(rows)}
        queries: list[list[tuple[int, int]]] = [[] for _ in rows]  # node, position
        slots: list[dict[int, tuple[int, int]]] = [{} for _ in rows]  # among the kept and the new: index, position
        seen: list[tuple[int, int, int]] = []  # message, query, slot
        keep: list[int] = []
        new = 0
        for step in steps:
            message, known = place[step.row], kept[step.row]
            above = _above(step.search.labels.root, step.chain[0])
            path = [known[node] for node in above]
            last_branch = _last_branch(step.chain)
            for index, node in enumerate(step.chain):
                path.append(before + new)
                for ancestor, depth in zip(path, range(1, len(path) + 1), strict=True):
                    slot = slots[message].setdefault(ancestor, (len(slots[message]), lengths[step.row] + depth - 1))[0]
                    seen.append((message, len(queries[message]), slot))
                queries[message].append((new, lengths[step.row] + node.depth - 1))
                if index <= last_branch:
                    known[node] = before + len(keep)
                    keep.append(new)
                new += 1
        most_queries, most_slots = max(map(len, queries)), max(map(len, slots))
        longest = max(lengths[row] for row in rows)
        self._rows = None if len(rows) == len(lengths) else torch.tensor(rows, device=device)
        self._shape = (len(rows), most_queries)
        self._keep = torch.tensor(keep, dtype=torch.long, device=device)
        self._longest = longest
        self._queries = _table([[node for node, _ in row] for row in queries], most_queries, device)
        self._slots = _table([list(row) for row in slots], most_slots, device)
        where = {node: (message, query) for message, row in enumerate(queries) for query, (node, _) in enumerate(row)}
        spare = rounded_up(new, NODES_STEP) - new
        self._places = torch.tensor(
            [*(where[node][0] * most_queries + where[node][1] for node in range(new)), *[0] * spare], device=device
        )
        slot_positions = _table([[position for _, position in row.values()] for row in slots], most_slots, device)
        query_positions = _table([[position for _, position in row] for row in queries], most_queries, device)
        among_labels = torch.zeros(len(rows), most_queries, most_slots, dtype=torch.bool)
        among_labels[tuple(torch.tensor(seen).t())] = True
        prompt = torch.arange(longest, device=device)
        in_prompt = prompt < torch.tensor([lengths[row] for row in rows], device=device)[:, None]
        self._seen = torch.cat([in_prompt[:, None].expand(-1, most_queries, -1), among_labels.to(device)], 2)
        key_positions = torch.cat([prompt.expand(len(rows), -1), slot_positions], 1)
        self._distance = query_positions[:, :, None] - key_positions[:, None]

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
        """In so many words, because prompts and label tokens need not be copied into one tensor that way."""
        rows, queries = self._shape
        heads, size = key.shape[1], query.shape[-1]
        groups = query.shape[1] // heads
        key, value = key[0].transpose(0, 1), value[0].transpose(0, 1)
        if module in self._labels:
            keys, values = (torch.cat(pair) for pair in zip(self._labels[module], (key, value), strict=True))
            kept = [torch.cat(pair) for pair in zip(self._labels[module], (key[self._keep], value[self._keep]), strict=True)]
        else:
            keys, values, kept = key, value, [key[self._keep], value[self._keep]]
        self._labels[module] = kept[0], kept[1]
        prompt_keys, prompt_values = (
            (each if self._rows is None else each.index_select(0, self._rows))[:, :, : self._longest]
            for each in self._prompts[module]
        )
        label_keys, label_values = (each[self._slots].transpose(1, 2) for each in (keys, values))
        asked = query[0].transpose(0, 1)[self._queries]  # messages, queries, heads, size
        asked = asked.view(rows, queries, heads, groups, size).permute(0, 2, 3, 1, 4).reshape(rows, heads, groups * queries, size)
        scores = torch.cat([asked @ prompt_keys.transpose(2, 3), asked @ label_keys.transpose(2, 3)], 3)
        seen = self._seen if sliding_window is None else self._seen & (self._distance < sliding_window)
        scores = (scores * (scaling or size**-0.5)).view(rows, heads, groups, queries, -1)
        weights = (
            scores.masked_fill(~seen[:, None, None], -torch.inf).softmax(-1, dtype=torch.float32).to(value.dtype).flatten(2, 3)
        )
        prompt_weights, label_weights = weights.split([self._longest, weights.shape[-1] - self._longest], 3)
        states: torch.Tensor = prompt_weights @ prompt_values + label_weights @ label_values
        states = states.view(rows, heads, groups, queries, -1).permute(0, 3, 1, 2, 4).reshape(rows * queries, heads * groups, -1)
        return states.index_select(0, self._places)[None]


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
