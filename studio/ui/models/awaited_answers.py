"""What was asked in a chat and is not answered yet: each answer goes into the exchange that it belongs to."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from studio.core.answers import NoAnswer, Predicted, TokenGenerated
from studio.core.chat_history import ChatAnswer, Exchange
from studio.supervise.jobs import ChatSession


class AwaitedAnswers(QObject):
    """Asks ``session``, and fills in what it says."""

    changed = Signal(object)
    """Emitted with an Exchange of which there is more to show."""
    completed = Signal(object)
    """Emitted with an Exchange of which no answer is awaited any more, after ``changed``."""

    def __init__(self, session: ChatSession) -> None:
        super().__init__(session)
        self._session = session
        self._awaited: dict[int, tuple[Exchange, ChatAnswer]] = {}
        session.answered.connect(self._take)

    @property
    def any(self) -> bool:
        """Something is to be answered still."""
        return bool(self._awaited)

    def ask(self, exchange: Exchange) -> None:
        """Have all answers of an exchange given."""
        for answer in exchange.answers:
            if exchange.settings is None:
                number = self._session.ask(exchange.text, answer.speaker)
            else:
                number = self._session.generate(exchange.text, exchange.settings, answer.speaker)
            self._awaited[number] = (exchange, answer)

    def give_up(self, reason: str) -> None:
        """Nobody answers any more: say so where an answer was awaited."""
        unanswered = list(self._awaited.values())
        self._awaited.clear()
        for exchange, answer in unanswered:
            answer.problem = reason
            self._tell(exchange)

    def forget(self) -> None:
        """What was asked is of no interest any more."""
        self._awaited.clear()

    def _take(self, event: Predicted | TokenGenerated | NoAnswer) -> None:
        if event.request not in self._awaited:
            return
        exchange, answer = self._awaited[event.request]
        if isinstance(event, Predicted):
            answer.predicted = event
        elif isinstance(event, TokenGenerated):
            answer.text += event.text
            answer.end = event.end
        else:
            answer.problem = (
                "Stopped before it was answered." if event.kind == "stopped" else f"{event.message} {event.remedy}".strip()
            )
        if not answer.waiting:
            del self._awaited[event.request]
        self._tell(exchange)

    def _tell(self, exchange: Exchange) -> None:
        self.changed.emit(exchange)
        if not exchange.waiting:
            self.completed.emit(exchange)
