"""Where a message to the model is written: what is asked for, how free text is drawn, and the text itself."""

from __future__ import annotations

import random

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QButtonGroup,
    QCheckBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from studio.core.generation import LARGEST_SEED, GenerationSettings
from studio.ui.theme import GRID
from studio.ui.widgets.basics import button, guard_wheel, named, primary_button, text_label

LONGEST_MESSAGE = 20_000
"""Characters."""
_MOST_LINES = 6
_RANDOM = -1


class MessageEdit(QPlainTextEdit):
    """Plain text of one to six lines; Enter sends it, Shift+Enter begins a line, Escape stops the answer."""

    submitted = Signal()
    stop_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setTabChangesFocus(True)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.document().setDocumentMargin(4)
        self.document().documentLayout().documentSizeChanged.connect(self._grow)
        self._grow()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.key() == Qt.Key.Key_Escape:
            self.stop_requested.emit()
        elif event.key() not in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            super().keyPressEvent(event)
        elif event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.insertPlainText("\n")
        else:
            self.submitted.emit()

    def _grow(self) -> None:
        self.ensurePolished()
        lines = max(1, round(self.document().size().height()))  # a plain text document counts in lines
        self.setVerticalScrollBarPolicy(
            Qt.ScrollBarPolicy.ScrollBarAsNeeded if lines > _MOST_LINES else Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        )
        # One line is as high as the buttons beside it.
        self.setFixedHeight(max(18, min(lines, _MOST_LINES) * self.fontMetrics().lineSpacing()) + 2 * GRID)


class Composer(QWidget):
    """Asks for intents or free text, of the run alone or of its base too."""

    submitted = Signal(str)
    """A message that is to be answered as ``settings()`` and ``comparing`` say."""
    stop_requested = Signal()
    compared = Signal(bool)
    """The comparison with the base was switched on or off."""

    def __init__(self) -> None:
        super().__init__()
        self._input = named(
            MessageEdit(), "chatInput", "Message to the model", "Enter sends, Shift+Enter begins a new line, Esc stops"
        )
        self._input.submitted.connect(self._submit)
        self._input.stop_requested.connect(self.stop_requested)
        self._input.textChanged.connect(self._hint_at_length)
        self._send = primary_button("Send", "chatSend", "Ask the model about this message (Enter)", self._submit)
        self._stop = button("Stop", "chatStop", "Stop the answer where it is, and drop what waits (Esc)", self.stop_requested.emit)
        self._hint = named(text_label("", "bad", wrap=True), "chatHint", "What keeps the message from being sent")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        column.addLayout(self._build_modes())
        column.addWidget(self._build_parameters())
        column.addWidget(self._hint)
        row = QHBoxLayout()
        row.setSpacing(GRID)
        bottom = Qt.AlignmentFlag.AlignBottom
        row.addWidget(self._input, 1)
        row.addWidget(self._stop, 0, bottom)
        row.addWidget(self._send, 0, bottom)
        column.addLayout(row)
        self._hint.hide()
        self._stop.hide()
        self._show_mode()

    @property
    def comparing(self) -> bool:
        """The base is to answer too."""
        return self._compare.isChecked()

    def settings(self) -> GenerationSettings | None:
        """How free text is to be drawn, with a seed of its own each time unless one is set; None asks for intents."""
        if not self._free.isChecked():
            return None
        seed = self._seed.value()
        return GenerationSettings(
            temperature=round(self._temperature.value(), 2),
            top_p=round(self._top_p.value(), 2),
            max_tokens=self._max_tokens.value(),
            seed=random_seed() if seed == _RANDOM else seed,
            raw=self._raw.isChecked(),
        )

    def show_busy(self, answering: bool) -> None:
        """While it answers, an answer can be stopped. Whoever did so by keyboard writes on."""
        if self._stop.hasFocus() and not answering:
            self.focus()
        self._stop.setVisible(answering)

    def focus(self) -> None:
        """Let the person write."""
        self._input.setFocus()

    def _build_modes(self) -> QHBoxLayout:
        self._intent = named(QPushButton("Intent"), "chatIntentMode", "Intent", "Ask for the most probable intents of the message")
        free = "Let the model write on, token by token, whatever it likes"
        self._free = named(QPushButton("Free text"), "chatFreeMode", "Free text", free)
        self._modes = QButtonGroup(self)
        for mode in (self._intent, self._free):
            mode.setCheckable(True)
            self._modes.addButton(mode)
        self._intent.setChecked(True)
        self._free.toggled.connect(self._show_mode)
        compare = "Have the untrained base answer too, beside the run. After QLoRA that is the base as it was held, in 4 bits"
        self._compare = named(QCheckBox("Compare with the base"), "chatCompare", "Compare with the base", compare)
        self._compare.toggled.connect(self.compared)
        row = QHBoxLayout()
        row.setSpacing(GRID)
        row.addWidget(self._intent)
        row.addWidget(self._free)
        row.addSpacing(GRID)
        row.addWidget(self._compare)
        row.addStretch(1)
        return row

    def _build_parameters(self) -> QWidget:
        self._parameters = QWidget()
        row = QHBoxLayout(self._parameters)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GRID)
        self._temperature, self._top_p = _decimal(0, 5, 0.1), _decimal(0.01, 1, 0.05)
        self._max_tokens, self._seed = QSpinBox(), QSpinBox()
        self._max_tokens.setRange(1, 32768)
        self._max_tokens.setSingleStep(50)
        self._seed.setRange(_RANDOM, LARGEST_SEED)
        self._seed.setSpecialValueText("random")
        self._seed.setValue(_RANDOM)
        for name, title, editor, unit in (
            ("temperature", "Temperature", self._temperature, "Unit: none, 0 to 5."),
            ("top_p", "Top-p", self._top_p, "Unit: share of the probability, 0.01 to 1."),
            ("max_tokens", "Max tokens", self._max_tokens, "Unit: tokens."),
            ("seed", "Seed", self._seed, "Below 0 each answer draws a seed of its own and names it. Unit: none."),
        ):
            field = GenerationSettings.model_fields[name]
            _dress(editor, f"chat_{name}", title, f"{field.description} {unit}")
            if name != "seed":
                editor.setValue(field.default)
            label = text_label(title, "field")
            label.setBuddy(editor)
            row.addWidget(label)
            row.addWidget(editor)
        raw = GenerationSettings.model_fields["raw"].description or ""
        self._raw = named(QCheckBox("No template"), "chat_raw", "No template", raw)
        row.addWidget(self._raw)
        row.addStretch(1)
        return self._parameters

    def _show_mode(self) -> None:
        free = self._free.isChecked()
        self._parameters.setVisible(free)
        self._input.setPlaceholderText("Write something for the model to go on from…" if free else "Write a message…")

    def _submit(self) -> None:
        text = self._input.toPlainText().strip()
        if text and len(text) <= LONGEST_MESSAGE:
            self._input.clear()
            self.submitted.emit(text)

    def _hint_at_length(self) -> None:
        length = len(self._input.toPlainText().strip())
        self._hint.setText(f"The message has {length:,} characters; at most {LONGEST_MESSAGE:,} can be sent.")
        self._hint.setVisible(length > LONGEST_MESSAGE)


def random_seed() -> int:
    """A seed that was not asked for; short enough to be typed again."""
    return random.randrange(10_000_000)


def _decimal(smallest: float, largest: float, step: float) -> QDoubleSpinBox:
    editor = QDoubleSpinBox()
    editor.setDecimals(2)
    editor.setRange(smallest, largest)
    editor.setSingleStep(step)
    return editor


def _dress(editor: QAbstractSpinBox, name: str, title: str, tooltip: str) -> None:
    named(editor, name, title, tooltip)
    editor.setAccessibleDescription(tooltip)
    editor.setLocale(QLocale.c())
    editor.setFixedWidth((11 if name == "chat_seed" else 9) * GRID + GRID // 2)
    editor.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    # Qt takes the padding of the stylesheet for the box, not for the text in it.
    editor.lineEdit().setTextMargins(6, 0, 0, 0)
    guard_wheel(editor)
