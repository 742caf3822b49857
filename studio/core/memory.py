"""The memory forecast: model shapes and token lengths in, bytes by part out. Arithmetic only.

This is the classical estimate (weights + gradients + optimizer + activations + logits), not a measurement, and is
shown as an estimate. NF4 costs from Dettmers et al., "QLoRA", 2023, section 3: 4 bits a weight and one 32-bit constant
for every 64 weights (0.5 bit each), which double quantisation brings to 0.127 bit.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from studio.core.config import MethodConfig, RunConfig
from studio.core.errors import StudioError
from studio.core.words import listed

FP32 = 4
NF4_BYTES = (4 + 0.127) / 8
ADAM_BYTES = 2 * FP32
# What python, torch, transformers and peft hold before a model is loaded, measured on Linux with CPU torch 2.13;
# on CUDA the context of a process with torch's kernels loaded.
FRAMEWORK_BYTES = {"cpu": 550 * 2**20, "mps": 700 * 2**20, "cuda": 500 * 2**20}
# Attention, norms and the MLP keep about this many floats of a layer's widths for the backward pass.
_HIDDEN_COPIES = 10
_INTERMEDIATE_COPIES = 4
# English text in the tokenizers of current small models; used only until a tokenizer has been loaded.
_CHARACTERS_PER_TOKEN = 4
_GRADED_TOKENS = 8
# What messages share is computed once for all of a micro-batch, and large matrices are multiplied faster than small ones.
AUTO_MICRO_BATCH = {"cpu": 16, "mps": 16, "cuda": 16}
_TIGHT_SHARE = 0.85

DeviceName = Literal["cpu", "cuda", "mps"]
Verdict = Literal["fits", "tight", "too big"]


class LinearShape(BaseModel):
    """A linear layer that an adapter can be put on. ``name`` is the last part of its module path, e.g. ``q_proj``."""

    model_config = ConfigDict(frozen=True)

    name: str
    inputs: int
    outputs: int
    count: int
    """How many layers have this name and shape."""


class ModelDescription(BaseModel):
    """What the forecast and the window need to know of a base model. Counts are numbers of parameters."""

    model_config = ConfigDict(frozen=True)

    base: str
    """As in run.toml."""
    name: str
    architecture: str
    licence: str
    parameters: int
    linears: list[LinearShape]
    hidden: int
    intermediate: int
    layers: int
    heads: int
    vocabulary: int
    disk_bytes: int
    context_length: int
    chat_template: bool = False
    """Whether its tokenizer has a chat template."""
    revision: str | None = None
    """The commit of a hub model."""

    @property
    def linear_parameters(self) -> int:
        """Weights that QLoRA quantises: every linear layer but the head."""
        return sum(linear.inputs * linear.outputs * linear.count for linear in self.linears)


class MemoryForecast(BaseModel):
    """Bytes by part. ``total`` is the expected peak of the training process."""

    model_config = ConfigDict(frozen=True)

    method: Literal["full", "lora", "qlora"]
    trainable_parameters: int
    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    predictions: int
    """What predicting in fp32 during the run needs beyond training."""
    framework: int
    output_bytes: int
    """Size on disk of what the run leaves: the adapter, or the whole model."""

    @property
    def parts(self) -> dict[str, int]:
        """The parts of ``total`` in the order in which they are drawn."""
        return {
            "weights": self.weights,
            "adapter": self.adapter,
            "gradients": self.gradients,
            "optimizer": self.optimizer,
            "activations": self.activations,
            "logits": self.logits,
            "predictions": self.predictions,
            "framework": self.framework,
        }

    @property
    def total(self) -> int:
        return sum(self.parts.values())


def adapter_parameters(model: ModelDescription, method: MethodConfig) -> int:
    """LoRA adds rank x (inputs + outputs) weights to each adapted layer (Hu et al., "LoRA", 2021)."""
    return sum(
        method.rank * (linear.inputs + linear.outputs) * linear.count
        for linear in model.linears
        if method.target_modules == "all-linear" or linear.name in method.target_modules
    )


def forecast(
    model: ModelDescription,
    method: MethodConfig,
    *,
    micro_batch: int,
    tokens: int,
    supervised: int,
    precision: Literal["fp32", "bf16", "fp16"],
    device: DeviceName,
    activation_checkpointing: bool = False,
) -> MemoryForecast:
    """The expected peak of training.

    ``tokens`` is the padded length of the longest micro-batch and ``supervised`` the number of graded tokens in it
    over all its rows, which is how many rows of logits are kept.
    """
    compute = FP32 if precision == "fp32" else 2
    if method.kind == "full":
        # Under autocast a bf16 copy of every weight lives as long as the step.
        trainable, weights, adapter = model.parameters, model.parameters * (FP32 if precision == "fp32" else FP32 + 2), 0
        narrow = 0
    else:
        trainable = adapter_parameters(model, method)
        adapter = trainable * FP32
        if method.kind == "lora":
            weights = model.parameters * compute
        else:
            weights = round(model.linear_parameters * NF4_BYTES) + (model.parameters - model.linear_parameters) * compute
        narrow = 0 if precision == "fp32" else model.parameters - (model.linear_parameters if method.kind == "qlora" else 0)
    positions = micro_batch * tokens
    layer = positions * (_HIDDEN_COPIES * model.hidden + _INTERMEDIATE_COPIES * model.intermediate) * compute
    layer += micro_batch * tokens * tokens * model.heads * compute
    # With checkpointing only each layer's input stays, and one layer at a time is computed again (Chen et al., 2016).
    activations = layer + model.layers * positions * model.hidden * compute if activation_checkpointing else model.layers * layer
    # Scores in the compute type, their fp32 copy, its log-softmax and the gradient of each.
    logits = supervised * model.vocabulary * (2 * FP32 + 2 * compute)
    # Off CUDA, bf16 weights are held in fp32 while validation or test messages are predicted. By then the activations and
    # scores of a training step are gone, so only what exceeds them adds to the peak.
    predictions = 0 if device == "cuda" else max(0, narrow * (FP32 - compute) - activations - logits)
    return MemoryForecast(
        method=method.kind,
        trainable_parameters=trainable,
        weights=weights,
        adapter=adapter,
        gradients=trainable * FP32,
        optimizer=trainable * ADAM_BYTES,
        activations=activations,
        logits=logits,
        predictions=predictions,
        framework=FRAMEWORK_BYTES[device],
        output_bytes=trainable * FP32,
    )


def check_layers(method: MethodConfig, model: ModelDescription) -> None:
    """Raises StudioError when an adapter is to be put on layers that the model does not have."""
    if method.kind == "full" or method.target_modules == "all-linear":
        return
    known = sorted({linear.name for linear in model.linears})
    # A name may be the end of a module's path; its last part is what layers are called.
    unknown = [name for name in method.target_modules if name.rpartition(".")[2] not in known]
    if unknown:
        problem = f"method.target_modules: this model has no layer named {listed(unknown)}; it has {', '.join(known)}"
        raise StudioError(f"The run settings have a problem: {problem}.", "Name layers that the model has.", detail=problem)


class Lengths(NamedTuple):
    """Token lengths of the largest micro-batch, as ``forecast`` takes them."""

    micro_batch: int
    tokens: int
    supervised: int


def micro_batch_for(config: RunConfig, device: DeviceName) -> int:
    """Messages computed at once: as configured, or a size that suits the device."""
    chosen = config.training.micro_batch
    return min(config.training.batch_size, AUTO_MICRO_BATCH[device]) if chosen == "auto" else chosen


def estimate_lengths(longest_text: str, longest_label: str, config: RunConfig, device: DeviceName) -> Lengths:
    """Lengths guessed from characters, for a forecast before any tokenizer has been loaded."""
    micro_batch = micro_batch_for(config, device)
    characters = len(config.prompt.template.replace("{text}", "")) + len(longest_text) + len(longest_label)
    # Two more: the tokenizer's beginning token and the end token.
    tokens = min(config.prompt.max_length, math.ceil(characters / _CHARACTERS_PER_TOKEN) + 2)
    return Lengths(micro_batch, tokens, micro_batch * _GRADED_TOKENS)


def verdict(needed: int, available: int) -> Verdict:
    """Whether ``needed`` bytes go into ``available`` ones. Above 85 % is tight: a forecast is not that exact."""
    if needed > available:
        return "too big"
    return "tight" if needed > available * _TIGHT_SHARE else "fits"
