"""The readable log of a run: a time and a level a line, searched, filtered and copied; it follows its end."""

from __future__ import annotations

import time
from typing import Literal

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QAction, QColor, QGuiApplication, QKeySequence, QTextCharFormat, QTextCursor
from PySide6.QtGui import QTextDocument as Document
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QMenu, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from studio.core.errors import StudioError
from studio.core.words import counted, duration
from studio.ui import theme
from studio.ui.file_manager import show_folder
from studio.ui.models.open_run import OpenRun
from studio.ui.models.run_log import LOG_LINES, Level, LogEntry
from studio.ui.theme import GRID
from studio.ui.widgets.basics import button, guard_wheel, named, search_field, shortcut, text_label
from studio.ui.words import plain_tooltip

_SIGNS: dict[Level, str] = {"stage": "▸ ", "info": "", "warning": "Warning: ", "error": "Error: "}
_COLOURS: dict[Level, str] = {"stage": "accent", "info": "text", "warning": "warning", "error": "bad"}
_FILTERS: dict[str, tuple[Level, ...]] = {
    "Everything": ("stage", "info", "warning", "error"),
    "Warnings and errors": ("warning", "error"),
    "Errors": ("error",),
}


_AT_ONCE = 500
"""Lines that are laid out in one go; between two the window lives."""


class LogView(QWidget):
    """Shows the log of one run; ``catch_up`` appends what is new. The newest lines are held, all of them are in the file."""

    failed = Signal(object)
    """Emitted with the StudioError of a folder that cannot be shown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._run: OpenRun | None = None
        self._written = 0
        self._follows = True
        self._writing_on = QTimer(self, singleShot=True, interval=0)
        self._writing_on.timeout.connect(self.catch_up)
        self._text = named(QPlainTextEdit(), "trainingLog", "Log of the run", "What the run did: time of day, time since its start")
        self._text.setReadOnly(True)
        self._text.setMaximumBlockCount(LOG_LINES)
        self._text.setUndoRedoEnabled(False)
        bar = self._text.verticalScrollBar()
        bar.actionTriggered.connect(lambda _action: self._note_scroll())
        # The range changes in the middle of a layout that then sets a value of its own.
        bar.rangeChanged.connect(lambda _low, _high: QTimer.singleShot(0, self, self._to_end))
        theme.notifier.changed.connect(self._rewrite)
        self._build()

    def show_run(self, run: OpenRun | None) -> None:
        self._run = run
        self._follow(True)
        self._rewrite()

    @property
    def lines(self) -> QWidget:
        """Where the lines stand, which no key but those for moving does anything to."""
        return self._text

    def catch_up(self) -> None:
        """Append the lines that came since the last call; the view follows unless a person scrolled away from the end.

        Of a long history that is still being read most lines would be gone at once: it is written when it has been read.
        """
        run = self._run
        if run is None or run.reading or self._written == run.log_count:
            return
        new = list(run.log)[-min(run.log_count - self._written, len(run.log)) :]
        self._written = run.log_count - len(new[_AT_ONCE:])
        if self._written < run.log_count:
            self._writing_on.start()
        levels = _FILTERS[self._level.currentText()]
        entries = [entry for entry in new[:_AT_ONCE] if entry.level in levels]
        formats = {level: self._format(colour) for level, colour in _COLOURS.items()}
        muted = self._format("muted")
        cursor = QTextCursor(self._text.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.beginEditBlock()
        for entry in entries:
            if not self._text.document().isEmpty():
                cursor.insertBlock()
            cursor.insertText(_stamp(entry), muted)
            cursor.insertText(_SIGNS[entry.level] + entry.text, formats[entry.level])
        cursor.endEditBlock()
        if entries:
            self._count_found()
        held = len(run.log)
        self._held.setVisible(run.log_count > held)
        self._held.setText(f"The newest {held:,} of {counted(run.log_count, 'line')}; all are in events.jsonl.")

    def search(self) -> None:
        """Let words be typed."""
        self._search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self._search.selectAll()

    def go_to(self, way: Literal["next", "previous"]) -> None:
        """Choose the next or the previous place that holds what is searched for, around the end if need be."""
        words = self._search.text()
        if not words:
            return
        back = way == "previous"
        flags = Document.FindFlag.FindBackward if back else Document.FindFlag(0)
        if not self._text.find(words, flags):
            self._text.moveCursor(QTextCursor.MoveOperation.End if back else QTextCursor.MoveOperation.Start)
            self._text.find(words, flags)
        self._follow(False)

    def _build(self) -> None:
        self._level = guard_wheel(named(QComboBox(), "logLevel", "Lines shown", "Show every line, or only those that warn"))
        named(self._level.view(), "logLevels", "Lines to show", "Which lines of the log to show")
        self._level.addItems(list(_FILTERS))
        self._level.currentIndexChanged.connect(self._rewrite)
        more = named(
            QPushButton("More"), "logMore", "More for the log", "Follow the end, wrap lines, copy, or show the file of the log"
        )
        more.setMenu(self._build_menu(more))
        top = QHBoxLayout()
        top.setSpacing(GRID)
        top.addWidget(text_label("Log", "strong"))
        top.addStretch(1)
        top.addWidget(self._level)
        top.addWidget(more)
        tip = "Find words in the lines shown (Ctrl+F); Enter goes to the next place, Shift+Enter to the one before, Escape clears"
        self._search = search_field("logSearch", "Search the log", tip)
        self._search.textChanged.connect(self._searched)
        self._search.returnPressed.connect(lambda: self.go_to("next"))
        own, all_within = Qt.ShortcutContext.WidgetShortcut, Qt.ShortcutContext.WidgetWithChildrenShortcut
        keys = QKeySequence.StandardKey
        shortcut(self._search, "Shift+Return", "Training: previous line found", lambda: self.go_to("previous"), own)
        shortcut(self._search, "Esc", "Training: clear the search of the log", self._search.clear, own)
        shortcut(self, keys.Find, "Training: search the log", self.search, all_within)
        shortcut(self, keys.FindNext, "Training: next line found", lambda: self.go_to("next"), all_within)
        shortcut(self, keys.FindPrevious, "Training: previous line found", lambda: self.go_to("previous"), all_within)
        self._found = named(
            text_label("", "small"), "logFound", "Places found", "In how many places of the lines shown the words stand"
        )
        row = QHBoxLayout()
        row.setSpacing(GRID // 2)
        row.addWidget(self._search, 1)
        row.addWidget(self._found)
        arrows = (
            ("▲", "logPrevious", "Previous place found", "Go to the place before (Shift+F3)", lambda: self.go_to("previous")),
            ("▼", "logNext", "Next place found", "Go to the next place (F3)", lambda: self.go_to("next")),
        )
        for sign, name, words, tip, act in arrows:
            arrow = button(sign, name, tip, act, "choice")
            arrow.setAccessibleName(words)  # the sign says nothing to who cannot see it
            row.addWidget(arrow)
        self._held = text_label("", "small", wrap=True)
        self._held.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        column.addLayout(top)
        column.addLayout(row)
        column.addWidget(self._held)
        column.addWidget(self._text, 1)

    def _build_menu(self, parent: QWidget) -> QMenu:
        menu = QMenu(parent)
        menu.setToolTipsVisible(True)
        self._follow_action = self._add(menu, "Follow the end", "Keep the newest line in sight; scrolling up ends it", "logFollow")
        self._follow_action.setCheckable(True)
        self._follow_action.setChecked(True)
        self._follow_action.triggered.connect(self._follow)
        wrap = self._add(menu, "Wrap long lines", "Show long lines on several, instead of cutting them off", "logWrap")
        wrap.setCheckable(True)
        wrap.setChecked(True)
        wrap.toggled.connect(self._wrap)
        menu.addSeparator()
        self._add(menu, "Copy the lines shown", "Put the lines on the clipboard", "logCopy").triggered.connect(self._copy)
        show = self._add(
            menu, "Show the file", "Open the folder that holds events.jsonl, with every line, and worker.log", "logFile"
        )
        show.triggered.connect(self._show_file)
        return menu

    def _add(self, menu: QMenu, text: str, tooltip: str, name: str) -> QAction:
        action = menu.addAction(text)
        action.setObjectName(name)
        action.setToolTip(plain_tooltip(tooltip))
        return action

    def _wrap(self, on: bool) -> None:
        modes = QPlainTextEdit.LineWrapMode
        self._text.setLineWrapMode(modes.WidgetWidth if on else modes.NoWrap)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self._text.toPlainText())

    def _show_file(self) -> None:
        if self._run is None:
            return
        try:
            show_folder(self._run.folder.path)
        except StudioError as error:
            self.failed.emit(error)

    def _searched(self, words: str) -> None:
        self._count_found()
        if words:
            # What was found stays chosen while more of the word is typed.
            cursor = self._text.textCursor()
            cursor.setPosition(cursor.selectionStart())
            self._text.setTextCursor(cursor)
            self.go_to("next")

    def _count_found(self) -> None:
        words = self._search.text().casefold()
        found = self._text.toPlainText().casefold().count(words) if words else 0
        self._found.setText(f"{found:,} found" if words else "")

    def _follow(self, on: bool) -> None:
        self._follows = on
        self._follow_action.setChecked(on)
        self._to_end()

    def _to_end(self) -> None:
        if self._follows:
            self._text.verticalScrollBar().setValue(self._text.verticalScrollBar().maximum())

    def _note_scroll(self) -> None:
        bar = self._text.verticalScrollBar()
        self._follows = bar.sliderPosition() >= bar.maximum() - 1
        self._follow_action.setChecked(self._follows)

    def _rewrite(self) -> None:
        self._text.clear()
        self._held.hide()
        self._written = 0
        self._count_found()
        self.catch_up()
        self._to_end()

    def _format(self, colour: str) -> QTextCharFormat:
        shape = QTextCharFormat()
        shape.setForeground(QColor(theme.current().color(colour)))
        return shape


def _stamp(entry: LogEntry) -> str:
    """The time of day, where it is known, and the time since the run began."""
    clock = time.strftime("%H:%M:%S  ", time.localtime(entry.time)) if entry.time else ""
    return f"{clock}{duration(entry.elapsed)}  "
