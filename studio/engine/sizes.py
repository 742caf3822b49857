"""The forecast of a run whose rows are known token by token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from studio.core.config import RunConfig
from studio.core.memory import MemoryForecast, forecast, micro_batch_for
from studio.data.prompts import Encoded
from studio.engine.devices import Compute
from studio.engine.models import describe


def forecast_run(folder: Path, config: RunConfig, compute: Compute, encoded: Sequence[Encoded]) -> MemoryForecast:
    """The forecast for the longest micro-batch that these rows can make."""
    return forecast(
        describe(folder, config.model.base),
        config.method,
        micro_batch=(micro_batch := micro_batch_for(config, compute.kind)),
        tokens=max(len(row.ids) for row in encoded),
        supervised=micro_batch * max(sum(row.supervised) for row in encoded),
        precision=compute.precision,
        device=compute.kind,
    )
