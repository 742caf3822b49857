"""Where a run stands, in one line of figures."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout

from studio.core.words import UNKNOWN, duration
from studio.ui.models.open_run import OpenRun
from studio.ui.theme import GRID
from studio.ui.widgets.basics import named, text_label

_FACTS = {
    "step": ("Step", "Optimizer steps done, of all steps"),
    "eta": (
        "Time left",
        "Estimated time until the run ends (hours:minutes:seconds), from the recent steps and from what evaluations took",
    ),
    "elapsed": ("Elapsed", "Time since the run began (hours:minutes:seconds)"),
    "speed": ("Speed", "Tokens computed a second, padding left out"),
    "rate": ("Learning rate", "Step size of the optimizer at the newest step"),
    "device": ("Device", "Where the run computes, and in which number type"),
}


class RunFacts(QFrame):
    """Step, times, speed, learning rate and device of a run."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("card", True)
        row = QHBoxLayout(self)
        row.setContentsMargins(2 * GRID, GRID, 2 * GRID, GRID)
        row.setSpacing(2 * GRID)
        self._values: dict[str, QLabel] = {}
        for key, (caption, tooltip) in _FACTS.items():
            value = named(text_label(UNKNOWN, "strong"), f"fact_{key}", caption, tooltip)
            cell = QVBoxLayout()
            cell.setSpacing(0)
            cell.addWidget(text_label(caption, "small"))
            cell.addWidget(value)
            row.addLayout(cell, 1)
            self._values[key] = value

    def text(self, key: str) -> str:
        """What is shown for a fact."""
        return self._values[key].text()

    def show_run(self, run: OpenRun) -> None:
        total = f" of {run.total_steps:,}" if run.total_steps else ""
        speed, rate = run.tokens_per_second, run.steps.learning_rate
        shown = {
            "step": f"{run.step:,}{total}" if run.step or total else UNKNOWN,
            "eta": duration(run.eta),
            "speed": f"{speed:,.0f} tokens/s" if speed else UNKNOWN,
            "rate": f"{rate.last:.3g}" if len(rate) else UNKNOWN,
            "device": f"{run.started.device}, {run.started.precision}" if run.started else UNKNOWN,
        }
        for key, value in shown.items():
            self._values[key].setText(value)
        self.show_elapsed(run)

    def show_elapsed(self, run: OpenRun) -> None:
        """Bring only the clock up to date."""
        self._values["elapsed"].setText(duration(run.elapsed) if run.elapsed else UNKNOWN)
