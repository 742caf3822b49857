"""What the tests of the Chat page share: a page whose models are scripted workers, and ways to use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QDoubleSpinBox, QLabel, QSpinBox
from pytestqt.qtbot import QtBot

from studio.core.runs import Home
from studio.supervise import jobs
from studio.ui.models.open_run import OpenRun
from studio.ui.pages.chat import ChatPage
from studio.ui.widgets.chat.chat_bubble import AnswerBubble, ExchangeRow
from studio.ui.widgets.chat.composer import MessageEdit
from tests.ui.sample_runs import finished, make_run
from tests.ui.staging import Stage, button


def chat_stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Scripted workers in the place of those that a chat starts."""
    stage = Stage("chat")
    monkeypatch.setattr(jobs, "start_job", stage.start)
    return stage


@contextmanager
def chat_page(qtbot: QtBot, home: Home, stage: Stage) -> Iterator[ChatPage]:
    """A Chat page that shows a LoRA run; its workers must have ended when it is closed."""
    page = ChatPage(home)
    qtbot.addWidget(page)
    page.resize(824, 610)
    page.show()
    page.show_run(OpenRun(make_run(home, intents=3, final=finished())))
    yield page
    page.unload()
    for process in stage.started:
        assert process.wait(10), "an unloaded model's process ends"


def line(page: ChatPage) -> MessageEdit:
    found = page.findChild(MessageEdit, "chatInput")
    assert found is not None
    return found


def write(page: ChatPage, qtbot: QtBot, text: str) -> None:
    qtbot.keyClicks(line(page), text)
    qtbot.keyClick(line(page), Qt.Key.Key_Return)


def answers(page: ChatPage) -> list[AnswerBubble]:
    return [bubble for row in page._conversation._rows for bubble in row.answers]


def rows(page: ChatPage) -> list[ExchangeRow]:
    return page._conversation._rows


def choose_free(page: ChatPage, qtbot: QtBot, **parameters: float) -> None:
    qtbot.mouseClick(button(page, "chatFreeMode"), Qt.MouseButton.LeftButton)
    for name, value in parameters.items():
        spin = page.findChild(QSpinBox, f"chat_{name}") or page.findChild(QDoubleSpinBox, f"chat_{name}")
        assert spin is not None
        spin.setValue(value)


def compare(page: ChatPage) -> QCheckBox:
    found = page.findChild(QCheckBox, "chatCompare")
    assert found is not None
    return found


def wait_for(page: ChatPage, qtbot: QtBot, number: int) -> list[AnswerBubble]:
    """The bubbles once there are ``number`` of them, all answered."""
    qtbot.waitUntil(lambda: len(answers(page)) == number and not any(bubble.waiting for bubble in answers(page)))
    return answers(page)


def shown(page: ChatPage) -> str:
    return " | ".join(label.text() for label in page._conversation.findChildren(QLabel) if label.isVisible())
