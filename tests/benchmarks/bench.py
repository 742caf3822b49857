"""One window in a home of its own, what is put into it, and how long it did not answer meanwhile."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PySide6.QtGui import QAction
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog

from studio.core.answers import LabelProbability, Prediction
from studio.core.config import RunConfig
from studio.core.predictions import write_predictions
from studio.core.runs import Home, RunFolder
from studio.core.wire import WORKER_COMMAND
from studio.supervise import process
from studio.supervise.threads import WorkerThread
from studio.ui.application import make_application, window_settings
from studio.ui.main_window import MainWindow
from tests.benchmarks.stall_meter import StallMeter
from tests.fake_workers import write_worker

# Steps, and now and then a sign of life and a line of the log, at most `rate` a second and `count` in all. Then it waits.
WORKER = """
sys.stdin.readline()
say('hello', protocol=1, pid=os.getpid())
say('run_started', run='r', device='cpu', precision='fp32', trainable_parameters=1, total_parameters=2, forecast_bytes=2**30,
    total_steps={count}, train_rows=1, validation_rows=1, test_rows=1, elapsed=0.001)
began, out, done = time.monotonic(), sys.stdout.buffer, 0
while done < {count}:
    due = min({count}, int((time.monotonic() - began) * {rate}) + 1)
    lines = []
    for number in range(done + 1, due + 1):
        common = dict(time=1.7e9, elapsed=1 + number / 1000)
        if number % 50 == 0:
            lines.append(json.dumps(dict(event='log_line', level='info', text='step %d' % number, **common)))
        elif number % 500 == 1:
            lines.append(json.dumps(dict(event='heartbeat', memory_bytes=2**30, host_bytes=2**30, **common)))
        else:
            lines.append(json.dumps(dict(event='steps_completed', first_step=number, losses=[2.0 / (1 + number / 500)],
                seconds=[0.001], steps={count}, epoch=number / {count}, learning_rate=1e-4, gradient_norm=1.0, tokens=9,
                memory_bytes=2**30, **common)))
    done = due
    out.write('\\n'.join(lines).encode() + b'\\n')
    out.flush()
    time.sleep(0.005)
sys.stdin.readline()
say('finished', outcome='stopped', elapsed=1e9)
"""


ROWS = 1_000_000


class Bench:
    """One window in a home of its own, and what was measured on it."""

    def __init__(self, root: Path, events: int) -> None:
        self.root, self.events = root, events
        self.home = Home.locate(root / "home")
        self.application = make_application(self.home)
        self.window = MainWindow(self.home, window_settings(self.home))
        self.window.resize(1500, 950)
        self.window.show()
        self.figures: list[dict[str, Any]] = []
        QTest.qWait(2000)

    @contextmanager
    def measured(self, what: str) -> Iterator[dict[str, Any]]:
        """Measure what is done in the block and while it is waited in it; the block may add to the figures."""
        before = os.getloadavg()[0]
        added: dict[str, Any] = {}
        began = time.perf_counter()
        meter = StallMeter()
        meter.start()
        yield added
        longest = meter.stop().clock
        figures: dict[str, Any] = {"what": what, "gap_ms": round(longest, 1), "computed_ms": round(meter.hardest, 1)}
        figures["gaps_over_100_ms"] = meter.long
        figures |= {"seconds": round(time.perf_counter() - began, 1), "load": round(before, 1), **added}
        self.figures.append(figures)
        more = ", ".join(f"{key} {value}" for key, value in added.items())
        print(f"{what:<66} {longest:>8.0f} {meter.hardest:>9.0f} {meter.long:>6} {before:>6.1f}  {more}", flush=True)

    def train(self, count: int, rate: int) -> None:
        """Start a run whose worker says ``count`` things."""
        process.WORKER_COMMAND = write_worker(self.root, WORKER.format(count=count, rate=rate))
        self.window.train(RunConfig())
        process.WORKER_COMMAND = WORKER_COMMAND
        self.window.show_tab("Training")

    def stop(self) -> None:
        self.window.session.stop()
        wait_until(lambda: not self.window.session.active)

    def results(self, rows: int, intents: int) -> RunFolder:
        """A run with that many predicted messages, every seventh of them wrong."""
        names = [f"an_intent_with_a_long_name_{number:03}" for number in range(intents)]
        run = self.home.create_run(RunConfig())
        table = []
        for number in range(rows):
            label = names[number % intents]
            predicted = names[(number * 7 + 3) % intents] if number % 7 == 0 else label
            top = [LabelProbability(label=predicted, probability=0.9), LabelProbability(label=names[0], probability=0.1)]
            text = f"message {number} about {label} and {'card' if number % 3 else 'transfer'}"
            table.append(
                Prediction(text=text, predicted=predicted, probability=(number % 997) / 997, top=top, left_set=False,
                           outside_mass=0.0, label=label, label_probability=0.5)
            )  # fmt: skip
        write_predictions(run.predictions_path, names, table)
        return run

    def million_rows(self) -> Path:
        """A CSV of a million messages."""
        path = self.root / "million.csv"
        if not path.exists():
            with path.open("w", encoding="utf-8", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(("text", "intent"))
                rows.writerows((f"message {number} about my card", f"intent_{number % 150:03}") for number in range(ROWS))
        return path

    def save(self, action: QAction, path: Path) -> None:
        """Choose an entry of a menu that saves, and ``path`` in its dialog."""
        asked = QFileDialog.getSaveFileName
        QFileDialog.getSaveFileName = staticmethod(lambda *_arguments: (str(path), ""))  # type: ignore[method-assign]
        try:
            action.trigger()
        finally:
            QFileDialog.getSaveFileName = asked  # type: ignore[method-assign]

    def close(self) -> None:
        self.window.close()
        WorkerThread.cancel_all()


def wait_until(true: Callable[[], bool], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        QTest.qWait(20)
