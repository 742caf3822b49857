"""The Training page with runs of a million steps: the longest stall of the main thread while one is opened, panned and
compared with two others, and how much memory the window's process takes for them. `make bench` prints it.

Nothing is asserted: the figures depend on the machine and on what else it does.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import psutil
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from studio.core.config import RunConfig
from studio.core.runs import Home, RunFolder
from studio.ui.application import make_application, window_settings
from studio.ui.main_window import MainWindow
from tests.benchmarks.stall_meter import StallMeter

STEPS = 1_000_000
_MOVES = 60
_HEAD = (
    b'{"time":1.0,"elapsed":1.0,"event":"run_started","run":"r","device":"cpu","precision":"fp32","trainable_parameters":1,'
    b'"total_parameters":2,"forecast_bytes":2000000000,"total_steps":%d,"train_rows":100,"validation_rows":10,"test_rows":10}\n'
)
_STEP = (
    '{{"time":{0}.0,"elapsed":{0}.0,"event":"steps_completed","first_step":{0},"losses":[{1:.6f}],"seconds":[0.9],"steps":{2},'
    '"epoch":{3:.6f},"learning_rate":{4:.8f},"gradient_norm":{1:.4f},"tokens":600,"memory_bytes":1500000000}}\n'
)
_VALIDATION = (
    '{{"time":{0}.5,"elapsed":{0}.5,"event":"evaluated","step":{0},"split":"validation","loss":{1:.6f},"accuracy":0.5,'
    '"macro_f1":0.5,"outside_rate":0.1,"rows":10}}\n'
)
_LOG = '{{"time":{0}.6,"elapsed":{0}.6,"event":"log_line","level":"info","text":"Step {0} is no better on validation."}}\n'


def write_run(home: Home, steps: int, seed: int) -> RunFolder:
    """A run of so many steps with a noisy loss; a validation and a line of the log at every thousandth."""
    run = home.create_run(RunConfig())
    noise = seed
    with run.events_path.open("wb") as file:
        file.write(_HEAD % steps)
        for step in range(1, steps + 1):
            noise = (1103515245 * noise + 12345) % 2**31
            loss = 0.2 + seed * 0.1 + 2 / (1 + 10 * step / steps) + noise / 2**32
            file.write(_STEP.format(step, loss, steps, 3 * step / steps, 2e-4 * (1 - step / steps)).encode())
            if step % 1000 == 0:
                file.write((_VALIDATION.format(step, loss) + _LOG.format(step)).encode())
    return run


def measure(window: MainWindow, runs: list[RunFolder]) -> None:
    meter = StallMeter()
    before = _resident()
    meter.start()
    began = time.perf_counter()
    window.open_folder(runs[0])
    assert window.open_run is not None
    while window.open_run.reading:
        QTest.qWait(20)
    _tell("opening", meter, f"{window.open_run.step:,} steps read after {time.perf_counter() - began:.1f} s")
    print(f"{'memory':<22} {(_resident() - before) / 2**20:.0f} MB more than before")
    pan(window, meter, "panning one run")
    meter.start()
    window.sidebar.refresh()
    window.sidebar.overlay([run.path for run in runs[1:]])
    while any(overlay.run.reading for overlay in window.overlays.shown):
        QTest.qWait(20)
    _tell("reading two more", meter)
    print(f"{'memory':<22} {(_resident() - before) / 2**20:.0f} MB more than before")
    pan(window, meter, "panning three runs")


def pan(window: MainWindow, meter: StallMeter, name: str) -> None:
    """Zoom in with the wheel, then move by key and wheel, at the pace of a hand."""
    assert window.pages is not None
    assert window.pages.training.plots is not None
    plot = window.pages.training.plots.plots["loss"].plot
    plot.setFocus()
    meter.start()
    for move in range(_MOVES):
        if move % 10 < 2:
            _turn_wheel(plot, 120 if move < _MOVES // 2 else -120)
        else:
            QTest.keyClick(plot, Qt.Key.Key_Right if move % 4 else Qt.Key.Key_Left)
        QTest.qWait(15)
    QTest.keyClick(plot, Qt.Key.Key_Home)
    QTest.qWait(100)
    _tell(name, meter)


def _turn_wheel(plot: object, angle: int) -> None:
    viewport = plot.viewport()  # type: ignore[attr-defined]  # pyqtgraph ships no types
    middle = QPointF(viewport.rect().center())
    place = QPointF(viewport.mapToGlobal(middle.toPoint()))
    wheel = QWheelEvent(
        middle,
        place,
        QPoint(),
        QPoint(0, angle),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(viewport, wheel)


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def _tell(name: str, meter: StallMeter, more: str = "") -> None:
    stall = meter.stop()
    computing = f"most that this thread computed in one go {meter.hardest:.0f} ms"
    print(f"{name:<22} longest stall {stall.clock:.0f} ms, {computing}{f'; {more}' if more else ''}", flush=True)


def main() -> None:
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else STEPS
    with tempfile.TemporaryDirectory() as folder:
        home = Home.locate(Path(folder))
        runs = [write_run(home, steps, seed) for seed in (1, 2, 3)]
        print(
            f"{'written':<22} three runs of {steps:,} steps, {runs[0].events_path.stat().st_size / 2**20:.0f} MB each", flush=True
        )
        make_application(home)
        window = MainWindow(home, window_settings(home))
        window.show()
        while window.pages is None:
            QTest.qWait(20)
        window.show_tab("Training")  # its plots are made when it is shown first
        QTest.qWait(1000)
        measure(window, runs)
        window.close()


if __name__ == "__main__":
    main()
