"""The loss of the graded positions with what a large vocabulary costs done once: one table of scores, no copies of it."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from studio.core.batch_sizes import GRADED_SCORES
from studio.core.machine import device_kind
from studio.engine.token_tree import IGNORED

_VOCABULARY_AT_ONCE = 2048
_KEPT_LARGER = {torch.float16: 2.0**10}
"""By how much the gradient of scores is kept too large: fp16 knows nothing below 6e-8, which most of 262,144 words have."""


class HeadLoss:
    """The loss under one head, ``weight`` (vocabulary, hidden).

    Products are in autocast's type, all else in fp32. The gradient of a weight that is trained is added to its ``grad``
    straight away, piece by piece: the ordinary way holds it in the type of the product, then in fp32, then adds it. The room
    for it, and for the weight in the type of the products, is kept from step to step: to get hundreds of megabytes anew takes
    a CPU longer than to fill them.
    """

    def __init__(self, weight: torch.nn.Parameter) -> None:
        self.weight = weight
        self._narrow: torch.Tensor | None = None
        self._version = -1
        self._gradient: torch.Tensor | None = None

    def __call__(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Sum of -log p(target) in nats, p = softmax(states @ weight.T) over the vocabulary; () fp32.

        ``states`` (n, hidden), ``targets`` (n,) ids, ``IGNORED`` where nothing is graded.
        """
        kind = states.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype
        loss: torch.Tensor = _HeadLoss.apply(states.to(dtype), self.weight, targets, self)  # type: ignore[no-untyped-call]
        return loss

    def in_type(self, dtype: torch.dtype) -> torch.Tensor:
        """The weight as ``dtype``, as it is now."""
        if self.weight.dtype == dtype:
            return self.weight
        if self._narrow is None or self._narrow.dtype != dtype:
            self._narrow, self._version = torch.empty_like(self.weight, dtype=dtype), -1
        if self._version != self.weight._version:
            self._narrow.copy_(self.weight.detach())
            self._version = self.weight._version
        return self._narrow

    def add_outer(self, scores: torch.Tensor, states: torch.Tensor) -> None:
        """Add scores.T @ states to the weight's gradient."""
        first = self.weight.grad is None
        if self.weight.grad is None:
            if self._gradient is None:
                self._gradient = torch.empty_like(self.weight)
            self.weight.grad = self._gradient
        for start in range(0, len(self.weight), _VOCABULARY_AT_ONCE):
            part = scores[:, start : start + _VOCABULARY_AT_ONCE].t() @ states
            room = self.weight.grad[start : start + _VOCABULARY_AT_ONCE]
            if first:
                room.copy_(part)
            else:
                room.add_(part)


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, weight: torch.nn.Parameter, targets: torch.Tensor, head: HeadLoss) -> torch.Tensor:
        scores = states @ head.in_type(states.dtype).t()
        graded = (targets != IGNORED)[:, None]
        rows = _rows_at_once(scores)
        losses = []
        larger = _KEPT_LARGER.get(scores.dtype, 1.0)
        for scored, target, counts in zip(*(each.split(rows) for each in (scores, targets, graded)), strict=True):
            chosen = target.clamp(min=0)[:, None]
            part = scored.float()
            largest = part.amax(-1, keepdim=True)
            of_chosen = part.gather(1, chosen) - largest
            whole = part.sub_(largest).exp_().sum(-1, keepdim=True)
            losses.append((whole.log() - of_chosen) * counts)
            # The scores are needed no more: their gradient, softmax less the target, takes their place.
            weighted = counts * larger
            part.mul_(weighted / whole).scatter_add_(1, chosen, -weighted)
            scored.copy_(part)
        ctx.head = head
        # The weight is among them so that a change of it in place before the way back is refused.
        ctx.save_for_backward(states, weight, scores)
        return torch.cat(losses).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        states, weight, scores = ctx.saved_tensors
        head: HeadLoss = ctx.head
        # In fp32: rounded, it would make the whole gradient too large or too small.
        share = gradient / _KEPT_LARGER.get(scores.dtype, 1.0)
        if weight.requires_grad:
            head.add_outer(scores, (states.float() * share).to(states.dtype))
        towards = (scores @ head.in_type(scores.dtype)).float() * share
        return towards.to(states.dtype), None, None, None


def _rows_at_once(scores: torch.Tensor) -> int:
    return max(1, GRADED_SCORES[device_kind(scores.device.type)] // scores.shape[1])
