"""The Chat page with a real process at the other end: loading, intents, what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPlainTextEdit, QPushButton
from pytestqt.qtbot import QtBot

from studio.core.runs import Home
from studio.ui.models.open_run import OpenRun
from studio.ui.pages.chat import ChatPage
from tests.ui.chat_staging import answers, chat_page, chat_stage, line, write
from tests.ui.sample_runs import assert_usable, finished, history, make_run, stamped, started
from tests.ui.staging import Stage, button


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return chat_stage(monkeypatch)


@pytest.fixture
def page(qtbot: QtBot, home: Home, stage: Stage) -> Iterator[ChatPage]:
    with chat_page(qtbot, home, stage) as page:
        yield page


def test_without_a_run_it_says_what_to_do_next(page: ChatPage, qtbot: QtBot) -> None:
    page.show_run(None)
    with qtbot.waitSignal(page.setup_requested):
        qtbot.mouseClick(button(page, "chatEmptyButton"), Qt.MouseButton.LeftButton)


def test_the_first_message_loads_the_model_and_is_answered(page: ChatPage, qtbot: QtBot) -> None:
    assert page._header.state.text() == "Not loaded"
    assert "about 1.0 GB of weights" in page._header.cost.text()
    write(page, qtbot, "Where is my card?")
    assert line(page).toPlainText() == ""
    qtbot.waitUntil(lambda: answers(page)[0].predicted is not None)
    (answer,) = answers(page)
    assert answer._intent.text() == "card_arrival"
    assert answer._bars.accessibleDescription() == "card_arrival 90.0 %, lost_card 10.0 %"
    assert answer._note.isHidden()
    assert answer._facts.text() == "25.0 % of the probability is on texts that are no intent · 0.50 s"
    assert line(page).isEnabled()
    qtbot.waitUntil(lambda: page._header.state.text() == "Loaded on cpu · 300 MB")


def test_answers_belong_to_their_messages(page: ChatPage, qtbot: QtBot) -> None:
    write(page, qtbot, "one")
    write(page, qtbot, "something strange")  # while the model is being loaded
    qtbot.mouseClick(button(page, "chatSend"), Qt.MouseButton.LeftButton)  # nothing is written: nothing is sent
    qtbot.waitUntil(lambda: len(answers(page)) == 2 and all(bubble.predicted for bubble in answers(page)))
    texts = [bubble.predicted.prediction.text for bubble in answers(page) if bubble.predicted]
    assert texts == ["one", "something strange"]
    assert answers(page)[0]._note.isHidden()
    assert answers(page)[1]._note.isVisible(), "greedy decoding would have left the label set"
    assert len(page.session.model.labels if page.session.model else []) == 2


def test_examples_are_test_messages_and_can_be_asked(page: ChatPage, qtbot: QtBot) -> None:
    chips = [button(page, f"example_{number}") for number in range(3)]
    assert [chip.text() for chip in chips] == [
        f"message {copy} about intent_{label:03}" for copy, label in ((0, 0), (0, 1), (0, 2))
    ]
    qtbot.mouseClick(chips[1], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(answers(page)) and answers(page)[0].predicted is not None)
    assert not chips[1].isVisible()


def test_unload_gives_the_memory_back(page: ChatPage, stage: Stage, qtbot: QtBot) -> None:
    qtbot.mouseClick(button(page, "chatLoad"), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: page.session.model is not None)
    qtbot.mouseClick(button(page, "chatUnload"), Qt.MouseButton.LeftButton)
    assert page._header.state.text() == "Not loaded"
    assert stage.started[0].wait(10)
    write(page, qtbot, "again")
    qtbot.waitUntil(lambda: bool(answers(page)) and answers(page)[0].predicted is not None)


def test_loading_shows_its_stage_and_can_be_given_up(page: ChatPage, stage: Stage, qtbot: QtBot) -> None:
    stage.script = "slow chat"
    write(page, qtbot, "hello")
    qtbot.waitUntil(lambda: page._header.progress.stage.text() == "Loading the model")
    assert page._header.progress.bar.isVisible()
    assert not button(page, "chatStop").isVisible(), "it is Unload that gives up loading"
    qtbot.mouseClick(button(page, "chatUnload"), Qt.MouseButton.LeftButton)
    assert "unloaded before it could answer" in answers(page)[0]._note.text()
    assert line(page).isEnabled()


def test_whoever_asks_by_keyboard_writes_on(page: ChatPage, stage: Stage, qtbot: QtBot) -> None:
    """A button that goes out hands the keyboard to the line, not to its neighbour: beside Load stands Unload."""
    page.activateWindow()
    qtbot.waitUntil(page.isActiveWindow)
    stage.script = "slow chat"
    for name in ("chatLoad", "example_1"):
        asked = button(page, name)
        asked.setFocus()
        qtbot.keyClick(asked, Qt.Key.Key_Space)
        qtbot.waitUntil(lambda name=name: not button(page, name).isEnabled() or not button(page, name).isVisible())
        assert line(page).hasFocus()
    assert page.session.active


def test_without_test_messages_none_are_offered(page: ChatPage, home: Home) -> None:
    def invitation() -> str:
        label = page._conversation._chips.itemAt(0).widget()
        assert isinstance(label, QLabel)
        return label.text()

    assert invitation().endswith("one of the test messages")
    page.show_run(OpenRun(make_run(home, final=finished(outcome="stopped", rows=0))))
    assert invitation() == "Write a message"


def test_a_model_that_cannot_be_loaded_says_why(page: ChatPage, stage: Stage, qtbot: QtBot) -> None:
    stage.script = "fail"
    write(page, qtbot, "hello")
    qtbot.waitUntil(page._problem.isVisible)
    assert page._problem.message == "The checkpoint is damaged."
    assert not answers(page)[0].waiting
    assert page._header.state.text() == "Not loaded"
    assert line(page).isEnabled()


def test_a_crash_while_answering_says_so(page: ChatPage, qtbot: QtBot) -> None:
    write(page, qtbot, "hello")
    qtbot.waitUntil(lambda: answers(page)[0].predicted is not None)
    write(page, qtbot, "crash")
    qtbot.waitUntil(page._problem.isVisible)
    assert page._header.state.text() == "Not loaded"
    assert not answers(page)[1].waiting
    assert answers(page)[0].predicted is not None, "what was answered stays"


def test_a_run_on_another_base_unloads_and_begins_anew(page: ChatPage, stage: Stage, home: Home, qtbot: QtBot) -> None:
    write(page, qtbot, "hello")
    qtbot.waitUntil(lambda: answers(page)[0].predicted is not None)
    page.show_run(page.run)
    assert len(answers(page)) == 1, "the same run shown again keeps its conversation"
    page.show_run(OpenRun(make_run(home, intents=3, method="full", final=finished())))
    assert answers(page) == []
    assert not page.session.active
    assert stage.started[0].wait(10)


def test_a_run_can_be_asked_once_it_has_ended(page: ChatPage, home: Home, qtbot: QtBot) -> None:
    folder = make_run(home, [], checkpoint=False)
    run = OpenRun(folder)
    page.show_run(run)
    run.add(started(run.name))
    page.ask("too early")
    assert button(page, "chatWaitingButton").isVisible()
    assert not page.session.active
    (folder.checkpoints / "step-1").mkdir(parents=True)
    (folder.checkpoints / "step-1" / "manifest.json").write_text("{}")
    run.add(stamped([*history(run.name), finished()])[-1])
    assert line(page).isVisible()
    page.ask("Where is it?")
    qtbot.waitUntil(lambda: bool(answers(page)) and answers(page)[0].predicted is not None)


def test_text_is_shown_as_it_was_written(page: ChatPage, qtbot: QtBot) -> None:
    write(page, qtbot, "<b>bold</b> " + "x" * 300)
    bubble = page._conversation._rows[0].message
    assert bubble.text.startswith("<b>bold</b>")
    qtbot.waitUntil(lambda: bubble.width() <= 0.75 * page.width())
    assert bubble._label.text().replace("\u200b", "") == bubble.text
    qtbot.waitUntil(lambda: answers(page)[0].predicted is not None)
    assert_usable(page)


@pytest.mark.parametrize(
    ("device", "method", "precision", "weights"),
    [
        ("CPU, 2 threads", "lora", "bf16", "about 1.0 GB"),
        ("Apple GPU (mps)", "lora", "bf16", "about 1.0 GB"),
        ("cuda:0 RTX 3090", "lora", "bf16", "about 515 MB"),
        ("cuda:0 RTX 3090", "full", "bf16", "about 1.0 GB"),
        ("CPU, 2 threads", "qlora", "fp32", "up to 1.0 GB"),
    ],
)
def test_what_loading_costs_is_told_before(
    page: ChatPage, home: Home, device: str, method: str, precision: str, weights: str
) -> None:
    said = [started("r").model_copy(update={"device": device, "precision": precision})]
    page.show_run(OpenRun(make_run(home, stamped(said), method=method, final=finished())))
    assert f"{weights} of weights" in page._header.cost.text().replace("\u00a0", " ")


@pytest.mark.usefixtures("light")
def test_the_buttons_are_as_high_as_one_line_beside_them(qtbot: QtBot, home: Home, stage: Stage) -> None:
    with chat_page(qtbot, home, stage) as page:
        _check_heights(page)


def _check_heights(page: ChatPage) -> None:
    field, send = page.findChild(QPlainTextEdit, "chatInput"), page.findChild(QPushButton, "chatSend")
    assert field is not None
    assert send is not None
    assert field.height() == send.sizeHint().height() == send.height() > 30
