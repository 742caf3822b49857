"""The curves of compared runs on the plots of the Training page: the first run in front, the others behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from studio.core.runs import RunFolder
from studio.ui.overlays import Overlays
from studio.ui.plotting import with_plots
from studio.ui.theme import GRID
from studio.ui.widgets.basics import ErrorPanel, text_label
from studio.ui.widgets.frames import framed, split

if TYPE_CHECKING:
    from studio.ui.widgets.training.training_plots import TrainingPlots

_REDRAW_MS = 250


class ComparedCurves(QWidget):
    """Reads the runs' histories piece by piece; what has been read is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.plots: TrainingPlots | None = None
        self._runs: list[tuple[str, RunFolder]] = []
        self._overlays = Overlays(self)
        self._problem = ErrorPanel("curvesError", closable=False)
        self._overlays.failed.connect(self._problem.show_problem)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, GRID, 0, 0)
        self._front = text_label("", "muted")
        self._column.addWidget(self._problem)
        self._column.addWidget(self._front)
        self._redrawing = QTimer(self, interval=_REDRAW_MS)
        self._redrawing.timeout.connect(self._redraw)

    def show_runs(self, runs: Sequence[tuple[str, RunFolder]]) -> None:
        """Draw these runs, by their names."""
        if list(runs) == self._runs:
            return
        self._runs = list(runs)
        self._problem.clear()
        if self.plots is None:
            with_plots(self, self._take_plots)
        self._overlays.show_runs([folder.path for _name, folder in runs])
        self._redrawing.start()
        self._redraw(fit=True)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        super().showEvent(event)
        self._redrawing.start()
        self._redraw()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        super().hideEvent(event)
        self._redrawing.stop()

    def _take_plots(self, plots: TrainingPlots) -> None:
        if self.plots is not None:
            return
        self.plots = plots
        self.plots.changed.connect(self._redraw)
        self._parts = split(Qt.Orientation.Horizontal, "curvesSplit", self.plots, framed(self.plots.details))
        self._parts.setSizes([440, 370])
        self._column.addWidget(self._parts, 1)
        self._redraw(fit=True)

    def _redraw(self, fit: bool = False) -> None:
        shown = self._overlays.shown
        names = {folder.path: name for name, folder in self._runs}
        self._front.setText(f"In front: {names[shown[0].run.folder.path]}" if shown else "")
        if self.plots is None:
            return
        self._parts.setVisible(bool(shown))
        if not shown:  # none could be read, which the panel above tells
            return
        if fit:
            self.plots.show_run(shown[0].run)
            self.plots.show_compared(shown[1:])
        else:
            self.plots.draw()
            if not any(overlay.run.reading or overlay.run.active for overlay in self._overlays.shown):
                self._redrawing.stop()
