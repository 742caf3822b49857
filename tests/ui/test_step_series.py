"""The columns that grow with a run, their smoothing, and what a plot is given of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from studio.ui.models.step_series import BLOCK, Series, StepSeries, thinned
from tests.ui.sample_runs import step


class TestSeries:
    def test_grows(self) -> None:
        series = Series()
        assert math.isnan(series.last)
        for number in range(5000):
            series.append(number)
        assert np.array_equal(series.values, np.arange(5000))
        assert series.last == 4999

    @given(st.lists(st.floats(0, 100) | st.just(math.nan), min_size=1, max_size=60), st.integers(1, 20))
    def test_smoothed_loss_is_the_mean_of_the_last_finite_ones(self, losses: list[float], window: int) -> None:
        series = StepSeries()
        for number, loss in enumerate(losses, 1):
            series.add(step(number, loss))
        for number, mean in enumerate(series.smoothed_loss(window).values.tolist(), 1):
            last = [loss for loss in losses[max(0, number - window) : number] if math.isfinite(loss)]
            assert mean == pytest.approx(np.mean(last), abs=1e-9) if last else math.isnan(mean)

    def test_smoothing_goes_on_where_it_was(self) -> None:
        series = StepSeries()
        for number in range(1, 50):
            series.add(step(number, float(number**2 % 17)))
            piecewise = series.smoothed_loss(7).values.copy()
        assert np.allclose(piecewise, _whole(series, 7))
        assert np.allclose(series.smoothed_loss(3).values, _whole(series, 3)), "another window starts anew"

    def test_several_steps_share_epoch_and_time(self) -> None:
        series = StepSeries()
        event = step(1).model_copy(update={"losses": [3.0, 2.0], "seconds": [1.0, 3.0], "epoch": 0.5, "elapsed": 10.0})
        series.add(event)
        series.add(event.model_copy(update={"first_step": 3, "epoch": 1.0, "elapsed": 2.0}))
        assert series.epoch.values.tolist() == [0.25, 0.5, 0.75, 1.0]
        assert series.elapsed.values.tolist() == [7.0, 10.0, 10.0, 10.0], "a clock that was set back is waited for"
        assert series.steps_per_second.values.tolist() == pytest.approx([1, 1 / 3, 1, 1 / 3])

    def test_memory_is_the_most_that_was_measured_in_half_a_second(self) -> None:
        series = StepSeries()
        for number in range(1000):
            series.add_memory(number / 100, 500 + (number % 50 == 7))
            series.memory.bounds_of_blocks()
        assert series.memory_elapsed.values.tolist() == [number / 2 for number in range(20)]
        assert set(series.memory.values) == {501}

    def test_the_newest_number_is_raised_in_a_whole_block_too(self) -> None:
        series = Series.of(np.zeros(BLOCK))
        series.bounds_of_blocks()
        series.raise_last(3)
        series.raise_last(2)
        assert series.last == 3
        assert series.bounds_of_blocks()[1].tolist() == [3]

    @example(size=4125, buckets=5, start=0.0, end=0.53125, seed=4219)  # its least is in a block of which a part is in sight
    @given(st.integers(0, 40_000), st.integers(5, 60), st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**32 - 1))
    def test_no_peak_in_sight_is_lost(self, size: int, buckets: int, start: float, end: float, seed: int) -> None:
        """What lies within comes out no less and no more extreme, at most two points a bucket, in order."""
        noise = np.random.default_rng(seed).normal(size=size)
        noise[::97] = np.nan
        x, y = Series.of(np.arange(size)), Series()
        y.extend(noise[: size // 2])
        y.bounds_of_blocks()
        y.extend(noise[size // 2 :])
        low, high = sorted((start * size, end * size))
        shown_x, shown_y = thinned(x, y, low, high, buckets)
        assert len(shown_x) == len(shown_y) <= 2 * buckets
        assert (np.diff(shown_x) >= 0).all()
        certain = noise[int(np.ceil(low)) : int(high) + 1]
        certain = certain[np.isfinite(certain)]
        if len(certain):
            assert np.nanmin(shown_y) <= certain.min()
            assert np.nanmax(shown_y) >= certain.max()

    def test_all_of_a_long_curve_reaches_from_its_first_to_its_last_point(self) -> None:
        x, y = Series.of(np.arange(1, 100_001)), Series.of(np.ones(100_000))
        shown_x, _shown_y = thinned(x, y, -math.inf, math.inf, 100)
        assert (shown_x[0], shown_x[-1]) == (1, 100_000)


def _whole(series: StepSeries, window: int) -> list[float]:
    losses = series.loss.values
    return [float(losses[max(0, end - window) : end].mean()) for end in range(1, len(losses) + 1)]
