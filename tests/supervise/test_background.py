"""Work in a thread of its own: told in the window's thread, never to who is gone, and finished when the program ends."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QObject
from pytestqt.qtbot import QtBot

from studio.core.errors import StudioError
from studio.supervise.background import finish_all, in_background


def test_what_it_gives_is_told_in_the_windows_thread(qtbot: QtBot) -> None:
    owner, told, where = QObject(), [], []

    def success(answer: int) -> None:
        told.append(answer)
        where.append(threading.get_ident())

    in_background(owner, threading.get_ident, success, pytest.fail)
    qtbot.waitUntil(lambda: bool(told))
    assert told != where
    assert where == [threading.get_ident()]


def test_a_reason_is_told(qtbot: QtBot) -> None:
    owner, told = QObject(), []

    def fail() -> None:
        raise StudioError("No room.", "Free some.")

    in_background(owner, fail, pytest.fail, told.append)
    qtbot.waitUntil(lambda: bool(told))
    assert told[0].message == "No room."


def test_a_fault_is_raised_where_it_is_reported(qtbot: QtBot) -> None:
    owner = QObject()
    with qtbot.captureExceptions() as faults:
        in_background(owner, lambda: 1 // 0, pytest.fail, pytest.fail)
        qtbot.waitUntil(lambda: bool(faults))
    assert faults[0][0] is ZeroDivisionError


def test_who_is_gone_is_told_nothing(qtbot: QtBot) -> None:
    owner, go = QObject(), threading.Event()
    in_background(owner, go.wait, pytest.fail, pytest.fail)
    owner.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    go.set()
    finish_all()
    qtbot.wait(20)


def test_the_end_of_the_program_waits_for_the_file(tmp_path: Path, qtbot: QtBot) -> None:
    owner, path = QObject(), tmp_path / "file"
    in_background(owner, lambda: path.write_text("all of it"), pytest.fail, pytest.fail)
    finish_all()
    assert path.read_text() == "all of it"
    qtbot.wait(20)
