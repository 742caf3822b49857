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


def test_one_that_keeps_the_pages_away_is_told_once(
    window: MainWindow, reporter: FaultReporter, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    told: list[str] = []
    reporter.reported.connect(lambda message, _detail: told.append(message))
    monkeypatch.setattr("studio.ui.pages.chat.ChatPage.__init__", lambda *_arguments: 1 / 0)
    window._built = False
    with qtbot.capture_exceptions() as exceptions:
        for _ in range(3):
            window.repaint()
            qtbot.wait(20)
    assert len(exceptions) + len(told) == 1


def test_one_in_a_thread_reaches_the_window(window: MainWindow, reporter: FaultReporter, qtbot: QtBot) -> None:
    reporter.reported.connect(window.show_fault)
    thread = threading.Thread(target=lambda: 1 / 0)
    with qtbot.waitSignal(reporter.reported):
        thread.start()
        thread.join()
    assert "ZeroDivisionError" in window.error.message
