"""The prompt card: its preview at once, its tokens from a worker, and what it says of both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QLineEdit, QPushButton
from pytestqt.qtbot import QtBot

from studio.core.commands import InspectData
from studio.core.data_problems import DataProblem
from studio.core.events import Failed, StageChanged
from studio.core.model_description import ModelDescription
from studio.core.problem_rows import ProblemRow, write_problem_rows
from studio.core.runs import Home
from studio.core.words import size
from studio.ui.main_window import MainWindow
from studio.ui.pages.setup import SetupPage
from studio.ui.widgets.setup.problem_rows_dialog import ProblemRowsDialog
from tests.ui.conftest import FakeJobs, FakeTokens
from tests.ui.staging import FAILS, editor
from tests.ui.widget_walker import cut_texts, press


def preview(page: SetupPage) -> str:
    return page.prompt.preview.toPlainText()


def asks_again(tokens: FakeTokens, qtbot: QtBot) -> None:
    asked = len(tokens.asked)
    qtbot.waitUntil(lambda: len(tokens.asked) == asked + 1)


def nothing_is_delayed(page: SetupPage, qtbot: QtBot) -> None:
    """What was put off has been done."""
    qtbot.waitUntil(lambda: not page._delay.isActive() and not page.prompt.tokens._delay.isActive())


class TestPreview:
    def test_it_follows_each_letter_without_a_worker(self, ready: SetupPage) -> None:
        assert preview(ready) == "Message: <b>where</b> is my card?\nIntent: card_arrival"
        ready.settings.fields["prompt.template"].set_value("A customer wrote: {text}\n")
        assert preview(ready) == "A customer wrote: <b>where</b> is my card?\ncard_arrival"
        (marked,) = ready.prompt.preview.extraSelections()
        assert marked.cursor.selectedText() == "card_arrival"
        assert marked.format.fontUnderline()

    def test_it_shows_the_row_that_is_inspected(self, ready: SetupPage, tokens: FakeTokens) -> None:
        tokens.answer(text="😀 help", label="lost_card")
        assert preview(ready) == "Message: 😀 help\nIntent: lost_card"
        assert ready.prompt.preview.extraSelections()[0].cursor.selectedText() == "lost_card"

    def test_an_answer_about_data_that_cannot_be_used_any_more_is_not_taken(
        self, ready: SetupPage, jobs: FakeJobs, tokens: FakeTokens, qtbot: QtBot
    ) -> None:
        ready.dataset.open_source("other.csv")
        qtbot.waitUntil(lambda: bool(jobs.open(InspectData)))
        jobs.open(InspectData)[0].fail(Failed(kind="bad_input", message="No.", remedy="Another."))
        nothing_is_delayed(ready, qtbot)
        tokens.answer(text="a row of the data before", label="lost_card")
        assert preview(ready) == "Message: (a message)\nIntent: (its intent)"

    @pytest.mark.parametrize(
        ("template", "words"), [("Intent:", "would not see the message"), ("{text} {text}", "stands there 2 times")]
    )
    def test_a_slot_that_is_missing_or_there_twice_is_told_in_place(
        self, ready: SetupPage, template: str, words: str, qtbot: QtBot
    ) -> None:
        field = ready.settings.fields["prompt.template"]
        field.set_value(template)
        assert preview(ready) == ""
        qtbot.waitUntil(lambda: words in field.error)
        assert "given" not in field.error
        assert not ready.train_button.isEnabled()
        field.set_value("{text}:")
        qtbot.waitUntil(lambda: not field.error)
        assert preview(ready).startswith("<b>where</b>")

    def test_a_chat_shows_the_words_of_its_template_once_they_are_known(
        self, ready: SetupPage, tokens: FakeTokens, description: ModelDescription
    ) -> None:
        assert "has no chat template" in ready.prompt.note.text()
        ready.model.description = description.model_copy(update={"chat_template": True})
        ready.refresh()
        assert "own chat template" in ready.prompt.note.text()
        tokens.answer(chat=True, prompt="<user>Message: {text}\nIntent:<end>\n<model>\n")
        assert preview(ready) == "<user>Message: where is my card, 1?\nIntent:<end>\n<model>\ncard_arrival"
        ready.settings.fields["prompt.use_chat_template"].set_value(False)
        assert preview(ready) == "Message: where is my card, 1?\nIntent: card_arrival"

    def test_an_answer_to_the_template_before_is_not_taken_for_the_new_one(
        self, ready: SetupPage, tokens: FakeTokens, description: ModelDescription
    ) -> None:
        ready.model.description = description.model_copy(update={"chat_template": True})
        ready.refresh()
        ready.settings.fields["prompt.template"].set_value("A customer wrote: {text}\n")
        tokens.answer(chat=True, prompt="<user>Message: {text}\nIntent:<end>\n<model>\n")
        assert preview(ready).startswith("A customer wrote: where is my card, 1?")


class TestTokens:
    def test_they_are_asked_for_once_data_and_model_are_read(self, ready: SetupPage, tokens: FakeTokens) -> None:
        (command,) = tokens.asked
        assert (command.config, command.row, command.message) == (ready.config(), 0, None)
        inspector = ready.prompt.tokens
        tokens.answer()
        assert [token.text for token in inspector.view.tokens][:2] == ["<bos>", "Message"]
        assert "12 tokens, 4 graded" in inspector._state.text()
        assert "31 tokens on average, 4.2 of them graded" in inspector.totals.text()
        assert "the longest has 57 of 256 (message 7)" in inspector.totals.text()
        assert "12.0 % of a batch's tokens" in inspector.totals.text()
        inspector.view.choose(8)
        assert inspector._state.text() == "Token 9 of 12: ' card', id 108, graded"

    def test_before_that_it_says_what_is_waited_for(self, page: SetupPage) -> None:
        page.refresh()
        assert page.prompt.tokens._state.text() == "Tokens are shown once data and model are read."

    def test_what_changes_tokens_is_asked_again_and_nothing_else(self, ready: SetupPage, tokens: FakeTokens, qtbot: QtBot) -> None:
        tokens.answer()
        ready.settings.fields["training.learning_rate"].set_value(1e-3)
        ready.settings.fields["method.rank"].set_value(8)
        nothing_is_delayed(ready, qtbot)
        assert len(tokens.asked) == 1
        for path, value in (("prompt.template", "{text} =>"), ("prompt.max_length", 64), ("prompt.use_chat_template", False)):
            ready.settings.fields[path].set_value(value)
            asks_again(tokens, qtbot)
            assert getattr(tokens.asked[-1].config.prompt, path.split(".")[1]) == value
            tokens.answer()

    def test_many_letters_are_one_question(self, ready: SetupPage, tokens: FakeTokens, qtbot: QtBot) -> None:
        template = editor(ready, "prompt.template")
        qtbot.keyClicks(template, "Please read: ")
        asks_again(tokens, qtbot)
        nothing_is_delayed(ready, qtbot)
        assert len(tokens.asked) == 2
        assert tokens.asked[-1].config.prompt.template.startswith("Please read: ")

    def test_one_goes_from_row_to_row(self, ready: SetupPage, tokens: FakeTokens, qtbot: QtBot) -> None:
        tokens.answer()
        inspector = ready.prompt.tokens
        for name, row in (("nextRow", 1), ("nextRow", 2), ("previousRow", 1)):
            step = inspector.findChild(QPushButton, name)
            assert step is not None
            qtbot.mouseClick(step, Qt.MouseButton.LeftButton)
            assert tokens.asked[-1].row == row
            tokens.answer()
        inspector.choice.number.selectAll()
        qtbot.keyClicks(inspector.choice.number, "88")
        qtbot.keyClick(inspector.choice.number, Qt.Key.Key_Return)
        assert tokens.asked[-1].row == 87
        tokens.answer()
        assert inspector.choice.number.value() == 88
        assert "88?" in preview(ready)

    def test_cut_messages_are_named_and_led_to(self, ready: SetupPage, tokens: FakeTokens, qtbot: QtBot) -> None:
        tokens.answer(cut=3, cut_rows=[4, 40, 87])
        inspector = ready.prompt.tokens
        assert "No message is cut" not in inspector.totals.text()
        for row in (4, 40, 87, 4):
            qtbot.mouseClick(inspector.choice.next_cut, Qt.MouseButton.LeftButton)
            assert tokens.asked[-1].row == row
            tokens.answer(cut_rows=[4, 40, 87], text="long <b>story</b>")
        assert inspector._cut.isHidden()

    def test_cut_messages_are_listed(self, ready: SetupPage, tokens: FakeTokens, tmp_path: Path, qtbot: QtBot) -> None:
        folder = tokens.asked[-1].rows_folder
        assert folder is not None
        assert Path(folder).is_dir()
        path = tmp_path / "cut.arrow"
        write_problem_rows(path, [ProblemRow("train", "data.csv", 7, "a long story", "card_arrival")])
        sentence = "1 of 88 training messages is longer than 256 tokens and cut at its end."
        problem = DataProblem(kind="cut", sentence=sentence, rows=1, rows_file=str(path))
        inspector = ready.prompt.tokens
        tokens.answer(cut=1, cut_rows=[4], problems=[problem])
        show = inspector.findChild(QPushButton, "tokenProblemsRows1")
        assert show.text() == "Show 1 row"
        assert sentence in {label.text() for label in inspector.problems.findChildren(QLabel)}
        tokens.answer(cut=1, cut_rows=[4], problems=[problem])
        assert inspector.findChild(QPushButton, "tokenProblemsRows1") is show, "it keeps the focus from one message to the next"
        qtbot.mouseClick(show, Qt.MouseButton.LeftButton)
        dialog = inspector.findChild(ProblemRowsDialog)
        assert [dialog.model.index(0, column).data() for column in (2, 3)] == ["7", "a long story"]
        dialog.reject()
        tokens.answer()
        assert inspector.problems.isHidden()

    def test_what_was_cut_is_shown(self, ready: SetupPage, tokens: FakeTokens) -> None:
        answer = tokens.answer()
        ready.prompt.tokens._show_answer(answer.model_copy(update={"cut": " and so on"}))
        assert ready.prompt.tokens._cut.text() == "Too long: ' and so on' is cut off its end."
        assert ready.prompt.tokens._cut.isVisibleTo(ready)

    def test_intents_that_look_alike_are_named(self, ready: SetupPage, tokens: FakeTokens) -> None:
        tokens.answer(alike=[["card", "card "]])
        assert "'card' and 'card '" in ready.prompt.tokens._alike.text()

    def test_a_message_of_ones_own(self, ready: SetupPage, tokens: FakeTokens, qtbot: QtBot) -> None:
        tokens.answer()
        inspector = ready.prompt.tokens
        press(inspector.choice.own)
        assert inspector.choice.text.text() == "where is my card, 1?"
        assert not inspector.choice.number.isEnabled()
        assert "own message" in inspector.choice.number.toolTip()
        inspector.choice.text.setText("my purse is gone")
        inspector.choice.label.setCurrentText("lost_card")
        asks_again(tokens, qtbot)
        message = tokens.asked[-1].message
        assert message is not None
        assert (message.text, message.label) == ("my purse is gone", "lost_card")
        assert tokens.answer().row is None
        inspector.choice.own.setChecked(False)
        assert tokens.asked[-1].message is None

    def test_while_settings_are_wrong_old_tokens_say_nothing(self, ready: SetupPage, tokens: FakeTokens) -> None:
        tokens.answer()
        inspector = ready.prompt.tokens
        field = ready.settings.fields["training.learning_rate"]
        field.set_value("fast")
        ready.refresh()
        assert not inspector.view.isEnabled()
        inspector.view.choose(3)
        tokens.progressed.emit(StageChanged(stage="reading the data"))
        tokens.answer()
        assert inspector._state.text() == "Tokens are shown once the settings are right."
        field.set_value(1e-3)
        ready.refresh()
        assert inspector.view.isEnabled()
        assert "12 tokens, 4 graded" in inspector._state.text()

    def test_a_failure_is_told_in_place_and_goes_with_the_next_answer(
        self, ready: SetupPage, tokens: FakeTokens, qtbot: QtBot
    ) -> None:
        tokens.answer()
        tokens.failed.emit(Failed(kind="bad_chat_template", message="The template raises.", remedy="Set it to false."))
        inspector = ready.prompt.tokens
        assert inspector.error.message == "The template raises."
        assert inspector.view.tokens == []
        assert ready.train_button.isEnabled()
        ready.settings.fields["prompt.use_chat_template"].set_value(False)
        asks_again(tokens, qtbot)
        tokens.answer()
        assert inspector.error.isHidden()

    def test_training_gets_the_memory_back(self, ready: SetupPage, tokens: FakeTokens, qtbot: QtBot) -> None:
        tokens.answer()
        ready.settings.fields["prompt.template"].set_value("{text} =>")
        asks_again(tokens, qtbot)
        ready.prompt.tokens.release()
        assert not tokens.asking
        ready.refresh()
        asks_again(tokens, qtbot)

    def test_the_forecast_knows_the_real_lengths_as_soon_as_they_are_counted(self, ready: SetupPage, tokens: FakeTokens) -> None:
        before, words = ready.method.forecasts["lora"].activations, ready._status.text()
        tokens.answer(longest=400, largest=(16, 399, 6_300, 96, 5, 8))
        longer = ready.method.forecasts["lora"].activations
        assert longer > 2 * before
        assert ready._status.text() != words
        assert size(ready.method.forecasts["lora"].total) in ready._status.text()
        ready.settings.fields["prompt.template"].set_value("{text} =>")
        ready.refresh()
        assert ready.method.forecasts["lora"].activations < longer


@pytest.mark.parametrize("width", [790, 1260])
def test_nothing_is_cut(ready: SetupPage, tokens: FakeTokens, width: int, qtbot: QtBot) -> None:
    tokens.answer(cut=2, cut_rows=[3, 4], alike=[["a", "a "]])
    ready.prompt.tokens.choice.own.setChecked(True)
    ready.settings.show_advanced(True)
    ready.dataset.open_source("/some.csv")
    ready.resize(width, 700)
    qtbot.wait(20)
    assert cut_texts(ready) == []


def test_own_words_are_kept_while_rows_are_read_again(ready: SetupPage, tokens: FakeTokens, qtbot: QtBot) -> None:
    tokens.answer()
    inspector = ready.prompt.tokens
    inspector.choice.own.setChecked(True)
    own = inspector.findChild(QLineEdit, "ownText")
    assert own is not None
    own.setText("mine")
    ready.settings.fields["prompt.max_length"].set_value(100)
    asks_again(tokens, qtbot)
    assert tokens.asked[-1].message is not None
    assert tokens.asked[-1].message.text == "mine"


def test_a_window_that_closes_or_trains_lets_the_worker_go(
    window: MainWindow, home: Home, answer_all: Callable[[], None], the_worker_is: Callable[[str], None], qtbot: QtBot
) -> None:
    answer_all()
    session = window.setup.prompt.tokens.session
    assert isinstance(session, FakeTokens)
    qtbot.waitUntil(lambda: session.asking)
    the_worker_is(FAILS)
    for train in (lambda: window.train(window.setup.config()), lambda: window.resume(home.list_runs()[0])):
        with qtbot.waitSignal(session.released):
            train()
        qtbot.waitUntil(lambda: not window.session.active, timeout=20_000)
    with qtbot.waitSignal(session.released):
        window.close()
