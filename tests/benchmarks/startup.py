"""Seconds from the start of the process to the window's first paint, the median of several starts. `make bench` prints them.

Nothing is asserted: the figure depends on the machine and on what else it does.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from tests.displays import virtual_display

ROUNDS = 5
# The program as `finetune-studio` starts it, but for a window that tells when it was painted, and closes.
# argv: the data folder, and the time at which the process was started (a monotonic clock is the same for all processes).
START = """
import sys, time
home, began = sys.argv[1], float(sys.argv[2])
from PySide6.QtCore import QTimer
from studio import __main__
from studio.ui import application

class Window(application.MainWindow):
    painted = False

    def paintEvent(self, event):
        super().paintEvent(event)
        if not self.painted:
            self.painted = True
            QTimer.singleShot(0, self, self.tell)  # once the whole window has been painted and shown

    def tell(self):
        print(time.monotonic() - began, flush=True)
        self.close()

application.MainWindow = Window
sys.argv = ["finetune-studio", "--home", home]
sys.exit(__main__.main())
"""


def measure(environment: dict[str, str]) -> list[float]:
    """Seconds of each start; one more beforehand warms the disk cache and makes the data folder."""
    seconds = []
    with tempfile.TemporaryDirectory() as home:
        for _ in range(ROUNDS + 1):
            command = [sys.executable, "-c", START, home, str(time.monotonic())]
            ran = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True)
            seconds.append(float(ran.stdout))
    return seconds[1:]


def show(name: str, seconds: list[float]) -> None:
    spread = f"{min(seconds):.2f} to {max(seconds):.2f} s"
    print(f"{name:<10} first paint after {statistics.median(seconds):.2f} s (median of {len(seconds)}; {spread})")


def main() -> None:
    show("offscreen", measure({"QT_QPA_PLATFORM": "offscreen"}))
    if shutil.which("Xvfb"):
        with virtual_display() as screen:
            show("Xvfb", measure({"QT_QPA_PLATFORM": "xcb", "DISPLAY": screen}))
    else:
        print("Xvfb       not installed, so not measured")


if __name__ == "__main__":
    main()
