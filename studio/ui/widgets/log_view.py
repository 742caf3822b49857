"""The readable log of a run: plain text with a time and a level a line, bounded, following its end."""

from __future__ import annotations

from PySide6.QtCore import QTimer
from PySide6.QtGui import QColor, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QPlainTextEdit, QWidget

from studio.core.words import duration
from studio.ui import theme
from studio.ui.models.open_run import OpenRun
from studio.ui.models.run_log import LOG_LINES, Level
from studio.ui.widgets.basics import named

_SIGNS: dict[Level, str] = {"stage": "▸ ", "info": "", "warning": "Warning: ", "error": "Error: "}


class LogView(QPlainTextEdit):
    """Shows the log of one run; ``catch_up`` appends what is new."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        named(self, "trainingLog", "Log of the run", "What the run did, with the time since its start")
        self.setReadOnly(True)
        self.setMaximumBlockCount(LOG_LINES)
        self.setUndoRedoEnabled(False)
        self._run: OpenRun | None = None
        self._written = 0
        self._follow = True
        bar = self.verticalScrollBar()
        bar.actionTriggered.connect(lambda _action: self._note_scroll())
        # The range changes in the middle of a layout that then sets a value of its own.
        bar.rangeChanged.connect(lambda _low, _high: QTimer.singleShot(0, self, self._to_end))
        theme.notifier.changed.connect(self._rewrite)

    def show_run(self, run: OpenRun | None) -> None:
        self._run = run
        self._rewrite()

    def catch_up(self) -> None:
        """Append the lines that came since the last call; the view follows unless a person scrolled away from the end."""
        if self._run is None or self._written == self._run.log_count:
            return
        new = min(self._run.log_count - self._written, len(self._run.log))
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.beginEditBlock()
        for entry in list(self._run.log)[-new:]:
            if not self.document().isEmpty():
                cursor.insertBlock()
            cursor.insertText(f"{duration(entry.elapsed)}  ", self._format("muted"))
            colours: dict[Level, str] = {"stage": "accent", "info": "text", "warning": "warning", "error": "bad"}
            cursor.insertText(_SIGNS[entry.level] + entry.text, self._format(colours[entry.level]))
        cursor.endEditBlock()
        self._written = self._run.log_count

    def _to_end(self) -> None:
        if self._follow:
            self.verticalScrollBar().setValue(self.verticalScrollBar().maximum())

    def _note_scroll(self) -> None:
        bar = self.verticalScrollBar()
        self._follow = bar.sliderPosition() >= bar.maximum() - 1

    def _rewrite(self) -> None:
        self.clear()
        self._written = 0
        self._follow = True
        self.catch_up()

    def _format(self, colour: str) -> QTextCharFormat:
        shape = QTextCharFormat()
        shape.setForeground(QColor(theme.current().color(colour)))
        return shape
