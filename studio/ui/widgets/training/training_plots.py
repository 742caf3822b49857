"""All plots of the Training page over one x axis, for the open run and those it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QSlider, QVBoxLayout, QWidget

from studio.core.events import Evaluated
from studio.core.words import UNKNOWN, duration
from studio.ui.models.open_run import OpenRun
from studio.ui.models.step_series import Series
from studio.ui.overlays import Overlay
from studio.ui.theme import GRID, OVERLAYS
from studio.ui.widgets.basics import button, guard_wheel, named, text_label
from studio.ui.widgets.frames import framed, split
from studio.ui.widgets.training.detail_plots import DetailPlots
from studio.ui.widgets.training.linked_plots import LinkedPlots
from studio.ui.widgets.training.plot_axes import AxisKind
from studio.ui.widgets.training.plot_legend import Curve
from studio.ui.widgets.training.run_plot import RunPlot

XAxis = Literal["step", "epoch", "time"]
_X_AXES: dict[XAxis, tuple[str, AxisKind, str]] = {
    "step": ("By step", "number", "step"),
    "epoch": ("By epoch", "number", "epoch"),
    "time": ("By time", "time", "at"),
}
_SMOOTHING, _MOST_SMOOTHING = 10, 100
_SMOOTHING_TIP = "Over how many steps the smoothed line is the mean; the raw losses stay visible under it"
_X_TIP = "What the curves are drawn over: optimizer steps, passes over the training messages, or the time since the run began"
# For each plot, the curves of a run it is compared with: (key, look, in the legend).
_OVERLAID: dict[str, tuple[tuple[str, Literal["raw", "line", "diamonds", "circles", "dashed"], bool], ...]] = {
    "loss": (("raw", "raw", False), ("smoothed", "line", True), ("validation", "diamonds", False)),
    "scores": (("accuracy", "diamonds", True), ("macro_f1", "circles", False)),
    "memory": (("memory", "line", True),),
    "rate": (("rate", "line", True),),
    "norm": (("norm", "line", True),),
    "tokens": (("tokens", "line", True),),
    "pace": (("pace", "line", True),),
}


class TrainingPlots(QWidget):
    """Loss and scores; ``details`` holds the other plots, to be put elsewhere. ``draw`` brings all in sight up to date."""

    changed = Signal()
    """Something was chosen that asks for drawing anew."""

    def __init__(self, loss: RunPlot, scores: RunPlot, memory: RunPlot) -> None:
        super().__init__()
        self.run: OpenRun | None = None
        self._compared: list[Overlay] = []
        self._x: XAxis = "step"
        self.plots: dict[str, RunPlot] = {}
        """Those that have been in sight, by their keys."""
        self._linked = LinkedPlots(self)
        # Memory is always over time: it has its own range, and the pointer is where the others' step ended.
        self._memory = LinkedPlots(self)
        self._linked.pointed.connect(self._point_in_memory)
        self._memory.pointed.connect(self._point_from_memory)
        self.details = DetailPlots()
        self.details.chosen.connect(self._adopt)
        self._adopt("loss", loss)
        self._adopt("scores", scores)
        self.details.add("memory", memory)
        self.details.choose("memory")
        self.plots["loss"].place_in_words = self._describe
        self._build_bar(self.plots["loss"].header)
        parts = split(Qt.Orientation.Vertical, "plotSplit", framed(self.plots["loss"]), framed(self.plots["scores"]))
        parts.setSizes([320, 200])
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(parts)

    @property
    def smoothing(self) -> int:
        """The window of the smoothed loss, in steps."""
        return self._smoothing.value()

    def show_run(self, run: OpenRun | None) -> None:
        """Draw another run, and all of it."""
        self.run = run
        self.fit()

    def show_compared(self, runs: Sequence[Overlay]) -> None:
        """Draw these runs behind the open one."""
        self._compared = list(runs)
        for key, plot in self.plots.items():
            self._add_compared(key, plot)
        self.draw()

    def fit(self) -> None:
        """Show all steps again."""
        self._linked.fit()
        self._memory.fit()

    def draw(self) -> None:
        """Bring everything in sight up to date."""
        if self.run is not None:
            self._set_run("", self.run)
            forecast = self.run.started.forecast_bytes if self.run.started is not None else 0
            latest = max([run.steps.memory_elapsed.last for run in self._all_runs() if len(run.steps.memory_elapsed)], default=1.0)
            ends = [0.0, latest] if forecast else []
            self.plots["memory"].set_data("forecast", Series.of(ends), Series.of([forecast] * len(ends)))
        for overlay in self._compared:
            self._set_run(overlay.colour, overlay.run)
        self._linked.update()
        self._memory.update()

    def _adopt(self, key: str, plot: RunPlot) -> None:
        """Take in a plot that came into sight."""
        if key not in self.plots:
            self.plots[key] = plot
            if key == "memory":
                self._memory.add(plot)
            else:
                self._linked.add(plot)
                plot.set_x(*_X_AXES[self._x][1:])
            self._add_compared(key, plot)
        self.draw()

    def _add_compared(self, key: str, plot: RunPlot) -> None:
        """Give a plot the curves of the runs that are compared now."""
        for old in [curve for curve in plot.curves if curve.startswith(OVERLAYS)]:
            plot.remove_curve(old)
        for overlay in self._compared:
            for curve, look, listed in _OVERLAID[key]:
                like = plot.curve(curve)
                plot.add_curve(overlay.colour + curve, Curve(overlay.name, overlay.colour, look, like.write, like.unit, listed))

    def _all_runs(self) -> list[OpenRun]:
        return [run for run in (self.run, *(overlay.run for overlay in self._compared)) if run is not None]

    def _set_run(self, prefix: str, run: OpenRun) -> None:
        steps = run.steps
        x = {"step": steps.step, "epoch": steps.epoch, "time": steps.elapsed}[self._x]
        validation, test = run.evaluated("validation"), [event for event in run.evaluated("test") if event.step > 0]
        at = self._places(run, validation)
        columns = {
            "loss": {
                "raw": (x, steps.loss),
                "smoothed": (x, steps.smoothed_loss(self.smoothing)),
                "validation": (at, Series.of([event.loss for event in validation])),
            },
            "scores": {
                "accuracy": (at, Series.of([event.accuracy for event in validation])),
                "macro_f1": (at, Series.of([event.macro_f1 for event in validation])),
                "test": (self._places(run, test), Series.of([event.accuracy for event in test])),
            },
            "memory": {"memory": (steps.memory_elapsed, steps.memory)},
            "rate": {"rate": (x, steps.learning_rate)},
            "norm": {"norm": (x, steps.gradient_norm)},
            "tokens": {"tokens": (x, steps.tokens_per_second)},
            "pace": {"pace": (x, steps.steps_per_second)},
        }
        for plot, shown in self.plots.items():
            for key, curve in columns[plot].items():
                if prefix + key in shown.curves:
                    shown.set_data(prefix + key, *curve)

    def _places(self, run: OpenRun, events: Sequence[Evaluated]) -> Series:
        """Where evaluations stand on the x axis."""
        if self._x == "time":
            return Series.of([event.elapsed for event in events])
        steps = np.array([event.step for event in events], dtype=np.float64)
        if self._x == "epoch" and len(run.steps.step):
            steps = np.interp(steps, run.steps.step.values, run.steps.epoch.values)
        return Series.of(steps)

    def _convert(self, x: float, source: XAxis, target: XAxis) -> float:
        """A place of the open run on one x axis as its place on another."""
        if self.run is None or not len(self.run.steps.step) or source == target:
            return x
        steps = self.run.steps
        axes = {"step": steps.step.values, "epoch": steps.epoch.values, "time": steps.elapsed.values}
        return float(np.interp(x, axes[source], axes[target]))

    def _point_in_memory(self, x: float | None) -> None:
        self.plots["memory"].point_at(None if x is None else self._convert(x, self._x, "time"))

    def _point_from_memory(self, x: float | None) -> None:
        there = None if x is None else self._convert(x, "time", self._x)
        for key, plot in self.plots.items():
            if key != "memory":
                plot.point_at(there)

    def _describe(self, x: float) -> str:
        """A step of the open run in words: its number, epoch, time and learning rate."""
        run = self.run
        if run is None or not len(run.steps.step):
            return f"{x:.0f}"
        position = max(0, int(np.searchsorted(run.steps.step.values, self._convert(x, self._x, "step") + 0.5)) - 1)
        steps = run.steps
        rate = steps.learning_rate.values[position]
        return (
            f"step {steps.step.values[position]:,.0f} · epoch {steps.epoch.values[position]:.2f} · "
            f"{duration(float(steps.elapsed.values[position]))} · rate {f'{rate:.2e}' if np.isfinite(rate) else UNKNOWN}"
        )

    def _build_bar(self, bar: QHBoxLayout) -> None:
        self._axis = guard_wheel(named(QComboBox(), "xAxis", "Horizontal axis", _X_TIP))
        named(self._axis.view(), "xAxisChoices", "Horizontal axes", "What the curves can be drawn over")
        for key, (words, _kind, _name) in _X_AXES.items():
            self._axis.addItem(words, key)
        self._axis.currentIndexChanged.connect(lambda _row: self._set_x(self._axis.currentData()))
        self._log = named(QCheckBox("Log axis"), "logAxis", "Logarithmic loss axis", "Show the loss on a logarithmic axis")
        self._log.toggled.connect(self.plots["loss"].set_log)
        self._smoothing = named(QSlider(Qt.Orientation.Horizontal), "smoothing", "Smoothing of the loss, in steps", _SMOOTHING_TIP)
        self._smoothing.setRange(1, _MOST_SMOOTHING)
        self._smoothing.setValue(_SMOOTHING)
        self._smoothing.setFixedWidth(10 * GRID)
        self._smoothing.valueChanged.connect(lambda _steps: self.changed.emit())
        fit = button("Fit", "fitPlots", "Show all steps again after zooming; so does a double click, or Home", self.fit, "quiet")
        bar.addWidget(self._axis)
        bar.addStretch(1)
        bar.addWidget(text_label("Smooth", "small"))
        for control in (self._smoothing, self._log, fit):
            bar.addWidget(control)

    def _set_x(self, axis: XAxis) -> None:
        self._x = axis
        _words, kind, name = _X_AXES[axis]
        for key, plot in self.plots.items():
            if key != "memory":
                plot.point_at(None)
                plot.set_x(kind, name)
        self.draw()
        self._linked.fit()
