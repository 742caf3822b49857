"""The Training page: live and after the fact, in good and in bad."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPlainTextEdit, QProgressBar
from pytestqt.qtbot import QtBot

from studio.core.events import Crashed, Event, Failed, StageChanged
from studio.core.runs import Home
from studio.ui import theme
from studio.ui.models.open_run import OpenRun
from studio.ui.pages.training import TrainingPage
from studio.ui.widgets.basics import ErrorPanel
from tests.ui.sample_runs import GB, assert_usable, evaluated, finished, history, make_run, stamped, started, step
from tests.ui.staging import button, training_page


@pytest.fixture
def page(qtbot: QtBot) -> TrainingPage:
    return training_page(qtbot)


def log(page: TrainingPage) -> str:
    view = page.findChild(QPlainTextEdit, "trainingLog")
    assert view is not None
    return view.toPlainText()


def test_without_a_run_it_says_what_to_do_next(page: TrainingPage, qtbot: QtBot) -> None:
    page.show_run(None)
    with qtbot.waitSignal(page.setup_requested):
        qtbot.mouseClick(button(page, "trainingEmptyButton"), Qt.MouseButton.LeftButton)


def test_a_finished_run_is_rebuilt_from_its_folder(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    run = OpenRun(make_run(home, intents=3, final=finished()))
    page.show_run(run)
    x, y = page.plots.plots["loss"].shown("raw")
    assert np.array_equal(x, np.arange(1, 11))
    assert np.allclose(y, 2.0 / np.arange(1, 11))
    assert page.plots.plots["loss"].shown("validation")[0].tolist() == [5, 10]
    assert page.plots.plots["scores"].shown("accuracy")[1].tolist() == [0.5, 1.0]
    assert page.plots.plots["memory"].shown("memory")[1].tolist() == [1.0] * 10
    assert page.plots.plots["memory"].shown("forecast")[1].tolist() == [2.0, 2.0]
    assert page._facts.text("step") == "10 of 10"
    assert page._facts.text("elapsed") == "2:05"
    assert page._facts.text("device") == "cpu, bf16"
    assert page._badge.text() == "completed"
    assert "Warning: <b>3 rows</b> have no label" in log(page)
    assert not button(page, "stopButton").isVisible()
    with qtbot.waitSignal(page.results_requested):
        qtbot.mouseClick(button(page, "resultsButton"), Qt.MouseButton.LeftButton)


def test_live_events_reach_plots_and_header_on_the_timer(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    run = OpenRun(make_run(home, [], checkpoint=False), ours=True)
    page.show_run(run)
    assert page._badge.text() == "starting"
    for event in history(run.name)[:8]:
        run.add(event)
    assert page.plots.plots["loss"].shown("raw")[0].size == 0, "drawn on the timer, not per event"
    qtbot.waitUntil(lambda: page.plots.plots["loss"].shown("raw")[0].size == 4)
    qtbot.waitUntil(lambda: page._badge.text() == "running")  # plots that have just come are drawn by themselves
    assert page._facts.text("step") == "4 of 10"
    assert page._facts.text("eta") == "0:12"
    assert page._facts.text("speed") == "300 tokens/s"
    progress = page.findChild(QProgressBar, "trainingProgress")
    assert progress is not None
    assert (progress.value(), progress.maximum()) == (4, 10)


def test_a_run_that_goes_on_is_drawn_on(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    folder = make_run(home, [started("r"), step(1, 2.0), step(2, 1.0)], final=finished(outcome="paused"))
    page.show_run(OpenRun(folder))
    resumed = OpenRun(folder, ours=True)
    page.show_run(resumed)
    resumed.add(step(3, 0.5))
    qtbot.waitUntil(lambda: page._facts.text("step") == "3 of 10")
    assert page.plots.plots["loss"].shown("raw")[0].tolist() == [1, 2, 3]


def test_the_stage_is_shown_when_no_step_is_being_taken(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    run = OpenRun(make_run(home, [], checkpoint=False), ours=True)
    page.show_run(run)
    run.add(StageChanged(stage="predicting the test split", done=30, total=200))
    qtbot.waitUntil(lambda: page._progress.stage.text() == "Predicting the test split 30 of 200")
    assert (page._progress.bar.value(), page._progress.bar.maximum()) == (30, 200)
    run.add(StageChanged(stage="loading the model"))
    qtbot.waitUntil(lambda: page._progress.bar.maximum() == 0)


def test_stop_asks_once_and_says_so(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    run = OpenRun(make_run(home, []), ours=True)
    run.add(started(run.name))
    page.show_run(run)
    stop = button(page, "stopButton")
    with qtbot.waitSignal(page.stop_requested):
        qtbot.mouseClick(stop, Qt.MouseButton.LeftButton)
    assert not stop.isEnabled()
    assert stop.text() == "Stopping…"
    run.add(finished(outcome="stopped"))
    qtbot.waitUntil(lambda: not stop.isVisible())
    assert page._badge.text() == "stopped, kept"


def test_a_run_that_is_trained_elsewhere_cannot_be_stopped_here(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    folder = make_run(home, history("r")[:8], checkpoint=False)
    with folder.lock():
        page.show_run(OpenRun(folder))
        stop = button(page, "stopButton")
        assert stop.isVisible()
        with qtbot.assertNotEmitted(page.stop_requested):
            qtbot.mouseClick(stop, Qt.MouseButton.LeftButton)
    assert stop.text() == "Stop and keep"
    assert "stop it there" in stop.toolTip()


def test_a_run_that_never_began_waits_for_nothing(page: TrainingPage, home: Home) -> None:
    page.show_run(OpenRun(make_run(home, [], checkpoint=False)))
    assert page._badge.text() == "not started"
    assert not button(page, "stopButton").isVisible()
    assert not page._progress.isVisible()


def test_nothing_is_said_to_be_kept_where_nothing_is(page: TrainingPage, home: Home) -> None:
    page.show_run(OpenRun(make_run(home, final=finished(outcome="stopped"), checkpoint=False)))
    assert page._badge.text() == "stopped"


FAILED = Failed(kind="out_of_memory", message="Memory ran out.", remedy="Use a smaller batch.", detail="the traceback")
CRASHED = Crashed(exit_code=-11, signal="SIGSEGV", log_tail="last words", likely_cause="A driver crashed.", remedy="Run doctor.")


@pytest.mark.parametrize(
    ("final", "words", "detail"), [(FAILED, "Memory ran out.", "the traceback"), (CRASHED, "A driver crashed.", "last words")]
)
def test_a_bad_end_says_what_happened_and_what_to_do(
    page: TrainingPage, home: Home, qtbot: QtBot, final: Failed | Crashed, words: str, detail: str
) -> None:
    run = OpenRun(make_run(home, [], checkpoint=False), ours=True)
    run.add(started(run.name))
    page.show_run(run)
    panel = page.findChild(ErrorPanel, "trainingError")
    assert panel is not None
    assert panel.isHidden()
    run.add(final)
    qtbot.waitUntil(panel.isVisible)
    assert words in panel.message
    assert final.remedy in panel.accessibleDescription()
    details = panel.findChild(QPlainTextEdit, "trainingErrorDetail")
    assert details is not None
    assert detail in details.toPlainText()
    assert words in log(page)
    page.show_run(OpenRun(make_run(home, final=finished())))
    assert panel.isHidden(), "the next run has not failed"


def test_another_failed_run_shows_its_own_reason(page: TrainingPage, home: Home) -> None:
    page.show_run(OpenRun(make_run(home, final=FAILED)))
    page.show_run(OpenRun(make_run(home, final=CRASHED)))
    panel = page.findChild(ErrorPanel, "trainingError")
    assert panel is not None
    assert "A driver crashed." in panel.message


def test_an_interrupted_run_says_so(page: TrainingPage, home: Home) -> None:
    page.show_run(OpenRun(make_run(home)))
    assert page._badge.text() == "interrupted"
    assert page._problem.isVisible()


def test_hidden_pages_do_not_draw(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    run = OpenRun(make_run(home, [], checkpoint=False), ours=True)
    page.show_run(run)
    page.hide()
    run.add(step(1))
    qtbot.wait(250)
    assert page.plots.plots["loss"].shown("raw")[0].size == 0
    page.show()
    assert page.plots.plots["loss"].shown("raw")[0].size == 1


def test_switching_runs_leaves_nothing_of_the_one_before(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    first = OpenRun(make_run(home, final=finished()))
    events: list[Event] = [started("b", steps=3), step(1, 0.7, steps=3), evaluated(1, 0.9)]
    second = OpenRun(make_run(home, stamped(events), final=finished(seconds=3.0)))
    page.show_run(first)
    page.show_run(second)
    assert page.plots.plots["loss"].shown("raw")[1].tolist() == [0.7]
    assert page.plots.plots["scores"].shown("test")[0].size == 0
    assert "<b>3 rows</b>" not in log(page)
    first.changed.emit(step(1))
    qtbot.wait(150)
    assert page._facts.text("step") == "1 of 3"


def test_colours_follow_the_theme(page: TrainingPage, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    page.show_run(OpenRun(make_run(home, final=finished())))
    for palette in (theme.DARK, theme.LIGHT):
        monkeypatch.setattr(theme.notifier, "theme", palette)
        theme.notifier.changed.emit()
        line = page.plots.plots["loss"]._curves["smoothed"].item.opts["pen"]
        assert line.color().name() == palette.train
        assert page.plots.plots["loss"].plot.backgroundBrush().color().name() == palette.surface


def test_memory_is_drawn_in_gigabytes(page: TrainingPage, home: Home) -> None:
    page.show_run(OpenRun(make_run(home, final=finished(peak_bytes=3 * GB))))
    assert page.plots.plots["memory"].read_out() == {"memory": "measured 1.00 GB", "forecast": "forecast 2.00 GB"}


def test_names_tooltips_and_plain_text(page: TrainingPage, home: Home) -> None:
    page.show_run(OpenRun(make_run(home, final=FAILED)))
    assert_usable(page)
