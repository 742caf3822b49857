"""The Chat page: free text as it comes, the base beside the run, other runs on the same base."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from studio.core.generation import GenerationSettings
from studio.core.runs import Home
from studio.ui.models.open_run import OpenRun
from studio.ui.pages.chat import ChatPage
from studio.ui.widgets.chat.composer import LONGEST_MESSAGE
from tests.ui.chat_staging import answers, chat_page, chat_stage, choose_free, compare, line, rows, wait_for, write
from tests.ui.sample_runs import assert_usable, finished, make_run
from tests.ui.staging import Stage, button


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return chat_stage(monkeypatch)


@pytest.fixture
def page(qtbot: QtBot, home: Home, stage: Stage) -> Iterator[ChatPage]:
    with chat_page(qtbot, home, stage) as page:
        yield page


def test_free_text_is_shown_as_it_comes_with_its_settings(page: ChatPage, qtbot: QtBot) -> None:
    assert not page._composer._parameters.isVisible()
    choose_free(page, qtbot, temperature=0.5, top_p=0.8, max_tokens=30, seed=7)
    assert page._composer._parameters.isVisible()
    write(page, qtbot, "Tell me")
    (bubble,) = wait_for(page, qtbot, 1)
    assert bubble._text.text() == "Once upon a\n  time by tuned 7."
    assert bubble._facts.text() == "8 tokens · 4.0 tokens/s · wrote its end token · temperature 0.5, top-p 0.8, seed 7"
    assert bubble._intent.isHidden()
    assert bubble._bars.isHidden()
    assert page._conversation.exchanges[0].settings == GenerationSettings(temperature=0.5, top_p=0.8, max_tokens=30, seed=7)
    write(page, qtbot, "a long one")
    assert "max_length" in wait_for(page, qtbot, 2)[1]._note.text()
    assert_usable(page)


def test_an_answer_is_stopped_with_escape(page: ChatPage, qtbot: QtBot) -> None:
    choose_free(page, qtbot)
    write(page, qtbot, "endless")
    qtbot.waitUntil(lambda: "Once upon" in answers(page)[0]._text.text() if answers(page) else False)
    assert button(page, "chatStop").isVisible()
    qtbot.keyClick(line(page), Qt.Key.Key_Escape)
    (bubble,) = wait_for(page, qtbot, 1)
    assert "stopped by you" in bubble._facts.text()
    assert not button(page, "chatStop").isVisible()
    write(page, qtbot, "more")
    wait_for(page, qtbot, 2)


def test_shift_enter_begins_a_line_and_enter_sends(page: ChatPage, qtbot: QtBot) -> None:
    one = line(page).height()
    qtbot.keyClicks(line(page), "first")
    qtbot.keyClick(line(page), Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClicks(line(page), "second")
    assert line(page).height() > one
    assert page._conversation.exchanges == []
    qtbot.keyClick(line(page), Qt.Key.Key_Enter)
    assert page._conversation.exchanges[0].text == "first\nsecond"
    assert line(page).height() == one
    wait_for(page, qtbot, 1)


def test_a_message_that_is_too_long_is_told_and_stays(page: ChatPage, qtbot: QtBot) -> None:
    line(page).setPlainText("x" * (LONGEST_MESSAGE + 1))
    assert "20,001 characters; at most 20,000" in page._composer._hint.text()
    assert page._composer._hint.isVisible()
    qtbot.keyClick(line(page), Qt.Key.Key_Return)
    assert page._conversation.exchanges == []
    line(page).setPlainText("x" * LONGEST_MESSAGE)
    assert not page._composer._hint.isVisible()
    qtbot.keyClick(line(page), Qt.Key.Key_Return)
    wait_for(page, qtbot, 1)
    assert "(14,000 more characters)" in rows(page)[0].message._label.text()


@pytest.mark.parametrize("free", [False, True])
def test_the_base_answers_beside_the_run(page: ChatPage, stage: Stage, qtbot: QtBot, free: bool) -> None:
    qtbot.mouseClick(compare(page), Qt.MouseButton.LeftButton)
    if free:
        choose_free(page, qtbot, seed=3)
    write(page, qtbot, "Where is it?")
    tuned, base = wait_for(page, qtbot, 2)
    assert (tuned._speaker.text(), base._speaker.text()) == ("This run", "The base")
    assert tuned._speaker.isVisible()
    assert base.x() >= tuned.x() + tuned.width()
    assert tuned.mapTo(page, tuned.rect().topLeft()).y() == base.mapTo(page, base.rect().topLeft()).y()
    if free:
        assert (tuned._text.text()[-8:], base._text.text()[-7:]) == ("tuned 3.", "base 3.")
    else:
        assert base._bars.accessibleDescription() == "card_arrival 90.0 %, lost_card 10.0 %"
    assert len(stage.started) == 1
    assert_usable(page)


def test_what_comparing_costs_is_told_for_a_full_run(page: ChatPage, home: Home, qtbot: QtBot) -> None:
    qtbot.mouseClick(compare(page), Qt.MouseButton.LeftButton)
    assert "beside" not in page._header.cost.text()
    page.show_run(OpenRun(make_run(home, intents=3, method="full", final=finished())))
    assert "Comparing loads the base beside it: 1.0 GB more." in page._header.cost.text().replace("\u00a0", " ")
    qtbot.mouseClick(compare(page), Qt.MouseButton.LeftButton)
    assert "beside" not in page._header.cost.text()


def test_while_a_run_is_trained_the_cost_stays_in_sight(page: ChatPage, qtbot: QtBot) -> None:
    assert "trained" not in page._header.cost.text()
    page.show_training(True)
    assert "slows it down" in page._header.cost.text()
    qtbot.mouseClick(button(page, "chatLoad"), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: page.session.model is not None)
    assert page._header.cost.isVisible()
    page.show_training(False)
    assert not page._header.cost.isVisible()


def test_one_answer_that_fails_leaves_the_model_loaded(page: ChatPage, qtbot: QtBot) -> None:
    write(page, qtbot, "refuse")
    (bubble,) = wait_for(page, qtbot, 1)
    assert bubble._note.text() == "Too big. Close others."
    assert bubble._intent.text() == "No answer"
    assert not page._problem.isVisible()
    write(page, qtbot, "hello")
    assert wait_for(page, qtbot, 2)[1].predicted is not None


def test_a_run_on_the_same_base_keeps_the_worker(page: ChatPage, stage: Stage, home: Home, qtbot: QtBot) -> None:
    write(page, qtbot, "hello")
    wait_for(page, qtbot, 1)
    first = page.run
    other = OpenRun(make_run(home, intents=3, final=finished()))
    page.show_run(other)
    assert page._header.state.text() == "Loading"
    assert answers(page) == []
    qtbot.waitUntil(lambda: page.session.model is not None and page.session.model.run == str(other.folder.path))
    write(page, qtbot, "hello again")
    wait_for(page, qtbot, 1)
    page.show_run(first)
    assert [exchange.text for exchange in page._conversation.exchanges] == ["hello"]
    assert len(stage.started) == 1


def test_half_a_character_is_sent_as_a_whole_one(page: ChatPage, qtbot: QtBot) -> None:
    page.ask("half \ud83d")
    (bubble,) = wait_for(page, qtbot, 1)
    assert bubble.predicted is not None
    assert bubble.predicted.prediction.text == "half \N{REPLACEMENT CHARACTER}"


def test_text_begins_on_the_side_of_its_script(page: ChatPage, qtbot: QtBot) -> None:
    for text in ("12 أين بطاقتي؟", "where is بطاقتي"):
        page.ask(text)
    wait_for(page, qtbot, 2)
    directions = [row.message._label.layoutDirection() for row in rows(page)]
    assert directions == [Qt.LayoutDirection.RightToLeft, Qt.LayoutDirection.LeftToRight]


def test_a_wider_window_leaves_no_gaps(page: ChatPage, qtbot: QtBot) -> None:
    page.ask("why is my transfer still pending " * 12)
    wait_for(page, qtbot, 1)
    label = rows(page)[0].message._label
    wide = label.height()
    page.resize(420, 610)
    qtbot.waitUntil(lambda: label.height() > wide)
    page.resize(824, 610)
    qtbot.waitUntil(lambda: label.height() == wide)
