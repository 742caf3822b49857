"""The forecast of a run whose rows are known token by token."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch

from studio.core.batch_sizes import micro_batch_for
from studio.core.config import MethodConfig, RunConfig
from studio.core.fit import Fit, find_fit
from studio.core.machine import DeviceName
from studio.core.memory import Lengths, MemoryForecast, forecast
from studio.core.model_description import ModelDescription
from studio.data.prompts import Encoded
from studio.engine.batches import cut_batch, shuffled_batches
from studio.engine.devices import Compute
from studio.engine.loop import total_steps
from studio.engine.token_tree import TokenTree

_MOST_BATCHES = 10_000


def measurable(forecast: MemoryForecast, compute: Compute) -> int:
    """The part of the forecast that the measured peak counts: on CUDA the allocator does not see the framework's context."""
    return forecast.total - forecast.framework if compute.kind == "cuda" else forecast.total


def largest_micro_batch(config: RunConfig, device: DeviceName, encoded: Sequence[Encoded]) -> Lengths:
    """The most that is computed at once in this run's own seeded order, or in its first 10,000 batches.

    Each figure is the largest of any micro-batch, so together they are not below any.
    """
    training = config.training
    micro_batch = micro_batch_for(config, device)
    batches = min(_MOST_BATCHES, total_steps(len(encoded), training))
    groups = [
        group
        for rows in islice(shuffled_batches(encoded, training.batch_size, training.seed), batches)
        for group in cut_batch(rows, micro_batch)
    ]
    # A tree has at most as many nodes as its messages have tokens: most need not be made to know that they are smaller.
    groups.sort(key=_most_nodes, reverse=True)
    nodes = 0
    for group in groups:
        if _most_nodes(group) <= nodes:
            break
        nodes = max(nodes, TokenTree.of(group, torch.device("cpu")).nodes)
    return Lengths(
        micro_batch=max(map(len, groups)),
        tokens=max(len(row.ids) for row in encoded) - 1,
        nodes=nodes,
        supervised=max(sum(sum(row.supervised) for row in group) for group in groups),
    )


def _most_nodes(group: Sequence[Encoded]) -> int:
    # The last token is only ever predicted.
    return sum(len(row.ids) - 1 for row in group)


def forecast_run(model: ModelDescription, config: RunConfig, compute: Compute, encoded: Sequence[Encoded]) -> MemoryForecast:
    """The forecast for the largest micro-batch of this run."""
    return _forecast(model, config, compute, largest_micro_batch(config, compute.kind, encoded))


def fit_run(model: ModelDescription, config: RunConfig, compute: Compute, encoded: Sequence[Encoded], available: int) -> Fit:
    """What of this run would go into ``available`` bytes."""
    lengths = largest_micro_batch(config, compute.kind, encoded)

    def at(method: MethodConfig, messages: int, checkpointing: bool) -> MemoryForecast:
        changed = config.model_copy(update={"method": method}).with_training(activation_checkpointing=checkpointing)
        return _forecast(model, changed, compute, lengths.of(messages))

    return find_fit(at, config.method, config.training.batch_size, config.training.activation_checkpointing, available)


def _forecast(model: ModelDescription, config: RunConfig, compute: Compute, lengths: Lengths) -> MemoryForecast:
    return forecast(
        model,
        config.method,
        lengths,
        precision=compute.precision,
        device=compute.kind,
        activation_checkpointing=config.training.activation_checkpointing,
        cut=lengths.micro_batch < config.training.batch_size,
    )
