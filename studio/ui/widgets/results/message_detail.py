"""One predicted message, whole: its text, what it is, what the model made of it, and how sure it was."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from studio.core.answers import Prediction
from studio.core.words import percent
from studio.ui.theme import GRID, restyle
from studio.ui.widgets.basics import button, named, text_label
from studio.ui.widgets.results.probability_bars import ProbabilityBars


class MessageDetail(QWidget):
    """Shows the message that is chosen in a list."""

    ask_requested = Signal(str)
    """Emitted with the message's text when it is to be asked in Chat."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("messageDetail")
        self._shown: Prediction | None = None
        self._text = named(QPlainTextEdit(), "messageText", "The whole message", "The message as it is in the data")
        self._text.setReadOnly(True)
        self._text.setPlaceholderText("Choose a message to see it whole, with the five most probable intents.")
        self._text.setTabChangesFocus(True)
        self._verdict = named(text_label("", wrap=True, selectable=True), "messageVerdict", "True and predicted intent")
        self._bars = ProbabilityBars("messageBars")
        self._ask = button("Ask in Chat", "askInChat", "Open Chat and ask the model about this message at once", self._send)
        self._row = QWidget()
        row = QHBoxLayout(self._row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._verdict, 1)
        row.addWidget(self._ask)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        column.addWidget(self._text, 1)
        column.addWidget(self._row)
        column.addWidget(self._bars)
        self.show_prediction(None)

    @property
    def shown(self) -> Prediction | None:
        return self._shown

    def show_prediction(self, prediction: Prediction | None) -> None:
        self._shown = prediction
        self._bars.setVisible(prediction is not None)
        self._row.setVisible(prediction is not None)
        self._text.setPlainText(prediction.text if prediction else "")
        if prediction is None:
            return
        self._verdict.setText(verdict(prediction))
        restyle(self._verdict, "role", "good" if prediction.label == prediction.predicted else "bad")
        self._bars.show_top(prediction.top, prediction.label)

    def _send(self) -> None:
        if self._shown is not None:
            self.ask_requested.emit(self._shown.text)


def verdict(prediction: Prediction) -> str:
    """The outcome in words."""
    if prediction.label is None or prediction.label == prediction.predicted:
        words = f"✓ {prediction.predicted}"
    else:
        true = f"✗ True {prediction.label} ({percent(prediction.label_probability)})"
        words = f"{true}, predicted {prediction.predicted} ({percent(prediction.probability)})"
    return words + (" · greedy decoding leaves the label set" if prediction.left_set else "")
