"""Full, LoRA and QLoRA: each a way from a base folder to a model that can be trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import PreTrainedModel

from studio.core.config import MethodConfig
from studio.core.errors import StudioError
from studio.engine.adapters import add_in_place
from studio.engine.devices import Compute
from studio.engine.dropout import draw_faster
from studio.engine.exactness import widen
from studio.engine.models import load_base


def trainable_model(folder: Path, method: MethodConfig, compute: Compute, seed: int) -> torch.nn.Module:
    """The base in ``folder`` made trainable, on the device. Trainable parameters are fp32, frozen ones in the compute type."""
    base = load_method_base(folder, method, compute)
    if method.kind == "full":
        for parameter in base.parameters():
            parameter.requires_grad_(True)
        return base
    for parameter in base.parameters():
        parameter.requires_grad_(False)
    torch.manual_seed(seed)
    try:
        model = get_peft_model(
            base,
            LoraConfig(
                task_type=TaskType.CAUSAL_LM,
                r=method.rank,
                # peft annotates an int and only ever divides by the rank
                lora_alpha=method.alpha,  # type: ignore[arg-type]
                lora_dropout=method.dropout,
                target_modules=method.target_modules,
            ),
        )
    except ValueError as error:
        raise StudioError(
            f"No adapter can be put on this model with target_modules = {method.target_modules!r}.",
            "Use 'all-linear', or names of linear layers that the model has.",
            detail=str(error),
        ) from error
    draw_faster(model)
    add_in_place(model)
    return model


def checkpoint_activations(model: torch.nn.Module) -> None:
    """Activation checkpointing: each layer keeps only its input, and is computed again, dropout included, on the way back.

    Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016. The non-reentrant kind, because the inputs of a frozen
    base need no gradient. Raises StudioError for a model that cannot.
    """
    switchable: Any = model
    try:
        switchable.activation_checkpointing_enable({"use_reentrant": False})
    except ValueError as error:
        raise StudioError(
            "This model has no layers that can be computed again, so its activations cannot be checkpointed.",
            "Set training.activation_checkpointing to false.",
            detail=str(error),
            kind="unsupported_model",
        ) from error


def trained_model(folder: Path, checkpoint: Path, method: MethodConfig, compute: Compute) -> torch.nn.Module:
    """A run's model for predicting: the base in ``folder`` with what ``checkpoint`` learnt."""
    if method.kind == "full":
        return load_base(checkpoint, compute, trained=True, quantised=False)
    base = load_method_base(folder, method, compute)
    return PeftModel.from_pretrained(base, checkpoint, is_trainable=False)


def merged_model(folder: Path, checkpoint: Path, method: MethodConfig, compute: Compute) -> PreTrainedModel:
    """A run's adapter added in fp32 to the base as the run held it: rounded to the compute type, or to 4 bits and back."""
    base = load_method_base(folder, method, compute)
    if method.kind == "qlora":
        for parameter in base.parameters():
            if (state := getattr(parameter, "quant_state", None)) is not None:
                # The type that a 4-bit weight is unpacked to. It was noted when the base was loaded, in the compute type;
                # predictions in fp32 unpack to theirs, and a rounding here would be one that the run does not make.
                state.dtype = torch.float32
        base = base.dequantize(torch.float32)
    widen(base)
    adapted: Any = PeftModel.from_pretrained(base, checkpoint)
    # Numbers that are none would be told by peft as well; whoever predicts says it of every kind of run.
    merged: PreTrainedModel = adapted.merge_and_unload()
    merged.config.use_cache = True
    return merged


def load_method_base(folder: Path, method: MethodConfig, compute: Compute) -> PreTrainedModel:
    """The untrained base, held as the method holds it."""
    return load_base(folder, compute, trained=method.kind == "full", quantised=method.kind == "qlora")


def parameter_counts(model: torch.nn.Module) -> tuple[int, int]:
    """(trainable, all) numbers of parameters; a 4-bit weight counts as the numbers it stands for."""
    trainable = total = 0
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        count = int(torch.Size(state.shape).numel()) if state is not None else parameter.numel()
        total += count
        trainable += count if parameter.requires_grad else 0
    return trainable, total
