"""Small widgets in a row that goes on in the next line."""

from __future__ import annotations

import gc

from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from studio.ui.widgets.flow_box import FlowBox


def test_what_has_no_room_goes_into_the_next_line_and_hidden_ones_take_none(qtbot: QtBot) -> None:
    outer = QWidget()
    qtbot.addWidget(outer)
    column = QVBoxLayout(outer)
    column.setContentsMargins(0, 0, 0, 0)
    box = FlowBox()
    column.addWidget(box)
    column.addStretch(1)
    parts = [QLabel(name) for name in ("one of them", "another one", "the last of all")]
    for part in parts:
        box.add(part)
    outer.resize(600, 200)
    outer.show()
    qtbot.waitUntil(lambda: parts[2].x() > parts[1].x() > parts[0].x())
    assert len({part.y() for part in parts}) == 1
    outer.resize(parts[0].width() + parts[1].width() + 12, 200)
    qtbot.waitUntil(lambda: parts[2].y() > parts[1].y() == parts[0].y())
    assert box.height() >= parts[2].geometry().bottom()
    parts[0].hide()
    qtbot.waitUntil(lambda: parts[1].x() == 0)


def test_parts_come_and_go(qtbot: QtBot) -> None:
    """Whatever the memory of one that is gone is used for next."""
    box = FlowBox()
    qtbot.addWidget(box)
    last = QLabel("last")
    box.add(last)
    box.show()
    for number in range(200):
        part = QLabel(str(number))
        box.add(part, before=last)
        assert part.isVisible()
        box.resize(100 + number, 60)
        box.remove(part)
        gc.collect(0)
        assert box.sizeHint().isValid()
    assert last.x() == 0
