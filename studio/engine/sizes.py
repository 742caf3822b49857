"""The forecast of a run whose rows are known token by token."""

from __future__ import annotations

from collections.abc import Sequence

from studio.core.config import RunConfig
from studio.core.memory import MemoryForecast, ModelDescription, forecast, micro_batch_for
from studio.data.prompts import Encoded
from studio.engine.devices import Compute


def measurable(forecast: MemoryForecast, compute: Compute) -> int:
    """The part of the forecast that the measured peak counts: on CUDA the allocator does not see the framework's context."""
    return forecast.total - forecast.framework if compute.kind == "cuda" else forecast.total


def forecast_run(model: ModelDescription, config: RunConfig, compute: Compute, encoded: Sequence[Encoded]) -> MemoryForecast:
    """The forecast for the longest micro-batch that these rows can make."""
    return forecast(
        model,
        config.method,
        micro_batch=(micro_batch := micro_batch_for(config, compute.kind)),
        tokens=max(len(row.ids) for row in encoded),
        supervised=micro_batch * max(sum(row.supervised) for row in encoded),
        precision=compute.precision,
        device=compute.kind,
        activation_checkpointing=config.training.activation_checkpointing,
    )
