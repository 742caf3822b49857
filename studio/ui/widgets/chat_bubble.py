"""Speech bubbles of the chat: a person's message on the right, the model's answer on the left."""

from __future__ import annotations

import re

from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from studio.core.events import Predicted
from studio.core.words import percent
from studio.ui import theme
from studio.ui.theme import GRID, restyle
from studio.ui.widgets.basics import named, text_label
from studio.ui.widgets.frames import ElidedLabel
from studio.ui.widgets.probability_bars import ProbabilityBars

_PADDING = GRID + GRID // 2
_WIDEST = 80 * GRID
_ANSWER = 64 * GRID
# QLabel breaks lines only between words, so a long one (an address, a number) is given places to break at.
_LONG_WORD = re.compile(r"(\S{24})(?=\S)")
_BREAK = "\u200b"


class _Bubble(QFrame):
    """A rounded box; ``mine`` puts it on the right."""

    def __init__(self, mine: bool) -> None:
        super().__init__()
        self._mine = mine
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(_PADDING, GRID, _PADDING, GRID)
        self.column.setSpacing(GRID // 2)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Minimum)
        theme.notifier.changed.connect(self.update)

    def fit(self, room: int) -> None:
        """Take at most ``room`` pixels of width."""
        self.setMaximumWidth(room)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002, N802
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colours = theme.current()
        painter.setBrush(QColor(colours.accent_tint if self._mine else colours.surface))
        painter.setPen(QPen(QColor(colours.accent_tint if self._mine else colours.border), 1))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), _PADDING, _PADDING)
        painter.end()


class MessageBubble(_Bubble):
    """What a person wrote."""

    def __init__(self, text: str) -> None:
        super().__init__(mine=True)
        self.text = text
        breakable = _LONG_WORD.sub(rf"\1{_BREAK}", text)
        self._label = named(text_label(breakable, wrap=True, selectable=True), "chatMessage", "Your message")
        self.column.addWidget(self._label)

    def fit(self, room: int) -> None:
        fit_label(self._label, min(_WIDEST, int(room * 0.75)) - 2 * _PADDING)


class AnswerBubble(_Bubble):
    """What the model makes of a message: first that it works, then its intents, or why there is no answer."""

    def __init__(self) -> None:
        super().__init__(mine=False)
        self.predicted: Predicted | None = None
        self._intent = named(ElidedLabel("section"), "chatIntent", "Predicted intent")
        self._bars = ProbabilityBars("chatBars")
        self._note = named(text_label("", "warning", wrap=True, selectable=True), "chatNote", "Note on the answer")
        self._facts = named(text_label("", "small", wrap=True, selectable=True), "chatFacts", "How the answer came about")
        for part in (self._intent, self._bars, self._note, self._facts):
            self.column.addWidget(part)
        for part in (self._bars, self._note, self._facts):
            part.hide()
        self.show_waiting("Waiting for the model…")

    @property
    def waiting(self) -> bool:
        """There is no answer yet, nor a reason for none."""
        return self.predicted is None and self._note.isHidden()

    def show_waiting(self, text: str) -> None:
        self._intent.show_text(text)
        restyle(self._intent, "role", "muted")

    def show_answer(self, event: Predicted) -> None:
        self.predicted = event
        prediction = event.prediction
        self._intent.show_text(prediction.predicted)
        restyle(self._intent, "role", "section")
        self._bars.show_top(prediction.top)
        self._bars.show()
        self._note.setText("Free greedy decoding would have written something that is no intent; this is the most probable intent.")
        self._note.setVisible(prediction.left_set)
        outside = f"{percent(prediction.outside_mass)} of the probability is on texts that are no intent"
        self._facts.setText(f"{outside} · {event.seconds:.2f} s")
        self._facts.show()

    def show_no_answer(self, reason: str) -> None:
        self._intent.show_text("No answer")
        self._note.setText(reason)
        self._note.show()

    def fit(self, room: int) -> None:
        width = max(24 * GRID, min(_ANSWER, int(room * 0.85)))
        self.setFixedWidth(width)
        for label in (self._note, self._facts):
            fit_label(label, width - 2 * _PADDING)


def fit_label(label: QLabel, width: int) -> None:
    """Fix a wrapped label at its text's size, at most ``width`` wide; QLabel's own size hint guesses and cuts lines."""
    label.ensurePolished()
    # A selectable label wraps a few pixels earlier than the font's own measure.
    box = label.fontMetrics().boundingRect(QRect(0, 0, width - GRID, 1 << 20), Qt.TextFlag.TextWordWrap, label.text())
    label.setFixedSize(box.width() + GRID, max(box.height(), label.heightForWidth(box.width() + GRID)))


def in_row(bubble: _Bubble) -> QWidget:
    """A line of the conversation with a bubble at its side."""
    row = QWidget()
    line = QHBoxLayout(row)
    line.setContentsMargins(0, 0, 0, 0)
    if bubble._mine:
        line.addStretch(1)
    line.addWidget(bubble)
    if not bubble._mine:
        line.addStretch(1)
    return row
