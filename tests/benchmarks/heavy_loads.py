"""Loads that are heavier than everyday ones: a thousand events a second, a million rows, points and events, 150 intents."""

from __future__ import annotations

import gc
import time

import numpy as np
import psutil
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit

from studio.ui.models.step_series import Series
from tests.benchmarks.bench import ROWS, Bench, wait_until

SECONDS = 12
A_SECOND = 1000
MESSAGES, INTENTS = 100_000, 150
POINTS = 1_000_000


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
    path = bench.million_rows()
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
    assert bench.window.pages is not None
    view = bench.window.pages.results._views.matrix
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
    assert bench.window.pages is not None
    panel = bench.window.pages.results._messages
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
            bench.window.pages.results._views.matrix.selectRow(number)
            bench.window.pages.results.choose(type(panel.filter.scope)(true=number))
            QTest.qWait(100)
        bench.window.pages.results.choose(type(panel.filter.scope)())
        QTest.qWait(500)
    with bench.measured("they are sorted by each column, both ways"):
        for column in range(panel.filter.columnCount()):
            for order in (Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder):
                panel.table.sortByColumn(column, order)
                QTest.qWait(100)
