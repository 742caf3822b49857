"""AdamW (Loshchilov & Hutter, 2019), and with its averages in 8 bits (Dettmers et al., 2022)."""

from __future__ import annotations

from typing import Any

import torch

from studio.core.config import Optimizer
from studio.core.errors import StudioError
from studio.core.machine import DeviceName

_PAGED = "paged_adamw8bit"


def optimizer_for(kind: Optimizer, device: DeviceName) -> tuple[Optimizer, str | None]:
    """What ``kind`` comes to on a device, and what has to be said of it. Raises StudioError where it cannot be had."""
    if kind == "adamw" or device == "cuda":
        return kind, None
    if device == "mps":
        raise StudioError(
            "bitsandbytes keeps no optimizer in 8 bits on an Apple GPU.",
            "Set training.optimizer to 'adamw'.",
            kind="unsupported_optimizer",
        )
    slow = "On a CPU an update of 8-bit AdamW takes tens of times as long as one of AdamW, and more memory than is saved."
    if kind == _PAGED:
        slow += " There is nothing to page: it moves averages from a full GPU to the host."
    return "adamw8bit", slow


def make_optimizer(
    model: torch.nn.Module, learning_rate: float, weight_decay: float, kind: Optimizer = "adamw"
) -> torch.optim.Optimizer:
    """Of a kind from ``optimizer_for``; weight decay leaves out vectors, which are norms and biases."""
    trained = trained_parameters(model)
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    optimizer = _adamw(groups, learning_rate) if kind == "adamw" else _adamw_in_8_bits(model, groups, learning_rate, kind)
    optimizer.register_step_post_hook(_count_the_change)
    return optimizer


def _adamw(groups: list[dict[str, Any]], learning_rate: float) -> torch.optim.Optimizer:
    # One pass over each parameter instead of a dozen: on a CPU a third of a full step would be the optimizer's otherwise.
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def _adamw_in_8_bits(
    model: torch.nn.Module, groups: list[dict[str, Any]], learning_rate: float, kind: Optimizer
) -> torch.optim.Optimizer:
    # Late: bitsandbytes looks for a GPU when it is imported.
    from bitsandbytes.optim.adamw import AdamW8bit, PagedAdamW8bit
    from bitsandbytes.optim.optimizer import GlobalOptimManager

    # Gradients of an embedding are too uneven for 8 bits (Dettmers et al.); transformers' Trainer keeps its averages whole too.
    manager: Any = GlobalOptimManager.get_instance()  # type: ignore[no-untyped-call]
    manager.initialize()  # it goes by places in a list: those of an optimizer before would count here too
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            manager.register_module_override(module, "weight", {"optim_bits": 32})
    return (PagedAdamW8bit if kind == _PAGED else AdamW8bit)(groups, lr=learning_rate)


def _count_the_change(optimizer: torch.optim.Optimizer, *_arguments: object) -> None:
    """Tell autograd that the weights have moved: kernels that write past it, as these do, leave a weight's version as it was.

    Whoever keeps something made of a weight goes by its version (studio/engine/head_loss.py).
    """
    torch.autograd.graph.increment_version([weight for group in optimizer.param_groups for weight in group["params"]])


def is_paged(optimizer: torch.optim.Optimizer) -> bool:
    """Whether its averages lie in memory that a GPU and its host share."""
    return bool(getattr(optimizer, "is_paged", False))


def page_averages(optimizer: torch.optim.Optimizer) -> None:
    """Give averages that were loaded back to the pages of a paged optimizer: bitsandbytes loads them into the GPU's own memory."""
    paged: Any = optimizer
    if is_paged(optimizer):
        for parameter, state in optimizer.state.items():
            for name in state.keys() & {"state1", "state2"}:
                state[name] = paged.get_state_buffer(parameter, dtype=state[name].dtype).copy_(state[name])


def trained_parameters(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """What an optimizer moves."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
