"""What can be done with a run: search it, describe it, repeat it, delete it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QFile, Qt, QTimer
from PySide6.QtGui import QAction, QDesktopServices
from PySide6.QtWidgets import QDialogButtonBox, QLineEdit, QMenu, QPlainTextEdit
from pytestqt.qtbot import QtBot

from studio.core.commands import InspectData
from studio.core.config import RunConfig
from studio.core.notes import RunNotes, parse_tags
from studio.core.run_file import validate_run_config
from studio.core.runs import Home, RunFolder
from studio.ui.main_window import MainWindow
from studio.ui.models.runs_model import SUMMARY_ROLE
from studio.ui.run_actions import OVERLAY
from studio.ui.widgets.window.run_notes_dialog import RunNotesDialog
from tests.ui.conftest import FakeJobs
from tests.ui.sample_runs import finished, make_run
from tests.ui.staging import TRAINS_UNTIL_STOPPED


def entry(window: MainWindow, start: str) -> QAction:
    """An entry of the menu Run, which acts on the open run."""
    (menu,) = [action.menu() for action in window.menuBar().actions() if action.text() == "&Run"]
    assert isinstance(menu, QMenu)
    (found,) = [action for action in menu.actions() if action.text().startswith(start)]
    return found


@pytest.fixture
def run(home: Home) -> RunFolder:
    return make_run(home, intents=3, final=finished())


@pytest.fixture
def window(run: RunFolder, make_window: Callable[[], MainWindow]) -> MainWindow:
    window = make_window()
    window.open_folder(run)
    return window


def shown(window: MainWindow) -> list[str]:
    model = window.sidebar.view.model()
    return [model.index(row, 0).data(SUMMARY_ROLE).name for row in range(model.rowCount())]


def test_notes_are_kept_and_found(window: MainWindow, run: RunFolder, home: Home, qtbot: QtBot) -> None:
    other = make_run(home, method="full", final=finished())

    def write() -> None:
        dialog = window.findChild(RunNotesDialog)
        assert dialog is not None
        qtbot.keyClicks(dialog.findChild(QLineEdit, "notesTitle"), "Longer prompts")
        qtbot.keyClicks(dialog.findChild(QLineEdit, "notesTags"), "demo, for  Ann,demo")
        qtbot.keyClicks(dialog.findChild(QPlainTextEdit, "notesText"), "Better on cards.")
        save = dialog.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.Save)
        qtbot.mouseClick(save, Qt.MouseButton.LeftButton)

    QTimer.singleShot(50, write)
    entry(window, "Title").trigger()
    assert run.notes() == RunNotes(title="Longer prompts", note="Better on cards.", tags=["demo", "for Ann"])
    assert sorted(shown(window)) == sorted([run.name, other.name])
    search = window.sidebar.findChild(QLineEdit, "searchRuns")
    assert search is not None
    for words, found in (("ANN longer", [run.name]), ("cards", [run.name]), ("full", [other.name]), ("none such", [])):
        search.setText(words)
        assert shown(window) == found
    search.clear()
    assert len(shown(window)) == 2


def test_cancelling_changes_nothing(window: MainWindow, run: RunFolder, qtbot: QtBot) -> None:
    run.write_notes(RunNotes(title="As it was"))

    def leave() -> None:
        dialog = window.findChild(RunNotesDialog)
        assert dialog is not None
        qtbot.keyClicks(dialog.findChild(QLineEdit, "notesTitle"), "otherwise")
        qtbot.keyClick(dialog, Qt.Key.Key_Escape)

    QTimer.singleShot(50, leave)
    entry(window, "Title").trigger()
    assert run.notes().title == "As it was"


def test_tags_as_typed() -> None:
    assert parse_tags(" a,b ,, a,  c  d ") == ["a", "b", "c d"]


def test_damaged_notes_count_as_none(run: RunFolder) -> None:
    (run.path / "about.json").write_text("{")
    assert run.notes() == RunNotes()


@pytest.mark.parametrize("agreed", [False, True])
def test_deleting_is_asked_first_and_closes_its_pages(
    window: MainWindow, run: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, agreed: bool
) -> None:
    def to_trash(path: str) -> bool:
        Path(path).rename(tmp_path / "trash")
        return True

    monkeypatch.setattr(QFile, "moveToTrash", to_trash)
    monkeypatch.setattr("studio.ui.run_actions.may_delete", lambda _parent, _name: agreed)
    entry(window, "Move to the trash").trigger()
    assert run.path.exists() is not agreed
    assert (tmp_path / "trash" / "run.toml").exists() is agreed
    assert (window.open_run is None) is agreed
    assert shown(window) == ([] if agreed else [run.name])


def test_a_folder_that_cannot_be_deleted_is_told(window: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QFile, "moveToTrash", lambda _path: False)
    monkeypatch.setattr("studio.ui.run_actions.may_delete", lambda _parent, _name: True)
    entry(window, "Move to the trash").trigger()
    assert "could not be moved" in window.error.message
    assert window.open_run is not None


def test_a_run_in_progress_is_not_deleted(
    window: MainWindow, the_worker_is: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    the_worker_is(TRAINS_UNTIL_STOPPED)
    monkeypatch.setattr("studio.ui.run_actions.may_delete", lambda _parent, _name: pytest.fail("asked"))
    window.train(RunConfig())
    entry(window, "Move to the trash").trigger()
    assert "is being trained" in window.error.message
    assert window.session.run is not None
    assert window.session.run.path.exists()


def test_its_folder_is_opened(window: MainWindow, run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()) or True)
    entry(window, "Open its folder").trigger()
    assert opened == [str(run.path)]
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda _url: False)
    entry(window, "Open its folder").trigger()
    assert "no file manager" in window.error.message
    assert str(run.path) in window.error.accessibleDescription()


def test_a_folder_that_is_gone_is_told(window: MainWindow, run: RunFolder) -> None:
    shutil.rmtree(run.path)
    entry(window, "Open its folder").trigger()
    assert "is not there any more" in window.error.message
    window.error.clear()
    assert window.pages is not None
    action = window.pages.training.findChild(QAction, "logFile")
    assert action is not None
    action.trigger()
    assert "is not there any more" in window.error.message


def test_repeating_sets_everything_up_as_it_was(
    window: MainWindow, run: RunFolder, tmp_path: Path, answer_all: Callable[[], None], jobs: FakeJobs, qtbot: QtBot
) -> None:
    for name in ("train.csv", "test.csv", "validation.csv"):
        (tmp_path / name).write_text("message,topic\na,b\n")
    config = validate_run_config(
        {
            "dataset": {
                "source": str(tmp_path / "train.csv"),
                "test": str(tmp_path / "test.csv"),
                "validation": str(tmp_path / "validation.csv"),
                "text_column": "message",
                "label_column": "topic",
                "labels": ["card_arrival", "lost_card"],
                "limit": 500,
                "seed": 7,
            },
            "method": {"kind": "qlora", "rank": 8, "target_modules": ["q_proj"]},
            "training": {"epochs": 1.5, "learning_rate": 3e-4, "evaluate_every": 20, "threads": 1, "precision": "fp32"},
            "prompt": {"template": "Ask: {text} =>"},
        }
    )
    run.write_config(config)
    entry(window, "Repeat").trigger()
    assert window.current_tab == "Setup"
    qtbot.waitUntil(lambda: bool(jobs.open(InspectData)))
    (read,) = jobs.open(InspectData)
    assert isinstance(read.command, InspectData)
    assert read.command.dataset == config.dataset, "the preview is of what will be trained"
    answer_all()
    assert window.setup.config() == config
    window.setup.dataset.open_source("sample")
    after = window.setup.config()
    assert (after.dataset.labels, after.dataset.validation) == (None, None), "they are of the data before"
    assert after.dataset.seed == 7, "it can be of any data"


def test_the_list_offers_the_same(window: MainWindow, run: RunFolder, qtbot: QtBot) -> None:
    view = window.sidebar.view
    view.customContextMenuRequested.emit(view.visualRect(window.sidebar._shown.row_of(run.path)).center())
    menu = window.findChild(QMenu, "runMenu")
    assert menu is not None
    assert [action.text() for action in menu.actions()] == [*(text for text, _act in window.actions_of_runs.entries), OVERLAY]
    qtbot.keyClick(menu, Qt.Key.Key_Escape)


def test_without_an_open_run_the_menu_offers_nothing(make_window: Callable[[], MainWindow], run: RunFolder) -> None:
    window = make_window()
    assert not window._run_menu.isEnabled()
    window.open_folder(run)
    assert window._run_menu.isEnabled()
