"""Loads what plots need beside the window: importing pyqtgraph takes most of a second, in which nothing would answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from studio.ui.widgets.training.run_plot import RunPlot
    from studio.ui.widgets.training.training_plots import TrainingPlots

_LOOK_MS = 20
_loading: list[threading.Thread] = []


def load_plots() -> threading.Thread:
    """Begin to load, once in a program; gives the thread that does."""
    if not _loading:
        _loading.append(
            threading.Thread(
                target=import_module, args=("studio.ui.widgets.training.training_plots",), name="import-plots", daemon=True
            )
        )
        _loading[0].start()
    return _loading[0]


def with_plots(asker: QObject, take: Callable[[TrainingPlots], object]) -> None:
    """Have ``take`` called with new plots, later; never if ``asker`` is gone by then."""
    if load_plots().is_alive():
        QTimer.singleShot(_LOOK_MS, asker, lambda: with_plots(asker, take))
    else:
        _make_on(asker, take, [])


def _make_on(asker: QObject, take: Callable[[TrainingPlots], object], made: list[RunPlot]) -> None:
    """Make one plot after the other, each in a turn of its own: one takes a while."""
    from studio.ui.widgets.training.plots import loss_plot, memory_plot, score_plot
    from studio.ui.widgets.training.training_plots import TrainingPlots

    makers = (loss_plot, score_plot, memory_plot)

    def make_next() -> None:
        if len(made) < len(makers):
            made.append(makers[len(made)]())
            _make_on(asker, take, made)
        else:
            take(TrainingPlots(*made))

    QTimer.singleShot(1, asker, make_next)  # not 0: that would still be before the next paint
