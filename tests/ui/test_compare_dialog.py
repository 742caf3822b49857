"""Runs side by side in the window: chosen, shown, searched, copied, saved."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QGuiApplication
from PySide6.QtWidgets import QCheckBox, QFileDialog, QLabel, QLineEdit, QListWidget, QMenu, QPushButton, QTabWidget
from pytestqt.qtbot import QtBot

from studio.core.answers import RunsCompared
from studio.core.commands import CompareRuns
from studio.core.compare_runs import compare_runs
from studio.core.events import Failed
from studio.core.predictions import write_predictions
from studio.core.runs import Home, RunFolder
from studio.ui.main_window import MainWindow
from studio.ui.theme import OVERLAYS
from studio.ui.widgets.basics import ErrorPanel
from studio.ui.widgets.compare.compare_dialog import CompareDialog
from tests.ui.conftest import FakeJobs
from tests.ui.sample_runs import assert_usable, finished, history, make_run, prediction


@pytest.fixture
def runs(home: Home) -> list[RunFolder]:
    made = []
    for number, method in enumerate(("lora", "full", "qlora")):
        run = make_run(home, history("r", 10 + number), method=method, final=finished(accuracy=0.9 - 0.1 * number))
        said = [prediction(f"message {row}", "card", "cash" if row < number else "card") for row in range(8)]
        write_predictions(run.predictions_path, ["card", "cash"], said)
        made.append(run)
    return made


@pytest.fixture
def dialog(runs: list[RunFolder], jobs: FakeJobs, qtbot: QtBot) -> CompareDialog:
    dialog = CompareDialog([(run.name, run) for run in reversed(runs)], [runs[0], runs[1]])
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(dialog)
    dialog.show()
    answer(jobs)
    return dialog


def answer(jobs: FakeJobs) -> list[str]:
    """Answer the open question as the worker does; which runs it was about."""
    (job,) = jobs.open(CompareRuns)
    assert isinstance(job.command, CompareRuns)
    folders = [RunFolder(Path(run)) for run in job.command.runs]
    job.answer(RunsCompared(comparison=compare_runs(folders)))
    return [folder.name for folder in folders]


def cells(dialog: CompareDialog, grid: str) -> list[list[str]]:
    found = getattr(dialog, grid).found
    return [[found.index(row, column).data() for column in range(found.columnCount())] for row in range(found.rowCount())]


def test_figures_settings_and_messages(dialog: CompareDialog, runs: list[RunFolder]) -> None:
    assert ["Test accuracy", "90.0 %", "80.0 %"] in cells(dialog, "_figures")
    assert [column.name for column in dialog._figures.grid.columns] == ["Figure", runs[0].name, runs[1].name]
    assert cells(dialog, "_settings") == [["method.kind", "lora", "full"]]
    box = dialog.findChild(QCheckBox, "compareAllSettings")
    assert box is not None
    box.setChecked(True)
    assert len(cells(dialog, "_settings")) > 20
    assert ["dataset.source", "sample", "sample"] in cells(dialog, "_settings")
    assert cells(dialog, "_messages") == [["message 0", "card", "✓ card 80 %", "✗ cash 80 %"]]
    verdict = dialog.findChild(QLabel, "compareVerdict")
    assert verdict is not None
    assert "the same 8 test messages" in verdict.text()
    assert f"{runs[1].name} is right on 0 messages that {runs[0].name} gets wrong, and wrong on 1" in verdict.text()
    assert "7 both right, 0 fixed, 1 broken, 0 both wrong" in verdict.text()


def test_more_runs_are_checked_by_the_keyboard(dialog: CompareDialog, runs: list[RunFolder], jobs: FakeJobs, qtbot: QtBot) -> None:
    listed = dialog.findChild(QListWidget, "comparedRuns")
    assert listed is not None
    assert [listed.item(row).text() for row in range(3)] == [run.name for run in runs], "those to compare come first"
    listed.setCurrentRow(2)
    qtbot.keyClick(listed, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: bool(jobs.open(CompareRuns)))
    assert answer(jobs) == [run.name for run in runs]
    assert len(dialog._figures.grid.columns) == 4
    for row in (0, 1):
        listed.item(row).setCheckState(Qt.CheckState.Unchecked)
    qtbot.waitUntil(lambda: not dialog._tabs.isEnabled())
    assert "two runs or more" in dialog._state.text()


def test_messages_are_searched(dialog: CompareDialog, jobs: FakeJobs, qtbot: QtBot) -> None:
    dialog._list.item(2).setCheckState(Qt.CheckState.Checked)
    qtbot.waitUntil(lambda: bool(jobs.open(CompareRuns)))
    answer(jobs)
    search, count = dialog.findChild(QLineEdit, "compareSearch"), dialog.findChild(QLabel, "compareCount")
    assert search is not None
    assert count is not None
    assert count.text() == "2 of 2 messages on which the runs disagree"
    search.setText("1 CASH")
    assert [row[0] for row in cells(dialog, "_messages")] == ["message 1"]
    assert count.text() == "1 of 2 messages on which the runs disagree"


def test_the_curves_are_those_of_the_training_page(dialog: CompareDialog, qtbot: QtBot) -> None:
    tabs = dialog.findChild(QTabWidget, "compareTabs")
    assert tabs is not None
    tabs.setCurrentWidget(dialog._curves)
    qtbot.waitUntil(lambda: dialog._curves.plots is not None)
    plots = dialog._curves.plots
    assert plots is not None
    loss = plots.plots["loss"]
    qtbot.waitUntil(lambda: len(loss.shown("raw")[0]) == 10)
    assert len(loss.shown(f"{OVERLAYS[1]}raw")[0]) == 11


def test_it_is_copied_and_saved(dialog: CompareDialog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot) -> None:
    qtbot.mouseClick(dialog.findChild(QPushButton, "compareCopy"), Qt.MouseButton.LeftButton)
    assert "Test accuracy\t90.0 %\t80.0 %" in QGuiApplication.clipboard().text()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "runs"), ""))
    save = dialog.findChild(QPushButton, "compareSave")
    qtbot.mouseClick(save, Qt.MouseButton.LeftButton)
    with (tmp_path / "runs.csv").open(encoding="utf-8", newline="") as file:
        assert ["message", "message 0", "card", "card", "cash"] in list(csv.reader(file))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "none" / "runs.csv"), ""))
    qtbot.mouseClick(save, Qt.MouseButton.LeftButton)
    assert "cannot be written" in dialog.findChild(ErrorPanel, "compareError").message


def test_a_failure_is_told(dialog: CompareDialog, jobs: FakeJobs, qtbot: QtBot) -> None:
    dialog._list.item(2).setCheckState(Qt.CheckState.Checked)
    qtbot.waitUntil(lambda: bool(jobs.open(CompareRuns)))
    jobs.open(CompareRuns)[0].answer(Failed(kind="x", message="It broke.", remedy="Mend it."), failed=True)
    panel = dialog.findChild(ErrorPanel, "compareError")
    assert panel is not None
    assert panel.message == "It broke."
    for name in ("compareSave", "compareCopy"):
        assert not dialog.findChild(QPushButton, name).isEnabled()
    assert not dialog._tabs.isEnabled(), "they are about the runs before"
    assert "could not be compared" in dialog._tabs.toolTip()
    dialog._list.item(2).setCheckState(Qt.CheckState.Unchecked)
    qtbot.waitUntil(lambda: bool(jobs.open(CompareRuns)))
    answer(jobs)
    assert dialog._tabs.isEnabled()
    assert panel.isHidden()


def test_more_runs_than_can_be_compared_are_refused_in_words(home: Home, jobs: FakeJobs, qtbot: QtBot) -> None:
    runs = [make_run(home, final=finished()) for _ in range(len(OVERLAYS) + 1)]
    dialog = CompareDialog([(run.name, run) for run in runs], runs)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(dialog)
    assert answer(jobs) == [run.name for run in runs[: len(OVERLAYS)]]
    dialog._list.item(len(OVERLAYS)).setCheckState(Qt.CheckState.Checked)
    qtbot.waitUntil(lambda: not dialog._tabs.isEnabled())
    assert not jobs.open(CompareRuns)
    assert "At most 5 runs" in dialog._state.text()


def test_curves_are_those_of_the_runs_they_are_named_after(dialog: CompareDialog, runs: list[RunFolder]) -> None:
    dialog._list.item(0).setCheckState(Qt.CheckState.Unchecked)
    dialog._list.item(2).setCheckState(Qt.CheckState.Checked)  # has not been asked about yet
    dialog._tabs.setCurrentWidget(dialog._curves)
    assert dialog._curves._runs == [(run.name, run) for run in runs[:2]]


def test_the_run_in_front_is_named_and_what_cannot_be_opened_is_not(
    dialog: CompareDialog, runs: list[RunFolder], qtbot: QtBot
) -> None:
    dialog._tabs.setCurrentWidget(dialog._curves)
    qtbot.waitUntil(lambda: dialog._curves.plots is not None)
    curves = dialog._curves
    assert curves._front.text() == f"In front: {runs[0].name}"
    (runs[2].path / "run.toml").write_text("no = [toml")
    curves.show_runs([(run.name, run) for run in (runs[2], runs[0])])
    assert curves._front.text() == f"In front: {runs[0].name}"
    curves.show_runs([(runs[2].name, runs[2])])
    assert curves._front.text() == ""
    assert curves.plots is not None
    assert not curves.plots.isVisible()
    curves.show_runs([(run.name, run) for run in runs[:2]])
    assert curves.plots.isVisible()


def test_closing_ends_the_question(dialog: CompareDialog, jobs: FakeJobs, qtbot: QtBot) -> None:
    dialog._list.item(2).setCheckState(Qt.CheckState.Checked)
    qtbot.waitUntil(lambda: bool(jobs.open(CompareRuns)))
    dialog._list.item(2).setCheckState(Qt.CheckState.Unchecked)
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not jobs.open(CompareRuns)
    assert not dialog._asking.isActive(), "nobody waits for what was checked last"


def test_names_tooltips_and_plain_text(dialog: CompareDialog) -> None:
    dialog._tabs.setCurrentWidget(dialog._curves)
    assert_usable(dialog)


def test_the_menu_compares_the_open_run_with_those_laid_over(
    make_window: Callable[[], MainWindow], runs: list[RunFolder], jobs: FakeJobs, qtbot: QtBot
) -> None:
    window = make_window()
    window.open_folder(runs[1])
    (menu,) = [action.menu() for action in window.menuBar().actions() if action.text() == "&Run"]
    assert isinstance(menu, QMenu)
    (compare,) = [action for action in menu.actions() if action.text().startswith("Compare with")]
    assert isinstance(compare, QAction)
    newest_other = next(run.name for _name, run in window.sidebar.model.runs() if run != runs[1])
    for laid in ([], [runs[2].path, runs[0].path]):
        window.sidebar.overlay(laid)
        compare.trigger()
        compared = answer(jobs)
        assert compared[0] == runs[1].name
        assert compared[1:] == ([Path(path).name for path in laid] or [newest_other])
        dialog = window.findChild(CompareDialog)
        assert dialog is not None
        with qtbot.waitSignal(dialog.destroyed):
            dialog.close()


def test_a_run_alone_is_told_that_there_is_no_other(runs: list[RunFolder], jobs: FakeJobs, qtbot: QtBot) -> None:
    dialog = CompareDialog([("only", runs[0])], [runs[0]])
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(dialog)
    assert dialog._state.text() == "There is no second run yet to compare with."
    assert not jobs.open(CompareRuns)
