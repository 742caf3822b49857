"""A file or folder by typing, browsing or dropping."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from PySide6.QtCore import QUrl, Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QWidget

from studio.core.bases import HUB_PREFIX, typed_hub_id
from studio.core.dropped import DATA_SUFFIXES, Dropped
from studio.core.paths import as_typed
from studio.ui.theme import GRID
from studio.ui.widgets.basics import button, named

DATA_FILES = f"Tables ({' '.join(f'*{ending}' for ending in (*DATA_SUFFIXES, '.gz'))});;All files (*)"
PathKind = Literal["file", "folder", "data", "model"]
"""data: a file, or a folder of files. model: a folder, or one file that holds it all."""
_FOLDERS = ("folder", "model")
"""What Browse looks for; a model's file has a button of its own."""


class PathField(QWidget):
    """``chosen`` comes when a path was picked, dropped, or typed and confirmed, and only when it differs from the last."""

    chosen = Signal(str)

    def __init__(self, object_name: str, title: str, placeholder: str, tooltip: str, kind: PathKind) -> None:
        super().__init__()
        self.title, self._kind = title, kind
        self._last = ""
        self.edit = named(QLineEdit(), object_name, title, tooltip)
        self.edit.setPlaceholderText(placeholder)
        self.edit.setClearButtonEnabled(True)
        self.edit.setMinimumWidth(12 * GRID)
        self.edit.editingFinished.connect(self._confirm)
        self.edit.textChanged.connect(self._cleared)
        self.browse_button = button(
            "Browse…", f"{object_name}Browse", f"Choose the {'folder' if kind in _FOLDERS else 'file'} in a dialog", self.browse
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GRID)
        row.addWidget(self.edit, 1)
        row.addWidget(self.browse_button)
        self.setFocusProxy(self.edit)

    @property
    def path(self) -> str:
        """The absolute path, empty for none. Data may be hub:org/name, or the address of its page, instead."""
        text = self.edit.text().strip().strip('"').replace("\0", "")
        if text.startswith("file:"):
            text = QUrl(text).toLocalFile()
        if self._kind == "data" and text.startswith((HUB_PREFIX, "hf://", "https://huggingface.co/datasets/")):
            return HUB_PREFIX + typed_hub_id(text)
        return str(as_typed(text).absolute()) if text else ""

    def show_path(self, path: str) -> None:
        """Show a path without announcing it."""
        self._last = path
        self.edit.setText(path)

    def choose(self, path: str) -> None:
        """Take a path as if it had been browsed to."""
        self.edit.setText(path)
        self._confirm()

    def takes(self, dropped: Dropped) -> bool:
        """Whether it could stand here: a folder, a model, a file of data, or a folder of such files."""
        if self._kind == "folder":
            return dropped.path.is_dir()
        if self._kind == "model":
            return dropped.kind == "model"
        return dropped.kind == "data" and (self._kind == "data" or dropped.path.is_file())

    def browse(self) -> None:
        start = self.path or str(Path.home())
        if self._kind in _FOLDERS:
            found = QFileDialog.getExistingDirectory(self, self.title, start)
        else:
            found, _ = QFileDialog.getOpenFileName(self, self.title, start, DATA_FILES)
        if found:
            self.choose(found)

    def _confirm(self) -> None:
        if self.path != self._last:
            self._last = self.path
            self.chosen.emit(self.path)

    def _cleared(self, text: str) -> None:
        if not text:
            self._confirm()
