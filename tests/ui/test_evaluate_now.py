"""A run that stopped before its test messages were predicted is evaluated from the Results page."""

from __future__ import annotations

import math

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from studio.core.commands import Evaluate
from studio.core.events import Failed, StageChanged
from studio.core.runs import Home, RunFolder
from studio.ui.models.open_run import OpenRun
from studio.ui.pages.results import ResultsPage
from tests.ui.conftest import FakeJobs
from tests.ui.sample_runs import assert_usable, finished, make_run


@pytest.fixture
def page(qtbot: QtBot, home: Home) -> ResultsPage:
    page = ResultsPage(home)
    qtbot.addWidget(page)
    page.show()
    return page


def button(page: ResultsPage, name: str) -> QPushButton:
    found = page.findChild(QPushButton, name)
    assert found is not None
    return found


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


def test_names_tooltips_and_plain_text(page: ResultsPage) -> None:
    assert_usable(page)
