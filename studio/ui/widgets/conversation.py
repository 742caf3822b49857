"""The scrolling column of a chat's bubbles, and what it offers while it is empty."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QPushButton, QScrollArea, QVBoxLayout, QWidget

from studio.ui.theme import GRID
from studio.ui.widgets.basics import named, text_label
from studio.ui.widgets.chat_bubble import AnswerBubble, MessageBubble, in_row

_CHIP_CHARACTERS = 72


class Conversation(QScrollArea):
    """Messages and answers, newest at the bottom and in sight."""

    example_chosen = Signal(str)
    """The text of an example message that was clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        named(self, "conversation", "Conversation")
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._bubbles: list[MessageBubble | AnswerBubble] = []
        self._lines: list[QWidget] = []
        self._examples = QWidget()
        self._chips = QVBoxLayout(self._examples)
        self._chips.setContentsMargins(0, 4 * GRID, 0, 0)
        self._chips.setSpacing(GRID)
        inner = QWidget()
        self._column = QVBoxLayout(inner)
        self._column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        self._column.setSpacing(GRID + GRID // 2)
        self._column.addWidget(self._examples)
        self._column.addStretch(1)
        self.setWidget(inner)
        self.viewport().setAutoFillBackground(False)
        inner.setAutoFillBackground(False)
        bar = self.verticalScrollBar()
        bar.rangeChanged.connect(lambda _low, high: QTimer.singleShot(0, bar, lambda: bar.setValue(high)))

    def show_examples(self, texts: list[str]) -> None:
        """Forget the conversation and offer messages to begin with."""
        for line in self._lines:
            line.deleteLater()
        self._lines.clear()
        self._bubbles.clear()
        while (item := self._chips.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        invitation = text_label("Write a message, or begin with one of the test messages", "muted")
        self._chips.addWidget(invitation, 0, Qt.AlignmentFlag.AlignHCenter)
        for number, text in enumerate(texts):
            whole = " ".join(text.split())
            shown = whole if len(whole) <= _CHIP_CHARACTERS else whole[: _CHIP_CHARACTERS - 1] + "…"
            chip = named(QPushButton(shown.replace("&", "&&")), f"example_{number}", f"Ask: {whole}", f"Ask the model: {text}")
            chip.clicked.connect(lambda _checked=False, text=text: self.example_chosen.emit(text))
            self._chips.addWidget(chip, 0, Qt.AlignmentFlag.AlignHCenter)
        self._examples.show()

    def add_exchange(self, text: str) -> AnswerBubble:
        """A message and the bubble that waits for its answer."""
        self._examples.hide()
        answer = AnswerBubble()
        for bubble in (MessageBubble(text), answer):
            bubble.fit(self._room())
            line = in_row(bubble)
            self._column.insertWidget(self._column.count() - 1, line)
            self._bubbles.append(bubble)
            self._lines.append(line)
        return answer

    def refit(self) -> None:
        """Lay out anew after a bubble's contents changed."""
        for bubble in self._bubbles:
            bubble.fit(self._room())

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self.refit()

    def _room(self) -> int:
        return self.viewport().width() - 4 * GRID
