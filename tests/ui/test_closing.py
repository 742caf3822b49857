"""Closing the window, or going to another run: what is at work is asked about, and a run is paused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QMessageBox, QWidget
from pytestqt.qtbot import QtBot

from studio.core.commands import Evaluate
from studio.core.config import RunConfig
from studio.core.runs import Home
from studio.ui.main_window import MainWindow
from studio.ui.widgets.questions import may_cancel, may_pause
from studio.ui.widgets.window.notice import Notice
from tests.ui.conftest import FakeJobs
from tests.ui.sample_runs import finished, make_resumable, make_run
from tests.ui.staging import TRAINS_UNTIL_STOPPED


def test_staying_keeps_the_run(window: MainWindow, the_worker_is: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    the_worker_is(TRAINS_UNTIL_STOPPED)
    window.train(RunConfig())
    monkeypatch.setattr("studio.ui.closing.may_pause", lambda _parent, **_learnt: False)
    assert not window.close()
    assert window.session.active
    assert window.isVisible()


def test_leaving_keeps_what_was_learnt(
    window: MainWindow, home: Home, the_worker_is: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    the_worker_is(TRAINS_UNTIL_STOPPED)
    window.train(RunConfig())
    qtbot.waitUntil(lambda: window.bottom.step.text() == "step 1/10", timeout=20_000)
    monkeypatch.setattr("studio.ui.closing.may_pause", lambda _parent, learnt: learnt)
    window.close()
    notice = window.findChild(Notice, "closingNotice")
    assert notice is not None
    assert notice.isVisible()
    assert notice.isEnabled(), "it is not grey like the page below"
    assert notice.title.text() == "Saving what was learnt…"
    assert "closes by itself" in notice.words.text()
    assert notice.geometry() == window.centralWidget().geometry()
    window.resize(window.width() + 80, window.height() + 80)
    assert notice.geometry() == window.centralWidget().geometry()
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=20_000)
    outcome = home.list_runs()[0].outcome()
    assert outcome is not None
    assert outcome.state == "paused"


def test_before_the_first_step_nothing_is_promised(
    window: MainWindow, the_worker_is: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    the_worker_is(TRAINS_UNTIL_STOPPED)
    window.train(RunConfig())
    asked: list[bool] = []
    monkeypatch.setattr("studio.ui.closing.may_pause", lambda _parent, learnt: asked.append(learnt) or True)
    window.close()
    assert asked == [False]
    notice = window.findChild(Notice, "closingNotice")
    assert notice is not None
    assert "Nothing has been learnt" in notice.words.text()
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=20_000)


def test_a_run_that_ends_while_the_question_stands_lets_the_window_close(
    window: MainWindow, the_worker_is: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    the_worker_is(TRAINS_UNTIL_STOPPED)
    window.train(RunConfig())
    qtbot.waitUntil(lambda: window.bottom.step.text() == "step 1/10", timeout=20_000)

    def agree_late(_parent: QWidget, **_learnt: bool) -> bool:
        window.session.stop()
        qtbot.waitUntil(lambda: not window.session.active, timeout=20_000)
        return True

    monkeypatch.setattr("studio.ui.closing.may_pause", agree_late)
    assert window.close()
    assert not window.isVisible()


def test_of_a_resumed_run_it_is_known_at_once_that_it_can_go_on(
    window: MainWindow,
    home: Home,
    the_worker_is: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    qtbot: QtBot,
) -> None:
    run = make_resumable(make_run(home, final=finished(outcome="paused", rows=0)), 7)
    the_worker_is("sys.stdin.readline()\nsys.stdin.readline()\nsay('finished', outcome='paused')")
    window.resume(run)
    asked: list[bool] = []
    monkeypatch.setattr("studio.ui.closing.may_pause", lambda _parent, learnt: asked.append(learnt) or True)
    window.close()
    assert asked == [True]
    notice = window.findChild(Notice, "closingNotice")
    assert notice is not None
    assert "Resume on the Training page" in notice.words.text()
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=20_000)


@pytest.mark.parametrize("learnt", [True, False])
@pytest.mark.parametrize(("key", "answer"), [(Qt.Key.Key_Escape, False), (Qt.Key.Key_Return, False), (Qt.Key.Key_P, True)])
def test_the_question_stays_unless_told_to_pause(key: Qt.Key, answer: bool, learnt: bool, qtbot: QtBot) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)

    def press() -> None:
        box = parent.findChild(QMessageBox)
        assert box is not None
        if key == Qt.Key.Key_P:
            next(button for button in box.buttons() if button.text().endswith("and close")).click()
        else:
            qtbot.keyClick(box, key)

    QTimer.singleShot(50, press)
    assert may_pause(parent, learnt=learnt) is answer
    qtbot.waitUntil(lambda: parent.findChild(QMessageBox) is None)


def test_without_a_run_nothing_is_asked(window: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.ui.closing.may_pause", lambda _parent, **_learnt: pytest.fail("asked"))
    assert window.close()


@pytest.mark.parametrize(("agreed", "closes"), [(False, False), (True, True)])
def test_work_that_would_be_lost_is_asked_about(
    make_window: Callable[[], MainWindow],
    jobs: FakeJobs,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    agreed: bool,
    closes: bool,
) -> None:
    run = make_run(home, final=finished(outcome="stopped", rows=0))
    window = make_window()
    window.open_folder(run)
    assert window.pages is not None
    window.pages.results.evaluation.evaluate()
    asked: list[str] = []
    monkeypatch.setattr(
        "studio.ui.widgets.questions.may_cancel", lambda _parent, what, then: asked.append(f"{what}, {then}") or agreed
    )
    assert window.close() is closes
    assert asked == ["evaluation, close"]
    assert bool(jobs.open(Evaluate)) is not closes
    if not closes:
        window.pages.results.evaluation.cancel()


def test_waiting_for_an_evaluation_keeps_the_window_in_use(
    make_window: Callable[[], MainWindow],
    home: Home,
    the_worker_is: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    the_worker_is(TRAINS_UNTIL_STOPPED)
    window = make_window()
    window.train(RunConfig())
    window.open_folder(make_run(home, final=finished(outcome="stopped", rows=0)))
    assert window.pages is not None
    window.pages.results.evaluation.evaluate()
    monkeypatch.setattr("studio.ui.closing.may_pause", lambda _parent, **_learnt: True)
    monkeypatch.setattr("studio.ui.widgets.questions.may_cancel", lambda _parent, _what, _then: False)
    assert not window.close()
    assert window.session.active
    assert window.centralWidget().isEnabled()
    assert window.windowTitle() == "Finetune Studio"
    window.pages.results.evaluation.cancel()


@pytest.mark.parametrize("agreed", [False, True])
def test_another_run_does_not_end_it_unasked(
    make_window: Callable[[], MainWindow],
    jobs: FakeJobs,
    home: Home,
    the_worker_is: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    agreed: bool,
) -> None:
    the_worker_is(TRAINS_UNTIL_STOPPED)
    run = make_run(home, final=finished(outcome="stopped", rows=0))
    other = make_run(home, method="full", final=finished())
    window = make_window()
    window.open_folder(run)
    assert window.pages is not None
    window.pages.results.evaluation.evaluate()
    asked: list[str] = []
    monkeypatch.setattr("studio.ui.widgets.questions.may_cancel", lambda _parent, _what, then: asked.append(then) or agreed)
    window.open_folder(run)
    assert asked == []
    if agreed:
        window.open_folder(other)
        assert asked == ["open the other run"]
        assert not jobs.open(Evaluate)
        assert window.open_run is not None
        assert window.open_run.folder == other
        return
    window.open_folder(other)
    window.train(RunConfig())
    assert asked == ["open the other run", "train"]
    assert jobs.open(Evaluate)
    assert window.open_run is not None
    assert (window.open_run.folder, window.sidebar.chosen) == (run, run.path)
    assert not window.session.active
    window.pages.results.evaluation.cancel()


def test_the_question_waits_unless_told_to_cancel(qtbot: QtBot) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)

    def press() -> None:
        box = parent.findChild(QMessageBox)
        assert box is not None
        assert "the export" in box.text()
        qtbot.keyClick(box, Qt.Key.Key_Escape)

    QTimer.singleShot(50, press)
    assert may_cancel(parent, "export", "close") is False
