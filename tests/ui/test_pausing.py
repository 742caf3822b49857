"""Pause, Checkpoint now and Resume: on the Training page, in the menus and in the list of runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu
from pytestqt.qtbot import QtBot

from studio.core.config import RunConfig
from studio.core.events import CheckpointSaved, Crashed, Event, Failed
from studio.core.runs import Home, RunFolder
from studio.ui.main_window import MainWindow
from studio.ui.models.open_run import OpenRun
from studio.ui.models.runs_model import SUMMARY_ROLE
from studio.ui.pages.training import TrainingPage
from studio.ui.run_actions import RESUME
from tests.ui.sample_runs import assert_usable, finished, history, make_resumable, make_run, started, step
from tests.ui.staging import STARTED, TRAINS_UNTIL_STOPPED, button, training_page

# Is given "train" or "resume"; the second time it goes on after the step at which the first one was paused.
TRAINS_IN_TWO_PARTS = (
    "command = json.loads(sys.stdin.readline())\n"
    "if command['command'] == 'train':\n"
    + "".join(f"    {line}\n" for line in STARTED.splitlines())
    + "    for line in sys.stdin:\n"
    "        asked = json.loads(line)['command']\n"
    "        if asked == 'pause': break\n"
    "        say('checkpoint_saved', step=1, path='', best=False, elapsed=2.5)\n"
    "    say('finished', outcome='paused', elapsed=3)\n"
    "else:\n"
    + "".join(f"    {line}\n" for line in STARTED.replace("elapsed=", "elapsed=10+").splitlines())
    + "    say('finished', outcome='completed', rows=9, accuracy=0.5, elapsed=13)\n"
)
FAILED = Failed(kind="disk_full", message="No room.", remedy="Free some.")
CRASHED = Crashed(exit_code=-9, signal="SIGKILL", log_tail="", likely_cause="Memory ran out.", remedy="Close programs.")


@pytest.fixture
def page(qtbot: QtBot) -> TrainingPage:
    return training_page(qtbot)


def at_work(page: TrainingPage, home: Home) -> OpenRun:
    run = OpenRun(make_run(home, []), ours=True)
    run.add(started(run.name))
    run.add(step(1))
    page.show_run(run)
    return run


def test_a_run_at_work_can_be_paused_once(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    run = at_work(page, home)
    assert not button(page, "resumeButton").isVisible()
    with qtbot.waitSignal(page.pause_requested):
        qtbot.mouseClick(button(page, "pauseButton"), Qt.MouseButton.LeftButton)
    assert button(page, "pauseButton").text() == "Pausing…"
    assert button(page, "stopButton").text() == "Stop and keep"
    for name in ("pauseButton", "stopButton", "checkpointButton"):
        assert not button(page, name).isEnabled()
    make_resumable(run.folder, 1)
    run.add(finished(outcome="paused", rows=0))
    qtbot.waitUntil(button(page, "resumeButton").isVisible)
    assert page._badge.text() == "paused at step 1"
    assert "after step 1" in button(page, "resumeButton").toolTip()
    for name in ("pauseButton", "stopButton", "checkpointButton", "resultsButton"):
        assert not button(page, name).isVisible()
    with qtbot.waitSignal(page.resume_requested):
        qtbot.mouseClick(button(page, "resumeButton"), Qt.MouseButton.LeftButton)
    page.show_run(OpenRun(run.folder, ours=True))
    assert button(page, "pauseButton").text() == "Pause"
    assert button(page, "pauseButton").isEnabled()
    assert_usable(page)


def test_a_checkpoint_can_be_asked_for_again_once_it_is_written(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    run, asked = at_work(page, home), button(page, "checkpointButton")
    for number in (1, 2):
        with qtbot.waitSignal(page.checkpoint_requested):
            qtbot.mouseClick(asked, Qt.MouseButton.LeftButton)
        assert (asked.text(), asked.isEnabled()) == ("Writing…", False)
        run.add(CheckpointSaved(step=number, path="", best=False))
        qtbot.waitUntil(asked.isEnabled)
        assert asked.text() == "Checkpoint now"
    assert button(page, "pauseButton").isEnabled()


def test_a_second_press_never_presses_the_neighbour(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    """A button that goes out must not hand the keyboard to the next one: Space twice on Checkpoint would pause the run."""
    run, asked = at_work(page, home), button(page, "checkpointButton")
    page.activateWindow()
    qtbot.waitUntil(page.isActiveWindow)
    asked.setFocus()
    for _press in range(2):
        qtbot.keyClick(page.window().focusWidget(), Qt.Key.Key_Space)
    assert asked.text() == "Writing…"
    assert button(page, "pauseButton").isEnabled(), "no pause was asked for"
    run.add(CheckpointSaved(step=1, path="", best=False))
    qtbot.waitUntil(asked.hasFocus)
    button(page, "pauseButton").setFocus()
    with qtbot.waitSignal(page.pause_requested):
        qtbot.keyClick(button(page, "pauseButton"), Qt.Key.Key_Space)
    assert page._log.lines.hasFocus()
    make_resumable(run.folder, 1)
    run.add(finished(outcome="paused", rows=0))
    qtbot.waitUntil(button(page, "resumeButton").hasFocus)
    page.show_run(OpenRun(run.folder, ours=True))
    assert button(page, "pauseButton").hasFocus()


def test_the_keyboard_stays_where_it_was_taken_meanwhile(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    run, asked = at_work(page, home), button(page, "checkpointButton")
    page.activateWindow()
    qtbot.waitUntil(page.isActiveWindow)
    asked.setFocus()
    qtbot.keyClick(asked, Qt.Key.Key_Space)
    page._log.search()
    held = page.window().focusWidget()
    run.add(CheckpointSaved(step=1, path="", best=False))
    qtbot.waitUntil(asked.isEnabled)
    assert page.window().focusWidget() is held
    assert held.objectName() == "logSearch"


def test_a_run_that_is_trained_elsewhere_is_paused_there(page: TrainingPage, home: Home) -> None:
    folder = make_resumable(make_run(home, history("r")[:8], checkpoint=False), 1)
    with folder.lock():
        page.show_run(OpenRun(folder))
        assert not button(page, "pauseButton").isEnabled()
        assert "pause it there" in button(page, "pauseButton").toolTip()
        assert not button(page, "resumeButton").isVisible()


@pytest.mark.parametrize(
    "final", [finished(outcome="stopped"), FAILED, CRASHED, None], ids=["stopped", "failed", "crashed", "cut off"]
)
@pytest.mark.parametrize("kept", [True, False])
def test_what_ended_early_goes_on_if_it_kept_a_checkpoint(page: TrainingPage, home: Home, final: Event | None, kept: bool) -> None:
    folder = make_run(home, final=final, checkpoint=False)
    page.show_run(OpenRun(make_resumable(folder, 7) if kept else folder))
    assert button(page, "resumeButton").isVisible() is kept
    if final is None:
        assert ("Press Resume" in page._problem.accessibleDescription()) is kept


def test_a_finished_run_does_not_go_on(page: TrainingPage, home: Home) -> None:
    page.show_run(OpenRun(make_resumable(make_run(home, final=finished()), 7)))
    assert not button(page, "resumeButton").isVisible()


def entry(window: MainWindow) -> QAction:
    """The entry of the menu Run, as it is when the menu opens."""
    (menu,) = [action.menu() for action in window.menuBar().actions() if action.text() == "&Run"]
    assert isinstance(menu, QMenu)
    menu.aboutToShow.emit()
    (found,) = [action for action in menu.actions() if action.text() == RESUME]
    return found


def test_pause_gives_the_worker_back_and_resume_goes_on_in_the_same_folder(
    window: MainWindow, home: Home, the_worker_is: Callable[[str], None], qtbot: QtBot
) -> None:
    the_worker_is(TRAINS_IN_TWO_PARTS)
    window.train(RunConfig())
    (run,) = home.list_runs()
    assert window.pages is not None
    page = window.pages.training
    qtbot.waitUntil(button(page, "checkpointButton").isEnabled, timeout=20_000)
    make_resumable(run, 1)
    button(page, "checkpointButton").click()
    assert window.open_run is not None
    live = window.open_run
    qtbot.waitUntil(lambda: any("Checkpoint of step 1" in entry.text for entry in live.log), timeout=20_000)
    assert not entry(window).isEnabled()
    button(page, "pauseButton").click()
    qtbot.waitUntil(lambda: not window.session.active, timeout=20_000)
    assert run.state() == "paused"
    assert window.current_tab == "Training"
    assert not window.error.isVisible()
    assert window.bottom.stage.text() == f"{run.name} is paused"
    index = window.sidebar.model.index(0)
    assert index.data(SUMMARY_ROLE).state == "paused"
    assert "paused" in index.data(Qt.ItemDataRole.AccessibleTextRole)

    qtbot.waitUntil(button(page, "resumeButton").isVisible)
    with qtbot.waitSignal(window.session.run_ended, timeout=20_000) as ended:
        button(page, "resumeButton").click()
        assert window.session.active
        assert window.sidebar.model.index(0).data(SUMMARY_ROLE).state == "running"
    assert ended.args[1].outcome == "completed"
    assert len(home.list_runs()) == 1


def test_another_run_can_be_trained_meanwhile_and_the_menus_resume(
    window: MainWindow, home: Home, the_worker_is: Callable[[str], None], qtbot: QtBot
) -> None:
    paused = make_resumable(make_run(home, final=finished(outcome="paused", rows=0)), 7)
    window.open_folder(paused)
    assert entry(window).isEnabled()
    the_worker_is(TRAINS_UNTIL_STOPPED)
    window.train(RunConfig())
    window.open_folder(paused)
    assert not entry(window).isEnabled()
    window.resume(paused)
    assert "in progress" in window.error.message
    with qtbot.waitSignal(window.session.run_ended, timeout=20_000):
        window.session.stop()
    the_worker_is(TRAINS_IN_TWO_PARTS)
    window.actions_of_runs.show_menu(paused, QPoint(0, 0))
    menu = window.findChild(QMenu, "runMenu")
    assert menu is not None
    (action,) = [action for action in menu.actions() if action.text() == RESUME]
    assert action.isEnabled()
    with qtbot.waitSignal(window.session.run_ended, timeout=20_000) as ended:
        action.trigger()
    menu.close()
    assert ended.args[0] == paused
    assert window.open_run is not None
    assert window.open_run.folder == paused


@pytest.mark.parametrize("problem", ["finished", "no checkpoint", "busy"])
def test_what_cannot_go_on_says_why(window: MainWindow, home: Home, problem: str) -> None:
    final = finished() if problem == "finished" else finished(outcome="stopped")
    run: RunFolder = make_run(home, final=final, checkpoint=False)
    if problem != "no checkpoint":
        make_resumable(run, 7)
    window.open_folder(run)
    assert entry(window).isEnabled() is (problem == "busy")
    reason = {"finished": "is finished", "no checkpoint": "before a checkpoint", "busy": "newest checkpoint"}[problem]
    assert reason in entry(window).toolTip(), "it says why it cannot be chosen"
    if problem == "busy":
        with run.lock():
            assert not entry(window).isEnabled()
            window.resume(run)
    else:
        window.resume(run)
    assert {"finished": "is finished", "no checkpoint": "before a checkpoint", "busy": "another process"}[
        problem
    ] in window.error.message
    assert not window.session.active


def test_a_worker_that_refuses_is_told_and_the_run_stays_as_it_was(
    window: MainWindow, home: Home, the_worker_is: Callable[[str], None], qtbot: QtBot
) -> None:
    run = make_resumable(make_run(home, final=finished(outcome="paused", rows=0)), 7)
    window.open_folder(run)
    the_worker_is(
        "sys.stdin.readline()\nsay('failed', kind='changed_base', message='The base has changed.', remedy='Put it back.')"
    )
    with qtbot.waitSignal(window.session.run_ended, timeout=20_000):
        window.resume(run)
    assert window.pages is not None
    page = window.pages.training
    qtbot.waitUntil(lambda: "The base has changed." in page._problem.message)
    assert run.state() == "paused"
    qtbot.waitUntil(button(page, "resumeButton").isVisible)
