"""The token inspector: any training message, or one of one's own, as the tokens that the model reads and those that are graded."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTemporaryDir, QTimer, Signal
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QFrame,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from studio.core.answers import TokensInspected, TokenTotals
from studio.core.commands import InspectTokens
from studio.core.config import RunConfig
from studio.core.data_problems import DataProblem
from studio.core.errors import StudioError
from studio.core.events import Crashed, Failed, StageChanged
from studio.core.machine import DeviceName
from studio.core.runs import Home
from studio.core.words import counted, percent, sentence
from studio.supervise.tokens import TokenSession
from studio.ui.theme import GRID
from studio.ui.widgets.basics import ErrorPanel, text_label
from studio.ui.widgets.setup.message_choice import MessageChoice
from studio.ui.widgets.setup.problem_list import ProblemList
from studio.ui.widgets.setup.token_view import TokenLegend, TokenView, token_words

_DELAY_MS = 400
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
        self._rows = QTemporaryDir()
        """Where the worker lists the messages that are cut."""
        self.answered_for: RunConfig | None = None
        """The run that ``answer`` is about."""
        self._problems: list[DataProblem] = []
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

    def _build(self) -> None:
        self.choice = MessageChoice()
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
        self.problems = ProblemList("tokenProblems", "the tokens")
        self.problems.hide()
        self.error = ErrorPanel("tokenError", closable=False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        parts: tuple[QWidget, ...] = (
            self.choice,
            self.error,
            self.scroll_area,
            self._state,
            self._cut,
            TokenLegend(),
            self._alike,
            self.problems,
            self.totals,
        )
        for shown in parts:
            column.addWidget(shown)
        self.view.current_changed.connect(self._show_token)
        self.choice.chosen.connect(self._ask_now)
        self.choice.typed.connect(self._ask_soon)

    def _question(self) -> InspectTokens | None:
        if self._config is None:
            return None
        choice = self.choice
        return InspectTokens(
            config=self._config,
            home=str(self._home.path),
            row=choice.row,
            message=choice.message,
            device=self._device,
            rows_folder=self._rows.path() if self._rows.isValid() else None,
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
        self.choice.show_answer(answer)
        self.view.show_tokens(answer.tokens)
        self._fit()
        self._cut.setText(f"Too long: {answer.cut!r} is cut off its end." if answer.cut else "")
        self._cut.setVisible(bool(answer.cut))
        alike = "; ".join(" and ".join(map(repr, group)) for group in answer.totals.alike)
        self._alike.setText(
            f"These intents become the same tokens, so the model could not tell them apart: {alike}." if alike else ""
        )
        self._alike.setVisible(bool(alike))
        if answer.problems != self._problems:  # else the list stays as it is, from one message to the next
            self._problems = answer.problems
            self.problems.show_problems(answer.problems)
        self.totals.setText(totals_in_words(answer.totals, answer.max_length))
        self.answered.emit(answer)

    def _show_problem(self, problem: StudioError | Failed | Crashed) -> None:
        self.answer = self._asked = self.answered_for = None
        self.view.show_tokens([])
        self._state.setText("")
        self.totals.setText("")
        self.choice.show_answer(None)
        self._problems = []
        for part in (self._cut, self._alike, self.problems):
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
        f"{percent(totals.shared)} of a batch's tokens begin like another message and are computed once.",
    ]
    if not totals.cut:
        found.append("No message is cut.")
    return " ".join(found)
