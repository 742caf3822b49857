"""Speech bubbles of the chat: a person's message on the right, the model's answer on the left."""

from __future__ import annotations

import re
import unicodedata

from PySide6.QtCore import QRect, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QGuiApplication, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from studio.core.answers import Predicted
from studio.core.chat_history import SPEAKER_NAMES, ChatAnswer, Exchange
from studio.core.generation import GenerationSettings, written_facts
from studio.core.words import percent
from studio.ui import theme
from studio.ui.theme import GRID, restyle
from studio.ui.widgets.basics import button, named, text_label
from studio.ui.widgets.frames import ElidedLabel
from studio.ui.widgets.results.probability_bars import ProbabilityBars

_PADDING = GRID + GRID // 2
_WIDEST = 80 * GRID
_ANSWER = 64 * GRID
# QLabel breaks lines only between words, so a long one (an address, a number) is given places to break at.
_LONG_WORD = re.compile(r"(\S{24})(?=\S)")
_BREAK = "\u200b"
_NAMED = 40
_SHOWN = 6000
"""Characters of a text that are laid out; copying gives all of it."""
_CUT = "The message is longer than this run reads (max_length); its end was left out."


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
        self._label = named(text_label("", wrap=True, selectable=True), "chatMessage", "Your message")
        show_written(self._label, text)
        self.column.addWidget(self._label)

    def fit(self, room: int) -> None:
        fit_label(self._label, min(_WIDEST, int(room * 0.75)) - 2 * _PADDING)


class AnswerBubble(_Bubble):
    """What a model makes of a message: first that it works, then its intents or its text, or why there is no answer."""

    regenerate_requested = Signal()
    """Another text is wanted, from another seed."""

    def __init__(self, exchange: Exchange, answer: ChatAnswer) -> None:
        """``answer`` is one of the exchange's; where there is another beside it, it says whose it is."""
        super().__init__(mine=False)
        self._answer, self._settings = answer, exchange.settings
        number = f"_{exchange.id}_{answer.speaker}"
        of = f"the answer of {SPEAKER_NAMES[answer.speaker].lower()} to {_shortened(exchange.text)!r}"
        self._speaker = named(text_label(SPEAKER_NAMES[answer.speaker], "small"), "chatSpeaker", "Who answers")
        self._intent = named(ElidedLabel("section"), "chatIntent", "Predicted intent")
        self._bars = ProbabilityBars("chatBars")
        self._text = named(text_label("", wrap=True, selectable=True), "chatText", "Text of the answer")
        self._note = named(text_label("", "warning", wrap=True, selectable=True), "chatNote", "Note on the answer")
        self._facts = named(text_label("", "small", wrap=True, selectable=True), "chatFacts", "How the answer came about")
        self._copy = _link("Copy", f"chatCopy{number}", f"Copy the text, or the intents with their probabilities, of {of}")
        self._copy.clicked.connect(self._copy_it)
        self._again = _link("New answer", f"chatRegenerate{number}", f"From another seed, write in its place {of}")
        self._again.clicked.connect(self.regenerate_requested)
        actions = QHBoxLayout()
        actions.setContentsMargins(0, 0, 0, 0)
        actions.setSpacing(GRID)
        for link in (self._copy, self._again):
            actions.addWidget(link)
        actions.addStretch(1)
        for part in (self._speaker, self._intent, self._bars, self._text, self._note, self._facts):
            self.column.addWidget(part)
        self.column.addLayout(actions)
        self._speaker.setVisible(len(exchange.answers) > 1)
        self.show_answer()

    @property
    def waiting(self) -> bool:
        """There is no answer yet, nor a reason for none."""
        return self._answer.waiting

    @property
    def predicted(self) -> Predicted | None:
        """The intents, where they were asked for and are there."""
        return self._answer.predicted

    def show_answer(self) -> None:
        """Show the answer as it is now."""
        answer = self._answer
        written = bool(answer.text.strip())
        self._intent.setVisible(not written)
        self._bars.setVisible(answer.predicted is not None)
        self._text.setVisible(written)
        if answer.predicted is not None:
            self._intent.show_text(answer.predicted.prediction.predicted)
            self._bars.show_top(answer.predicted.prediction.top)
        elif answer.waiting:
            self._intent.show_text("Waiting for the model…")
        else:
            self._intent.show_text("No answer" if answer.problem else "Nothing was written")
        restyle(self._intent, "role", "section" if answer.predicted is not None else "muted")
        show_written(self._text, answer.text.strip())
        self._show(self._note, _note(answer))
        self._show(self._facts, _facts(answer, self._settings))
        self._copy.setVisible(not answer.waiting and not answer.empty)
        self._again.setVisible(not answer.waiting and self._settings is not None)

    def fit(self, room: int) -> None:
        """Take at most ``room`` pixels of width."""
        width = max(24 * GRID, min(_ANSWER, room))
        self.setFixedWidth(width)
        for label in (self._text, self._note, self._facts):
            if not label.isHidden():
                fit_label(label, width - 2 * _PADDING)

    def _show(self, label: QLabel, text: str) -> None:
        label.setText(text)
        label.setVisible(bool(text))

    def _copy_it(self) -> None:
        QGuiApplication.clipboard().setText(self._answer.as_text())


class ExchangeRow(QWidget):
    """A message and its answers, side by side when the base is compared."""

    regenerate_requested = Signal(object)
    """The Exchange that is to be answered anew."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self.exchange = exchange
        self.message = MessageBubble(exchange.text)
        self.answers: list[AnswerBubble] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(GRID + GRID // 2)
        mine, self._theirs = QHBoxLayout(), QHBoxLayout()
        mine.addStretch(1)
        mine.addWidget(self.message)
        self._theirs.setSpacing(GRID + GRID // 2)
        for answer in exchange.answers:
            bubble = AnswerBubble(exchange, answer)
            bubble.regenerate_requested.connect(lambda: self.regenerate_requested.emit(self.exchange))
            self.answers.append(bubble)
            self._theirs.addWidget(bubble, 0, Qt.AlignmentFlag.AlignTop)
        self._theirs.addStretch(1)
        self._column.addLayout(mine)
        self._column.addLayout(self._theirs)

    def show_answers(self, room: int) -> None:
        """Show the answers as they are now, in at most ``room`` pixels of width."""
        for bubble in self.answers:
            bubble.show_answer()
        self.fit(room)

    def fit(self, room: int) -> None:
        """Take at most ``room`` pixels of width."""
        self.message.fit(room)
        number = len(self.answers)
        for bubble in self.answers:
            bubble.fit(int(room * 0.85) if number == 1 else (room - (number - 1) * self._theirs.spacing()) // number)


def _link(text: str, object_name: str, tooltip: str) -> QPushButton:
    """A button whose words begin where the text above them does."""
    made = button(text, object_name, tooltip, kind="link")
    made.setProperty("flush", True)
    return made


def _shortened(text: str) -> str:
    line = " ".join(text[: 2 * _NAMED].split())
    return line if len(line) <= _NAMED else f"{line[:_NAMED]}…"


def _note(answer: ChatAnswer) -> str:
    notes = [answer.problem]
    if answer.predicted is not None and answer.predicted.prediction.left_set:
        notes.append("Free greedy decoding would have written something that is no intent; this is the most probable intent.")
    if (answer.predicted is not None and answer.predicted.cut) or (answer.end is not None and answer.end.cut):
        notes.append(_CUT)
    return "\n".join(filter(None, notes))


def _facts(answer: ChatAnswer, settings: GenerationSettings | None) -> str:
    if answer.predicted is not None:
        outside = f"{percent(answer.predicted.prediction.outside_mass)} of the probability is on texts that are no intent"
        return f"{outside} · {answer.predicted.seconds:.2f} s"
    if answer.end is not None and settings is not None:
        return written_facts(answer.end, settings)
    return ""


def show_written(label: QLabel, text: str) -> None:
    """Put a person's or a model's text into a label: places to break long words, and the side where its writing begins."""
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…\n({len(text) - _SHOWN:,} more characters)"
    label.setText(_LONG_WORD.sub(rf"\1{_BREAK}", shown.replace("\t", "    ")))
    first = next((kind for kind in map(unicodedata.bidirectional, shown[:200]) if kind in ("L", "R", "AL")), "L")
    label.setLayoutDirection(Qt.LayoutDirection.LeftToRight if first == "L" else Qt.LayoutDirection.RightToLeft)


def fit_label(label: QLabel, width: int) -> None:
    """Fix a wrapped label at its text's size, at most ``width`` wide; QLabel's own size hint guesses and cuts lines."""
    label.ensurePolished()
    label.setMinimumSize(0, 0)  # QLabel never answers with less than its minimum, which is that of the last time
    # A selectable label wraps a few pixels earlier than the font's own measure.
    box = label.fontMetrics().boundingRect(QRect(0, 0, width - GRID, 1 << 20), Qt.TextFlag.TextWordWrap, label.text())
    label.setFixedSize(box.width() + GRID, max(box.height(), label.heightForWidth(box.width() + GRID)))
