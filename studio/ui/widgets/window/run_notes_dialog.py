"""A title, tags and a note for a run."""

from __future__ import annotations

from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLineEdit, QPlainTextEdit, QVBoxLayout, QWidget

from studio.core.notes import RunNotes, parse_tags
from studio.ui.theme import GRID
from studio.ui.widgets.basics import dialog_buttons, named, text_label


class RunNotesDialog(QDialog):
    """Shows the notes of a run and gives back what they were changed to."""

    def __init__(self, name: str, notes: RunNotes, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("runNotes")
        self.setWindowTitle(f"About {name}")
        self.setMinimumWidth(60 * GRID)
        self._title = named(QLineEdit(notes.title), "notesTitle", "Title", "What the list of runs calls this run")
        self._title.setPlaceholderText("None: the list shows the method")
        self._tags = named(QLineEdit(", ".join(notes.tags)), "notesTags", "Tags", "Words to find the run by, with commas between")
        self._note = named(QPlainTextEdit(notes.note), "notesText", "Note", "Anything that is worth remembering about this run")
        self._note.setTabChangesFocus(True)
        standard = QDialogButtonBox.StandardButton
        tips = {standard.Save: "Keep title, tags and note in the run's folder", standard.Cancel: "Leave them as they were (Escape)"}
        buttons = dialog_buttons("runNotes", tips)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.setSpacing(GRID)
        for caption, editor in (("Title", self._title), ("Tags", self._tags), ("Note", self._note)):
            label = text_label(caption, "field")
            label.setBuddy(editor)
            column.addWidget(label)
            column.addWidget(editor)
        column.addWidget(buttons)

    def notes(self) -> RunNotes:
        """As they stand in the fields."""
        title = " ".join(self._title.text().split())
        return RunNotes(title=title, note=self._note.toPlainText().strip(), tags=parse_tags(self._tags.text()))
