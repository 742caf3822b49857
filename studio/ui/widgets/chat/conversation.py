"""The scrolling column of a chat: a window onto its exchanges, so that a thousand cost no more than a dozen."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QPushButton, QScrollArea, QVBoxLayout, QWidget

from studio.core.chat_history import Exchange, History
from studio.core.words import counted
from studio.ui.theme import GRID
from studio.ui.widgets.basics import button, named, text_label
from studio.ui.widgets.chat.chat_bubble import ExchangeRow

_CHIP_CHARACTERS = 72
_SHOWN = 12
"""Exchanges that have widgets."""
_STEP = 8
_AT_END = 2 * GRID


class Conversation(QScrollArea):
    """Messages and answers, newest at the bottom and followed there; what it offers while it is empty."""

    example_chosen = Signal(str)
    """The text of an example message that was clicked."""
    regenerate_requested = Signal(object)
    """The Exchange whose answers are to be written anew."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        named(self, "conversation", "Conversation")
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.exchanges: list[Exchange] = []
        self._first = 0
        self._rows: list[ExchangeRow] = []
        """Those of ``exchanges`` from ``_first`` on."""
        self._following = True
        self._examples = QWidget()
        self._chips = QVBoxLayout(self._examples)
        self._chips.setContentsMargins(0, 4 * GRID, 0, 0)
        self._chips.setSpacing(GRID)
        self._note = named(text_label("", "small", wrap=True), "chatHistoryNote", "What the history leaves out")
        older, newer = "Show the messages before these", "Show the messages after these, up to the newest"
        self._earlier = button("Show earlier messages", "chatEarlier", older, lambda: self._move(-_STEP), "link")
        self._later = button("Show later messages", "chatLater", newer, lambda: self._move(_STEP), "link")
        inner = QWidget()
        self._column = QVBoxLayout(inner)
        self._column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        self._column.setSpacing(GRID + GRID // 2)
        self._lines = QVBoxLayout()
        self._lines.setSpacing(GRID + GRID // 2)
        middle = Qt.AlignmentFlag.AlignHCenter
        self._column.addWidget(self._examples)
        self._column.addWidget(self._note, 0, middle)
        self._column.addWidget(self._earlier, 0, middle)
        self._column.addLayout(self._lines)
        self._column.addWidget(self._later, 0, middle)
        self._column.addStretch(1)
        self.setWidget(inner)
        self.viewport().setAutoFillBackground(False)
        inner.setAutoFillBackground(False)
        bar = self.verticalScrollBar()
        bar.valueChanged.connect(lambda value: self._follow_from(value >= bar.maximum() - _AT_END))
        bar.rangeChanged.connect(lambda _low, _high: QTimer.singleShot(0, bar, self._scroll_to_end))
        self._show_window(0)

    def show_history(self, history: History, examples: list[str]) -> None:
        """Show what was said before, and messages to begin with where that is nothing."""
        while (item := self._chips.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        invitation = text_label("Write a message" + (", or begin with one of the test messages" if examples else ""), "muted")
        self._chips.addWidget(invitation, 0, Qt.AlignmentFlag.AlignHCenter)
        for number, text in enumerate(examples):
            whole = " ".join(text.split())
            shown = whole if len(whole) <= _CHIP_CHARACTERS else whole[: _CHIP_CHARACTERS - 1] + "…"
            chip = named(QPushButton(shown.replace("&", "&&")), f"example_{number}", f"Ask: {whole}", f"Ask the model: {text}")
            chip.clicked.connect(lambda _checked=False, text=text: self.example_chosen.emit(text))
            self._chips.addWidget(chip, 0, Qt.AlignmentFlag.AlignHCenter)
        self._note.setText(_left_out(history))
        self.exchanges = list(history.exchanges)
        self._following = True
        self._show_window(len(self.exchanges))

    def add(self, exchange: Exchange) -> None:
        """A new exchange, in sight."""
        self.exchanges.append(exchange)
        self._following = True
        if self._first + len(self._rows) == len(self.exchanges) - 1:
            self._add_row(exchange)
            while len(self._rows) > _SHOWN:
                self._rows.pop(0).deleteLater()
                self._first += 1
            self._show_ends()
        else:
            self._show_window(len(self.exchanges))

    def update_exchange(self, exchange: Exchange) -> None:
        """Show the answers of an exchange as they are now, if it is in the window."""
        for row in self._rows:
            if row.exchange is exchange:
                row.show_answers(self._room())

    def replace(self, old: Exchange, new: Exchange) -> None:
        """Put an exchange that is answered anew in the place of the old one."""
        self.exchanges[self.exchanges.index(old)] = new
        for number, row in enumerate(self._rows):
            if row.exchange is old:
                self._lines.removeWidget(row)
                row.deleteLater()
                self._rows[number] = self._made_row(new)
                self._lines.insertWidget(number, self._rows[number])

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        for row in self._rows:
            row.fit(self._room())

    def _show_window(self, end: int) -> None:
        """Make widgets for the exchanges up to number ``end``."""
        for row in self._rows:
            self._lines.removeWidget(row)
            row.deleteLater()
        self._rows.clear()
        end = max(min(end, len(self.exchanges)), min(_SHOWN, len(self.exchanges)))
        self._first = max(0, end - _SHOWN)
        for exchange in self.exchanges[self._first : end]:
            self._add_row(exchange)
        self._show_ends()

    def _add_row(self, exchange: Exchange) -> None:
        self._rows.append(self._made_row(exchange))
        self._lines.addWidget(self._rows[-1])

    def _made_row(self, exchange: Exchange) -> ExchangeRow:
        row = ExchangeRow(exchange)
        row.regenerate_requested.connect(self.regenerate_requested)
        row.fit(self._room())
        return row

    def _show_ends(self) -> None:
        later = len(self.exchanges) - self._first - len(self._rows)
        self._examples.setVisible(not self.exchanges)
        self._note.setVisible(bool(self._note.text()) and not self._first)
        self._earlier.setText(f"Show earlier messages ({self._first:,})")
        self._earlier.setVisible(self._first > 0)
        self._later.setText(f"Show later messages ({later:,})")
        self._later.setVisible(later > 0)

    def _move(self, by: int) -> None:
        """Show earlier or later exchanges, and keep one that was in sight there."""
        kept = self._rows[0 if by < 0 else -1].exchange
        self._following = False
        self._show_window(self._first + len(self._rows) + by)
        (row,) = (row for row in self._rows if row.exchange is kept)
        QTimer.singleShot(0, row, lambda: self.ensureWidgetVisible(row))

    def _follow_from(self, at_end: bool) -> None:
        self._following = at_end

    def _scroll_to_end(self) -> None:
        if self._following:
            self.verticalScrollBar().setValue(self.verticalScrollBar().maximum())

    def _room(self) -> int:
        return self.viewport().width() - 4 * GRID


def _left_out(history: History) -> str:
    notes = []
    if history.older:
        notes.append("Older messages are not shown; they are in chat.jsonl in the folder of the run.")
    if history.damaged:
        notes.append(f"{counted(history.damaged, 'line')} of the history left out: not readable.")
    return " ".join(notes)
