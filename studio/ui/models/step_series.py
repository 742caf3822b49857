"""Numbers that grow with a run, column by column."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from studio.core.events import StepsCompleted


class Series:
    """A growing column of numbers: appending costs O(1) on average, ``values`` is a view and copies nothing."""

    def __init__(self) -> None:
        self._room = np.empty(256, dtype=np.float64)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def append(self, value: float) -> None:
        if self._used == len(self._room):
            self._room = np.concatenate([self._room, np.empty_like(self._room)])
        self._room[self._used] = value
        self._used += 1

    @property
    def values(self) -> NDArray[np.float64]:
        """All numbers so far, shape (n,)."""
        return self._room[: self._used]

    @property
    def last(self) -> float:
        """The newest number; NaN when there is none."""
        return float(self._room[self._used - 1]) if self._used else math.nan


class StepSeries:
    """What is known of each optimizer step, column by column; every column but ``memory*`` has one entry a step."""

    def __init__(self) -> None:
        self.step = Series()
        self.loss = Series()
        self.smoothed = Series()
        """Exponential mean of the finite losses, corrected for its start (Kingma & Ba 2015, section 3)."""
        self.seconds = Series()
        self.learning_rate = Series()
        self.gradient_norm = Series()
        self.memory_elapsed = Series()
        """Seconds since the run began, for each entry of ``memory``."""
        self.memory = Series()
        """Bytes: of the worker process on a CPU, of the allocator on CUDA and MPS."""
        self._mean = 0.0
        self._weight = 0.0

    def add(self, event: StepsCompleted) -> None:
        decay = 1 - 1 / min(100, max(4, event.steps / 100))
        for offset, (loss, seconds) in enumerate(zip(event.losses, event.seconds, strict=False)):
            if math.isfinite(loss):
                self._mean = decay * self._mean + (1 - decay) * loss
                self._weight = decay * self._weight + (1 - decay)
            self.step.append(event.first_step + offset)
            self.loss.append(loss)
            self.smoothed.append(self._mean / self._weight if self._weight else math.nan)
            self.seconds.append(seconds)
            self.learning_rate.append(event.learning_rate)
            self.gradient_norm.append(event.gradient_norm)

    def forget_memory(self) -> None:
        self.memory_elapsed, self.memory = Series(), Series()

    def add_memory(self, elapsed: float, memory: int) -> None:
        if memory > 0:
            self.memory_elapsed.append(elapsed)
            self.memory.append(memory)
