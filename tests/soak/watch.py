"""What a soak records: faults, warnings, memory over time, gaps of the event loop, and what is left at the end."""

from __future__ import annotations

import re
import statistics
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil
from PySide6.QtCore import QMessageLogContext, QObject, QTimer, QtMsgType, qInstallMessageHandler

_TICK_MS = 20
_SAMPLE_SECONDS = 2.0
# As in pyproject.toml: said by the offscreen platform for every window that is shown.
_EXPECTED = re.compile("This plugin does not support (propagateSizeHints|raise|grabbing the keyboard)")
GROWTH_LIMIT = 1.05
_GRACE_SECONDS = 15.0


@dataclass
class Fault:
    """Something that must not happen. ``action`` is the number of the last action before it."""

    kind: str
    text: str
    action: int


class Watch(QObject):
    """Hears of everything from ``start`` on; ``action`` is to be counted up by who acts."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[Fault] = []
        self.rss: list[tuple[float, int]] = []
        """Seconds since the start, and resident bytes of this process."""
        self.longest_gap = 0.0
        """Seconds in which the event loop did not come round."""
        self.gap_action = 0
        self.action = 0

    def start(self) -> None:
        self._began = self._ticked = time.monotonic()
        self._process = psutil.Process()
        self._threads = set(sys._current_frames())
        self._known = set(self._process.children(recursive=True))  # the virtual display
        sys.excepthook = self._hear_exception
        sys.unraisablehook = lambda unraisable: self._hear_exception(
            unraisable.exc_type, unraisable.exc_value or unraisable.exc_type(), unraisable.exc_traceback
        )
        threading.excepthook = lambda arguments: self._hear_exception(
            arguments.exc_type, arguments.exc_value or arguments.exc_type(), arguments.exc_traceback
        )
        qInstallMessageHandler(self._hear_qt)
        self._timer = QTimer(self, interval=_TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def add(self, kind: str, text: str) -> None:
        self.faults.append(Fault(kind, text, self.action))
        print(f"action {self.action}: {kind}: {text}", file=sys.stderr, flush=True)

    def look_for_leaks(self) -> None:
        """After the window was closed: no child process and no thread of Python may be left."""
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline and (self._children() or self._new_threads()):
            time.sleep(0.1)
        for child in self._children():
            try:
                self.add("leaked process", f"{child.pid} {' '.join(child.cmdline())}")
                child.kill()
            except psutil.Error:
                continue
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for thread in self._new_threads():
            self.add("leaked thread", names.get(thread, "a thread of Qt"))

    def quarters(self) -> list[float]:
        """Median resident bytes of each quarter of the time."""
        end = self.rss[-1][0] if self.rss else 0.0
        parts: list[list[int]] = [[], [], [], []]
        for seconds, resident in self.rss:
            parts[min(3, int(4 * seconds / max(end, 1e-9)))].append(resident)
        return [statistics.median(part) if part else 0.0 for part in parts]

    def grew(self) -> bool:
        """Whether the last quarter's median memory is over the limit."""
        _first, second, _third, last = self.quarters()
        return last > GROWTH_LIMIT * second > 0

    def save_memory(self, path: Path) -> None:
        path.write_text("seconds,resident_bytes\n" + "".join(f"{seconds:.1f},{resident}\n" for seconds, resident in self.rss))

    def _children(self) -> list[psutil.Process]:
        return [child for child in self._process.children(recursive=True) if child not in self._known]

    def _new_threads(self) -> list[int]:
        return [thread for thread in sys._current_frames() if thread not in self._threads]

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._ticked > self.longest_gap:
            self.longest_gap, self.gap_action = now - self._ticked, self.action
        self._ticked = now
        if not self.rss or now - self._began - self.rss[-1][0] >= _SAMPLE_SECONDS:
            self.rss.append((now - self._began, int(self._process.memory_info().rss)))

    def _hear_exception(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        self.add("exception", "".join(traceback.format_exception(kind, error, trace)))

    def _hear_qt(self, kind: QtMsgType, context: QMessageLogContext, message: str) -> None:
        if kind not in (QtMsgType.QtDebugMsg, QtMsgType.QtInfoMsg) and not _EXPECTED.search(message):
            self.add("Qt warning", f"{message} ({context.category})")
