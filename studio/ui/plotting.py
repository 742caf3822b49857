"""Loads what plots need beside the window: importing pyqtgraph takes most of a second, in which nothing would answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module

from PySide6.QtCore import QObject, QTimer

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


def with_plots(asker: QObject, make: Callable[[], object]) -> None:
    """Have ``make`` called, later, once plots can be made without a wait; never if ``asker`` is gone by then."""
    if load_plots().is_alive():
        QTimer.singleShot(_LOOK_MS, asker, lambda: with_plots(asker, make))
    else:
        QTimer.singleShot(1, asker, make)  # not 0: that would still be before the next paint
