"""Plots over the same x axis: they move, zoom and read out together."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from studio.ui.widgets.training.run_plot import RunPlot


class LinkedPlots(QObject):
    """Only the plots in sight are drawn; the others catch up when ``update`` is called again."""

    pointed = Signal(object)
    """The x that is pointed at in one of the plots, or None."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._plots: list[RunPlot] = []
        self._range: tuple[float, float] | None = None

    def add(self, plot: RunPlot) -> None:
        self._plots.append(plot)
        plot.range_moved.connect(self._move)
        plot.fit_requested.connect(self.fit)
        plot.pointed.connect(self.point_at)

    def fit(self) -> None:
        """Show everything, from now on."""
        self._range = None
        self.update()

    def update(self) -> None:
        """Bring the plots in sight up to date with their columns."""
        bounds = [found for plot in self._plots if (found := plot.bounds()) is not None]
        for plot in self._plots:
            if self._range is not None:
                plot.show_range(*self._range)
            elif bounds:
                plot.show_all(min(low for low, _ in bounds), max(high for _, high in bounds))
            if plot.isVisible():
                plot.redraw()

    def point_at(self, x: float | None) -> None:
        """Read out the values at an x in every plot."""
        for plot in self._plots:
            plot.point_at(x)
        self.pointed.emit(x)

    def _move(self, low: float, high: float) -> None:
        self._range = (low, high)
        for plot in self._plots:
            if plot is not self.sender():
                plot.show_range(low, high)
                if plot.isVisible():
                    plot.redraw()
