"""The axes of a plot: numbers, shares in percent, and times as a clock shows them."""

from __future__ import annotations

from typing import Any, Literal

import pyqtgraph as pg  # type: ignore[import-untyped]  # ships no types

from studio.core.words import duration

AxisKind = Literal["number", "percent", "time"]
_TIME_TICKS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 2 * 3600, 6 * 3600, 12 * 3600, 24 * 3600)


def make_axis(side: str) -> Any:
    """An axis that writes numbers; see ``set_axis_kind``."""
    axis: Any = pg.AxisItem(side)
    axis.enableAutoSIPrefix(False)
    axis.setStyle(tickTextOffset=4)
    return axis


def set_axis_kind(axis: Any, kind: AxisKind) -> None:
    """Write ticks as ``kind`` asks. The axis' methods are replaced, as an untyped class cannot be derived from."""
    for name in ("tickStrings", "tickSpacing"):
        axis.__dict__.pop(name, None)
    if kind == "percent":
        axis.tickStrings = lambda values, _scale, spacing: [f"{100 * value:.{0 if spacing >= 0.01 else 1}f} %" for value in values]
    elif kind == "time":
        axis.tickStrings = lambda values, _scale, _spacing: [duration(value) if value >= 0 else "" for value in values]
        axis.tickSpacing = _time_spacing
    axis.picture = None
    axis.update()


def _time_spacing(low: float, high: float, pixels: float) -> list[tuple[float, float]]:
    """One tick at least every 64 px, at round times."""
    wanted = (high - low) / max(1.0, pixels / 64)
    return [(float(next((tick for tick in _TIME_TICKS if tick >= wanted), max(wanted, _TIME_TICKS[-1]))), 0.0)]
