"""A batch as a tree of tokens: what messages share at their beginning is computed once, and nothing is padded.

A causal model's state at a token depends on the tokens up to it and on nothing else. So messages that begin alike, as they
all do with the words of a template, have the same states there. Here each distinct beginning in a batch is one node. All
nodes stand in one row, and everything in a transformer but attention treats them one by one. Only attention gets every
message as a row of its own, as its path through the tree. Values and gradients are those of the padded batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from studio.core.batch_sizes import GRADED_STEP, LENGTH_STEP, NODES_STEP, SHORT_LENGTH, rounded_up
from studio.data.prompts import Encoded

ATTENTION = "token_tree"
IGNORED = -100

Memory = dict[torch.nn.Module, tuple[torch.Tensor, torch.Tensor]]
"""Keys and values by attention layer, each (messages, heads, length, size)."""


class Tree(Protocol):
    """Nodes in one row that know what each of them sees."""

    def attend(
        self, module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **rest: Any
    ) -> torch.Tensor:
        """Attention of (1, heads, nodes, size), as (1, nodes, heads, size)."""


@dataclass(frozen=True)
class TokenTree:
    """The nodes of a batch, and the way of each message through them.

    ``ids`` and ``positions`` (1, nodes); ``paths`` (messages, length) the nodes of a message, padded on the right with any;
    ``places`` (nodes,) where in ``paths``, flattened, the node's state is taken from. ``shared`` (n,) are the nodes that
    stand elsewhere too: in ``more_places`` (m,), each of which is of the node ``shared[more_of]``. ``graded`` (n,) nodes
    whose next token is supervised, one entry for every such token of a message, and ``targets`` (n,) those tokens,
    ``IGNORED`` where nothing is graded.

    All sizes are rounded up (studio/core/batch_sizes.py).
    """

    ids: torch.Tensor
    positions: torch.Tensor
    paths: torch.Tensor
    places: torch.Tensor
    shared: torch.Tensor
    more_places: torch.Tensor
    more_of: torch.Tensor
    graded: torch.Tensor
    targets: torch.Tensor
    nodes: int
    """How many there are. ``ids`` has a few more, which stand in no message."""
    memory: Memory | None = None
    """Where each layer leaves its keys and values, if they are wanted later."""

    @classmethod
    def of(cls, examples: Sequence[Encoded], device: torch.device, memory: Memory | None = None) -> TokenTree:
        ids: list[int] = []
        positions: list[int] = []
        places: list[int] = []
        more: list[tuple[int, int]] = []
        shared: dict[int, int] = {}
        graded: list[tuple[int, int]] = []
        children: dict[tuple[int, int], int] = {}
        # The last token is only ever predicted.
        length = rounded_up(max(len(example.ids) - 1 for example in examples), LENGTH_STEP)
        paths = torch.zeros(len(examples), length, dtype=torch.long)
        for row, example in enumerate(examples):
            node = -1
            for position, token in enumerate(example.ids[:-1]):
                node = children.setdefault((node, token), len(ids))
                place = row * length + position
                if node == len(ids):
                    ids.append(token)
                    positions.append(position)
                    places.append(place)
                else:
                    more.append((place, shared.setdefault(node, len(shared))))
                paths[row, position] = node
                if example.supervised[position + 1]:
                    graded.append((node, example.ids[position + 1]))
        spare = rounded_up(len(ids), NODES_STEP) - len(ids)
        ungraded = rounded_up(len(graded), GRADED_STEP) - len(graded)

        def on_device(numbers: Sequence[int], fill: int = 0, times: int = 0) -> torch.Tensor:
            return torch.tensor([*numbers, *[fill] * times], dtype=torch.long).to(device)

        return cls(
            ids=on_device(ids, 0, spare)[None],
            positions=on_device(positions, 0, spare)[None],
            paths=paths.to(device),
            places=on_device(places, 0, spare),
            shared=on_device(list(shared)),
            more_places=on_device([place for place, _ in more]),
            more_of=on_device([number for _, number in more]),
            graded=on_device([node for node, _ in graded], 0, ungraded),
            targets=on_device([token for _, token in graded], IGNORED, ungraded),
            nodes=len(ids),
            memory=memory,
        )

    def to_messages(self, states: torch.Tensor) -> torch.Tensor:
        """(1, heads, nodes, size) as (messages, heads, length, size)."""
        flat: torch.Tensor = _ToMessages.apply(states.transpose(1, 2).flatten(2)[0], self)  # type: ignore[no-untyped-call]
        return flat.view(*self.paths.shape, states.shape[1], -1).transpose(1, 2)

    def to_nodes(self, states: torch.Tensor) -> torch.Tensor:
        """(messages, length, heads, size) as (1, nodes, heads, size)."""
        nodes: torch.Tensor = _ToNodes.apply(states.flatten(0, 1), self)  # type: ignore[no-untyped-call]
        return nodes[None]

    def attend(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        sliding_window: int | None = None,
        **rest: Any,
    ) -> torch.Tensor:
        length = self.paths.shape[1]
        steps = torch.arange(length, device=query.device)
        distance = steps[:, None] - steps
        seen = (distance >= 0) & (distance < (sliding_window or length))
        query, key, value = self.to_messages(query), self.to_messages(key), self.to_messages(value)
        if self.memory is not None:
            self.memory[module] = key, value
        if query.dtype == torch.bfloat16 and query.device.type == "cpu" and length <= SHORT_LENGTH:
            return self.to_nodes(_attend_in_bf16(query, key, value, seen, **rest))
        window = seen[None, None] if sliding_window is not None and length > sliding_window else None
        states, _ = sdpa_attention_forward(module, query, key, value, window, **rest)
        return self.to_nodes(states)


class _ToMessages(torch.autograd.Function):
    """Each node's numbers at every place where it stands. Places beyond a message's end hold some node's, for nobody."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, tree: TokenTree) -> torch.Tensor:
        ctx.tree = tree
        return states.index_select(0, tree.paths.flatten())

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        tree: TokenTree = ctx.tree
        # Nearly all nodes stand in one place. Adding up only the others' spares a pass over everything, row by row.
        summed = gradient.index_select(0, tree.places)
        summed[tree.nodes :] = 0
        # In fp32: where each is added by itself, as on CUDA, the last of many messages would hardly count in bf16.
        whole = summed.index_select(0, tree.shared).float()
        whole.index_add_(0, tree.more_of, gradient.index_select(0, tree.more_places).float())
        return summed.index_copy_(0, tree.shared, whole.to(summed.dtype)), None


class _ToNodes(torch.autograd.Function):
    """Each node's numbers, from the first of the places where it stands: they are the same in all."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, tree: TokenTree) -> torch.Tensor:
        ctx.tree, ctx.shape = tree, states.shape
        return states.index_select(0, tree.places)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        nodes = ctx.tree.nodes
        return gradient.new_zeros(ctx.shape).index_copy_(0, ctx.tree.places[:nodes], gradient[:nodes]), None


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    tree: Tree | None = None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention, called with ``tree`` for a batch that is one; (1, nodes, heads, size)."""
    if tree is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **rest)
    return tree.attend(module, query, key, value, **rest), None


def _attend_in_bf16(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    seen: torch.Tensor,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_rest: Any,
) -> torch.Tensor:
    """The same in so many words: for short messages on a CPU torch 2.13's own takes two to three times as long in bf16."""
    messages, heads, length, size = query.shape
    # The heads that share keys stand below each other, so that these need not be repeated.
    together = (messages, key.shape[1], heads // key.shape[1] * length)
    scores = query.reshape(*together, size) @ key.transpose(2, 3) * (scaling or size**-0.5)
    scores = scores.view(messages, heads, length, length).masked_fill(~seen, -math.inf)
    weights = torch.nn.functional.dropout(scores.softmax(-1, dtype=torch.float32).to(value.dtype), dropout)
    return (weights.view(*together, length) @ value).view(messages, heads, length, -1).transpose(1, 2)


AttentionInterface.register(ATTENTION, attend)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
