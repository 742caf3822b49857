"""The Training page: live and after the fact, in good and in bad."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QCheckBox, QComboBox, QPlainTextEdit, QProgressBar, QPushButton, QSlider
from pytestqt.qtbot import QtBot

from studio.core.events import Crashed, Event, Failed, StageChanged
from studio.core.runs import Home
from studio.ui import theme
from studio.ui.models.open_run import OpenRun
from studio.ui.pages.training import TrainingPage
from studio.ui.widgets.basics import ErrorPanel
from tests.ui.sample_runs import GB, assert_usable, evaluated, finished, history, make_run, stamped, started, step


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.locate(tmp_path)


@pytest.fixture
def page(qtbot: QtBot) -> TrainingPage:
    page = TrainingPage()
    qtbot.addWidget(page)
    page.resize(824, 610)
    page.show()
    qtbot.waitUntil(lambda: page.plots is not None)
    return page


def button(page: TrainingPage, name: str) -> QPushButton:
    found = page.findChild(QPushButton, name)
    assert found is not None
    return found


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


def test_the_log_axis_is_switched_with_the_keyboard(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    page.show_run(OpenRun(make_run(home, final=finished())))
    box = page.findChild(QCheckBox, "logAxis")
    assert box is not None
    box.setFocus()
    qtbot.keyClick(box, Qt.Key.Key_Space)
    plot = page.plots.plots["loss"].plot
    assert plot.getViewBox().state["logMode"] == [False, True]
    qtbot.waitUntil(lambda: plot.viewRange()[1][1] < 0.5)  # log10 of at most 2, with a margin
    assert plot.viewRange()[1][0] < np.log10(0.2)


def x_range(page: TrainingPage, plot: str) -> list[float]:
    """What of the x axis is in sight."""
    assert page.plots is not None
    return list(page.plots.plots[plot].plot.viewRange()[0])


def test_plots_move_together_by_the_keyboard(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    page.show_run(OpenRun(make_run(home, final=finished())))
    qtbot.mouseClick(button(page, "detail_rate"), Qt.MouseButton.LeftButton)
    qtbot.mouseClick(button(page, "detail_norm"), Qt.MouseButton.LeftButton)
    loss = page.plots.plots["loss"].plot
    everything = x_range(page, "loss")
    assert everything[0] < 1
    assert everything[1] > 10
    for _ in range(4):
        qtbot.keyClick(loss, Qt.Key.Key_Plus)
    closer = x_range(page, "loss")
    assert closer[1] - closer[0] == pytest.approx((everything[1] - everything[0]) * 0.8**4)
    qtbot.keyClick(loss, Qt.Key.Key_Right)
    assert x_range(page, "loss")[0] > closer[0]
    assert x_range(page, "scores") == pytest.approx(x_range(page, "loss"))
    assert x_range(page, "rate") == pytest.approx(x_range(page, "loss")), "a plot that is out of sight follows too"
    assert x_range(page, "memory")[1] > 10, "memory is over time"
    qtbot.keyClick(page.plots.plots["scores"].plot, Qt.Key.Key_Home)
    assert x_range(page, "loss") == pytest.approx(everything)


def test_the_wheel_zooms_and_a_double_click_shows_all_again(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    page.show_run(OpenRun(make_run(home, final=finished())))
    loss = page.plots.plots["loss"]
    everything = x_range(page, "loss")
    loss._view.scaleBy((0.5, 1))
    loss._view.sigRangeChangedManually.emit([True, True])
    assert x_range(page, "scores") == pytest.approx(x_range(page, "loss"))
    page.run.changed.emit(step(1))
    page.refresh()
    assert x_range(page, "loss") != pytest.approx(everything), "what comes in does not end the zoom"
    qtbot.mouseDClick(loss.plot.viewport(), Qt.MouseButton.LeftButton)
    assert x_range(page, "loss") == pytest.approx(everything)
    loss._view.scaleBy((0.5, 1))
    loss._view.sigRangeChangedManually.emit([True, True])
    qtbot.mouseClick(button(page, "fitPlots"), Qt.MouseButton.LeftButton)
    assert x_range(page, "scores") == pytest.approx(everything)


def test_the_keyboard_reads_one_point_after_the_other(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    page.show_run(OpenRun(make_run(home, final=finished())))
    plots = page.plots.plots
    for _ in range(6):
        qtbot.keyClick(plots["loss"].plot, Qt.Key.Key_Left, Qt.KeyboardModifier.ControlModifier)
    assert plots["loss"].read_out()["raw"] == "train 0.400"
    assert plots["scores"].read_out()["accuracy"] == "accuracy 50.0 %", "the other plots read the same step"
    assert "train 0.400" in plots["loss"].plot.accessibleDescription()
    assert plots["memory"]._where.text() == "at 0:09", "when that step ended"
    qtbot.keyClick(plots["loss"].plot, Qt.Key.Key_Escape)
    assert plots["loss"].read_out()["raw"] == "train 0.200"


@pytest.mark.parametrize(("axis", "last", "validated"), [("epoch", 1.0, [0.5, 1.0]), ("time", 17.0, [10.0, 17.0])])
def test_curves_are_drawn_over_epochs_or_time(
    page: TrainingPage, home: Home, axis: str, last: float, validated: list[float]
) -> None:
    page.show_run(OpenRun(make_run(home, final=finished())))
    box = page.findChild(QComboBox, "xAxis")
    assert box is not None
    box.setCurrentIndex(box.findData(axis))
    plots = page.plots.plots
    for name in ("raw", "smoothed"):
        assert plots["loss"].shown(name)[0][-1] == pytest.approx(last, abs=1)
    assert plots["loss"].shown("validation")[0] == pytest.approx(validated, abs=1)
    assert plots["scores"].shown("accuracy")[0] == pytest.approx(validated, abs=1)
    plots["loss"].pointed.emit(last)
    assert plots["loss"]._where.text().startswith("step 10 · epoch 1.00")


def test_the_legend_reads_out_what_is_under_the_pointer(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    page.show_run(OpenRun(make_run(home, final=finished())))
    loss = page.plots.plots["loss"]
    assert loss.read_out()["raw"] == "train 0.200"
    qtbot.waitUntil(lambda: loss.plot.viewRange()[0][1] > 9)

    def point() -> str:
        """One move a call: pyqtgraph drops what follows within 10 ms, and the page may still be being laid out."""
        at = loss.plot.mapFromScene(loss.plot.getViewBox().mapViewToScene(QPoint(2, 1)))
        qtbot.mouseMove(loss.plot.viewport(), at + QPoint(next(wobble), 0))
        return loss.read_out()["raw"]

    wobble = itertools.cycle((0, 1))
    qtbot.waitUntil(lambda: point() == "train 1.000")
    assert loss._where.text().startswith("step 2 · epoch 0.20 · ")
    assert loss.read_out()["validation"] == "validation", "no validation had been made by then"
    scores = page.plots.plots["scores"]
    assert scores._cursor.value() == loss._cursor.value() == 2, "the line is at the same step in every plot"
    scores.pointed.emit(5.0)
    assert loss.read_out()["raw"] == "train 0.400"


@pytest.mark.parametrize(
    ("choice", "curve", "values"),
    [
        ("rate", "rate", {1e-4}),
        ("norm", "norm", {0.5}),
        ("tokens", "tokens", {300.0}),
        ("pace", "pace", {0.5}),
        ("memory", "memory", {1.0}),
    ],
)
def test_details_show_one_plot_at_a_time(
    page: TrainingPage, home: Home, qtbot: QtBot, choice: str, curve: str, values: set[float]
) -> None:
    page.show_run(OpenRun(make_run(home, final=finished())))
    qtbot.mouseClick(page.findChild(QPushButton, f"detail_{choice}"), Qt.MouseButton.LeftButton)
    assert page.plots.plots[choice].isVisible()
    assert set(page.plots.plots[choice].shown(curve)[1].tolist()) == values


def test_smoothing_is_set_by_a_slider(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    page.show_run(OpenRun(make_run(home, [step(number, float(number)) for number in range(1, 21)], final=finished())))
    slider = page.findChild(QSlider, "smoothing")
    assert slider is not None
    for window, mean in ((1, 20.0), (4, 18.5), (100, 10.5)):
        slider.setValue(window)
        qtbot.waitUntil(lambda mean=mean: page.plots.plots["loss"].shown("smoothed")[1][-1] == pytest.approx(mean))


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
        line = page.plots.plots["loss"]._items["smoothed"].opts["pen"]
        assert line.color().name() == palette.train
        assert page.plots.plots["loss"].plot.backgroundBrush().color().name() == palette.surface


def test_memory_is_drawn_in_gigabytes(page: TrainingPage, home: Home) -> None:
    page.show_run(OpenRun(make_run(home, final=finished(peak_bytes=3 * GB))))
    assert page.plots.plots["memory"].read_out() == {"memory": "measured 1.00 GB", "forecast": "forecast 2.00 GB"}


def test_names_tooltips_and_plain_text(page: TrainingPage, home: Home) -> None:
    page.show_run(OpenRun(make_run(home, final=FAILED)))
    assert_usable(page)
