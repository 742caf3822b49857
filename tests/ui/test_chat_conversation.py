"""The Chat page: a history that stays, answers written anew, copying, clearing, and a thousand messages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import shiboken6
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMessageBox
from pytestqt.qtbot import QtBot

from studio.core.chat_history import CHAT, ChatAnswer, Exchange, append_exchange, read_history
from studio.core.runs import Home
from studio.supervise.background import _Background
from studio.ui.models.open_run import OpenRun
from studio.ui.pages.chat import ChatPage
from tests.ui.chat_staging import answers, chat_page, chat_stage, choose_free, rows, shown, wait_for, write
from tests.ui.sample_runs import finished, make_run
from tests.ui.staging import Stage, button


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return chat_stage(monkeypatch)


@pytest.fixture
def page(qtbot: QtBot, home: Home, stage: Stage) -> Iterator[ChatPage]:
    with chat_page(qtbot, home, stage) as page:
        yield page


def test_the_history_is_there_when_the_run_is_opened_again(page: ChatPage, qtbot: QtBot) -> None:
    assert page.run is not None
    folder = page.run.folder
    write(page, qtbot, "one")
    wait_for(page, qtbot, 1)
    choose_free(page, qtbot, seed=5)
    write(page, qtbot, "endless")
    qtbot.waitUntil(lambda: len(answers(page)) == 2 and "Once upon" in answers(page)[1]._text.text())
    page.unload()
    assert "unloaded before it could answer" in answers(page)[1]._note.text()
    (folder.path / CHAT).write_bytes((folder.path / CHAT).read_bytes() + b"\x00junk\n")
    page.show_run(None)
    page.show_run(OpenRun(folder))
    assert [exchange.text for exchange in page._conversation.exchanges] == ["one", "endless"]
    first, second = answers(page)
    assert first._bars.accessibleDescription() == "card_arrival 90.0 %, lost_card 10.0 %"
    assert second._text.text().startswith("Once upon")
    assert "1 line of the history left out: not readable." in shown(page)
    assert not button(page, "example_0").isVisible()


def test_another_answer_takes_the_place_of_the_first(page: ChatPage, qtbot: QtBot) -> None:
    choose_free(page, qtbot, seed=5)
    for number, text in enumerate(("one", "two"), 1):
        write(page, qtbot, text)
        wait_for(page, qtbot, number)
    first, second = answers(page)
    qtbot.mouseClick(first._again, Qt.MouseButton.LeftButton)
    again, kept = wait_for(page, qtbot, 2)
    assert kept is second
    assert again is not first
    settings = page._conversation.exchanges[0].settings
    assert settings is not None
    assert settings.seed != 5
    assert again._text.text().endswith(f"tuned {settings.seed}.")
    assert page.run is not None
    found = read_history(page.run.folder.path)
    assert [exchange.text for exchange in found.exchanges] == ["one", "two"]
    assert found.exchanges[0].settings == settings


def test_intents_are_not_asked_for_anew(page: ChatPage, qtbot: QtBot) -> None:
    write(page, qtbot, "one")
    (bubble,) = wait_for(page, qtbot, 1)
    assert bubble._again.isHidden()


def test_copying(page: ChatPage, qtbot: QtBot) -> None:
    assert not button(page, "chatCopyAll").isVisible()
    write(page, qtbot, "one")
    (first,) = wait_for(page, qtbot, 1)
    choose_free(page, qtbot, seed=5)
    write(page, qtbot, "two")
    second = wait_for(page, qtbot, 2)[1]
    qtbot.mouseClick(first._copy, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == "card_arrival\t90.0 %\nlost_card\t10.0 %"
    qtbot.mouseClick(second._copy, Qt.MouseButton.LeftButton)
    written = "Once upon a\n  time by tuned 5."
    assert QGuiApplication.clipboard().text() == written
    qtbot.mouseClick(button(page, "chatCopyAll"), Qt.MouseButton.LeftButton)
    intents = "card_arrival\t90.0 %\nlost_card\t10.0 %"
    assert QGuiApplication.clipboard().text() == f"You: one\n\nThis run: {intents}\n\n\nYou: two\n\nThis run: {written}"


@pytest.mark.parametrize("agree", [True, False])
def test_clearing_is_asked_first(page: ChatPage, qtbot: QtBot, agree: bool) -> None:
    assert page.run is not None
    write(page, qtbot, "one")
    wait_for(page, qtbot, 1)
    qtbot.mouseClick(button(page, "chatClear"), Qt.MouseButton.LeftButton)
    box = page.findChild(QMessageBox)
    assert box is not None
    answer = next(choice for choice in box.buttons() if choice.text() == ("Delete them" if agree else "Keep them"))
    qtbot.mouseClick(answer, Qt.MouseButton.LeftButton)
    assert (page.run.folder.path / CHAT).exists() is not agree
    assert len(page._conversation.exchanges) == (0 if agree else 1)
    assert button(page, "example_0").isVisible() is agree
    assert button(page, "chatClear").isVisible() is not agree


def test_a_history_that_cannot_be_kept_is_told(page: ChatPage, qtbot: QtBot) -> None:
    assert page.run is not None
    (page.run.folder.path / CHAT).mkdir()
    write(page, qtbot, "one")
    qtbot.waitUntil(page._problem.isVisible)
    assert "cannot be kept" in page._problem.message
    assert wait_for(page, qtbot, 1)[0].predicted is not None


def test_what_is_asked_while_a_long_history_is_read_comes_after_it(
    page: ChatPage, home: Home, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(home, intents=3, final=finished())
    append_exchange(folder.path, Exchange(id=1, text="before", answers=[ChatAnswer(text="answer", problem="x")]))
    monkeypatch.setattr("studio.ui.pages.chat._LARGE_BYTES", 0)
    page.show_run(OpenRun(folder))
    assert not rows(page)
    write(page, qtbot, "meanwhile")
    qtbot.waitUntil(lambda: len(rows(page)) == 2)
    assert [row.exchange.text for row in rows(page)] == ["before", "meanwhile"]
    wait_for(page, qtbot, 2)


def test_a_long_history_is_there_when_the_run_is_opened_twice(
    page: ChatPage, home: Home, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a double click in the list does: the second OpenRun takes the place of the first, which goes."""
    folder = make_run(home, intents=3, final=finished())
    append_exchange(folder.path, Exchange(id=1, text="before", answers=[ChatAnswer(text="answer", problem="x")]))
    monkeypatch.setattr("studio.ui.pages.chat._LARGE_BYTES", 0)
    first = OpenRun(folder)
    page.show_run(first)
    page.show_run(OpenRun(folder))
    shiboken6.delete(first)
    qtbot.waitUntil(lambda: [row.exchange.text for row in rows(page)] == ["before"])


def test_a_long_history_that_is_another_runs_by_now_is_not_shown(
    page: ChatPage, home: Home, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(home, intents=3, final=finished())
    append_exchange(folder.path, Exchange(id=1, text="before", answers=[ChatAnswer(text="answer", problem="x")]))
    monkeypatch.setattr("studio.ui.pages.chat._LARGE_BYTES", 0)
    first = OpenRun(folder)  # it lives on, so that what is read for it is not dropped with it
    page.show_run(first)
    assert _Background.running
    page.show_run(OpenRun(make_run(home, intents=3, final=finished())))
    qtbot.waitUntil(lambda: not _Background.running)
    assert not rows(page)


def test_a_long_history_of_a_run_that_went_out_of_sight_is_not_put_into_the_next(
    page: ChatPage, home: Home, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(home, intents=3, final=finished())
    append_exchange(folder.path, Exchange(id=1, text="before", answers=[ChatAnswer(text="answer", problem="x")]))
    monkeypatch.setattr("studio.ui.pages.chat._LARGE_BYTES", 0)
    first = OpenRun(folder)
    page.show_run(first)
    page.hide()
    page.show_run(OpenRun(make_run(home, intents=3, final=finished())))
    qtbot.waitUntil(lambda: not _Background.running)
    assert not page._conversation.exchanges


def test_that_another_runs_long_history_cannot_be_read_is_not_told(
    page: ChatPage, home: Home, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(home, intents=3, final=finished())
    (folder.path / CHAT).mkdir()
    monkeypatch.setattr("studio.ui.pages.chat._LARGE_BYTES", -1)
    first = OpenRun(folder)
    page.show_run(first)
    page.show_run(OpenRun(make_run(home, intents=3, final=finished())))
    qtbot.waitUntil(lambda: not _Background.running)
    assert not page._problem.isVisible()
    page.show_run(OpenRun(folder))
    qtbot.waitUntil(page._problem.isVisible)
    assert "cannot be read" in page._problem.message


def test_a_thousand_messages_are_a_dozen_widgets(page: ChatPage, home: Home, qtbot: QtBot) -> None:
    folder = make_run(home, intents=3, final=finished())
    for number in range(1000):
        append_exchange(
            folder.path, Exchange(id=number, text=f"message {number}", answers=[ChatAnswer(text=f"answer {number}", problem="x")])
        )
    page.show_run(OpenRun(folder))

    def window() -> tuple[int, int]:
        first, last = (row.exchange.id for row in (rows(page)[0], rows(page)[-1]))
        return first, last

    bar = page._conversation.verticalScrollBar()
    qtbot.waitUntil(lambda: bool(rows(page)))
    assert window() == (988, 999)
    qtbot.waitUntil(lambda: bar.value() == bar.maximum() > 0)
    assert button(page, "chatEarlier").text() == "Show earlier messages (988)"
    assert not button(page, "chatLater").isVisible()
    qtbot.mouseClick(button(page, "chatEarlier"), Qt.MouseButton.LeftButton)
    assert window() == (980, 991)
    assert button(page, "chatLater").text() == "Show later messages (8)"
    page._conversation._show_window(14)
    qtbot.mouseClick(button(page, "chatEarlier"), Qt.MouseButton.LeftButton)
    assert window() == (0, 11)
    assert not button(page, "chatEarlier").isVisible()
    assert button(page, "chatLater").text() == "Show later messages (988)"
    qtbot.mouseClick(button(page, "chatLater"), Qt.MouseButton.LeftButton)
    assert window() == (8, 19)
    write(page, qtbot, "newest")
    assert rows(page)[-1].exchange.text == "newest"
    assert len(rows(page)) == 12
    qtbot.waitUntil(lambda: answers(page)[-1].predicted is not None)
    write(page, qtbot, "and another")
    assert (rows(page)[-1].exchange.text, rows(page)[-2].exchange.text, len(rows(page))) == ("and another", "newest", 12)
    qtbot.waitUntil(lambda: answers(page)[-1].predicted is not None)
    qtbot.waitUntil(lambda: bar.value() == bar.maximum())


def test_who_reads_above_is_not_pulled_down(page: ChatPage, qtbot: QtBot) -> None:
    choose_free(page, qtbot)
    for number in range(5):
        write(page, qtbot, f"message {number}")
        wait_for(page, qtbot, number + 1)
    write(page, qtbot, "endless")
    qtbot.waitUntil(lambda: "Once upon" in answers(page)[-1]._text.text())
    bar = page._conversation.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.value() == bar.maximum() > 100)
    bar.setValue(0)
    page.stop()
    wait_for(page, qtbot, 6)
    qtbot.wait(50)
    assert bar.value() == 0
