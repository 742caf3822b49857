"""The session of the token inspector: one question at a time, the last one counts, nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from PySide6.QtCore import QCoreApplication
from pytestqt.qtbot import QtBot

from studio.core.answers import TokensInspected
from studio.core.commands import InspectTokens
from studio.core.config import RunConfig
from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed
from studio.supervise.threads import WorkerThread
from studio.supervise.tokens import TokenSession

ANSWERS = """
say("stage_changed", stage="loading the tokenizer")
totals = dict(rows=9, longest=5, longest_row=0, mean=4, supervised=2, most_supervised=2, cut=0, cut_rows=[], shared=0, alike=[],
    largest=[2, 4, 8, 4, 0, 2])
for line in sys.stdin:
    asked = json.loads(line)
    if asked["row"] == 13:
        say("failed", kind="bad_input", message="No such row.", remedy="Choose another.")
        break
    if asked["row"] == 14:
        os.kill(os.getpid(), signal.SIGKILL)
    say("tokens_inspected", request=asked["request"], row=asked["row"], text=str(os.getpid()), label="", cut="", tokens=[],
        chat=False, prompt="{text}", max_length=9, labels=[], totals=totals)
"""
TheWorkerIs = Callable[[str], None]


@pytest.fixture
def session(qtbot: QtBot, the_worker_is: TheWorkerIs) -> Iterator[TokenSession]:
    the_worker_is(ANSWERS)
    made = TokenSession()
    yield made
    made.release()
    qtbot.waitUntil(lambda: not WorkerThread._running, timeout=20_000)


def question(row: int) -> InspectTokens:
    return InspectTokens(config=RunConfig(), home="", row=row)


def answer(session: TokenSession, row: int, qtbot: QtBot) -> TokensInspected:
    with qtbot.waitSignal(session.answered, timeout=20_000) as told:
        session.ask(question(row))
    found = told.args[0]
    assert isinstance(found, TokensInspected)
    return found


def test_one_worker_answers_one_question_after_another(session: TokenSession, qtbot: QtBot) -> None:
    first, second = answer(session, 1, qtbot), answer(session, 2, qtbot)
    assert (first.row, second.row) == (1, 2)
    assert (first.text, second.request) == (second.text, first.request + 1)
    assert session.active
    assert not session.asking


def test_of_many_questions_the_last_is_answered(session: TokenSession, qtbot: QtBot) -> None:
    heard: list[Event] = []
    session.event_received.connect(heard.append)
    with qtbot.waitSignal(session.answered, timeout=20_000) as told:
        for row in range(1, 8):
            session.ask(question(row))
    assert told.args[0].row == 7
    answered = [event.row for event in heard if isinstance(event, TokensInspected)]
    assert len(answered) <= 2


def test_a_failure_is_told_and_the_next_question_starts_anew(session: TokenSession, qtbot: QtBot) -> None:
    before = answer(session, 1, qtbot)
    with qtbot.waitSignal(session.failed, timeout=20_000) as told:
        session.ask(question(13))
    assert isinstance(told.args[0], Failed)
    assert not session.active
    assert answer(session, 2, qtbot).text != before.text
    with qtbot.waitSignal(session.failed, timeout=20_000) as told:
        session.ask(question(14))
    assert isinstance(told.args[0], Crashed)


def test_a_question_that_came_meanwhile_counts_more_than_a_failure(session: TokenSession, qtbot: QtBot) -> None:
    answer(session, 1, qtbot)
    with qtbot.assertNotEmitted(session.failed), qtbot.waitSignal(session.answered, timeout=20_000) as told:
        session.ask(question(13))
        QCoreApplication.processEvents()
        session.ask(question(5))
    assert told.args[0].row == 5


def test_it_lets_its_worker_go(session: TokenSession, qtbot: QtBot) -> None:
    answer(session, 1, qtbot)
    session._idle.timeout.emit()
    assert not session.active
    session.ask(question(2))
    session.release()
    with qtbot.assertNotEmitted(session.answered, wait=100):
        pass
    assert not session.active
    assert answer(session, 3, qtbot).row == 3


def test_a_worker_that_cannot_start_is_told(session: TokenSession, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_command: object) -> None:
        raise StudioError("The background process could not be started.", "Check the installation.")

    monkeypatch.setattr("studio.supervise.tokens.start_job", refuse)
    with qtbot.waitSignal(session.failed, timeout=20_000) as told:
        session.ask(question(1))
    assert isinstance(told.args[0], StudioError)
    assert not session.asking
