"""The log of a run: read, searched, filtered, copied, followed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QComboBox, QLabel, QLineEdit, QPlainTextEdit, QPushButton
from pytestqt.qtbot import QtBot

from studio.core.events import LogLine
from studio.core.runs import Home
from studio.ui.models.open_run import OpenRun
from studio.ui.models.run_log import LOG_LINES
from studio.ui.widgets.training.log_view import LogView
from tests.ui.sample_runs import assert_usable, make_run

LEVELS = ("info", "warning", "error")


@pytest.fixture
def run(tmp_path: Path) -> OpenRun:
    run = OpenRun(make_run(Home.locate(tmp_path), [], checkpoint=False), ours=True)
    for number in range(30):
        run.add(LogLine.model_validate({"level": LEVELS[number % 3], "text": f"Line {number} <b>here</b>", "elapsed": number + 1}))
    return run


@pytest.fixture
def view(run: OpenRun, qtbot: QtBot) -> LogView:
    view = LogView()
    qtbot.addWidget(view)
    view.resize(300, 260)
    view.show()
    view.show_run(run)
    return view


@pytest.fixture
def text(view: LogView) -> QPlainTextEdit:
    found = view.findChild(QPlainTextEdit, "trainingLog")
    assert found is not None
    return found


@pytest.fixture
def action(view: LogView) -> Callable[[str], QAction]:
    def find(name: str) -> QAction:
        found = view.findChild(QAction, name)
        assert found is not None
        return found

    return find


def test_each_line_has_its_times_and_level(view: LogView, text: QPlainTextEdit, run: OpenRun) -> None:
    assert text.toPlainText().splitlines()[1] == "0:02  Warning: Line 1 <b>here</b>"
    run.add(LogLine(level="info", text="late", elapsed=100, time=1.7e9))
    view.catch_up()
    assert text.toPlainText().splitlines()[-1].endswith(":20  1:40  late"), "the time of day in any time zone, and since the start"


@pytest.mark.parametrize(("shown", "lines"), [("Everything", 30), ("Warnings and errors", 20), ("Errors", 10)])
def test_lines_are_filtered_by_their_level(view: LogView, text: QPlainTextEdit, run: OpenRun, shown: str, lines: int) -> None:
    level = view.findChild(QComboBox, "logLevel")
    assert level is not None
    level.setCurrentText(shown)
    assert text.blockCount() == lines
    for name in LEVELS:
        run.add(LogLine.model_validate({"level": name, "text": "more", "elapsed": 50}))
    view.catch_up()
    assert text.blockCount() == lines + lines // 10


def test_search_goes_on_and_back_and_around(view: LogView, text: QPlainTextEdit, qtbot: QtBot) -> None:
    search = view.findChild(QLineEdit, "logSearch")
    found = view.findChild(QLabel, "logFound")
    assert search is not None
    assert found is not None
    view.activateWindow()
    qtbot.waitUntil(view.isActiveWindow)
    view.search()
    assert search.hasFocus()
    qtbot.keyClicks(search, "line 2")

    def line() -> int:
        assert text.textCursor().selectedText() == "Line 2"
        return text.textCursor().blockNumber()

    assert found.text() == "11 found"
    assert line() == 2
    qtbot.keyClick(search, Qt.Key.Key_Return)
    assert line() == 20
    view.go_to("next")
    assert line() == 21
    qtbot.keyClick(search, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    assert line() == 20
    for name, at in (("logPrevious", 2), ("logPrevious", 29), ("logNext", 2)):
        qtbot.mouseClick(view.findChild(QPushButton, name), Qt.MouseButton.LeftButton)
        assert line() == at, "from the first around to the last, and from the last to the first"
    view.search()
    search.end(False)
    qtbot.keyClicks(search, "9")
    assert (found.text(), text.textCursor().blockNumber()) == ("1 found", 29)
    qtbot.keyClick(search, Qt.Key.Key_Escape)
    assert (search.text(), found.text()) == ("", "")


def test_it_follows_its_end_until_a_person_looks_back(
    view: LogView, text: QPlainTextEdit, run: OpenRun, action: Callable[[str], QAction], qtbot: QtBot
) -> None:
    bar = text.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 0 and bar.value() == bar.maximum())
    qtbot.keyClick(text, Qt.Key.Key_PageUp)
    bar.triggerAction(bar.SliderAction.SliderPageStepSub)
    place = bar.value()
    assert not action("logFollow").isChecked()
    run.add(LogLine(level="info", text="more", elapsed=60))
    view.catch_up()
    qtbot.wait(20)
    assert bar.value() == place
    action("logFollow").trigger()
    assert bar.value() == bar.maximum()


def test_lines_are_copied_and_wrapped(text: QPlainTextEdit, action: Callable[[str], QAction]) -> None:
    action("logCopy").trigger()
    assert QGuiApplication.clipboard().text().count("\n") == 29
    assert "Error: Line 2 <b>here</b>" in QGuiApplication.clipboard().text()
    action("logWrap").trigger()
    assert text.lineWrapMode() == QPlainTextEdit.LineWrapMode.NoWrap


def test_of_a_long_log_the_newest_lines_are_held(
    view: LogView,
    text: QPlainTextEdit,
    run: OpenRun,
    action: Callable[[str], QAction],
    monkeypatch: pytest.MonkeyPatch,
    qtbot: QtBot,
) -> None:
    for number in range(LOG_LINES):
        run.add(LogLine(level="info", text=f"late {number}", elapsed=100 + number))
    view.catch_up()
    assert text.blockCount() < LOG_LINES / 2, "laid out piece by piece"
    qtbot.waitUntil(lambda: text.toPlainText().endswith(f"late {LOG_LINES - 1}"))
    assert text.blockCount() == LOG_LINES
    assert [line.split()[-1] for line in text.toPlainText().splitlines()] == [str(number) for number in range(LOG_LINES)]
    assert view._held.isVisible()
    assert f"of {LOG_LINES + 30:,} lines" in view._held.text()
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()) or True)
    action("logFile").trigger()
    assert opened == [str(run.folder.path)]


def test_names_tooltips_and_plain_text(view: LogView) -> None:
    assert_usable(view)
