"""How long the main thread kept a person waiting: the longest gap between two beats of a timer."""

from __future__ import annotations

import time
from dataclasses import dataclass

from PySide6.QtCore import QObject, Qt, QTimer

BEAT_MS = 2
LONG_MS = 100


@dataclass(frozen=True)
class Stall:
    """Milliseconds between two beats: by the clock, and those in which this thread computed; the rest other programs took."""

    clock: float = 0.0
    computing: float = 0.0

    def __str__(self) -> str:
        return f"{self.clock:.0f} ms, of which this thread computed {self.computing:.0f} ms"


class StallMeter(QObject):
    """Beats from ``start`` to ``stop``, which gives the longest gap in between."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._timer = QTimer(self, interval=BEAT_MS, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._longest = Stall()
        self._clock = self._computed = 0.0
        self.hardest = 0.0
        """Milliseconds that this thread computed in one gap, at most: on an idle machine no gap is longer."""
        self.long = 0
        """Gaps over a tenth of a second by the clock."""

    def start(self) -> None:
        self._longest = Stall()
        self.hardest, self.long = 0.0, 0
        self._clock, self._computed = time.perf_counter(), time.thread_time()
        self._timer.start()

    def stop(self) -> Stall:
        self._beat()
        self._timer.stop()
        return self._longest

    def _beat(self) -> None:
        clock, computed = time.perf_counter(), time.thread_time()
        gap = Stall(1000 * (clock - self._clock), 1000 * (computed - self._computed))
        self._longest = max(self._longest, gap, key=lambda stall: stall.clock)
        self.hardest = max(self.hardest, gap.computing)
        self.long += gap.clock > LONG_MS
        self._clock, self._computed = clock, computed
