"""The plots of the Training page: moved, zoomed, read out, and drawn over steps, epochs or time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QApplication, QCheckBox, QComboBox, QPushButton, QSlider
from pytestqt.qtbot import QtBot

from studio.core.runs import Home
from studio.ui.models.open_run import OpenRun
from studio.ui.pages.training import TrainingPage
from studio.ui.widgets.training.run_plot import RunPlot
from tests.ui.sample_runs import finished, make_run, started, step
from tests.ui.staging import button, training_page


@pytest.fixture
def page(qtbot: QtBot) -> TrainingPage:
    return training_page(qtbot)


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


def test_the_numbers_below_a_plot_are_never_cut(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    """An axis shrinks while it has no ticks, as in the first moment of each run, and does not quite grow back."""
    assert page.plots is not None
    axis = page.plots.plots["loss"].plot.getAxis("bottom")
    run = OpenRun(make_run(home, [], checkpoint=False), ours=True)
    page.show_run(run)
    for _time in range(2):
        page.grab()
        qtbot.wait(10)
    run.add(started(run.name))
    run.add(step(1))
    run.add(step(2))
    page.refresh()
    for _time in range(2):
        page.grab()
        qtbot.wait(10)
    numbers = QFontMetrics(axis.style["tickFont"]).height()
    assert axis.height() >= numbers + axis.style["tickTextOffset"][1]


def test_curves_are_as_bold_on_a_display_at_200_percent(page: TrainingPage, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The width of a cosmetic pen counts in the dots of the screen."""
    page.show_run(OpenRun(make_run(home, final=finished())))
    assert page.plots is not None
    loss = page.plots.plots["loss"]

    def widths() -> list[float]:
        return [item.opts["pen"].widthF() for item in loss.plot.listDataItems()]

    before = widths()
    assert set(before) == {1.0, 2.0}
    monkeypatch.setattr(RunPlot, "devicePixelRatioF", lambda _plot: 2.0)
    QApplication.sendEvent(loss.plot, QEvent(QEvent.Type.DevicePixelRatioChange))
    assert widths() == [2 * width for width in before]


def test_what_the_keyboard_points_at_is_let_go_with_it(page: TrainingPage, home: Home, qtbot: QtBot) -> None:
    """Else a line stands in the plots for good, and their legends never tell the newest values again."""
    page.activateWindow()
    qtbot.waitUntil(page.isActiveWindow)
    page.show_run(OpenRun(make_run(home, final=finished())))
    assert page.plots is not None
    loss = page.plots.plots["loss"]
    newest = loss.read_out()
    loss.plot.setFocus()
    for _step in range(3):
        qtbot.keyClick(loss.plot, Qt.Key.Key_Left, Qt.KeyboardModifier.ControlModifier)
    assert loss.read_out() != newest
    button(page, "fitPlots").setFocus()
    assert loss.read_out() == newest


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


def test_a_plot_without_points_has_no_scale(page: TrainingPage, home: Home) -> None:
    run = OpenRun(make_run(home, [], checkpoint=False), ours=True)
    page.show_run(run)
    run.add(started(run.name))
    page.refresh()
    assert page.plots is not None
    loss = page.plots.plots["loss"]
    assert loss._empty.isVisibleTo(page)

    def ticks(side: str) -> int:
        axis = loss.plot.getAxis(side)
        return len(axis._tickLevels if axis._tickLevels is not None else axis.tickValues(*axis.range, 300))

    assert ticks("left") == ticks("bottom") == 0
    run.add(step(1))
    page.refresh()
    assert ticks("left") > 0
    assert ticks("bottom") > 0
