"""Prefixes of labels scored as a tree that grows from the prompts: each token is computed once and nothing is padded.

Prompts are read as a tree of tokens, and each layer leaves their keys and values. The label tokens that the searches ask for
next stand in one row, whichever message they belong to; only attention sees them message by message. New prompts are read as
messages are done, so that there are many tokens in a row to the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from contextlib import nullcontext
from typing import Any

import torch

from studio.core.batch_sizes import LENGTH_STEP, NODES_STEP, PREDICTED_BYTES, PREDICTED_MESSAGES, PREDICTED_TOKENS, rounded_up
from studio.core.labels import TrieNode
from studio.data.prompts import Encoded
from studio.engine.devices import Compute
from studio.engine.head_scores import HeadScores
from studio.engine.label_search import LabelSearch, Step
from studio.engine.label_tree import LabelTree
from studio.engine.prompt_memory import PromptMemory
from studio.engine.token_tree import Memory, TokenTree, Tree

_NODES_AT_ONCE = 1024
"""Label tokens in one forward."""
_FEW_PROMPTS = 32
"""Fewer are not read while others are searched for."""


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
        token = self._prompts.token_bytes
        if not token:
            return min(1, len(lengths))  # which tells how much a token takes
        new, longest = 0, self._prompts.length if left else 0
        for length in lengths:
            longest = max(longest, rounded_up(length, LENGTH_STEP))
            more, searched = new + 1, left + new + 1
            if searched > self._most or more * longest > PREDICTED_TOKENS or searched * longest * token > PREDICTED_BYTES:
                break
            new = more
        if not left:
            return max(1, new)
        # A few prompts take as long to read as some.
        return new if new >= min(_FEW_PROMPTS, len(lengths)) else 0

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
        tree = LabelTree(self._prompts, self._labels, self._kept, steps, device)
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
            found = [{token: next(values) for token in node.children} for node in step.chain]
            step.search.enter(step.chain, found, [next(most) for _ in step.chain])
