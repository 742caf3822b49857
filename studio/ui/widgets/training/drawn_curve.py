"""One curve of a plot: its columns, how they are drawn, and what the legend says of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg  # type: ignore[import-untyped]  # ships no types
from PySide6.QtCore import Qt

from studio.ui import theme
from studio.ui.models.step_series import Numbers, Series, thinned
from studio.ui.widgets.training.plot_legend import SYMBOLS, Curve, LegendEntry

# With more points than this in sight the raw line is dense enough to be seen without dots, which are slow to draw.
_DOTTED = 200
_EMPTY = Series()


class DrawnCurve:
    """``item`` belongs into the plot, ``entry`` into its legend, if the curve is listed there."""

    def __init__(self, name: str, curve: Curve, *, front: bool) -> None:
        """``front``: not behind those of other runs."""
        self.curve = curve
        self.x, self.y = _EMPTY, _EMPTY
        """Ascending places, and the values there. They may grow."""
        self.item: Any = pg.PlotDataItem(connect="finite", name=name)
        self.item.setZValue(10 if front else 1)
        self.entry = LegendEntry(curve) if curve.listed else None
        self._front = front

    def draw(self, low: float, high: float, buckets: int) -> None:
        """Draw what is between two places, in about so many points; the legend lists what has any."""
        x, y = thinned(self.x, self.y, low, high, buckets)
        if self.curve.look == "raw":
            self.item.setSymbol("o" if len(x) <= _DOTTED else None)
        self.item.setData(x, y * self.curve.unit)
        if self.entry is not None:
            self.entry.setVisible(len(self.x) > 0)

    def drawn(self) -> tuple[Numbers, Numbers]:
        """The points as they were last drawn."""
        empty = np.zeros(0)
        return (empty, empty) if self.item.xData is None else (self.item.xData, self.item.yData)

    def read_out(self, x: float | None) -> None:
        """Have the legend say the value at a place; None: the newest."""
        if self.entry is None:
            return
        # Sparse curves are read at the last point at or before the pointer.
        position = len(self.x) - 1 if x is None else int(np.searchsorted(self.x.values, x, side="right")) - 1
        known = 0 <= position < len(self.y)
        self.entry.show_value(self.curve.write(float(self.y.values[position]) * self.curve.unit) if known else "")

    def near(self, x: float) -> list[float]:
        """The places of the points right before and after one."""
        after = int(np.searchsorted(self.x.values, x))
        return [float(value) for value in self.x.values[max(0, after - 1) : after + 1]]

    def colour(self, dots: float) -> None:
        """Take the theme's colours. ``dots``: how many of the screen's own dots there are to a pixel."""
        curve, item = self.curve, self.item
        colour = theme.current().color(curve.colour)
        if curve.look == "raw":
            colour.setAlpha(120 if self._front else 70)
        style = Qt.PenStyle.DashLine if curve.look == "dashed" else Qt.PenStyle.SolidLine
        # A cosmetic pen counts in the screen's own dots, of which a display at 200 % has four where others have one.
        item.setPen(pg.mkPen(colour, width=(1 if curve.look == "raw" else 2) * dots, style=style))
        if curve.look in SYMBOLS:
            item.setSymbol(SYMBOLS[curve.look])
            item.setSymbolSize(4 if curve.look == "raw" else 8)
            item.setSymbolBrush(colour)
            item.setSymbolPen(None)
        if self.entry is not None:
            self.entry.update()
