"""The settings as a run.toml: to read, to copy, to save, and to train in a terminal."""

from __future__ import annotations

import shlex
from pathlib import Path

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QFileDialog, QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from studio.core.config import RunConfig
from studio.core.errors import StudioError
from studio.core.files import save_file
from studio.core.run_file import dump_run_config
from studio.core.runs import Home, usual_home
from studio.ui.theme import GRID, code_font
from studio.ui.widgets.basics import ErrorPanel, allow, button, named, primary_button, text_label

_SAVE_TIP = "Write these settings to a file that the command line and this app can read"


class RunFileDialog(QDialog):
    """Shows one RunConfig; changes nothing."""

    def __init__(self, config: RunConfig, home: Home, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("runFile")
        # A terminal looks in the usual place, and may not have what this window was started with.
        usual = home.path == usual_home().resolve()
        self._options = "" if usual else f" --home {shlex.quote(str(home.path))}"
        self.setWindowTitle("Settings as run.toml")
        self.resize(80 * GRID, 76 * GRID)
        self._text = named(QPlainTextEdit(dump_run_config(config)), "runFileText", "run.toml", "Every setting of this run")
        self._text.setReadOnly(True)
        self._text.setFont(code_font())
        self._problem = ErrorPanel("runFileError")
        self._saved = text_label("Save it, then train it in a terminal.", "muted", wrap=True, selectable=True)
        self._command = button("Copy the command", "copyCommand", "Copy the command that trains the saved file", self._copy_command)
        allow(self._command, "Save the settings first: the command names their file.")
        self._path: Path | None = None
        row = QHBoxLayout()
        row.setSpacing(GRID)
        row.addWidget(button("Copy", "copyRunFile", "Copy the text", lambda: _copy(self._text.toPlainText())))
        row.addWidget(primary_button("Save…", "saveRunFile", _SAVE_TIP, self._save))
        row.addWidget(self._command)
        row.addStretch(1)
        row.addWidget(button("Close", "closeRunFile", "Close this window (Escape)", self.reject))
        column = QVBoxLayout(self)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.setSpacing(GRID)
        for part in (self._text, self._problem, self._saved):
            column.addWidget(part)
        column.addLayout(row)

    @property
    def command(self) -> str:
        """What trains the saved file in a terminal; empty until it was saved."""
        if self._path is None:
            return ""
        return f"finetune-studio train {shlex.quote(str(self._path))}{self._options}"

    def _save(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(self, "Save the settings", str(Path.home() / "run.toml"), "TOML (*.toml)")
        if not chosen:
            return
        path = Path(chosen) if Path(chosen).suffix else Path(chosen).with_suffix(".toml")
        try:
            save_file(path, self._text.toPlainText())
        except StudioError as error:
            self._problem.show_problem(error)
            return
        self._problem.clear()
        self._path = path
        self._saved.setText(self.command)
        allow(self._command)

    def _copy_command(self) -> None:
        _copy(self.command)


def _copy(text: str) -> None:
    QGuiApplication.clipboard().setText(text)
