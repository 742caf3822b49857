"""What training minimises: the summed loss of some messages' supervised tokens, by the fastest way that is right for the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy

from studio.core.failures import is_out_of_memory
from studio.data.prompts import Encoded
from studio.engine.batches import padded_batch, supervised_tokens
from studio.engine.classify import predicting
from studio.engine.devices import Compute
from studio.engine.exactness import in_fp32
from studio.engine.head_loss import HeadLoss
from studio.engine.plain_head import has_plain_head
from studio.engine.token_tree import ATTENTION, IGNORED, TokenTree

_TRIED = 4
"""Messages on which the ways are compared."""
_TOLERANCE, _HALF_TOLERANCE = 1e-3, 2e-2
"""Relative, of the loss; torch's own loss is off by 1e-5 where the vocabulary has 262,144 words."""
_TOLERANCE_EACH, _HALF_TOLERANCE_EACH = 1e-4, 5e-2
"""In nats, of each supervised token: what is left of messages that are known by heart is the rounding of their scores."""

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
    """Messages as a tree of tokens, and a head without copies: right for most transformers, as ``choose_objective`` tries out.

    While it is in use the model's attention understands trees; called without one it is what it was.
    """

    def __init__(self, model: torch.nn.Module, compute: Compute, *, autocast: bool = True) -> None:
        whole = _bare(model)
        whole.set_attn_implementation(ATTENTION)
        self._decoder, self._head = whole.get_decoder(), whole.get_output_embeddings()
        self._head_loss = HeadLoss(self._head.weight) if _scores_without_copies(self._head) else None
        self._device = compute.device
        self._autocast = compute.accelerator.autocast if autocast else nullcontext

    def __call__(self, examples: Sequence[Encoded]) -> torch.Tensor:
        tree = TokenTree.of(examples, self._device)
        with self._autocast():
            states = self._decoder(
                input_ids=tree.ids,
                position_ids=tree.positions,
                # Four dimensions: taken as it is, where any other would be made into a mask of nodes by nodes.
                attention_mask=torch.empty(1, 1, 0, 0, device=self._device),
                use_cache=False,
                tree=tree,
            ).last_hidden_state[0]
            graded = states.index_select(0, tree.graded)
            if self._head_loss is not None:
                return self._head_loss(graded, tree.targets)
            return cross_entropy(self._head(graded).float(), tree.targets, reduction="sum", ignore_index=IGNORED)


def choose_objective(
    model: torch.nn.Module, compute: Compute, examples: Sequence[Encoded], log: Callable[[str], object]
) -> Objective:
    """The tree where it gives what padding gives for this very model, tried on a few of the messages; ``log`` is told if not."""
    padded = PaddedObjective(model, compute.device, max(len(example.ids) for example in examples))
    sample = sorted(examples[:_TRIED], key=lambda example: len(example.ids))
    whole = _bare(model)
    before = whole.config._attn_implementation
    # A model that was asked before may read trees already: called without one its attention is what it was.
    known = before in ("sdpa", ATTENTION)
    reason = _difference(model, compute, padded, sample) if known else f"attention of the kind {before!r}"
    if reason is None:
        if compute.kind != "mps":  # where adding a sparse gradient to a dense one was not tried
            _sparse_embedding(whole)
        return TreeObjective(model, compute)
    whole.set_attn_implementation(before)
    log(f"Messages are padded to equal length in training, which is slower: this model has {reason}.")
    return padded


def _difference(model: torch.nn.Module, compute: Compute, padded: PaddedObjective, sample: Sequence[Encoded]) -> str | None:
    """What keeps a model from reading trees; None when nothing does."""
    with predicting(model), in_fp32(model, compute):
        expected = float(padded(sample))
        try:
            if not has_plain_head(_bare(model), sample[0].ids, compute.device):
                return "scores that are more than its head's products"
            # Predictions are in fp32 but on CUDA.
            found = float(TreeObjective(model, compute, autocast=compute.kind == "cuda")(sample))
        except Exception as error:
            # A model's own code may raise anything when it is called in a way that it does not know.
            if is_out_of_memory(error):
                raise
            return f"parts that cannot read messages as a tree ({type(error).__name__})"
    half = compute.kind == "cuda" and compute.precision != "fp32"
    relative, each = (_HALF_TOLERANCE, _HALF_TOLERANCE_EACH) if half else (_TOLERANCE, _TOLERANCE_EACH)
    if math.isclose(found, expected, rel_tol=relative, abs_tol=each * supervised_tokens(sample)):
        return None
    return f"parts that would not be exact on a tree (a loss of {found:.6g} for {expected:.6g})"


def _sparse_embedding(whole: Any) -> None:
    """Let the few rows of the embedding that a batch reads have a gradient of their size, not of the whole vocabulary's.

    It is added to the gradient that the head has left, where both are one matrix.
    """
    embedding, head = whole.get_input_embeddings(), whole.get_output_embeddings()
    if embedding.weight is head.weight and _scores_without_copies(head):
        embedding.sparse = True


def _scores_without_copies(head: torch.nn.Module) -> bool:
    return type(head) is torch.nn.Linear and head.bias is None


def _bare(model: torch.nn.Module) -> Any:
    return model.get_base_model() if isinstance(model, PeftModel) else model
