"""Errors of the program itself reach the window and the log."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from studio.ui.application import FaultReporter
from studio.ui.main_window import MainWindow


@pytest.fixture
def reporter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultReporter:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    reporter = FaultReporter(tmp_path / "app.log")
    reporter.install()
    return reporter


def test_one_in_a_slot_is_shown_and_logged(window: MainWindow, reporter: FaultReporter, tmp_path: Path) -> None:
    reporter.reported.connect(window.show_fault)
    error = ValueError("<img src=x>")
    sys.excepthook(ValueError, error, None)
    assert window.error.message == "Something in the window went wrong: ValueError: <img src=x>"
    assert window.error.isVisible()
    assert "ValueError: <img src=x>" in (tmp_path / "app.log").read_text()
    window.error._copy()
    assert "ValueError" in QGuiApplication.clipboard().text()


def test_one_in_a_thread_reaches_the_window(window: MainWindow, reporter: FaultReporter, qtbot: QtBot) -> None:
    reporter.reported.connect(window.show_fault)
    thread = threading.Thread(target=lambda: 1 / 0)
    with qtbot.waitSignal(reporter.reported):
        thread.start()
        thread.join()
    assert "ZeroDivisionError" in window.error.message
