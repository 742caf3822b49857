"""The loss of the graded positions with what a large vocabulary costs done once: one table of scores, no copies of it."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from studio.core.batch_sizes import GRADED_SCORES
from studio.core.machine import device_kind
from studio.engine.token_tree import IGNORED

_VOCABULARY_AT_ONCE = 2048


def head_loss(states: torch.Tensor, weight: torch.nn.Parameter, targets: torch.Tensor) -> torch.Tensor:
    """Sum of -log p(target) in nats, p = softmax(states @ weight.T) over the vocabulary; () fp32.

    ``states`` (n, hidden), ``weight`` (vocabulary, hidden), ``targets`` (n,) ids, ``IGNORED`` where nothing is graded.
    Products are in autocast's type, all else in fp32. The gradient of a weight that is trained is added to its ``grad``
    straight away, piece by piece: the ordinary way holds it in the type of the product, then in fp32, then adds it.
    """
    kind = states.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype
    loss: torch.Tensor = _HeadLoss.apply(states.to(dtype), weight, targets)  # type: ignore[no-untyped-call]
    return loss


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, weight: torch.nn.Parameter, targets: torch.Tensor) -> torch.Tensor:
        scores = states @ weight.to(states.dtype).t()
        normaliser = torch.cat([part.float().logsumexp(-1) for part in scores.split(_rows_at_once(scores))])
        ctx.save_for_backward(states, weight, targets, scores, normaliser)
        chosen = scores.gather(1, targets.clamp(min=0)[:, None])[:, 0].float()
        return torch.where(targets == IGNORED, 0.0, normaliser - chosen).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        states, weight, targets, scores, normaliser = ctx.saved_tensors
        shares = torch.where(targets == IGNORED, 0.0, gradient)[:, None]
        rows = _rows_at_once(scores)
        for scored, target, whole, share in zip(*(each.split(rows) for each in (scores, targets, normaliser, shares)), strict=True):
            # The scores are needed no more: their gradient, softmax less the target, takes their place.
            part = scored.float().sub_(whole[:, None]).exp_()
            part.scatter_add_(1, target.clamp(min=0)[:, None], part.new_full((len(part), 1), -1))
            scored.copy_(part.mul_(share))
        if weight.requires_grad:
            _add_outer(weight, scores, states)
        return scores @ weight.to(scores.dtype), None, None


def _add_outer(weight: torch.nn.Parameter, scores: torch.Tensor, states: torch.Tensor) -> None:
    """Add scores.T @ states to the weight's gradient."""
    first = weight.grad is None
    if weight.grad is None:
        weight.grad = torch.empty_like(weight)
    for start in range(0, len(weight), _VOCABULARY_AT_ONCE):
        part = scores[:, start : start + _VOCABULARY_AT_ONCE].t() @ states
        room = weight.grad[start : start + _VOCABULARY_AT_ONCE]
        if first:
            room.copy_(part)
        else:
            room.add_(part)


def _rows_at_once(scores: torch.Tensor) -> int:
    return max(1, GRADED_SCORES[device_kind(scores.device.type)] // scores.shape[1])
