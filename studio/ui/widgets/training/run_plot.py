"""One plot of a run: curves of any length over one x axis.

pyqtgraph, which only this module, its curves and the axes import, takes most of a second to load: load it after the window shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyqtgraph as pg  # type: ignore[import-untyped]  # ships no types
from PySide6.QtCore import QEvent, QObject, QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QFont, QKeyEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from studio.core.words import duration
from studio.ui import theme
from studio.ui.models.step_series import Numbers, Series
from studio.ui.theme import GRID, SMALL_FONT
from studio.ui.widgets.basics import named, text_label
from studio.ui.widgets.flow_box import FlowBox
from studio.ui.widgets.training.drawn_curve import DrawnCurve
from studio.ui.widgets.training.plot_axes import AxisKind, make_axis, set_axis_kind
from studio.ui.widgets.training.plot_legend import Curve

_KEYS_TIP = (
    "Drag to move, turn the wheel to zoom, double-click or press Home to see all. Arrow keys move, + and - zoom, "
    "Ctrl with Left or Right reads one point after the other."
)
_MOVE, _ZOOM = 0.1, 0.8


class RunPlot(QWidget):
    """Curves over one x axis, with a legend above them that reads out the values under the pointer, else the newest.

    Draws what is in sight, thinned to the pixels that it has, so that a million points cost what a thousand do.
    """

    range_moved = Signal(float, float)
    """A person moved or zoomed; the x range then in sight."""
    fit_requested = Signal()
    """All is to be seen again."""
    pointed = Signal(object)
    """The x under the pointer, or None when it has left."""

    def __init__(
        self,
        object_name: str,
        title: str,
        curves: dict[str, Curve],
        tooltip: str,
        empty: str,
        x_axis: AxisKind = "number",
        y_axis: AxisKind = "number",
    ) -> None:
        super().__init__()
        self.title = title
        self._curves: dict[str, DrawnCurve] = {}
        self._pointer: float | None = None
        self._range: tuple[float, float] | None = None
        self._settled = True
        self._without_points: bool | None = None
        self.place_in_words: Callable[[float], str] = self._describe
        """Tells a place on the x axis; to be set by whoever knows more of it than its number."""
        axes = {"bottom": make_axis("bottom"), "left": make_axis("left")}
        set_axis_kind(axes["left"], y_axis)
        self.plot: Any = pg.PlotWidget(axisItems=axes, enableMenu=False)
        named(self.plot, object_name, title, f"{tooltip} {_KEYS_TIP}")
        self._cursor: Any = pg.InfiniteLine(angle=90, movable=False)
        self._cursor.hide()
        self.plot.addItem(self._cursor, ignoreBounds=True)
        self.plot.hideButtons()
        self.plot.setMinimumHeight(9 * GRID)
        self.plot.getAxis("left").setWidth(6 * GRID)
        # Fixed, for an axis that has been without ticks does not grow again by itself, and cuts its numbers.
        self.plot.getAxis("bottom").setHeight(3 * GRID)
        self.plot.showGrid(x=False, y=True, alpha=0.12)
        self._view: Any = self.plot.getViewBox()
        self._view.disableAutoRange(self._view.XAxis)
        self._view.sigXRangeChanged.connect(self._unsettle)
        self._view.sigRangeChangedManually.connect(self._moved_by_hand)
        self._view.sigResized.connect(self._unsettle)
        self.plot.scene().sigMouseMoved.connect(self._move)
        self.plot.viewport().installEventFilter(self)
        self.plot.installEventFilter(self)
        # Redrawn once for all the moves that came meanwhile.
        self._redrawing = QTimer(self, singleShot=True, interval=0)
        self._redrawing.timeout.connect(lambda: self.redraw() if self.isVisible() else None)
        self.header = QHBoxLayout()
        self.header.setSpacing(GRID)
        self.heading = text_label(title, "strong")
        self.header.addWidget(self.heading)
        self._where = text_label("", "small")
        self._legend = FlowBox()
        self._empty = text_label(empty, "small")
        self._legend.add(self._empty)
        self._legend.add(self._where)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(self.header)
        column.addWidget(self._legend)
        column.addWidget(self.plot, 1)
        self.set_x(x_axis, "at" if x_axis == "time" else "step")
        for key, curve in curves.items():
            self.add_curve(key, curve, front=True)
        self._show_empty(True)
        theme.notifier.changed.connect(self._recolour)
        self._recolour()

    # Curves

    def add_curve(self, key: str, curve: Curve, *, front: bool = False) -> None:
        """A further curve, behind those of the run itself unless it is one of them."""
        self._curves[key] = drawn = DrawnCurve(key, curve, front=front)
        self.plot.addItem(drawn.item)
        if drawn.entry is not None:
            self._legend.add(drawn.entry, before=self._where)
        drawn.colour(self.devicePixelRatioF())

    def remove_curve(self, key: str) -> None:
        gone = self._curves.pop(key)
        self.plot.removeItem(gone.item)
        if gone.entry is not None:
            self._legend.remove(gone.entry)

    def curve(self, key: str) -> Curve:
        """How a curve looks."""
        return self._curves[key].curve

    @property
    def curves(self) -> list[str]:
        """The keys of all curves."""
        return list(self._curves)

    def set_data(self, key: str, x: Series, y: Series) -> None:
        """Show other columns as a curve, from the next ``redraw`` on; ``x`` ascends. They may grow later."""
        self._curves[key].x, self._curves[key].y = x, y

    def set_x(self, kind: AxisKind, name: str) -> None:
        """What the x axis counts, as in "step 7" or "at 0:41"."""
        self._x_kind, self._x_name = kind, name
        set_axis_kind(self.plot.getAxis("bottom"), kind)

    def set_log(self, on: bool) -> None:
        """A logarithmic y axis, or a linear one."""
        self.plot.setLogMode(y=on)

    def shown(self, key: str) -> tuple[Numbers, Numbers]:
        """The points of a curve as they were last drawn."""
        return self._curves[key].drawn()

    def read_out(self) -> dict[str, str]:
        """What the legend says of each curve."""
        return {key: curve.entry.text for key, curve in self._curves.items() if curve.entry is not None}

    # What is in sight

    def bounds(self) -> tuple[float, float] | None:
        """The least and the greatest x of all curves; None while there is nothing."""
        ends = [(float(curve.x.values[0]), curve.x.last) for curve in self._curves.values() if len(curve.x)]
        return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None

    def show_all(self, low: float, high: float) -> None:
        """Show everything, with room for ``low`` to ``high`` on the x axis."""
        self._range = None
        margin = 0.02 * (high - low) or 0.5
        self._set_x_range(low - margin, high + margin)
        self._view.enableAutoRange(self._view.YAxis)

    def show_range(self, low: float, high: float) -> None:
        """Show a part of the x axis."""
        self._range = (low, high)
        self._set_x_range(low, high)

    def point_at(self, x: float | None) -> None:
        """Read out the values at an x; None: the newest."""
        self._pointer = x
        self._read_out()

    def redraw(self) -> None:
        """Bring curves and legend up to date."""
        self._redrawing.stop()
        low, high = self._range or (-math.inf, math.inf)
        buckets = max(100, int(self._view.width()))
        self._settled = False
        for curve in self._curves.values():
            curve.draw(low, high, buckets)
        self._settled = True
        self._view.updateAutoRange()  # else a paint begins it, and is followed by a second one
        self._show_empty(not any(len(curve.x) for curve in self._curves.values()))
        self._read_out()

    def _show_empty(self, empty: bool) -> None:
        """While there is no point there is no scale to read either."""
        if empty != self._without_points:  # each change draws the axes anew
            self._without_points = empty
            self._empty.setVisible(empty)
            for side in ("left", "bottom"):
                self.plot.getAxis(side).setTicks([] if empty else None)

    def _set_x_range(self, low: float, high: float) -> None:
        self._settled = False
        self._view.setXRange(low, high, padding=0)
        self._settled = True

    def _unsettle(self) -> None:
        """Draw again soon, unless the range was changed by whoever draws anyway."""
        if self._settled:
            self._redrawing.start()

    def _moved_by_hand(self) -> None:
        low, high = self._view.viewRange()[0]
        self._range = (low, high)
        self._redrawing.start()
        self.range_moved.emit(low, high)

    # Mouse and keyboard

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            return self._press(event)
        if event.type() in (QEvent.Type.Leave, QEvent.Type.FocusOut):
            self.pointed.emit(None)
        elif event.type() == QEvent.Type.MouseButtonDblClick:
            self.fit_requested.emit()
        elif event.type() == QEvent.Type.DevicePixelRatioChange:
            self._recolour()
        return super().eventFilter(watched, event)

    def _press(self, event: QKeyEvent) -> bool:
        key = event.key()
        (left, right), (bottom, top) = self._view.viewRange()
        across, up = _MOVE * (right - left), _MOVE * (top - bottom)
        reading = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        match key:
            case Qt.Key.Key_Home:
                self.fit_requested.emit()
            case Qt.Key.Key_Escape if self._pointer is not None:
                self.pointed.emit(None)
            case Qt.Key.Key_Left | Qt.Key.Key_Right:
                way = 1 if key == Qt.Key.Key_Right else -1
                if reading:
                    self._point_beside(way)
                else:
                    self._view.translateBy(x=way * across)
                    self._moved_by_hand()
            case Qt.Key.Key_Up | Qt.Key.Key_Down:
                self._view.translateBy(y=up if key == Qt.Key.Key_Up else -up)
                self._moved_by_hand()
            case Qt.Key.Key_Plus | Qt.Key.Key_Equal | Qt.Key.Key_Minus:
                middle = self._pointer if self._pointer is not None and left < self._pointer < right else (left + right) / 2
                factor = 1 / _ZOOM if key == Qt.Key.Key_Minus else _ZOOM
                self._set_x_range(middle - (middle - left) * factor, middle + (right - middle) * factor)
                self._moved_by_hand()
            case _:
                return False
        return True

    def _point_beside(self, way: int) -> None:
        """Point at the next or the previous point of the curve that has most of them."""
        xs = max((curve.x for curve in self._curves.values()), key=len).values
        if len(xs):
            at = len(xs) if self._pointer is None else int(np.searchsorted(xs, self._pointer)) + way
            self.pointed.emit(float(xs[min(max(at, 0), len(xs) - 1)]))
            self.plot.setAccessibleDescription(", ".join([self._where.text(), *self.read_out().values()]))

    def _move(self, position: QPointF) -> None:
        nearest = self._nearest(float(self._view.mapSceneToView(position).x()))
        if nearest is not None:
            self.pointed.emit(nearest)

    def _read_out(self) -> None:
        bounds = self.bounds()
        at = self._pointer if bounds is not None else None
        self._cursor.setVisible(at is not None)
        if at is not None:
            self._cursor.setPos(at)
        self._where.setText("" if bounds is None else self.place_in_words(bounds[1] if at is None else at))
        for curve in self._curves.values():
            curve.read_out(at)

    def _describe(self, x: float) -> str:
        """Where on the x axis that is, in words."""
        return f"{self._x_name} {duration(x) if self._x_kind == 'time' else f'{x:.4g}' if x % 1 else f'{x:.0f}'}"

    def _nearest(self, pointer: float) -> float | None:
        """The x of the point nearest to the pointer."""
        near = [x for curve in self._curves.values() for x in curve.near(pointer)]
        return min(near, key=lambda x: abs(x - pointer), default=None)

    # Colours

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
        for curve in self._curves.values():
            curve.colour(self.devicePixelRatioF())
