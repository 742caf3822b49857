"""The longest time in which the window does not answer, under loads that are heavier than everyday ones.

    python -m tests.benchmarks.stalls [--only NAME …] [--json FILE] [--events N]

Prints one table and writes it as JSON. Nothing is asserted: the figures depend on the machine and on what else it does,
so beside the longest gap stands what the main thread
computed in one gap, at most, and the load of the machine.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit

from studio.core.answers import LabelProbability, Prediction
from studio.core.config import RunConfig
from studio.core.predictions import write_predictions
from studio.core.runs import Home, RunFolder
from studio.core.wire import WORKER_COMMAND
from studio.supervise import process
from studio.supervise.threads import WorkerThread
from studio.ui import theme
from studio.ui.application import make_application, window_settings
from studio.ui.main_window import MainWindow
from studio.ui.models.step_series import Series
from tests.benchmarks.stall_meter import StallMeter
from tests.fake_workers import write_worker

SECONDS = 12
A_SECOND = 1000
MESSAGES, INTENTS = 100_000, 150
ROWS = POINTS = 1_000_000
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
        print(f"{what:<58} {longest:>8.0f} {meter.hardest:>9.0f} {meter.long:>6} {before:>6.1f}  {more}", flush=True)

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

    def close(self) -> None:
        self.window.close()
        WorkerThread.cancel_all()


def wait_until(true: Callable[[], bool], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        QTest.qWait(20)


def training(bench: Bench) -> None:
    """(a) A run that says a thousand things a second, on the Training page."""
    count = SECONDS * A_SECOND
    with bench.measured(f"training, {A_SECOND:,} events a second") as added:
        bench.train(count, A_SECOND)
        began = time.monotonic()
        wait_until(lambda: bench.window.open_run is not None and bench.window.open_run.step >= count - 2, 60)
        added["lag_s"] = round(time.monotonic() - began - SECONDS, 1)
    bench.stop()


def memory(bench: Bench) -> None:
    """(f) The memory of the window over a million events; the first tenth of them warms up."""
    app = psutil.Process()
    with bench.measured(f"{bench.events:,} events, as fast as they come") as added:
        bench.train(bench.events, 20_000)
        wait_until(lambda: bench.window.open_run is not None and bench.window.open_run.step >= bench.events // 10)
        warm = app.memory_info().rss
        wait_until(lambda: bench.window.open_run is not None and bench.window.open_run.step >= bench.events - 2)
        gc.collect()
        grown = app.memory_info().rss - warm
        added |= {"rss_MB": round(app.memory_info().rss / 2**20), "grown_MB": round(grown / 2**20, 1)}
    bench.stop()


def data(bench: Bench) -> None:
    """(b) A table of a million rows is opened on Setup."""
    path = bench.root / "million.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("text", "intent"))
        rows.writerows((f"message {number} about my card", f"intent_{number % 150:03}") for number in range(ROWS))
    bench.window.show_tab("Setup")
    picker = bench.window.setup.dataset
    with bench.measured(f"a CSV of {ROWS:,} rows is opened") as added:
        picker.open_source(str(path))
        wait_until(lambda: not picker.reading)
        QTest.qWait(500)
        added["read"] = picker.answer is not None
    picker.open_source("sample")


def curve(bench: Bench) -> None:
    """(c) A curve of a million points is drawn, then moved and zoomed by the mouse."""
    from studio.ui.widgets.training.plots import loss_plot

    plot = loss_plot()
    plot.resize(900, 400)
    plot.show()
    QTest.qWait(300)
    numbers = np.arange(1, POINTS + 1, dtype=np.float64)
    x, y = Series.of(numbers), Series.of(2 / np.sqrt(numbers) + np.random.default_rng(0).normal(0, 0.05, POINTS))
    with bench.measured(f"a curve of {POINTS:,} points is drawn"):
        plot.set_data("raw", x, y)
        QTest.qWait(300)
    box = plot.plot.getViewBox()
    with bench.measured("that curve is panned and zoomed, 60 times"):
        for number in range(60):
            box.translateBy(x=POINTS / 200 * (1 if number % 20 < 10 else -1))
            if number % 15 == 0:
                box.scaleBy(x=0.7 if number < 30 else 1.4)
            QTest.qWait(15)
    plot.close()
    plot.deleteLater()


def matrix(bench: Bench) -> None:
    """(d) The confusion matrix of 150 intents."""
    run = bench.results(INTENTS * 20, INTENTS)
    with bench.measured(f"results of {INTENTS} intents are opened"):
        bench.window.open_folder(run)
        bench.window.show_tab("Results")
        QTest.qWait(500)
    assert bench.window.results is not None
    view = bench.window.results._views.matrix
    with bench.measured("the matrix is hovered, scrolled and chosen in"):
        for number in range(60):
            QTest.mouseMove(view.viewport(), QPoint(7 * number % view.viewport().width(), 5 * number % view.viewport().height()))
            QTest.qWait(5)
        for number in range(60):
            view.verticalScrollBar().setValue(40 * number)
            view.horizontalScrollBar().setValue(40 * number)
            QTest.qWait(5)
        for number in range(10):
            QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(20 + 9 * number, 30))
            QTest.qWait(5)


def messages(bench: Bench) -> None:
    """(e) A hundred thousand predicted messages."""
    run = bench.results(MESSAGES, INTENTS)
    with bench.measured(f"results of {MESSAGES:,} messages are opened"):
        bench.window.open_folder(run)
        bench.window.show_tab("Results")
        QTest.qWait(500)
    assert bench.window.results is not None
    panel = bench.window.results._messages
    search = panel.findChild(QLineEdit, "messagesSearch")
    assert search is not None
    with bench.measured("they are searched, letter by letter"):
        for letter in "card 99":
            QTest.keyClick(search, letter)
            QTest.qWait(20)
        search.clear()
        QTest.qWait(500)
    with bench.measured("they are filtered by right and wrong, and by intent"):
        for wrong in (True, False):
            panel._wrong_only.setChecked(wrong)
            QTest.qWait(200)
        for number in range(3):
            bench.window.results._views.matrix.selectRow(number)
            bench.window.results.choose(type(panel.filter.scope)(true=number))
            QTest.qWait(100)
        bench.window.results.choose(type(panel.filter.scope)())
        QTest.qWait(500)
    with bench.measured("they are sorted by each column, both ways"):
        for column in range(panel.filter.columnCount()):
            for order in (Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder):
                panel.table.sortByColumn(column, order)
                QTest.qWait(100)


def looks(bench: Bench) -> None:
    """Every page has been made; the whole window changes its colours."""
    with bench.measured("the theme is switched, 4 times"):
        for mode in ("dark", "light", "dark", "light"):
            theme.apply(bench.application, theme.as_mode(mode))
            QTest.qWait(300)


LOADS = {
    "training": training,
    "data": data,
    "curve": curve,
    "matrix": matrix,
    "messages": messages,
    "looks": looks,
    "memory": memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=LOADS, default=list(LOADS))
    parser.add_argument("--json", type=Path, default=Path(tempfile.gettempdir()) / "finetune-studio-stalls.json")
    parser.add_argument("--events", type=int, default=1_000_000)
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    print(f"{'':<58} {'gap, ms':>8} {'computed':>9} {'>100':>6} {'load':>6}")
    with tempfile.TemporaryDirectory(prefix="finetune-stalls-") as root:
        bench = Bench(Path(root), arguments.events)
        for name in arguments.only:
            LOADS[name](bench)
        bench.close()
        QApplication.processEvents()
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "system": platform.platform()}
    arguments.json.write_text(json.dumps({"machine": machine, "figures": bench.figures}, indent=1), "utf-8")
    print(f"written to {arguments.json}")


if __name__ == "__main__":
    main()
