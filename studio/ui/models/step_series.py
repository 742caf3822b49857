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
        self.tokens_per_second = Series()
        self.seconds = Series()
        self.learning_rate = Series()
        self.gradient_norm = Series()
        self.memory_elapsed = Series()
        """Seconds since the run began, for each entry of ``memory``."""
        self.memory = Series()
        """Bytes: of the worker process on a CPU, of the allocator on CUDA and MPS."""

    def add(self, event: StepsCompleted) -> None:
        speed = event.tokens / total if (total := sum(event.seconds)) > 0 else math.nan
        for offset, (loss, seconds) in enumerate(zip(event.losses, event.seconds, strict=False)):
            self.step.append(event.first_step + offset)
            self.loss.append(loss)
            self.seconds.append(seconds)
            self.tokens_per_second.append(speed)
            self.learning_rate.append(event.learning_rate)
            self.gradient_norm.append(event.gradient_norm)

    def smoothed_loss(self, window: int) -> NDArray[np.float64]:
        """The mean of the finite losses over the last ``window`` steps at each step, shape (steps,); NaN where none is."""
        finite = np.isfinite(self.loss.values)
        sums = np.concatenate([[0.0], np.cumsum(np.where(finite, self.loss.values, 0.0))])
        counts = np.concatenate([[0], np.cumsum(finite)])
        start = np.maximum(0, np.arange(1, len(sums)) - window)
        number = counts[1:] - counts[start]
        means = np.full(len(number), np.nan)
        np.divide(sums[1:] - sums[start], number, out=means, where=number > 0)
        return means

    def forget_memory(self) -> None:
        self.memory_elapsed, self.memory = Series(), Series()

    def add_memory(self, elapsed: float, memory: int) -> None:
        if memory > 0:
            self.memory_elapsed.append(elapsed)
            self.memory.append(memory)
