"""What the tests of the Results page share: ways to use it and to read what it lists."""

from __future__ import annotations

from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from studio.core.runs import Home
from studio.ui.models.open_run import OpenRun
from studio.ui.pages.results import ResultsPage
from studio.ui.widgets.results.confusion_view import ConfusionView
from tests.ui.sample_runs import GB, finished, make_run

FEW = 4
"""Intents of the run that is shown at first."""


def results_page(qtbot: QtBot, home: Home) -> ResultsPage:
    """A Results page that is in sight, with a run of ``FEW`` intents."""
    page = ResultsPage(home)
    qtbot.addWidget(page)
    page.resize(1100, 700)
    page.show()
    page.show_run(OpenRun(make_run(home, intents=FEW, final=finished(peak_bytes=3 * GB, forecast_bytes=4 * GB))))
    return page


def click_cell(qtbot: QtBot, view: ConfusionView, row: int, column: int) -> None:
    centre = view.visualRect(view.confusion.index(row, column)).center()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=centre)


def column(page: ResultsPage, number: int) -> list[str]:
    model = page._messages.table.model()
    return [str(model.index(row, number).data()) for row in range(model.rowCount())]
