"""What the tests of the Results page share: ways to use it and to read what it lists."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from studio.ui.pages.results import ResultsPage
from studio.ui.widgets.results.confusion_view import ConfusionView

FEW = 4
"""Intents of the run that is shown at first."""


def button(page: ResultsPage, name: str) -> QPushButton:
    found = page.findChild(QPushButton, name)
    assert found is not None
    return found


def click_cell(qtbot: QtBot, view: ConfusionView, row: int, column: int) -> None:
    centre = view.visualRect(view.confusion.index(row, column)).center()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=centre)


def column(page: ResultsPage, number: int) -> list[str]:
    model = page._messages.table.model()
    return [str(model.index(row, number).data()) for row in range(model.rowCount())]
