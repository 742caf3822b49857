"""Runs that are marked in the list are laid over the open one's plots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMenu
from pytestqt.qtbot import QtBot

from studio.core.notes import RunNotes
from studio.core.runs import Home, RunFolder
from studio.core.wire import encode
from studio.ui.main_window import MainWindow
from studio.ui.models.runs_model import OVERLAY_ROLE
from studio.ui.run_actions import OVERLAY
from studio.ui.theme import OVERLAYS
from studio.ui.widgets.training.run_plot import RunPlot
from tests.ui.sample_runs import finished, history, make_resumable, make_run, step

FOLLOWED = (
    "sys.stdin.readline()\n"
    "say('hello', protocol=1, pid=os.getpid(), elapsed=2000)\n"
    "say('run_started', run='r', device='cpu', precision='fp32', trainable_parameters=1, total_parameters=2,"
    " forecast_bytes=2**30, total_steps=20, train_rows=1, validation_rows=1, test_rows=1, resumed_after=10, elapsed=2001)\n"
    "for step in (11, 12):\n"
    "    say('steps_completed', first_step=step, losses=[1.0], seconds=[2.0], steps=20, epoch=0.1 * step, learning_rate=1e-4,"
    " gradient_norm=1, tokens=9, memory_bytes=5, elapsed=2000 + step)\n"
    "sys.stdin.readline()\n"
    "say('finished', outcome='stopped', elapsed=3000)\n"
)


@pytest.fixture
def runs(home: Home) -> list[RunFolder]:
    """Newest last, as they stand in the list from below."""
    made = [make_run(home, history("r", steps), method=kind, final=finished()) for kind, steps in (("full", 10), ("lora", 15))]
    made.append(make_run(home, history("r", 20), method="qlora", final=finished()))
    return made


@pytest.fixture
def window(runs: list[RunFolder], make_window: Callable[[], MainWindow], qtbot: QtBot) -> MainWindow:
    window = make_window()
    window.open_folder(runs[0])
    window.show_tab("Training")
    qtbot.waitUntil(lambda: window.pages is not None and window.pages.training.plots is not None)
    return window


def click(window: MainWindow, run: RunFolder, qtbot: QtBot, held: Qt.KeyboardModifier) -> None:
    view = window.sidebar.view
    place = view.visualRect(window.sidebar._shown.row_of(run.path)).center()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, held, place)


def plot(window: MainWindow, name: str) -> RunPlot:
    assert window.pages is not None
    assert window.pages.training.plots is not None
    return window.pages.training.plots.plots[name]


def overlaid(window: MainWindow) -> list[str]:
    return [overlay.name for overlay in window.overlays.shown]


def test_ctrl_click_lays_a_run_over_the_open_one_and_takes_it_away(window: MainWindow, runs: list[RunFolder], qtbot: QtBot) -> None:
    window.show_tab("Results")
    runs[1].write_notes(RunNotes(title="A better one"))
    click(window, runs[1], qtbot, Qt.KeyboardModifier.ControlModifier)
    assert overlaid(window) == ["A better one"]
    assert window.current_tab == "Training"
    assert window.open_run is not None
    assert window.open_run.folder == runs[0], "it is not opened"
    loss = plot(window, "loss")
    assert len(loss.shown("raw")[0]) == 10
    for curve in ("raw", "smoothed", "validation"):
        assert loss.shown(OVERLAYS[0] + curve)[0][-1] == 15
    assert plot(window, "scores").shown(f"{OVERLAYS[0]}accuracy")[0].tolist() == [5, 10, 15]
    assert loss.read_out()[f"{OVERLAYS[0]}smoothed"].startswith("A better one 0.")
    row = window.sidebar._shown.row_of(runs[1].path)
    assert row.data(OVERLAY_ROLE) == OVERLAYS[0]
    assert "laid over" in row.data(Qt.ItemDataRole.AccessibleTextRole)
    assert loss.plot.viewRange()[0][1] > 15, "there is room for the longer one"
    click(window, runs[1], qtbot, Qt.KeyboardModifier.ControlModifier)
    assert overlaid(window) == []
    assert loss.curves == ["raw", "smoothed", "validation"]
    assert row.data(OVERLAY_ROLE) is None


def test_shift_click_takes_all_in_between_and_escape_none(window: MainWindow, runs: list[RunFolder], qtbot: QtBot) -> None:
    rows = sorted(runs, key=lambda run: window.sidebar._shown.row_of(run.path).row())
    click(window, rows[0], qtbot, Qt.KeyboardModifier.NoModifier)
    click(window, rows[2], qtbot, Qt.KeyboardModifier.ShiftModifier)
    assert sorted(overlaid(window)) == sorted(run.name for run in runs)
    smoothed = [key for key in plot(window, "loss").curves if key.endswith("smoothed")]
    assert len(smoothed) == 3, "the open run is not drawn twice"
    qtbot.keyClick(window.sidebar.view, Qt.Key.Key_Escape)
    assert overlaid(window) == []


def test_the_keyboard_marks_too(window: MainWindow, runs: list[RunFolder], qtbot: QtBot) -> None:
    window.sidebar.choose(runs[2].path)
    qtbot.keyClick(window.sidebar.view, Qt.Key.Key_Space)
    assert overlaid(window) == [runs[2].name]


def test_a_run_keeps_its_colour_while_others_come_and_go(window: MainWindow, runs: list[RunFolder]) -> None:
    window.sidebar.overlay([runs[1].path, runs[2].path])
    second = window.overlays.shown[1]
    assert second.colour == OVERLAYS[1]
    window.sidebar.toggle_overlay(runs[1].path)
    assert window.overlays.shown == [second]
    window.sidebar.toggle_overlay(runs[0].path)
    assert [overlay.colour for overlay in window.overlays.shown] == list(OVERLAYS[:2])
    window.open_folder(runs[2])
    assert not any(key.startswith(OVERLAYS[1]) for key in plot(window, "loss").curves), "it is in front now"
    window.open_folder(runs[0])
    assert any(key.startswith(OVERLAYS[1]) for key in plot(window, "loss").curves)


def test_a_plot_that_is_chosen_later_shows_them_too(window: MainWindow, runs: list[RunFolder]) -> None:
    window.sidebar.overlay([runs[1].path])
    assert window.pages is not None
    assert window.pages.training.plots is not None
    window.pages.training.plots.details.choose("rate")
    assert len(plot(window, "rate").shown(f"{OVERLAYS[0]}rate")[0]) == 15
    assert len(plot(window, "memory").shown(f"{OVERLAYS[0]}memory")[0]) == 15


def test_the_context_menu_offers_it(window: MainWindow, runs: list[RunFolder]) -> None:
    view = window.sidebar.view
    view.customContextMenuRequested.emit(view.visualRect(window.sidebar._shown.row_of(runs[1].path)).center())
    menu = window.findChild(QMenu, "runMenu")
    assert menu is not None
    (action,) = [action for action in menu.actions() if action.text() == OVERLAY]
    action.trigger()
    assert overlaid(window) == [runs[1].name]
    menu.close()


def test_without_an_open_run_the_marked_one_is_opened(
    runs: list[RunFolder], make_window: Callable[[], MainWindow], qtbot: QtBot
) -> None:
    window = make_window()
    click(window, runs[1], qtbot, Qt.KeyboardModifier.ControlModifier)
    assert window.open_run is not None
    assert window.open_run.folder == runs[1]


def test_a_run_that_was_trained_further_is_read_again(window: MainWindow, runs: list[RunFolder]) -> None:
    window.sidebar.overlay([runs[1].path])
    before = window.overlays.shown[0]
    with runs[1].events_path.open("ab") as file:
        file.write(encode(step(16).model_copy(update={"elapsed": 2000.0})))
    window._run_ended(runs[1], finished())
    (after,) = window.overlays.shown
    assert (after.name, after.colour) == (before.name, before.colour)
    assert len(plot(window, "loss").shown(f"{OVERLAYS[0]}raw")[0]) == 16


def test_what_cannot_be_read_is_told_and_what_is_deleted_goes(window: MainWindow, runs: list[RunFolder], tmp_path: Path) -> None:
    window.sidebar.overlay([runs[1].path])
    runs[1].path.rename(tmp_path / "elsewhere")
    window.sidebar.refresh()
    assert overlaid(window) == []
    (runs[2].path / "run.toml").write_text("no toml [")
    window.sidebar.toggle_overlay(runs[2].path)
    assert overlaid(window) == []
    assert "TOML" in window.error.message
    assert window.sidebar.model.overlaid == [None] * len(OVERLAYS), "what is not shown is not marked"


def test_a_run_that_is_trained_here_is_followed(
    window: MainWindow, home: Home, the_worker_is: Callable[[str], None], qtbot: QtBot
) -> None:
    paused = make_resumable(make_run(home, history("r", 10), final=finished(outcome="paused")), 10)
    other = window.open_run
    assert other is not None
    window.sidebar.refresh()
    window.sidebar.overlay([paused.path])
    assert len(plot(window, "loss").shown(f"{OVERLAYS[0]}raw")[0]) == 10
    the_worker_is(FOLLOWED)
    window.resume(paused)
    window.open_folder(other.folder)
    qtbot.waitUntil(lambda: len(plot(window, "loss").shown(f"{OVERLAYS[0]}raw")[0]) == 12, timeout=20_000)
    assert window.session.active, "it goes on"
    window.session.stop()
    qtbot.waitUntil(lambda: not window.session.active, timeout=20_000)
