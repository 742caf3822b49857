"""Settings as a file: shown, copied, saved and opened."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from studio.core.run_file import dump_run_config, load_run_config
from studio.core.runs import Home
from studio.ui.main_window import MainWindow
from studio.ui.pages.setup import SetupPage
from studio.ui.widgets.setup import run_file_dialog
from studio.ui.widgets.setup.run_file_dialog import RunFileDialog
from tests.ui.sample_runs import assert_usable


def press(dialog: QWidget, name: str, qtbot: QtBot) -> None:
    found = dialog.findChild(QPushButton, name)
    assert found is not None
    qtbot.mouseClick(found, Qt.MouseButton.LeftButton)


@pytest.fixture
def dialog(ready: SetupPage, qtbot: QtBot) -> RunFileDialog:
    press(ready, "showRunFile", qtbot)
    found = ready.findChild(RunFileDialog)
    assert found is not None
    return found


def test_it_is_copied_and_saved_as_the_command_line_reads_it(
    ready: SetupPage, dialog: RunFileDialog, home: Home, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    press(dialog, "copyRunFile", qtbot)
    assert QGuiApplication.clipboard().text() == dump_run_config(ready.config())
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_arguments: (str(tmp_path / "my run"), ""))
    press(dialog, "saveRunFile", qtbot)
    assert load_run_config(tmp_path / "my run.toml") == ready.config()
    press(dialog, "copyCommand", qtbot)
    trains = ["finetune-studio", "train", str(tmp_path / "my run.toml")]
    # Else the terminal's run would not be among those of this window.
    assert shlex.split(QGuiApplication.clipboard().text()) == [*trains, "--home", str(home.path)]
    assert_usable(dialog)
    monkeypatch.setattr(run_file_dialog, "usual_home", lambda: home.path)
    usual = RunFileDialog(ready.config(), home, ready)
    press(usual, "saveRunFile", qtbot)
    assert shlex.split(usual.command) == trains


def test_a_place_that_cannot_be_written_is_told(
    dialog: RunFileDialog, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_arguments: (str(tmp_path / "none" / "run.toml"), ""))
    press(dialog, "saveRunFile", qtbot)
    assert "cannot be written" in dialog._problem.message
    assert dialog.command == ""


def test_a_file_is_opened(
    window: MainWindow, answer_all: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "other.toml"
    path.write_text("[training]\nepochs = 4\n[dataset]\nseed = 3\n", "utf-8")
    window.show_tab("Export")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_arguments: (str(path), ""))
    window.opening.browse_settings()
    answer_all()
    assert window.current_tab == "Setup"
    assert window.setup.config() == load_run_config(path)


def test_settings_that_turned_wrong_a_moment_ago_are_told_instead_of_shown(ready: SetupPage, qtbot: QtBot) -> None:
    template = ready.settings.fields["prompt.template"]
    template.set_value("no place for the message")
    press(ready, "showRunFile", qtbot)  # before the check that follows typing has come
    assert ready.findChild(RunFileDialog) is None
    assert "{text}" in template.error
