"""LoRA's two products, added to a layer's result where it stands.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021. peft computes the adapter's part, a scaled copy of it, and
the sum: three matrices as large as the layer's result, and one more on the way back. Here only the narrow side, of the adapter's
rank, is scaled, and the wide one is added by the product itself.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import LoraVariant
from torch.autograd.function import once_differentiable


class InPlace(LoraVariant):
    """Takes the place of peft's own sum. Merging and saving are not its business: it is for models in training."""

    @staticmethod
    def forward(module: LoraLayer, active_adapter: str, x: torch.Tensor, result: torch.Tensor, **_rest: Any) -> torch.Tensor:
        narrow, wide = module.lora_A[active_adapter].weight, module.lora_B[active_adapter].weight
        dropped = module.lora_dropout[active_adapter](x.to(result.dtype))
        added: torch.Tensor = _Add.apply(result, dropped, narrow, wide, module.scaling[active_adapter])  # type: ignore[no-untyped-call]
        return added


class _Add(torch.autograd.Function):
    """result + scale * x @ narrow.T @ wide.T.

    ``result`` (..., outputs), ``x`` (..., inputs), ``narrow`` (rank, inputs), ``wide`` (outputs, rank). Products are in the
    type of ``result``, whatever autocast would take; gradients of the adapter have its own. ``result`` comes first, because it may
    be a view, as that of a layer with a bias is: then autograd asks for the gradient of the first input alone in its place.
    """

    @staticmethod
    def forward(
        ctx: Any, result: torch.Tensor, x: torch.Tensor, narrow: torch.Tensor, wide: torch.Tensor, scale: float
    ) -> torch.Tensor:
        x = x.flatten(0, -2)
        with torch.autocast(x.device.type, enabled=False):
            inner = (x @ narrow.to(x.dtype).t()).mul_(scale)
            result.view(-1, result.shape[-1]).addmm_(inner, wide.to(x.dtype).t())
        ctx.mark_dirty(result)
        ctx.save_for_backward(x, inner, narrow, wide)
        ctx.scale = scale
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, inner, narrow, wide = ctx.saved_tensors
        towards = gradient.flatten(0, -2)
        with torch.autocast(x.device.type, enabled=False):
            inwards = (towards @ wide.to(towards.dtype)).mul_(ctx.scale)
            to_x = (inwards @ narrow.to(inwards.dtype)).view(*gradient.shape[:-1], -1) if ctx.needs_input_grad[1] else None
            to_narrow = inwards.t() @ x
            # The other way round, towards.t() @ inner, takes six times as long in fp32 on a CPU.
            to_wide = (inner.t() @ towards).t()
        return gradient, to_x, to_narrow.to(narrow.dtype), to_wide.to(wide.dtype), None


def add_in_place(model: torch.nn.Module) -> None:
    """Let every adapter of a linear layer add its part this way."""
    for module in model.modules():
        if not isinstance(module, LoraLayer):
            continue
        for name, narrow in module.lora_A.items():
            if type(narrow) is torch.nn.Linear and name not in module.lora_variant:
                module.lora_variant[name] = InPlace()
                # peft would make a copy of what comes in, in fp32, for autocast to make another of it.
                module.cast_input_dtype_enabled = False
