"""Whether a run goes into the memory that is there, and what would make it go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from studio.core.config import MethodConfig, RunConfig
from studio.core.machine import DeviceName
from studio.core.memory import Lengths, MemoryForecast, forecast_config
from studio.core.model_description import ModelDescription
from studio.core.words import counted

_TIGHT_SHARE = 0.85
_NAMES = {"lora": "LoRA", "qlora": "QLoRA"}
# What a method can be exchanged for when memory is short.
_SMALLER: dict[str, tuple[str, ...]] = {"full": ("lora", "qlora"), "lora": ("qlora",), "qlora": ()}

Verdict = Literal["fits", "tight", "too big"]


class Fit(BaseModel):
    """What would go into the memory that is there."""

    model_config = ConfigDict(frozen=True)

    micro_batch: int | None
    """The most messages that can be computed at once; None when not even one can."""
    change: str = ""
    """If none fits, the smallest change with which one does."""

    @property
    def sentence(self) -> str:
        if self.micro_batch is not None:
            return f"Up to {counted(self.micro_batch, 'message')} at once fit."
        return f"Too large even for one message: {self.change}."


def find_fit(
    at: Callable[[MethodConfig, int, bool], MemoryForecast],
    method: MethodConfig,
    batch_size: int,
    checkpointing: bool,
    available: int,
) -> Fit:
    """The largest micro-batch up to ``batch_size`` that fits into ``available`` bytes, or the change that lets one fit.

    ``at`` forecasts a method with so many messages at once, with activation checkpointing or without.
    """

    def fits(candidate: MethodConfig, messages: int, recomputed: bool) -> bool:
        return at(candidate, messages, recomputed).total <= available

    # A batch that is not cut can need less than one that is, because no gradients wait for its other parts. Below it, more
    # messages need more.
    if fits(method, batch_size, checkpointing):
        return Fit(micro_batch=batch_size)
    low, high = 0, batch_size - 1
    while low < high:
        middle = (low + high + 1) // 2
        if fits(method, middle, checkpointing):
            low = middle
        else:
            high = middle - 1
    if low:
        return Fit(micro_batch=low)

    smaller = _SMALLER[method.kind]
    changes = [(method.kind, True), *((kind, checkpointing) for kind in smaller), *((kind, True) for kind in smaller)]
    for kind, recomputed in changes:
        other = method.model_copy(update={"kind": kind})
        if any(fits(other, messages, recomputed) for messages in {1, batch_size}):
            parts = [] if kind == method.kind else [f"choose {_NAMES[kind]}"]
            if recomputed and not checkpointing:
                parts.append("turn on activation checkpointing")
            return Fit(micro_batch=None, change=" and ".join(parts))
    return Fit(micro_batch=None, change="choose a smaller model")


def fit_config(
    model: ModelDescription,
    config: RunConfig,
    lengths: Lengths,
    precision: Literal["fp32", "bf16", "fp16"],
    device: DeviceName,
    available: int,
) -> Fit:
    """``find_fit`` for a run as it is configured, whose largest micro-batch is ``lengths``."""

    def at(method: MethodConfig, messages: int, checkpointing: bool) -> MemoryForecast:
        changed = config.model_copy(update={"method": method}).with_training(activation_checkpointing=checkpointing)
        return forecast_config(model, changed, lengths.of(messages), precision, device)

    training = config.training
    return find_fit(at, config.method, training.batch_size, training.activation_checkpointing, available)


def verdict(needed: int, available: int) -> Verdict:
    """Whether ``needed`` bytes go into ``available`` ones. Above 85 % is tight: a forecast is not that exact."""
    if needed > available:
        return "too big"
    return "tight" if needed > available * _TIGHT_SHARE else "fits"
