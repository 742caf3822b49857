"""What training minimises: the summed loss of some messages' supervised tokens, by the fastest way that is right for the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy

from studio.data.prompts import Encoded
from studio.engine.batches import padded_batch
from studio.engine.devices import Compute
from studio.engine.head_loss import head_loss
from studio.engine.token_tree import ATTENTION, IGNORED, TokenTree

Objective = Callable[[Sequence[Encoded]], torch.Tensor]
"""Sum of -log p over the supervised tokens of all messages, in nats; () fp32, to be differentiated."""


class PaddedObjective:
    """Messages padded to one length. Right for every causal model; the head scores only the positions that are graded."""

    def __init__(self, model: torch.nn.Module, device: torch.device, longest: int) -> None:
        self._model, self._device, self._longest = model, device, longest

    def __call__(self, examples: Sequence[Encoded]) -> torch.Tensor:
        batch = padded_batch(examples, self._device, self._longest)
        scores = self._model(input_ids=batch.ids, logits_to_keep=batch.graded, use_cache=False).logits
        return cross_entropy(scores.float(), batch.targets, reduction="sum")


class TreeObjective:
    """Messages as a tree of tokens, and a head without copies. Right for most transformers: ``check`` says for which."""

    def __init__(self, model: torch.nn.Module, compute: Compute) -> None:
        whole: Any = model.get_base_model() if isinstance(model, PeftModel) else model
        whole.set_attn_implementation(ATTENTION)
        self._decoder, self._head = whole.get_decoder(), whole.get_output_embeddings()
        self._compute = compute

    def __call__(self, examples: Sequence[Encoded]) -> torch.Tensor:
        tree = TokenTree.of(examples, self._compute.device)
        with self._compute.accelerator.autocast():
            states = self._decoder(
                input_ids=tree.ids,
                position_ids=tree.positions,
                # Four dimensions: taken as it is, where any other would be made into a mask of nodes by nodes.
                attention_mask=torch.empty(1, 1, 0, 0, device=tree.ids.device),
                use_cache=False,
                tree=tree,
            ).last_hidden_state[0]
            graded = states.index_select(0, tree.graded)
            if type(self._head) is torch.nn.Linear and self._head.bias is None:
                return head_loss(graded, self._head.weight, tree.targets)
            return cross_entropy(self._head(graded).float(), tree.targets, reduction="sum", ignore_index=IGNORED)
