"""How long a run will still take, its validations and its last test included."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from studio.core.config import TrainingConfig
from studio.core.events import Evaluated, Event, RunStarted, StageChanged, StepsCompleted

_RECENT = 50


class TimeLeft:
    """Hears a run's events, measures what steps and evaluations take, and adds up what is still to come."""

    def __init__(self, training: TrainingConfig, batch_size: int) -> None:
        self._every, self._batch = training.evaluate_every, batch_size
        self._seconds: deque[float] = deque(maxlen=_RECENT)
        self._started: RunStarted | None = None
        self._stage: StageChanged | None = None
        self._stage_began, self._stage_first = 0.0, 0
        self._per_row = 0.0
        self._step = self._steps = 0
        self._rows: dict[str, int] = {}

    def hear(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._started, self._steps = event, event.total_steps
            self._step = event.resumed_after or 0
            self._rows = {"validation": event.validation_rows, "test": event.test_rows}
        elif isinstance(event, StepsCompleted):
            self._seconds.extend(event.seconds)
            self._step, self._steps = event.first_step + len(event.losses) - 1, event.steps
        elif isinstance(event, Evaluated) and self._stage is not None and event.rows > self._stage_first:
            self._per_row = max(0.0, event.elapsed - self._stage_began) / (event.rows - self._stage_first)
        if isinstance(event, StageChanged):
            if self._stage is None or self._stage.stage != event.stage:
                self._stage_began, self._stage_first = event.elapsed, event.done
            self._stage = event if self._started is not None else None
        elif isinstance(event, RunStarted | StepsCompleted | Evaluated):
            self._stage = None

    @property
    def seconds(self) -> float | None:
        """Seconds to come; None while no step was taken."""
        if not self._seconds or not self._steps:
            return None
        steps = float(np.median(self._seconds)) * max(0, self._steps - self._step)
        return steps + self._per_row * self._rows_to_come()

    def _rows_to_come(self) -> int:
        """Messages of validations and of the test that are still to be predicted."""
        validations = self._validations(self._steps) - self._validations(self._step)
        rows = validations * self._rows.get("validation", 0) + self._rows.get("test", 0)
        stage = self._stage
        if stage is None or not stage.total:
            return rows
        # The test is among the rows already; of a validation, that of the newest step, only what is left.
        return rows - stage.done if "test" in stage.stage else rows + max(0, stage.total - stage.done)

    def _validations(self, step: int) -> int:
        """How many validations begin until a step, that one included."""
        rows = self._started.train_rows if self._started is not None else 0
        every = math.ceil(rows / self._batch) if self._every == "epoch" else self._every
        last = 1 if step == self._steps and every and step % every else 0
        return step // every + last if every else 0
