"""The generator of the soak's actions: valid, the same for the same seed, and found again from a log."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from PySide6.QtWidgets import QLineEdit, QMainWindow, QMenu, QPushButton, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from tests.soak.hands import Action, Hands, address, find
from tests.soak.run import read_actions
from tests.soak.stage import Stage

ACTIONS = 300


class Scene(QMainWindow):
    """A field and three buttons, of which one must never be pressed."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("scene")
        self.pressed: list[str] = []
        content = QWidget()
        column = QVBoxLayout(content)
        for name in ("go", "off", "hidden"):
            button = QPushButton(name)
            button.setObjectName(name)
            button.clicked.connect(lambda _checked=False, name=name: self.pressed.append(name))
            column.addWidget(button)
            button.setEnabled(name != "off")
            button.setVisible(name != "hidden")
        self.field = QLineEdit()
        self.field.setObjectName("field")
        column.addWidget(self.field)
        self.setCentralWidget(content)


@pytest.fixture
def scene(qtbot: QtBot) -> Scene:
    scene = Scene()
    qtbot.addWidget(scene)
    scene.resize(400, 300)
    scene.show()
    qtbot.waitExposed(scene)
    return scene


def hands(scene: Scene, seed: int, tmp_path: Path) -> Hands:
    return Hands(scene, cast(Stage, SimpleNamespace(droppable=[tmp_path / "absent.csv"])), seed)


def chosen(scene: Scene, seed: int, tmp_path: Path) -> list[Action]:
    chooser = hands(scene, seed, tmp_path)
    return [chooser.choose() for _ in range(ACTIONS)]


def test_the_same_seed_chooses_the_same(scene: Scene, tmp_path: Path) -> None:
    assert chosen(scene, 1, tmp_path) == chosen(scene, 1, tmp_path)
    assert chosen(scene, 1, tmp_path) != chosen(scene, 2, tmp_path)


def test_only_what_is_in_sight_and_can_be_used_is_chosen(scene: Scene, tmp_path: Path) -> None:
    targets = {action.target.rpartition("/")[2] for action in chosen(scene, 1, tmp_path)}
    assert targets == {"", "scene", "go", "field"}


def test_what_was_done_often_is_done_less(scene: Scene, tmp_path: Path) -> None:
    presses = [action.target.endswith("/go") and action.do == "click" for action in chosen(scene, 1, tmp_path)]
    assert sum(presses[:100]) > sum(presses[200:]) > 0


def test_a_program_is_not_quit_and_work_is_seldom_ended(scene: Scene, tmp_path: Path, qtbot: QtBot) -> None:
    menu = QMenu(scene)
    for text in ("&Quit", "Stop", "Copy"):
        menu.addAction(text)
    menu.popup(scene.pos())
    qtbot.waitUntil(menu.isVisible)
    # A menu is left after a dozen actions, so each choice is the first of its hands.
    first = [hands(scene, seed, tmp_path).choose() for seed in range(ACTIONS)]
    texts = [action.text for action in first if action.do == "click"]
    menu.close()
    assert set(texts) == {"Stop", "Copy"}
    assert texts.count("Copy") > 2 * texts.count("Stop")


def test_a_log_is_done_again(scene: Scene, tmp_path: Path) -> None:
    done = [
        Action("click", address(scene.findChild(QPushButton, "go")), 5, 5, "go"),  # type: ignore[arg-type]  # it is there
        Action("type", address(scene.field), text="<the soak's folder>/Überweisung 😀"),
        Action("click", "scene/gone", 1, 1),
    ]
    log = tmp_path / "actions.jsonl"
    log.write_text("".join(json.dumps({"number": 1, "at": 0.5, **action.as_dict()}) + "\n" for action in done), "utf-8")
    player = hands(scene, 3, tmp_path)
    assert [player.perform(action) for action in read_actions(log, tmp_path)] == [True, True, False]
    assert scene.pressed == ["go"]
    assert scene.field.text() == f"{tmp_path}/Überweisung 😀"
    assert player.targets == {"click go go": 1, "type field": 1}


def test_an_address_finds_its_widget_again(scene: Scene) -> None:
    assert find(address(scene.field)) is scene.field
    assert find("scene/nothing") is None
