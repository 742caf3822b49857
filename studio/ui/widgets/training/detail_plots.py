"""Memory, learning rate, gradient norm or throughput: one plot at a time, chosen above it."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from studio.ui.theme import GRID
from studio.ui.widgets.basics import named
from studio.ui.widgets.flow_box import FlowBox
from studio.ui.widgets.training.plots import memory_plot, norm_plot, pace_plot, rate_plot, tokens_plot
from studio.ui.widgets.training.run_plot import RunPlot

_CHOICES = {
    "memory": (memory_plot, "Memory", "Memory of the training process over time, beside the forecast"),
    "rate": (rate_plot, "Rate", "The learning rate at each step"),
    "norm": (norm_plot, "Gradient", "The length of the gradient at each step"),
    "tokens": (tokens_plot, "Tokens/s", "Tokens computed a second"),
    "pace": (pace_plot, "Steps/s", "Optimizer steps taken a second"),
}


class DetailPlots(QWidget):
    """One plot in sight, the others behind it. Making one takes a while, so each is made when it is chosen first."""

    chosen = Signal(str, object)
    """The key of the plot that came into sight, and the RunPlot."""

    def __init__(self) -> None:
        super().__init__()
        self._plots: dict[str, RunPlot] = {}
        self._stack = QStackedWidget()
        self._choices = QButtonGroup(self)
        row = FlowBox(spacing=GRID // 4)
        for number, (key, (_make, words, tip)) in enumerate(_CHOICES.items()):
            choice = named(QPushButton(words), f"detail_{key}", words, tip)
            choice.setProperty("kind", "choice")
            choice.setCheckable(True)
            self._choices.addButton(choice, number)
            row.add(choice)
        self._choices.idToggled.connect(lambda number, on: self._show(list(_CHOICES)[number]) if on else None)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        column.addWidget(row)
        column.addWidget(self._stack, 1)

    def add(self, key: str, plot: RunPlot) -> None:
        """Take in a plot that was made already."""
        self._plots[key] = plot
        plot.heading.hide()  # the button says it
        self._stack.addWidget(plot)

    def choose(self, key: str) -> None:
        """Bring a plot into sight."""
        self._choices.button(list(_CHOICES).index(key)).setChecked(True)

    def _show(self, key: str) -> None:
        if key not in self._plots:
            self.add(key, _CHOICES[key][0]())
        self._stack.setCurrentWidget(self._plots[key])
        self.chosen.emit(key, self._plots[key])
