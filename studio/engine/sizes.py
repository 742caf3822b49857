"""The forecast of a run whose rows are known token by token."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, takewhile

import torch

from studio.core.batch_sizes import micro_batch_for
from studio.core.config import RunConfig
from studio.core.machine import DeviceName
from studio.core.memory import Lengths, MemoryForecast, forecast_config
from studio.core.model_description import ModelDescription
from studio.data.prompts import Encoded
from studio.engine.batches import cut_batch, shuffled_batches, steps_per_epoch, supervised_tokens
from studio.engine.devices import Compute
from studio.engine.loop import total_steps
from studio.engine.token_tree import TokenTree

_MOST_BATCHES = 10_000
_MEASURED_BATCHES = 64


def measurable(forecast: MemoryForecast, compute: Compute) -> int:
    """The part of the forecast that the measured peak counts: on CUDA the allocator does not see the framework's context."""
    return forecast.total - forecast.framework if compute.kind == "cuda" else forecast.total


def largest_micro_batch(config: RunConfig, device: DeviceName, encoded: Sequence[Encoded], predicted: int) -> Lengths:
    """The most that is computed at once in this run's own seeded order, or in its first 10,000 batches.

    Each figure is the largest of any micro-batch, so together they are not below any. ``predicted`` is what ``Lengths`` has of
    that name.
    """
    training = config.training
    micro_batch = micro_batch_for(config, device)
    batches = min(_MOST_BATCHES, total_steps(len(encoded), training))
    groups = [
        group
        for rows in islice(shuffled_batches(encoded, training.batch_size, training.seed), batches)
        for group in cut_batch(rows, micro_batch)
    ]
    shared = _shared_beginning(encoded)

    def most_nodes(group: Sequence[Encoded]) -> int:
        return shared + sum(_computed(row) - shared for row in group)

    # A tree has at most so many nodes: nearly all need not be made to know that they are smaller.
    groups.sort(key=most_nodes, reverse=True)
    nodes = 0
    for group in groups:
        if most_nodes(group) <= nodes:
            break
        nodes = max(nodes, _nodes(group))
    return Lengths(
        micro_batch=max(map(len, groups)),
        tokens=max(map(_computed, encoded)),
        nodes=nodes,
        supervised=max(map(supervised_tokens, groups)),
        shared=shared,
        most_supervised=max(sum(row.supervised) for row in encoded),
        predicted=predicted,
    )


def shared_tokens(config: RunConfig, device: DeviceName, encoded: Sequence[Encoded]) -> float:
    """Share of all tokens that need not be computed because messages begin alike: of the batches that training takes first."""
    training, micro_batch = config.training, micro_batch_for(config, device)
    batches = min(_MEASURED_BATCHES, steps_per_epoch(len(encoded), training.batch_size))
    computed = tokens = 0
    for rows in islice(shuffled_batches(encoded, training.batch_size, training.seed), batches):
        computed += sum(map(_nodes, cut_batch(rows, micro_batch)))
        tokens += sum(map(_computed, rows))
    return 1 - computed / tokens


def _computed(row: Encoded) -> int:
    """Tokens of a message that are computed: the last is only ever predicted."""
    return len(row.ids) - 1


def _nodes(group: Sequence[Encoded]) -> int:
    return TokenTree.of(group, torch.device("cpu")).nodes


def _shared_beginning(encoded: Sequence[Encoded]) -> int:
    """Computed tokens with which all messages begin."""
    first, last = min(row.ids for row in encoded), max(row.ids for row in encoded)
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    return min(alike, *map(_computed, encoded))


def forecast_run(
    model: ModelDescription, config: RunConfig, compute: Compute, encoded: Sequence[Encoded], predicted: int
) -> MemoryForecast:
    """The forecast for the largest micro-batch of this run; ``predicted`` as in ``largest_micro_batch``."""
    lengths = largest_micro_batch(config, compute.kind, encoded, predicted)
    return forecast_config(model, config, lengths, compute.precision, compute.kind)
