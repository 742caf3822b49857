"""What a run will compute at once, and the forecast that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from studio.core.config import RunConfig
from studio.core.memory import MemoryForecast, forecast
from studio.data.prompts import Encoded
from studio.engine.devices import Compute
from studio.engine.models import describe

# On a CPU small pieces of similar length waste less on padding than they lose in matrix size; a GPU wants whole batches.
_CPU_MICRO_BATCH = 4
_GPU_MICRO_BATCH = 16


def choose_micro_batch(config: RunConfig, compute: Compute) -> int:
    """Messages computed at once: as configured, or a size that suits the device."""
    if config.training.micro_batch != "auto":
        return config.training.micro_batch
    return min(config.training.batch_size, _CPU_MICRO_BATCH if compute.kind == "cpu" else _GPU_MICRO_BATCH)


def forecast_run(folder: Path, config: RunConfig, compute: Compute, encoded: Sequence[Encoded]) -> MemoryForecast:
    """The forecast for the longest micro-batch that these rows can make."""
    return forecast(
        describe(folder, config.model.base),
        config.method,
        micro_batch=(micro_batch := choose_micro_batch(config, compute)),
        tokens=max(len(row.ids) for row in encoded),
        supervised=micro_batch * max(sum(row.supervised) for row in encoded),
        precision=compute.precision,
        device=compute.kind,
    )
