"""The list of runs in the window: what it shows, and what choosing one opens."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton
from pytestqt.qtbot import QtBot

from studio.core.config import RunConfig
from studio.core.events import Failed
from studio.core.runs import Home, RunFolder
from studio.ui import theme
from studio.ui.main_window import MainWindow
from studio.ui.models import runs_model
from studio.ui.models.runs_model import SUMMARY_ROLE, RunsModel
from tests.ui.sample_runs import finished, history, make_run
from tests.ui.staging import TRAINS_UNTIL_STOPPED


def test_they_survive_a_restart_and_open_on_their_pages(make_window: Callable[[], MainWindow], home: Home, qtbot: QtBot) -> None:
    run = make_run(home, intents=3, final=finished())
    make_run(home, method="full", final=Failed(kind="bug", message="Broken.", remedy="Report it."))
    window = make_window()
    model, view = window.sidebar.model, window.sidebar.view
    assert {model.index(row).data(SUMMARY_ROLE).state for row in range(2)} == {"completed", "failed"}
    qtbot.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(window.sidebar._shown.row_of(run.path)).center()
    )
    assert window.open_run is not None
    assert window.open_run.folder == run
    assert window.current_tab == "Results"
    window.new_run()
    failed = next(folder for folder in home.list_runs() if folder != run)
    window.open_folder(failed)
    assert window.current_tab == "Training"


def test_the_keyboard_opens_one(make_window: Callable[[], MainWindow], home: Home, qtbot: QtBot) -> None:
    run = make_run(home, final=finished())
    window = make_window()
    window.sidebar.choose(run.path)
    with qtbot.waitSignal(window.sidebar.run_chosen):
        qtbot.keyClick(window.sidebar.view, Qt.Key.Key_Return)


@pytest.mark.usefixtures("qapp")
def test_of_many_the_newest_are_listed_at_once_and_the_others_join_them(
    home: Home, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_model, "AT_ONCE", 3)
    monkeypatch.setattr(runs_model, "SLICE", 2)

    def make(number: int, ended: bool) -> RunFolder:
        run = home.create_run(RunConfig())
        os.utime(run.path / "run.toml", (number, number))
        if ended:
            run.write_outcome(finished())
        return run

    runs = [make(number, number % 2 == 0) for number in range(9)]
    model = RunsModel(home)

    def listed() -> list[Path]:
        return [model.index(row).data(SUMMARY_ROLE).path for row in range(model.rowCount())]

    newest_first = [run.path for run in reversed(runs)]
    model.refresh()
    assert listed() == newest_first[:3]
    qtbot.waitUntil(lambda: model.rowCount() == 9)
    assert listed() == newest_first
    runs[1].write_outcome(finished())
    model.refresh()
    assert listed() == newest_first, "what is known stays"
    qtbot.waitUntil(lambda: model.index(7).data(SUMMARY_ROLE).state == "completed")
    runs[8:] = [make(100 + number, ended=False) for number in range(5)]
    (newest_first[0] / "run.toml").unlink()
    model.refresh()
    qtbot.waitUntil(lambda: model.rowCount() == 13)
    assert listed() == [run.path for run in reversed(runs)]


def test_escape_brings_all_of_them_back(make_window: Callable[[], MainWindow], home: Home, qtbot: QtBot) -> None:
    make_run(home, final=finished())
    window = make_window()
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    search = window.sidebar._search
    search.setFocus()
    qtbot.keyClicks(search, "nothing like it")
    assert window.sidebar._shown.rowCount() == 0
    qtbot.keyClick(search, Qt.Key.Key_Escape)
    assert window.sidebar._shown.rowCount() == 1


def test_a_damaged_one_is_listed_and_told(make_window: Callable[[], MainWindow], home: Home) -> None:
    run = make_run(home, final=finished())
    (run.path / "run.toml").write_text("no toml [")
    window = make_window()
    assert window.sidebar.model.rowCount() == 1
    window.open_folder(run)
    assert "TOML" in window.error.message


def test_one_in_training_may_be_damaged_too(make_window: Callable[[], MainWindow], home: Home) -> None:
    run = make_run(home)
    window = make_window()
    window.sidebar.model.running = run.path
    (run.path / "run.toml").write_text("no toml [")
    window.sidebar.refresh()
    row = window.sidebar.model.index(0).data(SUMMARY_ROLE)
    assert (row.path, row.base) == (run.path, "settings unreadable")


def test_a_removed_one_disappears(make_window: Callable[[], MainWindow], home: Home) -> None:
    run = make_run(home, final=finished())
    window = make_window()
    (run.path / "run.toml").unlink()
    window.sidebar.refresh()
    assert window.sidebar.model.rowCount() == 0


@pytest.mark.parametrize("state", ["stopped", "interrupted"])
def test_scores_that_are_recorded_later_are_shown(state: str, make_window: Callable[[], MainWindow], home: Home) -> None:
    run = make_run(home, final=finished(outcome="stopped", rows=0) if state == "stopped" else None)
    window = make_window()
    assert window.sidebar.model.index(0).data(SUMMARY_ROLE).accuracy is None
    run.record_scores(finished(accuracy=0.75))
    window.sidebar.refresh()
    shown = window.sidebar.model.index(0).data(SUMMARY_ROLE)
    assert (shown.state, shown.accuracy) == (state, 0.75)


def test_stop_ends_only_the_run_that_is_looked_at(
    window: MainWindow, home: Home, the_worker_is: Callable[[str], None], qtbot: QtBot
) -> None:
    the_worker_is(TRAINS_UNTIL_STOPPED)
    elsewhere = make_run(home, history("other")[:8], checkpoint=False)
    window.train(RunConfig())
    assert window.pages is not None
    stop = window.pages.training.findChild(QPushButton, "stopButton")
    assert stop is not None
    with elsewhere.lock():
        window.open_folder(elsewhere)
        assert not stop.isEnabled()
        window.pages.training.stop_requested.emit()
    assert window.session.run is not None
    window.open_folder(window.session.run)
    assert stop.isEnabled()
    with qtbot.waitSignal(window.session.run_ended, timeout=20_000):
        qtbot.mouseClick(stop, Qt.MouseButton.LeftButton)


def test_a_run_whose_process_cannot_start_is_listed_as_failed(
    window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.supervise.process.WORKER_COMMAND", (str(tmp_path / "nothing"),))
    window.train(RunConfig())
    assert "could not be started" in window.error.message
    assert window.sidebar.model.index(0).data(SUMMARY_ROLE).state == "failed"


def test_a_search_that_finds_nothing_says_so_and_can_be_cleared(
    make_window: Callable[[], MainWindow], home: Home, qtbot: QtBot
) -> None:
    make_run(home, final=finished())
    sidebar = make_window().sidebar
    words, clear = sidebar.findChild(QLabel, "noMatch"), sidebar.findChild(QPushButton, "clearRunSearch")
    assert not words.isVisible()
    qtbot.keyClicks(sidebar._search, "nowhere <b>")
    assert words.isVisible()
    assert words.text() == "No run matches \u201cnowhere <b>\u201d."
    qtbot.mouseClick(clear, Qt.MouseButton.LeftButton)
    assert not words.isVisible()
    assert sidebar._shown.rowCount() == 1
    assert sidebar._search.hasFocus()
    qtbot.keyClicks(sidebar._search, "lora")
    assert not words.isVisible()


def test_the_focus_is_seen_while_no_run_is_chosen_and_chooses_none(
    make_window: Callable[[], MainWindow], home: Home, qtbot: QtBot
) -> None:
    runs = [make_run(home, method=method, final=finished()) for method in ("full", "lora")]
    window = make_window()
    sidebar, view = window.sidebar, window.sidebar.view
    surface = theme.current().color("surface")

    def ringed(row: int) -> bool:
        place = view.visualRect(sidebar._shown.index(row, 0))
        picture = view.viewport().grab().toImage()
        near = range(place.top(), place.top() + 5)
        return any(picture.pixelColor(place.center().x(), y) != surface for y in near)

    sidebar.choose(runs[0].path)
    sidebar.choose(None)
    window.tabs.setFocus()
    assert not ringed(0)
    qtbot.keyClick(window.tabs, Qt.Key.Key_Backtab, Qt.KeyboardModifier.ShiftModifier)
    assert view.hasFocus()
    assert ringed(0)
    runs.append(make_run(home, method="qlora", final=finished()))
    sidebar.refresh()
    assert ringed(0), "the list was read anew"
    assert sidebar.chosen is None
    qtbot.keyClick(view, Qt.Key.Key_Down)
    assert sidebar.chosen == sidebar._shown.index(1, 0).data(SUMMARY_ROLE).path
