"""Files dropped anywhere on the window: each goes where it belongs, and what cannot be used is refused in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QWidget

from studio.core.commands import Evaluate
from studio.core.config import ModelConfig
from studio.core.events import Failed
from studio.core.run_file import load_run_config
from studio.core.runs import Home
from studio.ui.main_window import TABS, MainWindow, Tab
from tests.ui.conftest import FakeJobs
from tests.ui.sample_runs import finished, make_run

Hold = Callable[..., None]


def held(window: MainWindow, data: QMimeData, at: QPoint) -> bool:
    """Hold something over the window; whether the window takes the drag."""
    event = QDragEnterEvent(at, Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    event.ignore()
    QApplication.sendEvent(window.windowHandle(), event)
    return event.isAccepted()


def files(*paths: Path) -> QMimeData:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    return data


def drop(window: MainWindow, *paths: Path, on: QWidget | None = None) -> None:
    """Drag files over the window, as its window system tells it, and let go."""
    at = on.mapTo(window, on.rect().center()) if on is not None else QPoint(500, 300)
    data = files(*paths)
    assert held(window, data, at)
    assert window.drops.hint.isVisible()
    buttons = (Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(window.windowHandle(), QDropEvent(QPointF(at), *buttons))
    assert not window.drops.hint.isVisible()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "messages.csv"
    path.write_text("text,intent\nhello,greeting\n")
    return path


@pytest.mark.parametrize("tab", TABS)
def test_a_table_becomes_the_data_set_wherever_it_is_dropped(window: MainWindow, tab: Tab, table: Path) -> None:
    window.show_tab(tab)
    drop(window, table)
    assert window.current_tab == "Setup"
    assert window.setup.dataset.source == str(table)


def test_a_labelled_file_dropped_on_results_is_evaluated(window: MainWindow, home: Home, jobs: FakeJobs, table: Path) -> None:
    before = window.setup.dataset.source
    window.open_folder(make_run(home, intents=3, final=finished()))
    assert window.current_tab == "Results"
    assert held(window, files(table), QPoint(500, 300))
    assert window.drops.hint.title.text() == "Drop to evaluate it with this run"
    drop(window, table)
    (job,) = jobs.open(Evaluate)
    assert isinstance(job.command, Evaluate)
    assert job.command.data == str(table)
    assert (window.current_tab, window.setup.dataset.source) == ("Results", before)
    job.answer(Failed(kind="bad_input", message="No.", remedy="Yes."), failed=True)
    window.show_tab("Training")
    drop(window, table)
    assert (window.current_tab, window.setup.dataset.source) == ("Setup", str(table))


def test_a_folder_of_tables_becomes_the_data_set(window: MainWindow, table: Path) -> None:
    drop(window, table.parent)
    assert window.setup.dataset.source == str(table.parent)


def test_a_model_is_chosen(window: MainWindow, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    window.show_tab("Chat")
    drop(window, folder)
    assert window.current_tab == "Setup"
    assert window.setup.model.model == ModelConfig(base=str(folder))


def test_settings_set_everything_up(window: MainWindow, answer_all: Callable[[], None], tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text('[method]\nkind = "full"\n[training]\nepochs = 2.5\n', "utf-8")
    window.show_tab("Results")
    drop(window, path)
    answer_all()
    assert window.current_tab == "Setup"
    assert window.setup.config() == load_run_config(path)


def test_bad_settings_are_told_and_change_nothing(window: MainWindow, tmp_path: Path) -> None:
    before = window.setup.config()
    path = tmp_path / "bad.toml"
    path.write_text("[training]\nepoch = 2\n", "utf-8")
    drop(window, path)
    assert "epochs" in window.error.message
    assert window.setup.config() == before


def test_a_run_folder_from_anywhere_is_opened(window: MainWindow, tmp_path: Path) -> None:
    elsewhere = make_run(Home.locate(tmp_path / "stick"), intents=3, final=finished())
    drop(window, elsewhere.path)
    assert window.open_run is not None
    assert window.open_run.folder.path == elsewhere.path
    assert window.current_tab == "Results"


def test_a_field_for_a_path_takes_what_is_dropped_on_it(window: MainWindow, table: Path) -> None:
    window.setup.dataset.open_source(str(table))
    test = table.with_name("held out.csv")
    test.write_text("text,intent\n")
    field = window.setup.dataset.inputs.test_file
    drop(window, test, on=field)
    assert field.path == str(test)
    assert window.setup.dataset.source == str(table)


def test_a_hint_says_what_will_happen(window: MainWindow, table: Path, tmp_path: Path) -> None:
    hint = window.drops.hint
    assert held(window, files(table), QPoint(500, 300))
    assert (hint.title.text(), hint.words.text()) == ("Drop to use it as the data set", "messages.csv")
    picture = tmp_path / "picture.png"
    picture.touch()
    assert held(window, files(picture), QPoint(500, 300))
    assert "is no table, model, settings file or run" in hint.words.text()
    QApplication.sendEvent(window.windowHandle(), QDragLeaveEvent())
    assert not hint.isVisible()


def test_what_cannot_be_used_is_refused_in_words_that_stay(window: MainWindow, table: Path, tmp_path: Path) -> None:
    before = window.setup.config()
    drop(window, table, table)
    assert window.error.message.startswith("One file or folder at a time.")
    (tmp_path / "picture.png").touch()
    drop(window, tmp_path / "picture.png")
    assert window.error.message == "picture.png is no table, model, settings file or run."
    assert window.setup.config() == before


def test_text_and_links_are_left_to_the_widgets(window: MainWindow) -> None:
    text, link = QMimeData(), QMimeData()
    text.setText("/tmp/messages.csv")
    link.setUrls([QUrl("https://example.org/messages.csv")])
    for data in (text, link):
        assert not held(window, data, QPoint(500, 300))
        assert not window.drops.hint.isVisible()


def test_nothing_is_taken_while_the_window_closes(window: MainWindow, table: Path) -> None:
    window.centralWidget().setEnabled(False)
    assert not held(window, files(table), QPoint(500, 300))
