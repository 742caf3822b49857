"""The Results page evaluates: a run that stopped before its test messages were predicted, and other labelled files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QLineEdit
from pytestqt.qtbot import QtBot

from studio.core.commands import Evaluate
from studio.core.events import Failed, LogLine, StageChanged
from studio.core.predictions import write_predictions
from studio.core.runs import Home, RunFolder
from studio.ui.main_window import MainWindow
from studio.ui.models.open_run import OpenRun
from studio.ui.pages.results import ResultsPage
from tests.ui.conftest import FakeJobs
from tests.ui.sample_runs import assert_usable, finished, labels, make_run, predictions
from tests.ui.staging import button


@pytest.fixture
def page(qtbot: QtBot, home: Home) -> ResultsPage:
    page = ResultsPage(home)
    qtbot.addWidget(page)
    page.show()
    return page


@pytest.fixture
def stopped(page: ResultsPage, home: Home) -> RunFolder:
    folder = make_run(home, final=finished(outcome="stopped", rows=0, accuracy=math.nan))
    page.show_run(OpenRun(folder))
    return folder


def test_a_stopped_run_is_evaluated_and_shown(
    page: ResultsPage, home: Home, stopped: RunFolder, jobs: FakeJobs, qtbot: QtBot
) -> None:
    qtbot.mouseClick(button(page, "resultsEvaluateButton"), Qt.MouseButton.LeftButton)
    (job,) = jobs.open(Evaluate)
    assert job.command == Evaluate(run=str(stopped.path), home=str(home.path))
    assert not button(page, "resultsEvaluateButton").isEnabled()
    assert job.progress is not None
    job.progress(StageChanged(stage="predicting", done=3, total=20))
    assert page.evaluation._progress.stage.text() == "Predicting 3 of 20"
    stopped.predictions_path.write_bytes(make_run(home, intents=3).predictions_path.read_bytes())
    job.answer(finished(rows=20, accuracy=0.8, seconds=1.0))
    assert page._views.matrix.isVisible()
    assert (stopped.summary().state, stopped.summary().accuracy) == ("stopped", 0.8)


def test_the_keyboard_goes_to_cancel_and_back(window: MainWindow, home: Home, jobs: FakeJobs, qtbot: QtBot) -> None:
    """What is pressed goes out; what would get the keyboard from Qt leads elsewhere at the next press."""
    window.open_folder(make_run(home, final=finished(outcome="stopped", rows=0, accuracy=math.nan)))
    window.show_tab("Results")
    now, cancel = button(window, "resultsEvaluateButton"), button(window, "evaluateCancel")
    now.setFocus()
    qtbot.waitUntil(now.hasFocus)
    qtbot.keyClick(now, Qt.Key.Key_Space)
    assert jobs.open(Evaluate)
    taken = cancel.hasFocus()
    qtbot.keyClick(cancel, Qt.Key.Key_Space)  # before anything fails: a window with work under way asks before it closes
    assert not jobs.open(Evaluate)
    assert (taken, now.hasFocus()) == (True, True)


@pytest.mark.usefixtures("stopped")
def test_who_is_elsewhere_stays_there_when_an_evaluation_begins(page: ResultsPage, jobs: FakeJobs, qtbot: QtBot) -> None:
    page.activateWindow()
    elsewhere = QLineEdit(page)
    elsewhere.show()
    elsewhere.setFocus()
    qtbot.waitUntil(elsewhere.hasFocus)
    page.evaluation.evaluate()
    assert elsewhere.hasFocus()
    jobs.open(Evaluate)[0].answer(Failed(kind="x", message="The base is gone.", remedy="r"), failed=True)
    assert elsewhere.hasFocus()


@pytest.mark.usefixtures("stopped")
def test_a_failure_is_told_and_it_can_be_tried_again(page: ResultsPage, jobs: FakeJobs, qtbot: QtBot) -> None:
    qtbot.mouseClick(button(page, "resultsEvaluateButton"), Qt.MouseButton.LeftButton)
    jobs.open(Evaluate)[0].answer(Failed(kind="x", message="The base is gone.", remedy="r"), failed=True)
    assert page.evaluation._problem.message == "The base is gone."
    assert button(page, "resultsEvaluateButton").isEnabled()


def test_cancelled_by_hand_or_by_another_run(
    page: ResultsPage, home: Home, stopped: RunFolder, jobs: FakeJobs, qtbot: QtBot
) -> None:
    for _ in range(2):
        qtbot.mouseClick(button(page, "resultsEvaluateButton"), Qt.MouseButton.LeftButton)
        qtbot.mouseClick(button(page, "evaluateCancel"), Qt.MouseButton.LeftButton)
        assert not jobs.open(Evaluate)
    page.evaluation.evaluate()
    page.show_run(OpenRun(stopped))
    assert jobs.open(Evaluate)
    page.show_run(OpenRun(make_run(home, intents=3, final=finished())))
    assert not jobs.open(Evaluate)


class TestAnotherFile:
    @pytest.fixture
    def run(self, page: ResultsPage, home: Home) -> RunFolder:
        folder = make_run(home, intents=4, final=finished())
        page.show_run(OpenRun(folder))
        return folder

    def predict(self, run: RunFolder, name: str) -> None:
        """What the worker leaves of a file with three intents, five messages each and one of five wrong."""
        names = labels(4)
        write_predictions(run.predictions_of(name), names, predictions(names[:3]))

    def shown(self, page: ResultsPage) -> tuple[str, str, str]:
        source = page._source.choice.currentText()
        return source, page._messages._count.text(), page._figures["base"].value

    def test_it_is_chosen_evaluated_and_shown_and_there_is_a_way_back(
        self, page: ResultsPage, home: Home, run: RunFolder, jobs: FakeJobs, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.shown(page) == ("the test split", "20 of 20 messages", "2.0 %")
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_arguments: ("/data/march.csv", ""))
        qtbot.mouseClick(button(page, "evaluateFile"), Qt.MouseButton.LeftButton)
        (job,) = jobs.open(Evaluate)
        out = str(run.path / "predictions-march.parquet")
        assert job.command == Evaluate(run=str(run.path), home=str(home.path), data="/data/march.csv", out=out)
        assert page._views.matrix.isVisible(), "the test results stay meanwhile"
        assert button(page, "evaluateCancel").isVisible()
        assert not button(page, "evaluateFile").isEnabled()
        assert not page.can_evaluate
        assert job.progress is not None
        job.progress(LogLine(level="warning", text="2 rows are left out."))
        self.predict(run, "march")
        job.answer(finished(rows=15, accuracy=0.8))
        assert self.shown(page) == ("march", "15 of 15 messages", "—")
        assert page._figures["macro_f1"].note == "over 3 intents"
        assert page._source.note.text() == "2 rows are left out."
        assert page._figures["accuracy"]._shown_caption.text() == "Accuracy"
        assert page._save.name == f"{run.name}-march"
        assert run.scores() is not None
        assert run.summary().accuracy == 0.9, "a file of one's own is no test result"
        assert not page.evaluation.isVisible()
        qtbot.keyClick(page._source.choice, Qt.Key.Key_Up)
        assert self.shown(page) == ("the test split", "20 of 20 messages", "2.0 %")
        assert page._source.note.text() == ""
        assert page._figures["accuracy"]._shown_caption.text() == "Test accuracy"

    def test_another_file_of_the_same_name_takes_nothing_away(self, page: ResultsPage, run: RunFolder, jobs: FakeJobs) -> None:
        names = labels(4)
        for folder, name in (("a", "march"), ("b", "march 2"), ("a", "march")):
            page.evaluate_file(Path(f"/{folder}/march.csv"))
            (job,) = jobs.open(Evaluate)
            assert isinstance(job.command, Evaluate)
            write_predictions(Path(job.command.out or ""), names, predictions(names[:3]), Path(job.command.data or ""))
            job.answer(finished(rows=15, accuracy=0.8))
            assert self.shown(page)[0] == name
        assert run.predicted_files() == ["march", "march 2"]

    def test_a_report_is_of_the_run_whichever_messages_are_shown(
        self, page: ResultsPage, run: RunFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.predict(run, "may")
        page.show_messages_of("may")
        asked: list[str] = []
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *arguments: (asked.append(Path(arguments[2]).name), ("", ""))[1])
        for action in page._save._menu.actions():
            action.trigger()
        assert [name for name in asked if "may" not in name] == [f"{run.name}-report.html"]

    def test_the_keyboard_goes_to_cancel_and_back(
        self, page: ResultsPage, run: RunFolder, jobs: FakeJobs, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_arguments: ("/data/march.csv", ""))
        page.activateWindow()
        another = button(page, "evaluateFile")
        another.setFocus()
        qtbot.waitUntil(another.hasFocus)
        qtbot.keyClick(another, Qt.Key.Key_Space)
        assert button(page, "evaluateCancel").hasFocus()
        self.predict(run, "march")
        jobs.open(Evaluate)[0].answer(finished(rows=15, accuracy=0.8))
        assert another.hasFocus()

    def test_what_was_evaluated_before_is_offered_and_another_run_begins_with_its_own(
        self, page: ResultsPage, home: Home, run: RunFolder
    ) -> None:
        for name in ("may", "april"):
            self.predict(run, name)
        page.refresh()
        choice = page._source.choice
        assert [choice.itemText(row) for row in range(choice.count())] == ["the test split", "april", "may"]
        page.show_messages_of("may")
        assert self.shown(page)[0] == "may"
        page.show_run(OpenRun(make_run(home, intents=3, final=finished())))
        assert self.shown(page) == ("the test split", "15 of 15 messages", "2.0 %")

    def test_what_is_gone_gives_way_to_the_test_split(self, page: ResultsPage, run: RunFolder) -> None:
        self.predict(run, "may")
        page.show_messages_of("may")
        run.forget_end()
        assert run.predicted_files() == []
        make_predictions = predictions(labels(4))
        write_predictions(run.predictions_path, labels(4), make_predictions)
        page.refresh()
        assert self.shown(page)[0] == "the test split"

    def test_a_failure_is_told_above_the_results_until_it_is_dismissed(
        self, page: ResultsPage, run: RunFolder, jobs: FakeJobs, qtbot: QtBot, tmp_path: Path
    ) -> None:
        page.evaluate_file(tmp_path / "other.csv")
        jobs.open(Evaluate)[0].answer(Failed(kind="bad_input", message="None of the 3 rows", remedy="Check."), failed=True)
        assert page.evaluation._problem.message == "None of the 3 rows"
        assert page.evaluation.isVisible()
        assert page._views.matrix.isVisible()
        qtbot.mouseClick(button(page, "evaluateErrorClose"), Qt.MouseButton.LeftButton)
        assert not page.evaluation.isVisible()
        assert run.predicted_files() == []


def test_names_tooltips_and_plain_text(page: ResultsPage) -> None:
    assert_usable(page)
