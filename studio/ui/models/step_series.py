"""Numbers that grow with a run, column by column, and a thinned view of them for a plot."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from studio.core.events import StepsCompleted

Numbers = NDArray[np.float64]
BLOCK = 64
"""Numbers of which a column remembers only the least and the greatest, so that a million can be drawn at once."""

MEMORY_SECONDS = 0.5
"""The memory plot tells no more than this apart."""


class Series:
    """A growing column of numbers: appending costs O(1) on average, ``values`` is a view and copies nothing."""

    def __init__(self) -> None:
        self._room = np.empty(256, dtype=np.float64)
        self._used = 0
        self._blocks: tuple[Numbers, Numbers] = (np.empty(0), np.empty(0))

    @classmethod
    def of(cls, values: ArrayLike) -> Series:
        """A column that holds these numbers."""
        made = cls()
        made.extend(np.asarray(values, dtype=np.float64))
        return made

    def __len__(self) -> int:
        return self._used

    def append(self, value: float) -> None:
        if self._used == len(self._room):
            self._grow(self._used + 1)
        self._room[self._used] = value
        self._used += 1

    def raise_last(self, value: float) -> None:
        """Let the newest number be no less than this."""
        newest = self._used - 1
        self._room[newest] = max(self._room[newest], value)
        lows, highs = self._blocks
        self._blocks = lows[: newest // BLOCK], highs[: newest // BLOCK]

    def extend(self, values: Numbers) -> None:
        end = self._used + len(values)
        if end > len(self._room):
            self._grow(end)
        self._room[self._used : end] = values
        self._used = end

    def cut(self, length: int) -> None:
        """Keep only the first ``length`` numbers."""
        self._used = min(self._used, length)
        lows, highs = self._blocks
        self._blocks = lows[: self._used // BLOCK], highs[: self._used // BLOCK]

    @property
    def values(self) -> Numbers:
        """All numbers so far, shape (n,)."""
        return self._room[: self._used]

    @property
    def last(self) -> float:
        """The newest number; NaN when there is none."""
        return float(self._room[self._used - 1]) if self._used else math.nan

    def bounds_of_blocks(self) -> tuple[Numbers, Numbers]:
        """The least and the greatest number of each full block, NaN left out, shape (n // BLOCK,) each."""
        lows, highs = self._blocks
        known, full = len(lows), self._used // BLOCK
        if full > known:
            rows = self._room[known * BLOCK : full * BLOCK].reshape(-1, BLOCK)
            lows = np.concatenate([lows, np.fmin.reduce(rows, axis=1)])
            highs = np.concatenate([highs, np.fmax.reduce(rows, axis=1)])
            self._blocks = lows, highs
        return lows, highs

    def _grow(self, least: int) -> None:
        room = np.empty(max(2 * len(self._room), least), dtype=np.float64)
        room[: self._used] = self._room[: self._used]
        self._room = room


def thinned(x: Series, y: Series, low: float, high: float, buckets: int) -> tuple[Numbers, Numbers]:
    """What a plot ``buckets`` pixels wide can show of y over x, between ``low`` and ``high`` and one point to either side.

    ``x`` ascends. Few points come as they are. Of many, each of the buckets becomes two points with its least and its
    greatest y, so that no peak is lost; the first and the last x stay. The result shares no memory with the columns.
    """
    size = min(len(x), len(y))
    xs = x.values[:size]
    first = max(0, int(np.searchsorted(xs, low, side="left")) - 1)
    last = min(size, int(np.searchsorted(xs, high, side="right")) + 1)
    if last - first <= 2 * buckets:
        return xs[first:last].copy(), y.values[first:last].copy()
    if last - first > 2 * buckets * BLOCK:
        seen, last = last, min(-(-last // BLOCK), size // BLOCK)
        rest = y.values[last * BLOCK : seen]  # of a last block that is not whole yet
        first //= BLOCK
        lows, highs = y.bounds_of_blocks()
        scale = BLOCK
    else:
        lows = highs = y.values
        rest = y.values[:0]
        scale = 1
    starts = np.linspace(first, last, buckets, endpoint=False).astype(np.int64)  # at least two apart
    ends = np.append(starts[1:], last)
    shown_x, shown_y = np.empty(2 * len(starts)), np.empty(2 * len(starts))
    shown_x[0::2], shown_x[1::2] = xs[starts * scale], xs[ends * scale - 1]
    shown_y[0::2] = np.fmin.reduceat(lows[:last], starts)
    shown_y[1::2] = np.fmax.reduceat(highs[:last], starts)
    if len(rest):
        shown_x[-1] = xs[last * BLOCK + len(rest) - 1]
        shown_y[-2], shown_y[-1] = np.fmin(shown_y[-2], np.fmin.reduce(rest)), np.fmax(shown_y[-1], np.fmax.reduce(rest))
    return shown_x, shown_y


class StepSeries:
    """What is known of each optimizer step, column by column; every column but ``memory*`` has one entry a step."""

    def __init__(self) -> None:
        self.step = Series()
        self.epoch = Series()
        self.elapsed = Series()
        """Seconds since the run began, at the end of the step; never descends."""
        self.loss = Series()
        self.tokens_per_second = Series()
        self.steps_per_second = Series()
        self.learning_rate = Series()
        self.gradient_norm = Series()
        self.memory_elapsed = Series()
        """Seconds since the run began, for each entry of ``memory``: one in each ``MEMORY_SECONDS`` at most."""
        self.memory = Series()
        """Bytes, the most that was measured in that time: of the worker process on a CPU, of the allocator on CUDA and MPS."""
        self._smoothed: tuple[int, Series] = (0, Series())

    def add(self, event: StepsCompleted) -> None:
        total, number = sum(event.seconds), len(event.losses)
        speed = event.tokens / total if total > 0 else math.nan
        epoch = self.epoch.last if len(self.epoch) else event.epoch * (event.first_step - 1) / (event.first_step + number - 1)
        left = total
        latest = self.elapsed.last if len(self.elapsed) else 0.0
        for offset, (loss, seconds) in enumerate(zip(event.losses, event.seconds, strict=False)):
            left -= seconds
            latest = max(latest, event.elapsed - left)
            self.step.append(event.first_step + offset)
            self.epoch.append(epoch + (event.epoch - epoch) * (offset + 1) / number)
            self.elapsed.append(latest)
            self.loss.append(loss)
            self.steps_per_second.append(1 / seconds if seconds > 0 else math.nan)
            self.tokens_per_second.append(speed)
            self.learning_rate.append(event.learning_rate)
            self.gradient_norm.append(event.gradient_norm)

    def forget_after(self, step: int) -> None:
        """The run went on from a checkpoint of ``step``: what it had done after that is done again."""
        kept = int(np.searchsorted(self.step.values, step, side="right"))
        for column in vars(self).values():
            if isinstance(column, Series) and column not in (self.memory, self.memory_elapsed):
                column.cut(kept)
        self._smoothed = (0, Series())

    def smoothed_loss(self, window: int) -> Series:
        """The mean of the finite losses over the last ``window`` steps at each step; NaN where none is.

        Kept, and continued at the next call with the same window: an old mean never changes.
        """
        if self._smoothed[0] != window:
            self._smoothed = (window, Series())
        known, means = len(self._smoothed[1]), self._smoothed[1]
        if known < len(self.loss):
            begin = max(0, known - window + 1)
            means.extend(_running_means(self.loss.values[begin:], window)[known - begin :])
        return means

    def forget_memory(self) -> None:
        self.memory_elapsed, self.memory = Series(), Series()

    def add_memory(self, elapsed: float, memory: int) -> None:
        if memory > 0 and elapsed - self.memory_elapsed.last < MEMORY_SECONDS:
            self.memory.raise_last(memory)
        elif memory > 0:
            self.memory_elapsed.append(elapsed)
            self.memory.append(memory)


def _running_means(losses: Numbers, window: int) -> Numbers:
    finite = np.isfinite(losses)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, losses, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    start = np.maximum(0, np.arange(1, len(sums)) - window)
    number = counts[1:] - counts[start]
    means = np.full(len(number), np.nan)
    np.divide(sums[1:] - sums[start], number, out=means, where=number > 0)
    return means
