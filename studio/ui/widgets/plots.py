"""Plots of a run. The only module that imports pyqtgraph, whose import takes most of a second: load it after the window shows."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyqtgraph as pg  # type: ignore[import-untyped]  # ships no types
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QObject, QPointF, Qt
from PySide6.QtGui import QColor, QFont, QPen
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from studio.core.words import duration, percent
from studio.ui import theme
from studio.ui.theme import GRID, SMALL_FONT
from studio.ui.widgets.basics import named, text_label
from studio.ui.widgets.plot_legend import Curve, LegendEntry, Look

Axis = Literal["number", "percent", "time"]
_SYMBOLS: dict[Look, str] = {"diamonds": "d", "circles": "o", "raw": "o"}
# With more points than this the raw line is dense enough to be seen without dots, which are slow to draw.
_DOTTED = 200
_TIME_TICKS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 2 * 3600, 6 * 3600, 12 * 3600, 24 * 3600)


class RunPlot(QWidget):
    """Curves over one x axis, with a legend above them that reads out the values under the pointer, else the newest."""

    def __init__(
        self,
        object_name: str,
        title: str,
        curves: dict[str, Curve],
        tooltip: str,
        empty: str,
        x_axis: Axis = "number",
        y_axis: Axis = "number",
        x_name: str = "step",
    ) -> None:
        super().__init__()
        self._curves = curves
        self._x_axis, self._x_name = x_axis, x_name
        self._data: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        self._hovered: float | None = None
        self._log = False
        axes = {"bottom": _axis("bottom", x_axis), "left": _axis("left", y_axis)}
        self.plot: Any = pg.PlotWidget(axisItems=axes)
        named(self.plot, object_name, title, tooltip)
        self._items: dict[str, Any] = {}
        for key in curves:
            item = pg.PlotDataItem(connect="finite", name=key)
            item.setDownsampling(auto=True, method="peak")
            item.setClipToView(True)
            self.plot.addItem(item)
            self._items[key] = item
        self._cursor: Any = pg.InfiniteLine(angle=90, movable=False)
        self._cursor.hide()
        self.plot.addItem(self._cursor, ignoreBounds=True)
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        self.plot.setMinimumHeight(9 * GRID)
        self.plot.getAxis("left").setWidth(6 * GRID)
        self.plot.showGrid(x=False, y=True, alpha=0.12)
        self.plot.scene().sigMouseMoved.connect(self._move)
        self.plot.viewport().installEventFilter(self)
        self._keys = {key: LegendEntry(curve) for key, curve in curves.items()}
        self._where = text_label("", "small")
        self.header = QHBoxLayout()
        self.header.setSpacing(GRID)
        self.header.addWidget(text_label(title, "strong"))
        self.header.addWidget(self._where)
        self.header.addStretch(1)
        legend = QHBoxLayout()
        legend.setSpacing(GRID)
        for entry in self._keys.values():
            legend.addWidget(entry)
        self._empty = text_label(empty, "small")
        legend.addWidget(self._empty)
        legend.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(self.header)
        column.addLayout(legend)
        column.addWidget(self.plot, 1)
        theme.notifier.changed.connect(self._recolour)
        self._recolour()

    def set_data(self, key: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        """Show a curve anew; ``x`` ascends. The arrays are copied, because they are views of columns that still grow."""
        x, y = np.array(x), np.array(y)
        self._data[key] = (x, y)
        if self._curves[key].look == "raw":
            self._items[key].setSymbol("o" if len(x) <= _DOTTED else None)
        self._items[key].setData(x, y)
        self._keys[key].setVisible(len(x) > 0)
        self._empty.setVisible(not any(len(xs) for xs, _ys in self._data.values()))
        self._read_out()

    def set_log(self, on: bool) -> None:
        """A logarithmic y axis, or a linear one."""
        self._log = on
        self.plot.setLogMode(y=on)

    def fit(self) -> None:
        """Show everything again after zooming."""
        self.plot.enableAutoRange()

    def link_x(self, other: RunPlot) -> None:
        """Zoom and move together with another plot."""
        self.plot.setXLink(other.plot)

    def shown(self, key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The data of a curve as it was last set."""
        empty = np.zeros(0)
        return self._data.get(key, (empty, empty))

    def read_out(self) -> dict[str, str]:
        """What the legend says of each curve."""
        return {key: entry.text for key, entry in self._keys.items()}

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if event.type() == QEvent.Type.Leave:
            self._hovered = None
            self._cursor.hide()
            self._read_out()
        elif event.type() == QEvent.Type.MouseButtonDblClick:
            self.fit()
        return super().eventFilter(watched, event)

    def _move(self, position: QPointF) -> None:
        if any(len(x) for x, _y in self._data.values()):
            self._hovered = float(self.plot.getViewBox().mapSceneToView(position).x())
            self._read_out()

    def _read_out(self) -> None:
        at = self._nearest()
        self._cursor.setVisible(at is not None)
        self._where.setText("")
        if at is not None:
            self._cursor.setPos(at)
            self._where.setText(f"at {duration(at)}" if self._x_axis == "time" else f"{self._x_name} {at:.0f}")
        for key, (x, y) in self._data.items():
            # Sparse curves are read at the last point at or before the pointer.
            position = len(x) - 1 if at is None else int(np.searchsorted(x, at, side="right")) - 1
            self._keys[key].show_value(self._curves[key].write(float(y[position])) if position >= 0 else "")

    def _nearest(self) -> float | None:
        """The x of the point nearest to the pointer."""
        pointer = self._hovered
        if pointer is None:
            return None
        nearest = [float(x[np.argmin(np.abs(x - pointer))]) for x, _y in self._data.values() if len(x)]
        return min(nearest, key=lambda x: abs(x - pointer), default=None)

    def _recolour(self) -> None:
        colours = theme.current()
        self.plot.setBackground(colours.surface)
        font = QFont(self.font())
        font.setPixelSize(SMALL_FONT)
        for side in ("left", "bottom"):
            axis = self.plot.getAxis(side)
            axis.setPen(QColor(colours.border))
            axis.setTextPen(QColor(colours.muted))
            axis.setTickFont(font)
        self._cursor.setPen(QPen(QColor(colours.muted), 0))
        for key, curve in self._curves.items():
            colour, item = QColor(colours.color(curve.colour)), self._items[key]
            if curve.look == "raw":
                colour.setAlpha(120)
            style = Qt.PenStyle.DashLine if curve.look == "dashed" else Qt.PenStyle.SolidLine
            item.setPen(pg.mkPen(colour, width=1 if curve.look == "raw" else 2, style=style))
            if curve.look in _SYMBOLS:
                item.setSymbol(_SYMBOLS[curve.look])
                item.setSymbolSize(4 if curve.look == "raw" else 8)
                item.setSymbolBrush(colour)
                item.setSymbolPen(None)
            self._keys[key].update()


def loss_plot() -> RunPlot:
    """Loss in nats per graded token over steps."""
    return RunPlot(
        "lossPlot",
        "Loss",
        {
            "raw": Curve("train", "train", "raw", _loss),
            "smoothed": Curve("smoothed", "train", "line", _loss),
            "validation": Curve("validation", "validation", "diamonds", _loss),
        },
        "Mean loss per graded token, in nats, over optimizer steps. Drag to move, turn the wheel to zoom.",
        "Comes with the first step",
    )


def score_plot() -> RunPlot:
    """Accuracy and macro-F1 over steps."""
    return RunPlot(
        "scorePlot",
        "Scores",
        {
            "accuracy": Curve("accuracy", "validation", "diamonds", percent),
            "macro_f1": Curve("macro-F1", "forecast", "circles", percent),
            "test": Curve("test accuracy", "test", "circles", percent),
        },
        "Share of validation messages predicted right, and mean F1 over intents, in percent.",
        "Comes with the first validation",
        y_axis="percent",
    )


def memory_plot() -> RunPlot:
    """Memory in GB over time, beside the forecast."""
    return RunPlot(
        "memoryPlot",
        "Memory",
        {
            "memory": Curve("measured", "ours", "line", _gigabytes),
            "forecast": Curve("forecast", "forecast", "dashed", _gigabytes),
        },
        "Memory of the training process over time, in GB, and the forecast of its peak.",
        "Comes with the first sign of the worker",
        x_axis="time",
    )


def rate_plot() -> RunPlot:
    """The learning rate over steps."""
    return RunPlot(
        "ratePlot",
        "Learning rate",
        {"rate": Curve("learning rate", "train", "line", "{:.2e}".format)},
        "Step size of the optimizer at each step, as the schedule sets it.",
        "Comes with the first step",
    )


def norm_plot() -> RunPlot:
    """The length of the gradient over steps."""
    return RunPlot(
        "normPlot",
        "Gradient norm",
        {"norm": Curve("before clipping", "validation", "line", "{:.3g}".format)},
        "Length of the gradient at each step, before it is clipped. A sudden rise is a warning.",
        "Comes with the first step",
    )


def speed_plot() -> RunPlot:
    """Throughput over steps."""
    return RunPlot(
        "speedPlot",
        "Speed",
        {"speed": Curve("tokens a second", "test", "line", "{:,.0f}".format)},
        "Tokens computed a second at each step, without padding.",
        "Comes with the first step",
    )


def _loss(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 0.1 else f"{value:.3f}"


def _gigabytes(value: float) -> str:
    return f"{value:.2f} GB"


def _axis(side: str, kind: Axis) -> Any:
    """An axis whose ticks are written as ``kind`` asks. Its methods are replaced, as an untyped class cannot be derived from."""
    axis: Any = pg.AxisItem(side)
    axis.enableAutoSIPrefix(False)
    axis.setStyle(tickTextOffset=4)
    if kind == "percent":
        axis.tickStrings = lambda values, _scale, spacing: [f"{100 * value:.{0 if spacing >= 0.01 else 1}f} %" for value in values]
    elif kind == "time":
        axis.tickStrings = lambda values, _scale, _spacing: [duration(value) for value in values]
        axis.tickSpacing = _time_spacing
    return axis


def _time_spacing(low: float, high: float, pixels: float) -> list[tuple[float, float]]:
    """One tick at least every 64 px, at round times."""
    wanted = (high - low) / max(1.0, pixels / 64)
    return [(float(next((tick for tick in _TIME_TICKS if tick >= wanted), max(wanted, _TIME_TICKS[-1]))), 0.0)]
