"""The token inspector: any training message, or one of one's own, as the tokens that the model reads and those that are graded."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from studio.core.answers import TokensInspected, TokenTotals
from studio.core.commands import InspectTokens, LabelledMessage
from studio.core.config import RunConfig
from studio.core.errors import StudioError
from studio.core.events import Crashed, Failed, StageChanged
from studio.core.memory import DeviceName
from studio.core.runs import Home
from studio.core.words import counted, percent, sentence
from studio.supervise.tokens import TokenSession
from studio.ui.theme import GRID
from studio.ui.widgets.basics import ErrorPanel, allow, button, guard_wheel, named, text_label
from studio.ui.widgets.token_view import TokenLegend, TokenView, token_words

_DELAY_MS = 400
_ROWS_NAMED = 6
_LOWEST, _HIGHEST = 8 * GRID, 24 * GRID


class TokenInspector(QWidget):
    """Asks a worker whenever what it shows has changed, but only while it can be seen."""

    answered = Signal(object)
    """The TokensInspected that is shown now; None when there is none."""

    def __init__(self, home: Home) -> None:
        super().__init__()
        self.setObjectName("tokenInspector")
        self.answer: TokensInspected | None = None
        self.session = TokenSession(self)
        self._home = home
        self._config: RunConfig | None = None
        self._device: DeviceName = "cpu"
        self._asked: InspectTokens | None = None
        self.answered_for: RunConfig | None = None
        """The run that ``answer`` is about."""
        self._delay = QTimer(self, interval=_DELAY_MS, singleShot=True)
        self._delay.timeout.connect(self._ask)
        self.session.answered.connect(self._show_answer)
        self.session.failed.connect(self._show_problem)
        self.session.progressed.connect(self._show_stage)
        self._build()

    def show_config(self, config: RunConfig | None, device: DeviceName, waits_for: str = "") -> None:
        """Inspect the tokens of another run soon. None while there is none yet, for the reason ``waits_for``."""
        waited = self._config is None
        self._config, self._device = config, device
        self.view.setEnabled(config is not None)
        if config is None:
            self._delay.stop()
            self._state.setText(waits_for)
            return
        if waited:
            self._show_token(self.view.current)
        self._ask_soon()

    def totals_of(self, config: RunConfig) -> TokenTotals | None:
        """What was counted, if it holds for this run's data, model and prompt."""
        if self.answer is None or self.answered_for is None or _texts_of(self.answered_for) != _texts_of(config):
            return None
        return self.answer.totals

    def release(self) -> None:
        """Give the worker's memory back; the next change starts another."""
        self._delay.stop()
        if self.session.asking:  # what was asked last has no answer
            self._asked = None
        self.session.release()

    def show_row(self, number: int) -> None:
        """Show a training row, counted from 1."""
        self.own.setChecked(False)
        self.number.setValue(number)

    def _build(self) -> None:
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
        self._next_cut = button(
            "Next cut one", "nextCut", "The next training message that is cut to the longest prompt", self._go_to_cut, "link"
        )
        self._next_cut.hide()
        self.own = named(
            QCheckBox("My own message"), "ownMessage", "My own message", "Type a message in place of those of the data"
        )
        line = QHBoxLayout()
        line.setSpacing(GRID)
        for part in (text_label("Message", "field"), previous, self.number, self._of, following, self._next_cut):
            line.addWidget(part)
        line.addStretch(1)
        line.addWidget(self.own)
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
        self.view = TokenView()
        self.scroll_area = QScrollArea()
        self.scroll_area.setObjectName("tokenScroll")
        self.scroll_area.setFrameShape(QFrame.Shape.NoFrame)
        self.scroll_area.setWidgetResizable(True)
        self.scroll_area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.scroll_area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroll_area.setWidget(self.view)
        self._fit()
        self._state = text_label("", "muted", wrap=True)
        self._state.setObjectName("tokenState")
        self._cut = text_label("", "warning", wrap=True)
        self._cut.setObjectName("tokenCut")
        self._cut.hide()
        self._alike = text_label("", "bad", wrap=True)
        self._alike.hide()
        self.totals = text_label("", "small", wrap=True, selectable=True)
        self.totals.setObjectName("tokenTotals")
        self.error = ErrorPanel("tokenError", closable=False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        column.addLayout(line)
        parts: tuple[QWidget, ...] = (
            self._own_row,
            self.error,
            self.scroll_area,
            self._state,
            self._cut,
            TokenLegend(),
            self._alike,
            self.totals,
        )
        for shown in parts:
            column.addWidget(shown)
        self.view.current_changed.connect(self._show_token)
        self.number.valueChanged.connect(lambda _value: self._ask_now())
        self.own.toggled.connect(self._toggle_own)
        self.text.textChanged.connect(lambda _text: self._ask_soon())
        self.label.activated.connect(lambda _index: self._ask_now())

    def _toggle_own(self, own: bool) -> None:
        self._own_row.setVisible(own)
        for part in (*self._steps, self.number):
            allow(part, "Your own message is shown." if own else "")
        if own and not self.text.text() and self.answer is not None:
            self.text.setText(self.answer.text)
            self.label.setCurrentText(self.answer.label)
        if own:
            self.text.setFocus()
        self._ask_now()

    def _question(self) -> InspectTokens | None:
        if self._config is None:
            return None
        message = None
        if self.own.isChecked() and self.label.count():
            message = LabelledMessage(text=self.text.text(), label=self.label.currentText())
        return InspectTokens(
            config=self._config, home=str(self._home.path), row=self.number.value() - 1, message=message, device=self._device
        )

    def _ask_soon(self) -> None:
        self._delay.start()

    def _ask_now(self) -> None:
        self._delay.stop()
        self._ask()

    def _ask(self) -> None:
        question = self._question()
        # What another setting does not change need not be asked again.
        if question is None or not self.isVisible() or _tokens_of(question) == _tokens_of(self._asked):
            return
        self._asked = question
        if self.answer is None:
            self._state.setText("Reading the tokenizer…")
        self.session.ask(question)

    def _show_stage(self, event: StageChanged) -> None:
        if self._config is None:  # what is waited for stands there
            return
        amount = f" ({event.done / event.total:.0%})" if event.total else ""
        self._state.setText(f"{sentence(event.stage)}{amount}…")

    def _show_answer(self, answer: TokensInspected) -> None:
        self.answer = answer
        self.answered_for = self._asked.config if self._asked is not None else None
        self.error.clear()
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
        self.view.show_tokens(answer.tokens)
        self._fit()
        self._cut.setText(f"Too long: {answer.cut!r} is cut off its end." if answer.cut else "")
        self._cut.setVisible(bool(answer.cut))
        self._next_cut.setVisible(bool(answer.totals.cut))
        alike = "; ".join(" and ".join(map(repr, group)) for group in answer.totals.alike)
        self._alike.setText(
            f"These intents become the same tokens, so the model could not tell them apart: {alike}." if alike else ""
        )
        self._alike.setVisible(bool(alike))
        self.totals.setText(totals_in_words(answer.totals, answer.max_length))
        self.answered.emit(answer)

    def _show_problem(self, problem: StudioError | Failed | Crashed) -> None:
        self.answer = self._asked = self.answered_for = None
        self.view.show_tokens([])
        self._state.setText("")
        self.totals.setText("")
        for part in (self._cut, self._alike, self._next_cut):
            part.hide()
        self.error.show_problem(problem)
        self.answered.emit(None)

    def _show_token(self, number: int) -> None:
        tokens = self.view.tokens
        if self._config is None:
            return
        if number >= 0:
            self._state.setText(token_words(tokens[number], number, len(tokens)))
            place = self.view.chip_rect(number)
            self.scroll_area.ensureVisible(place.center().x(), place.center().y(), 0, place.height())
        elif tokens:
            graded = sum(token.supervised for token in tokens)
            self._state.setText(f"{counted(len(tokens), 'token')}, {graded} graded. Arrow keys go from one to the next.")

    def _fit(self) -> None:
        """As high as the tokens need, up to a limit from which they scroll."""
        needed = self.view.heightForWidth(self.scroll_area.viewport().width())
        self.scroll_area.setFixedHeight(max(_LOWEST, min(needed + 2, _HIGHEST)))

    def _go_to_cut(self) -> None:
        if self.answer is not None and (cut := self.answer.totals.cut_rows):
            here = -1 if self.answer.row is None else self.answer.row
            self.show_row(1 + next((row for row in cut if row > here), cut[0]))

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._fit()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        super().showEvent(event)
        self._ask_soon()


def _texts_of(config: RunConfig) -> tuple[object, ...]:
    return (config.dataset, config.model, config.prompt)


def _tokens_of(question: InspectTokens | None) -> object:
    """What of a question decides the answer; the learning rate does not."""
    if question is None:
        return None
    config = question.config
    batches = (config.training.batch_size, config.training.micro_batch, config.training.seed)
    return (*_texts_of(config), batches, question.row, question.message, question.device)


def totals_in_words(totals: TokenTotals, limit: int) -> str:
    """All training rows in a few sentences."""
    found = [
        f"{counted(totals.rows, 'training message')}: {totals.mean:.0f} tokens on average, {totals.supervised:.1f} of them graded; "
        f"the longest has {totals.longest} of {limit} (message {totals.longest_row + 1:,}).",
        f"Padding is {percent(totals.padding)} of what is computed.",
    ]
    if totals.cut:
        rows = [f"{row + 1:,}" for row in totals.cut_rows[:_ROWS_NAMED]]
        more = f" and {totals.cut - len(rows):,} more" if totals.cut > len(rows) else ""
        found.append(f"{counted(totals.cut, 'message is', 'messages are')} cut to fit: {', '.join(rows)}{more}.")
    else:
        found.append("No message is cut.")
    return " ".join(found)
