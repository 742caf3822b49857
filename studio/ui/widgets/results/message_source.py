"""Whose messages Results shows: the run's own test split, or a labelled file that was predicted with it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QWidget

from studio.ui.theme import GRID
from studio.ui.widgets.basics import allow, button, guard_wheel, named, text_label
from studio.ui.widgets.frames import ElidedLabel
from studio.ui.widgets.paths import DATA_FILES


class MessageSource(QWidget):
    """A choice of what was predicted, and a button that has another file predicted."""

    chosen = Signal(str)
    """Emitted with the name of the file, empty for the test split."""
    file_given = Signal(object)
    """Emitted with the Path of a labelled file that is to be predicted."""

    def __init__(self) -> None:
        super().__init__()
        tip = "Whose messages are shown below: those of the test split, or of a labelled file that was predicted with this run"
        self.choice = guard_wheel(named(QComboBox(), "resultsSource", "Messages shown", tip))
        named(
            self.choice.view(),
            "resultsSourceList",
            "Messages to show",
            "The test split, and the files that were predicted with this run",
        )
        self.choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.choice.setMaximumWidth(40 * GRID)
        self.choice.activated.connect(lambda number: self.chosen.emit(self.choice.itemData(number)))
        self.note = named(ElidedLabel("small"), "resultsSourceNote", "What was told of this file")
        tip = "Predict a file of messages with their intents, and show how many are right; the test results stay"
        self.another = button("Evaluate another file…", "evaluateFile", tip, self.browse)
        label = text_label("Messages of", "field")
        label.setBuddy(self.choice)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GRID)
        row.addWidget(label)
        row.addWidget(self.choice)
        row.addWidget(self.note, 1)
        row.addWidget(self.another)

    def show_files(self, files: list[str], shown: str, note: str) -> None:
        """Offer the test split and these files; ``shown`` is one of them, or empty."""
        self.choice.clear()
        self.choice.addItem("the test split", "")
        for name in files:
            self.choice.addItem(name, name)
        self.choice.setCurrentIndex(self.choice.findData(shown))
        self.note.show_text(note)

    def show_working(self, working: bool) -> None:
        """While a file is predicted no other one can be."""
        allow(self.another, "Messages are being predicted." if working else "")

    def browse(self) -> None:
        """Ask for a labelled file."""
        found, _ = QFileDialog.getOpenFileName(self, "Messages with their intents", str(Path.home()), DATA_FILES)
        if found:
            self.file_given.emit(Path(found))
