"""Predicting in fp32 with a model that trains in bf16.

In bf16 a probability depends on which messages happen to be computed together: rounding moved one by up to 0.06 on the
starter, enough to change an answer between the results and the chat. In fp32 it is the same everywhere to 1e-4. On CUDA
models predict in the type they were trained in: a second copy of the weights at twice the size may not fit on the card.

Widening the weights is not enough. What a model computes for itself when it is loaded (buffers that are in no file) comes
in the type of the load: Gemma multiplies its embeddings by sqrt(640) = 25.298, and bf16 knows only 25.25. A program that
loads the same weights in fp32 multiplies by 25.298, which moved a probability by 0.005. So these come back exact as well.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from accelerate import init_empty_weights
from transformers import PreTrainedModel

from studio.engine.devices import Compute, trim_heap


@contextmanager
def in_fp32(model: torch.nn.Module, compute: Compute) -> Iterator[None]:
    """While it lasts, ``model`` computes in fp32 (not on CUDA). The weights stay the very numbers that are trained on."""
    if compute.kind == "cuda":
        yield
        return
    wider = compute.kind == "cpu" and any(parameter.dtype == torch.bfloat16 for parameter in model.parameters())
    if wider:
        # What a training step has freed would stay beside the wider weights otherwise, and theirs beside the next step.
        trim_heap()
    undo = [_without_autocast(model), *widen(model)]
    if wider:
        trim_heap()  # the narrow weights
    try:
        yield
    finally:
        if wider:
            trim_heap()  # what predicting has freed
        for back in undo:
            back()
        if wider:
            trim_heap()


def prepare_for_prediction(model: torch.nn.Module, compute: Compute) -> torch.nn.Module:
    """A model that is only asked: in fp32 for good, or, on CUDA, in the compute type with autocast."""
    if compute.kind == "cuda":
        return compute.prepare_model(model, training=False)
    widen(model)
    return model


def _without_autocast(model: torch.nn.Module) -> Callable[[], None]:
    """Take off the ``forward`` that accelerate lays over the class's own to run it under autocast."""
    wrapped: Any = model.__dict__.pop("forward", None)
    return (lambda: None) if wrapped is None else partial(setattr, model, "forward", wrapped)


def widen(model: torch.nn.Module) -> list[Callable[[], None]]:
    """Make bf16 weights fp32, which changes no number, 4-bit layers multiply in fp32 and rounded buffers exact.

    Returns what takes it back.
    """
    undo: list[Callable[[], None]] = []
    for parameter in model.parameters():
        if parameter.dtype == torch.bfloat16:
            parameter.data = parameter.data.float()
            undo.append(partial(_narrow, parameter))
    for module in model.modules():
        # The attribute of bitsandbytes' Linear4bit that says in which type it multiplies.
        if getattr(module, "compute_dtype", None) == torch.bfloat16:
            _set_compute_type(module, torch.float32)
            undo.append(partial(_set_compute_type, module, torch.bfloat16))
    for module, name, exact in _exact_buffers(model):
        undo.append(partial(setattr, module, name, getattr(module, name)))
        setattr(module, name, exact)
    return undo


def _exact_buffers(model: torch.nn.Module) -> Iterator[tuple[torch.nn.Module, str, torch.Tensor]]:
    """Each buffer that loading in bf16 rounded: its module, its name there, and what an fp32 model has in its place.

    Most architectures have none: rotary frequencies, for one, are computed in fp32 whatever the type of the load. A
    buffer that is in a model's files is rounded like its weights and stays as it is.
    """
    whole = next((module for module in model.modules() if isinstance(module, PreTrainedModel)), None)
    rounded = [
        (path, module, name)
        for path, module in (whole.named_modules() if whole is not None else ())
        for name in sorted(module._non_persistent_buffers_set)
        if (buffer := getattr(module, name)) is not None and buffer.dtype == torch.bfloat16
    ]
    if whole is None or not rounded:
        return
    # Its twin has no weights, only the buffers, and is gone after this.
    with init_empty_weights(include_buffers=False):
        twin = type(whole)(copy.deepcopy(whole.config))
    for path, module, name in rounded:
        # peft puts a layer that it adapts under this name into one of its own.
        exact = getattr(twin.get_submodule(path.replace(".base_layer", "")), name)
        yield module, name, exact.to(getattr(module, name).device)


def _narrow(parameter: torch.nn.Parameter) -> None:
    parameter.data = parameter.data.bfloat16()


def _set_compute_type(module: Any, dtype: torch.dtype) -> None:
    module.compute_dtype = dtype
