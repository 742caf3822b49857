"""What can be taken out of the results: messages and matrix as tables, the matrix as a picture, everything as a report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFileDialog, QMenu, QPushButton

from studio.core.commands import Command
from studio.core.errors import StudioError
from studio.supervise.background import in_background
from studio.supervise.jobs import run_job
from studio.ui.widgets.basics import named
from studio.ui.words import plain_tooltip

Writer = Callable[[Path], None]
"""Writes a file in a thread of its own; raises StudioError when it cannot."""


class SaveMenu(QPushButton):
    """A button whose menu asks for a file and writes it."""

    failed = Signal(object)
    """Emitted with the StudioError, Failed or Crashed of a file that could not be written."""
    saving = Signal(str)
    """Emitted with the path of a file that is being written; ``saved`` or ``failed`` follows."""
    saved = Signal(str)
    """Emitted with the path of a file that was written."""

    def __init__(self) -> None:
        super().__init__("Save")
        named(self, "saveResults", "Save", "Save the messages, the matrix or a report of this run as a file")
        self.folder = Path.home()
        """Where the dialog begins."""
        self.name = self.run = "run"
        """What the names of files begin with: those of what is shown, and those that are about the run as such."""
        self._menu = QMenu(self)
        self._menu.setToolTipsVisible(True)
        self.setMenu(self._menu)

    def add(self, text: str, tooltip: str, suffix: str, writer: Callable[[], Writer]) -> None:
        """An entry that writes a file with this suffix: ``writer`` is asked who writes it as things are now."""
        self._add(text, tooltip, lambda: f"{self.name}{suffix}", lambda path: self._write(writer(), path))

    def add_job(self, text: str, tooltip: str, suffix: str, command: Callable[[Path], Command]) -> None:
        """An entry about the run that a worker writes: ``command`` is called with the path. For what takes long."""
        self._add(text, tooltip, lambda: f"{self.run}{suffix}", lambda path: self._have_written(path, command(path)))

    def _add(self, text: str, tooltip: str, name: Callable[[], str], act: Writer) -> None:
        action = self._menu.addAction(text)
        action.setToolTip(plain_tooltip(tooltip))
        action.triggered.connect(partial(self._save, text, name, act))

    def _write(self, write: Writer, path: Path) -> None:
        in_background(self, partial(write, path), lambda _none: self.saved.emit(str(path)), self.failed.emit)
        self.saving.emit(str(path))

    def _have_written(self, path: Path, command: Command) -> None:
        # It is brought to its end when the window closes meanwhile, as is what threads write.
        run_job(self, command, lambda _answer: self.saved.emit(str(path)), self.failed.emit, saves=True)
        self.saving.emit(str(path))

    def _save(self, title: str, name: Callable[[], str], act: Writer, _checked: bool = False) -> None:
        start = str(self.folder / name())
        kind = start.rpartition(".")[2]
        chosen, _ = QFileDialog.getSaveFileName(self, title.replace("…", ""), start, f"{kind.upper()} (*.{kind})")
        if not chosen:
            return
        path = Path(chosen) if Path(chosen).suffix else Path(chosen).with_suffix(f".{kind}")
        self.folder = path.parent
        try:
            act(path)
        except StudioError as error:
            self.failed.emit(error)
