"""Tokens as chips: what they say, how one walks over them, and that grading is seen without colour too."""

from __future__ import annotations

import itertools

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from studio.core.answers import InspectedToken
from studio.ui import theme
from studio.ui.widgets.setup.token_view import TokenView, token_words, visible

TEXTS = ["<bos>", "Message", ":", " where", "\n", "Intent", ":", " card", "_", "lost", "<eos>"]


def tokens(texts: list[str], graded: int = 4) -> list[InspectedToken]:
    return [InspectedToken(id=1000 + place, text=text, supervised=place >= len(texts) - graded) for place, text in enumerate(texts)]


@pytest.fixture
def view(light: QApplication, qtbot: QtBot) -> TokenView:
    assert light.styleSheet()
    made = TokenView()
    qtbot.addWidget(made)
    made.resize(400, 200)
    made.show_tokens(tokens(TEXTS))
    made.show()
    return made


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" card", "·card"),
        ("\n\n", "⏎⏎"),
        ("a\tb", "a⇥b"),
        ("\u00a0", "⍽"),
        ("\u200b", "\\u200b"),
        ("é😀", "é😀"),
        ("x" * 60, "x" * 39 + "…"),
    ],
)
def test_what_cannot_be_seen_has_a_sign(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_chips_flow_within_the_width_and_break_with_the_text(view: TokenView) -> None:
    rects = [view.chip_rect(number) for number in range(len(TEXTS))]
    assert all(rect.left() >= 0 and rect.right() < view.width() for rect in rects)
    assert rects[5].top() > rects[4].top(), "a line break is one here too"
    assert not any(first.intersects(second) for first, second in itertools.pairwise(rects))
    assert view.heightForWidth(100) > view.heightForWidth(400) >= rects[-1].bottom()


def test_a_long_prompt_takes_many_lines(view: TokenView) -> None:
    view.show_tokens(tokens([f" word{number}" for number in range(256)]))
    rects = [view.chip_rect(number) for number in range(256)]
    assert max(rect.right() for rect in rects) < view.width()
    assert len({rect.top() for rect in rects}) > 20
    view.resize(400, view.heightForWidth(400))
    assert not view.grab().isNull()


def test_one_walks_by_keyboard_and_hears_each_token(view: TokenView, qtbot: QtBot) -> None:
    heard: list[int] = []
    view.current_changed.connect(heard.append)
    view.setFocus()
    for key in (
        Qt.Key.Key_Right,
        Qt.Key.Key_Right,
        Qt.Key.Key_End,
        Qt.Key.Key_Right,
        Qt.Key.Key_Left,
        Qt.Key.Key_Home,
        Qt.Key.Key_Left,
    ):
        qtbot.keyClick(view, key)
    assert heard == [0, 1, 10, 10, 9, 0, 0]
    qtbot.keyClick(view, Qt.Key.Key_Down)
    below = view.current
    assert view.chip_rect(below).top() > view.chip_rect(0).top()
    qtbot.keyClick(view, Qt.Key.Key_Up)
    assert view.chip_rect(view.current).top() == view.chip_rect(0).top()
    view.choose(7)
    assert view.accessibleDescription() == "Token 8 of 11: ' card', id 1007, graded"
    assert token_words(view.tokens[3], 3, 11) == "Token 4 of 11: ' where', id 1003, read, not graded"


def test_one_points_with_the_mouse(view: TokenView, qtbot: QtBot) -> None:
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=view.chip_rect(3).center())
    assert view.current == 3
    assert view.token_at(view.chip_rect(8).center()) == 8
    assert view.token_at(QPoint(395, 195)) == -1


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_what_is_graded_is_underlined_and_framed(view: TokenView, light: QApplication, mode: theme.Mode) -> None:
    theme.apply(light, mode)
    picture = view.grab().toImage()
    scale = picture.devicePixelRatio()

    def colour(number: int, up: int) -> QColor:
        rect = view.chip_rect(number)
        return QColor(picture.pixel(round(rect.center().x() * scale), round((rect.bottom() - up) * scale)))

    accent, ground = theme.current().color("accent"), theme.current().color("surface")
    for number, token in enumerate(view.tokens):
        assert (colour(number, 3) == accent) is token.supervised, token.text
        assert token.supervised or colour(number, 3) == ground


def test_without_tokens_nothing_goes_wrong(view: TokenView, qtbot: QtBot) -> None:
    view.show_tokens([])
    view.setFocus()
    for key in (Qt.Key.Key_Right, Qt.Key.Key_End, Qt.Key.Key_Down, Qt.Key.Key_A):
        qtbot.keyClick(view, key)
    assert view.current == -1
    assert not view.grab().isNull()
