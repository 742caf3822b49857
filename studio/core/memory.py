"""The memory forecast: model shapes and token lengths in, bytes by part out. Arithmetic only.

What training keeps is derived from what the modules of a transformer save for the way back, byte by byte: a test compares it
with what torch saves. What no arithmetic gives, such as what libraries take, is a constant with the measurement it came from;
`make bench-forecast` measures the whole anew. NF4 costs from Dettmers et al., "QLoRA", 2023, section 3: 4 bits a weight and one
32-bit constant for every 64 weights (0.5 bit each), which double quantisation brings to 0.127 bit.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from studio.core.batch_sizes import (
    GRADED_SCORES,
    GRADED_STEP,
    LENGTH_STEP,
    NODES_STEP,
    PREDICTED_BYTES,
    PREDICTED_MESSAGES,
    PREDICTED_SCORES,
    PREDICTED_TOKENS,
    SHORT_LENGTH,
    micro_batch_for,
    rounded_up,
)
from studio.core.config import MethodConfig, Optimizer, RunConfig
from studio.core.machine import DeviceName
from studio.core.model_description import ModelDescription, adapter_parameters, adapts

FP32 = 4
NF4_BYTES = (4 + 0.127) / 8
# AdamW's two averages of a weight; in 8 bits with a 32-bit constant for every 256 of each (Dettmers et al., "8-bit Optimizers",
# 2022). On a CPU bitsandbytes 0.50 unpacks a whole tensor for its update: 5.5 times its fp32 size, measured.
_ADAM_BYTES: dict[Optimizer, float] = {"adamw": 2 * FP32, "adamw8bit": 2 * (1 + 4 / 256), "paged_adamw8bit": 2 * (1 + 4 / 256)}
_UNPACKED_BYTES = 5.5 * FP32
# What python, torch, transformers, peft and the libraries of data hold once the messages are read: 496 MiB, measured on Linux
# with CPU torch 2.13; on CUDA the context of a process with torch's kernels loaded.
FRAMEWORK_BYTES = {"cpu": 500 * 2**20, "mps": 700 * 2**20, "cuda": 500 * 2**20}
# A loaded tokenizer, for each of its words: Gemma's 262,144 took 318 MiB.
_TOKENIZER_BYTES = 1275
# Of a layer's width for each token: the gate, its activation, and what they are multiplied by.
_MLP_STATES = 3
# Freed blocks between kept ones that the C library cannot reuse, as a share of the activations. Measured with glibc as a worker
# sets it (studio/supervise/environment.py): 0.14 after four steps of a Llama of 135M, 0.20 where batches were cut in two; and as
# much of what all layers would have kept where each layer's activations go before those of the next come. A tenth for a
# caching allocator such as CUDA's is an assumption: it was not measured.
_GAPS = {"cpu": 0.2, "mps": 0.1, "cuda": 0.1}
# English text in the tokenizers of current small models is 4 to 5 characters a token, and another script can be a token a
# character, or more where a tokenizer knows it by its bytes alone; used only until a tokenizer has been loaded, and then for the
# longest message.
_CHARACTERS_PER_TOKEN = 4
_GRADED_TOKENS = 8


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


class Lengths(NamedTuple):
    """The largest micro-batch, as ``forecast`` takes it."""

    micro_batch: int
    """Messages."""
    tokens: int
    """Of the longest message."""
    nodes: int
    """Tokens that are computed: what messages share counts once (studio/engine/token_tree.py)."""
    supervised: int
    """Supervised tokens of all messages."""
    shared: int
    """Tokens with which all messages of the run begin."""
    most_supervised: int
    """Supervised tokens of one message."""
    predicted: int = PREDICTED_MESSAGES
    """Messages of the split that is predicted during the run, the larger one; any above ``PREDICTED_MESSAGES`` are as many."""

    def of(self, micro_batch: int) -> Lengths:
        """Bounds for so many messages at once: whichever they are, they are not larger."""
        of_this = math.ceil(micro_batch / self.micro_batch)
        return self._replace(
            micro_batch=micro_batch,
            nodes=min(self.shared + micro_batch * (self.tokens - self.shared), of_this * self.nodes),
            supervised=min(micro_batch * self.most_supervised, of_this * self.supervised),
        )


class _Widths(NamedTuple):
    """Widths of one layer, read from its linear layers whatever they are called."""

    query: int
    key_value: int
    inputs: int
    """Of all its linear layers, added up."""
    distinct_inputs: int
    """The same, what several of them read counted once."""


def _widths(model: ModelDescription) -> _Widths:
    attention = [linear for linear in model.linears if model.intermediate not in (linear.inputs, linear.outputs)]
    each = model.layers or 1
    outputs = sum(linear.outputs * linear.count for linear in attention) // each
    # The projection back reads what the queries are wide; where nothing tells it apart, that is the width of the model.
    query = max((linear.inputs for linear in attention if linear.outputs == model.hidden), default=model.hidden)
    # Layers that make more than keys and values, or that read pictures, are among them in some models.
    key_value = min(max(0, outputs - query - model.hidden), model.key_value_width or outputs)
    inputs = sum(linear.inputs * linear.count for linear in model.linears) // each
    return _Widths(query, key_value, inputs, 2 * model.hidden + query + model.intermediate)


def saved_activations(
    model: ModelDescription,
    method: MethodConfig,
    lengths: Lengths,
    precision: Literal["fp32", "bf16", "fp16"],
    device: DeviceName,
    layers: int,
) -> int:
    """Bytes that ``layers`` layers keep for the way back."""
    compute = FP32 if precision == "fp32" else 2
    widths = _widths(model)
    full = method.kind == "full"
    token = _MLP_STATES * model.intermediate * compute
    # Norms compute in fp32 and keep what they take in; one that is trained also what it multiplies.
    norms = (model.norm_width or 2 * model.hidden * model.layers) / max(1, model.layers)
    token += round(norms * FP32 * (2 if full else 1))
    if full:
        # In fp32 layers that read the same share it; autocast makes each a copy of its own.
        token += widths.distinct_inputs * compute if compute == FP32 else widths.inputs * compute
    else:
        adapted = [linear for linear in model.linears if adapts(method, linear)]
        inputs = sum(linear.inputs * linear.count for linear in adapted) // max(1, model.layers)
        if not method.dropout and len(adapted) == len(model.linears):
            # Layers that read the same share it.
            inputs = widths.distinct_inputs
        ranks = method.rank * sum(linear.count for linear in adapted) // max(1, model.layers)
        # An adapter's input; or what dropout leaves of it for each, with a byte that says which.
        token += inputs * (compute + bool(method.dropout)) + ranks * compute
    length = rounded_up(lengths.tokens, LENGTH_STEP)
    if compute == 2 and device == "cpu" and length <= SHORT_LENGTH and not full:
        # Queries, keys and values, the weights of attention in fp32 and again in bf16.
        place = (widths.query + widths.key_value) * compute + model.heads * length * (FP32 + compute)
    else:
        place = (2 * widths.query + widths.key_value) * compute + model.heads * FP32
        if device == "mps":
            place += model.heads * length * compute
    nodes = rounded_up(lengths.nodes, NODES_STEP)
    return layers * (nodes * token + lengths.micro_batch * length * place)


def forecast(
    model: ModelDescription,
    method: MethodConfig,
    lengths: Lengths,
    *,
    precision: Literal["fp32", "bf16", "fp16"],
    device: DeviceName,
    activation_checkpointing: bool = False,
    cut: bool = False,
    optimizer: Optimizer = "adamw",
) -> MemoryForecast:
    """The expected peak of training. ``cut``: a batch is computed in several micro-batches."""
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
    nodes = rounded_up(lengths.nodes, NODES_STEP)
    whole = saved_activations(model, method, lengths, precision, device, model.layers)
    states, gaps = whole, _GAPS[device] * whole
    if activation_checkpointing:
        # Each layer keeps its input alone, and is computed again on the way back (Chen et al., 2016).
        inputs = model.layers * nodes * model.hidden * (FP32 if method.kind == "full" else compute)
        states = whole // max(1, model.layers) + inputs
        gaps = _GAPS[device] * (whole if device == "cpu" else states)
    activations = round(states + gaps)
    graded = rounded_up(lengths.supervised, GRADED_STEP) * model.vocabulary
    # One table in the compute type, and pieces of it in fp32, twice.
    logits = graded * compute + 2 * FP32 * min(graded, GRADED_SCORES[device])
    gradients = trainable * FP32
    head = model.vocabulary * model.hidden * FP32
    if method.kind == "full" and not cut:
        # As gradients come, activations go. Only that of the head, the first, exists with all of them.
        rest = gradients - head
        activations -= min(activations, rest)
    if method.kind == "full" and model.tied and device == "mps":
        # The last gradient is the embedding's, as large as the head's, which it is added to.
        activations = max(activations, head)
    widths = _widths(model)
    # Off CUDA, bf16 weights are held in fp32 while messages are predicted. By then the activations, scores and gradients of a
    # training step are gone, but for the room of the head's gradient, and only what exceeds them adds to the peak.
    predicting = 2 * FP32 * PREDICTED_SCORES[device]
    longest = rounded_up(lengths.tokens, LENGTH_STEP)
    # Keys and values of prompts and of labels; and either what one layer makes of the prompts that are read together, or their
    # keys and values once more, when they are put beside those of others.
    asked = FP32 if device != "cuda" else compute
    token = widths.key_value * model.layers * asked

    def messages(length: int) -> int:
        return max(1, min(PREDICTED_MESSAGES, lengths.predicted, PREDICTED_BYTES // max(1, length * token)))

    # Short ones come first, and more of them at once.
    labels = min(PREDICTED_TOKENS, messages(rounded_up(lengths.shared + 1, LENGTH_STEP)) * _GRADED_TOKENS) * token
    prompts = messages(longest) * longest
    read = max(longest, min(PREDICTED_TOKENS, prompts)) * max(token, (_MLP_STATES + 1) * model.intermediate * asked)
    predicting += round((prompts * token + labels + read) * (1 + _GAPS[device]))
    if device != "cuda":
        predicting += narrow * (FP32 - compute)
    if device == "cpu":
        # The first time the narrow ones are the model's file, mapped: its pages go when the last weight has been widened, not
        # before. Nothing has been predicted then.
        predicting = max(predicting, narrow * FP32)
    kept = head if method.kind == "full" else 0
    predictions = max(0, predicting + kept - activations - logits - gradients)
    # An embedding's averages always have 32 bits (studio/engine/optimizers.py).
    embedded = model.vocabulary * model.hidden if method.kind == "full" else 0
    averages = round(embedded * _ADAM_BYTES["adamw"] + (trainable - embedded) * _ADAM_BYTES[optimizer])
    if optimizer != "adamw" and device == "cpu":
        largest = (model.hidden if method.kind == "full" else method.rank) * max(model.hidden, model.intermediate)
        # By then activations and scores are gone.
        averages += max(0, round(largest * _UNPACKED_BYTES) - activations - logits)
    return MemoryForecast(
        method=method.kind,
        trainable_parameters=trainable,
        weights=weights,
        adapter=adapter,
        gradients=gradients,
        optimizer=averages,
        activations=activations,
        logits=logits,
        predictions=predictions,
        framework=FRAMEWORK_BYTES[device] + (0 if device == "cuda" else _TOKENIZER_BYTES * model.vocabulary),
        output_bytes=trainable * FP32,
    )


def forecast_config(
    model: ModelDescription,
    config: RunConfig,
    lengths: Lengths,
    precision: Literal["fp32", "bf16", "fp16"],
    device: DeviceName,
) -> MemoryForecast:
    """The same for a run as it is configured, whose largest micro-batch is ``lengths``; precision and device are decided."""
    return forecast(
        model,
        config.method,
        lengths,
        precision=precision,
        device=device,
        activation_checkpointing=config.training.activation_checkpointing,
        cut=lengths.micro_batch < config.training.batch_size,
        optimizer=config.training.optimizer,
    )


def estimate_lengths(longest_text: str, longest_label: str, config: RunConfig, device: DeviceName) -> Lengths:
    """Lengths guessed from characters, for a forecast before any tokenizer has been loaded."""
    micro_batch = micro_batch_for(config, device)
    whole = config.prompt.template.replace("{text}", longest_text) + longest_label
    others = len(whole) - len(whole.encode("ascii", "ignore"))
    # Two more: the tokenizer's beginning token and the end token.
    tokens = min(config.prompt.max_length, others + math.ceil((len(whole) - others) / _CHARACTERS_PER_TOKEN) + 2)
    return Lengths(micro_batch, tokens, micro_batch * tokens, micro_batch * _GRADED_TOKENS, 0, _GRADED_TOKENS)
