"""What to do next with an export: a program that loads it, ready to be copied."""

from __future__ import annotations

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QPlainTextEdit

from studio.core.answers import Exported
from studio.core.exports import ExportKind
from studio.ui.theme import GRID, code_font
from studio.ui.widgets.basics import Card, button, named, text_label

_PYTHON = {
    "adapter": "In Python, with transformers and peft. README.md in the folder has it too, without the names of your folders.",
    "merged": "In Python, with transformers alone. README.md in the folder has it too, without the names of your folders.",
}
_PYTHON["model"] = _PYTHON["merged"]
_WHOLE = (
    "In other programs: the folder is a whole model in transformers' layout. Programs that serve such folders take it as it "
    "is, and llama.cpp's convert_hf_to_gguf.py makes a GGUF file of it. Whatever asks it has to write the prompt as in prompt.json."
)


class ProgramCard(Card):
    """Hidden until ``show_exported``."""

    def __init__(self) -> None:
        super().__init__("Use it", "exportUse")
        self._words = named(text_label("", "muted", wrap=True), "exportUseWords", "How to use the export")
        self._text = named(QPlainTextEdit(), "exportProgram", "Program", "Python that loads this export and asks it one message")
        self._text.setReadOnly(True)
        self._text.setFont(code_font())
        self._text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self._text.setTabChangesFocus(True)
        self._others = named(text_label(_WHOLE, "muted", wrap=True), "exportOtherPrograms", "In other programs")
        copy = button("Copy", "exportCopyProgram", "Copy this Python program", self._copy)
        self.header.addWidget(copy)
        for part in (self._words, self._text, self._others):
            self.body.addWidget(part)
        self.hide()

    def show_exported(self, exported: Exported, kind: ExportKind) -> None:
        self._words.setText(_PYTHON[kind])
        self._others.setVisible(kind != "adapter")
        self._text.setPlainText(exported.program)
        lines = exported.program.count("\n") + 1
        self._text.setFixedHeight(self._text.fontMetrics().lineSpacing() * lines + 4 * GRID)
        self.setVisible(bool(exported.program))

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self._text.toPlainText())
