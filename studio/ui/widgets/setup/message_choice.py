"""Which message the token inspector shows: a row of the training data, or one of a person's own."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLineEdit, QSpinBox, QVBoxLayout, QWidget

from studio.core.answers import TokensInspected
from studio.core.commands import LabelledMessage
from studio.ui.theme import GRID
from studio.ui.widgets.basics import allow, button, guard_wheel, named, text_label


class MessageChoice(QWidget):
    """Shows what the last answer was about, and lets another message be chosen."""

    chosen = Signal()
    """Another message is wanted."""
    typed = Signal()
    """A message is being typed."""

    def __init__(self) -> None:
        super().__init__()
        self._answer: TokensInspected | None = None
        previous = button(
            "←", "previousRow", "The training message before this one", lambda: self.show_row(self.number.value() - 1), "step"
        )
        following = button(
            "→", "nextRow", "The training message after this one", lambda: self.show_row(self.number.value() + 1), "step"
        )
        previous.setAccessibleName("Previous message")
        following.setAccessibleName("Next message")
        self._steps = (previous, following)
        self.number = guard_wheel(
            named(QSpinBox(), "rowNumber", "Training message", "Which of the training messages is shown, counted from 1")
        )
        self.number.setRange(1, 1)
        self.number.setKeyboardTracking(False)
        self.number.setMinimumWidth(10 * GRID)
        self.number.lineEdit().setTextMargins(6, 0, 0, 0)
        self._of = text_label("", "muted")
        self.next_cut = button(
            "Next cut one", "nextCut", "The next training message that is cut to the longest prompt", self._go_to_cut, "link"
        )
        self.next_cut.hide()
        self.own = named(
            QCheckBox("My own message"), "ownMessage", "My own message", "Type a message in place of those of the data"
        )
        line = QHBoxLayout()
        line.setSpacing(GRID)
        for part in (text_label("Message", "field"), previous, self.number, self._of, following, self.next_cut):
            line.addWidget(part)
        line.addStretch(1)
        line.addWidget(self.own)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        column.addLayout(line)
        column.addWidget(self._build_own())
        self.number.valueChanged.connect(lambda _value: self.chosen.emit())
        self.own.toggled.connect(self._toggle_own)
        self.text.textChanged.connect(lambda _text: self.typed.emit())
        self.label.activated.connect(lambda _index: self.chosen.emit())

    @property
    def row(self) -> int:
        """The training row, counted from 0."""
        return self.number.value() - 1

    @property
    def message(self) -> LabelledMessage | None:
        """A message of one's own in its place; None for none."""
        if not self.own.isChecked() or not self.label.count():
            return None
        return LabelledMessage(text=self.text.text(), label=self.label.currentText())

    def show_row(self, number: int) -> None:
        """Show a training row, counted from 1."""
        self.own.setChecked(False)
        self.number.setValue(number)

    def show_answer(self, answer: TokensInspected | None) -> None:
        """Show which row it is about, of how many, and which intents there are; None after a failure."""
        self._answer = answer
        self.next_cut.setVisible(answer is not None and bool(answer.totals.cut))
        if answer is None:
            return
        self.number.blockSignals(True)
        self.number.setRange(1, answer.totals.rows)
        if answer.row is not None:
            self.number.setValue(answer.row + 1)
        self.number.blockSignals(False)
        self._of.setText(f"of {answer.totals.rows:,}")
        if [self.label.itemText(index) for index in range(self.label.count())] != answer.labels:
            chosen = self.label.currentText()
            self.label.clear()
            self.label.addItems(answer.labels)
            self.label.setCurrentText(chosen if chosen in answer.labels else answer.label)

    def _build_own(self) -> QWidget:
        self.text = named(
            QLineEdit(), "ownText", "Message to look at", "What a person could write; it is shown as tokens and kept nowhere"
        )
        self.text.setPlaceholderText("Type a message")
        self.label = guard_wheel(
            named(QComboBox(), "ownLabel", "Its intent", "The intent that the model would have to write for this message")
        )
        self.label.setMinimumContentsLength(10)
        self._own_row = QWidget()
        typed = QHBoxLayout(self._own_row)
        typed.setContentsMargins(0, 0, 0, 0)
        typed.setSpacing(GRID)
        typed.addWidget(self.text, 3)
        typed.addWidget(self.label, 2)
        self._own_row.hide()
        return self._own_row

    def _toggle_own(self, own: bool) -> None:
        self._own_row.setVisible(own)
        for part in (*self._steps, self.number):
            allow(part, "Your own message is shown." if own else "")
        if own and not self.text.text() and self._answer is not None:
            self.text.setText(self._answer.text)
            self.label.setCurrentText(self._answer.label)
        if own:
            self.text.setFocus()
        self.chosen.emit()

    def _go_to_cut(self) -> None:
        if self._answer is not None and (cut := self._answer.totals.cut_rows):
            here = -1 if self._answer.row is None else self._answer.row
            self.show_row(1 + next((row for row in cut if row > here), cut[0]))
