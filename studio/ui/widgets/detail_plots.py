"""Memory, learning rate, gradient norm or speed: one plot at a time, chosen above it."""

from __future__ import annotations

import numpy as np
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from studio.ui.models.open_run import OpenRun
from studio.ui.theme import GRID
from studio.ui.widgets.basics import named
from studio.ui.widgets.plots import memory_plot, norm_plot, rate_plot, speed_plot

_CHOICES = {
    "memory": ("Memory", "Memory of the training process over time, beside the forecast"),
    "rate": ("Rate", "The learning rate at each step"),
    "norm": ("Gradient", "The length of the gradient at each step"),
    "speed": ("Speed", "Tokens computed a second"),
}


class DetailPlots(QWidget):
    """Draws only the plot in sight."""

    def __init__(self) -> None:
        super().__init__()
        self.plots = {"memory": memory_plot(), "rate": rate_plot(), "norm": norm_plot(), "speed": speed_plot()}
        self._run: OpenRun | None = None
        self._stack = QStackedWidget()
        self._choices = QButtonGroup(self)
        row = QHBoxLayout()
        row.setSpacing(GRID // 2)
        for number, (key, (words, tip)) in enumerate(_CHOICES.items()):
            choice = named(QPushButton(words), f"detail_{key}", words, tip)
            choice.setCheckable(True)
            choice.setChecked(number == 0)
            self._choices.addButton(choice, number)
            self._stack.addWidget(self.plots[key])
            row.addWidget(choice)
        row.addStretch(1)
        self._choices.idClicked.connect(self._show)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        column.addLayout(row)
        column.addWidget(self._stack, 1)

    @property
    def shown(self) -> str:
        """The key of the plot in sight."""
        return list(_CHOICES)[self._stack.currentIndex()]

    def fit(self) -> None:
        """Show all of every plot again."""
        for plot in self.plots.values():
            plot.fit()

    def draw(self, run: OpenRun) -> None:
        """Bring the plot in sight up to date."""
        self._run = run
        steps, plot = run.steps, self.plots[self.shown]
        match self.shown:
            case "rate":
                plot.set_data("rate", steps.step.values, steps.learning_rate.values)
            case "norm":
                plot.set_data("norm", steps.step.values, steps.gradient_norm.values)
            case "speed":
                plot.set_data("speed", steps.step.values, steps.tokens_per_second.values)
            case _:
                elapsed = steps.memory_elapsed.values
                plot.set_data("memory", elapsed, steps.memory.values / 2**30)
                forecast = run.started.forecast_bytes if run.started is not None else 0
                ends = np.array([0.0, elapsed[-1] if len(elapsed) else 1.0]) if forecast else np.zeros(0)
                plot.set_data("forecast", ends, np.full(len(ends), forecast / 2**30))

    def _show(self, number: int) -> None:
        self._stack.setCurrentIndex(number)
        if self._run is not None:
            self.draw(self._run)
