"""The messages on the Results page: found, sorted, copied, shown whole."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QCheckBox, QLineEdit
from pytestqt.qtbot import QtBot

from studio.core.predictions import write_predictions
from studio.core.runs import Home
from studio.ui.models.confusion_model import Scope
from studio.ui.models.messages_model import PREDICTED, PROBABILITY, RIGHT, TEXT, TRUE
from studio.ui.models.open_run import OpenRun
from studio.ui.pages.results import ResultsPage
from studio.ui.theme import GRID
from tests.ui.results_staging import FEW, click_cell, column, results_page
from tests.ui.sample_runs import finished, labels, make_run, prediction
from tests.ui.staging import button

PER_LABEL = 5


@pytest.fixture
def page(qtbot: QtBot, home: Home) -> ResultsPage:
    return results_page(qtbot, home)


class TestMessages:
    def test_a_certain_one_is_not_cut(self, page: ResultsPage, home: Home) -> None:
        run = make_run(home, intents=FEW, final=finished())
        write_predictions(run.predictions_path, labels(1), [prediction("sure", *labels(1) * 2, probability=1.0)])
        page.show_run(OpenRun(run))
        table = page._messages.table
        assert column(page, PROBABILITY) == ["100.0 %"]
        assert table.columnWidth(PROBABILITY) >= table.sizeHintForColumn(PROBABILITY)

    def test_chosen_ones_are_copied(self, page: ResultsPage, qtbot: QtBot) -> None:
        page._messages.table.setFocus()
        page._messages.table.selectAll()
        qtbot.keyClick(page._messages.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
        lines = QGuiApplication.clipboard().text().splitlines()
        assert len(lines) == 20
        assert lines[4].split("\t") == ["message 4 about intent_000", "intent_000", "intent_001", "0.5900"]

    def test_words_find_messages_in_any_case_and_order(self, page: ResultsPage, qtbot: QtBot) -> None:
        search = page.findChild(QLineEdit, "messagesSearch")
        assert search is not None
        search.setFocus()
        qtbot.keyClicks(search, "INTENT_002 message")
        assert column(page, TEXT) == [f"message {number} about intent_002" for number in range(PER_LABEL)]
        qtbot.keyClicks(search, " 3")
        assert column(page, TEXT) == ["message 3 about intent_002"]
        qtbot.keyClicks(search, "x")
        assert page._messages._count.text() == "0 of 20 messages"
        qtbot.keyClick(search, Qt.Key.Key_Escape)
        assert page._messages._count.text() == "20 of 20 messages"

    def test_another_run_begins_without_search_and_filter(self, page: ResultsPage, home: Home) -> None:
        search = page.findChild(QLineEdit, "messagesSearch")
        box = page.findChild(QCheckBox, "misclassifiedOnly")
        assert search is not None
        assert box is not None
        search.setText("nothing")
        box.setChecked(True)
        page.show_run(OpenRun(make_run(home, intents=3, final=finished())))
        assert (search.text(), box.isChecked()) == ("", False)
        assert page._messages._count.text() == "15 of 15 messages"

    def test_what_was_chosen_stays_when_the_rest_of_a_long_history_has_been_read(self, page: ResultsPage) -> None:
        assert page.run is not None
        page.choose(Scope(true=1))
        search = page.findChild(QLineEdit, "messagesSearch")
        assert search is not None
        search.setText("message 3")
        page._messages.table.selectRow(0)
        page.run.loaded.emit()
        assert page._messages._count.text() == "1 of 20 messages"
        assert page._messages.detail.shown is not None
        assert search.text() == "message 3"

    def test_misclassified_only(self, page: ResultsPage, qtbot: QtBot) -> None:
        box = page.findChild(QCheckBox, "misclassifiedOnly")
        assert box is not None
        box.setFocus()
        qtbot.keyClick(box, Qt.Key.Key_Space)
        assert page._messages._count.text() == "4 of 20 messages"
        assert all(true != predicted for true, predicted in zip(column(page, TRUE), column(page, PREDICTED), strict=True))
        click_cell(qtbot, page._views.matrix, 1, 1)
        assert page._messages._count.text() == "0 of 20 messages"

    def test_a_click_on_a_column_sorts_by_number_not_by_text(self, page: ResultsPage, qtbot: QtBot) -> None:
        header = page._messages.table.horizontalHeader()
        at = QPoint(header.sectionViewportPosition(PROBABILITY) + 10, header.height() // 2)
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=at)
        shown = [float(value.removesuffix(" %")) for value in column(page, PROBABILITY)]
        assert shown in (sorted(shown), sorted(shown, reverse=True))
        assert len(set(shown)) == len(shown)

    def test_the_message_is_in_sight_however_narrow_the_table(self, page: ResultsPage, qtbot: QtBot) -> None:
        page.resize(780, 600)
        qtbot.wait(50)
        table = page._messages.table
        shown = table.viewport().width() - table.columnViewportPosition(TEXT)
        assert table.columnViewportPosition(TEXT) < 5 * GRID
        assert min(shown, table.columnWidth(TEXT)) >= 20 * GRID

    def test_every_column_is_in_sight_in_an_ordinary_window(self, page: ResultsPage, qtbot: QtBot) -> None:
        page.resize(1210, 800)
        qtbot.wait(50)
        table = page._messages.table
        assert table.columnViewportPosition(PROBABILITY) + table.columnWidth(PROBABILITY) <= table.viewport().width() + 1

    def test_intents_are_read_whole_where_there_is_room(self, page: ResultsPage, qtbot: QtBot) -> None:
        table = page._messages.table
        page.resize(1500, 800)
        qtbot.waitUntil(lambda: table.columnWidth(TRUE) >= table.sizeHintForColumn(TRUE))
        assert table.columnWidth(PREDICTED) >= table.sizeHintForColumn(PREDICTED)
        assert table.columnWidth(TEXT) > table.columnWidth(TRUE), "the rest is the message's"

    def test_the_verdict_is_never_cut(self, page: ResultsPage, qtbot: QtBot) -> None:
        verdict = page._messages.detail._verdict
        page._messages.table.selectRow(4)
        qtbot.waitUntil(lambda: verdict.heightForWidth(verdict.width()) <= verdict.height())

    def test_wrong_ones_can_be_brought_together(self, page: ResultsPage) -> None:
        page._messages.table.sortByColumn(RIGHT, Qt.SortOrder.DescendingOrder)
        assert column(page, RIGHT)[:5] == ["✗", "✗", "✗", "✗", "✓"]

    def test_a_chosen_message_is_shown_whole_and_can_be_asked(self, page: ResultsPage, qtbot: QtBot) -> None:
        click_cell(qtbot, page._views.matrix, 0, 1)
        index = page._messages.table.model().index(0, TEXT)
        qtbot.mouseClick(
            page._messages.table.viewport(), Qt.MouseButton.LeftButton, pos=page._messages.table.visualRect(index).center()
        )
        shown = page._messages.detail.shown
        assert shown is not None
        assert shown.text == "message 4 about intent_000"
        assert page._messages.detail._verdict.text() == (
            "✗ True intent_000 (41.0 %), predicted intent_001 (59.0 %) · greedy decoding leaves the label set"
        )
        with qtbot.waitSignal(page.message_chosen) as asked:
            qtbot.mouseClick(button(page, "askInChat"), Qt.MouseButton.LeftButton)
        assert asked.args == ["message 4 about intent_000"]
        click_cell(qtbot, page._views.matrix, 0, 0)
        assert page._messages.detail.shown is None

    def test_a_message_chosen_after_sorting_is_the_one_chosen(self, page: ResultsPage) -> None:
        page._messages.table.sortByColumn(PROBABILITY, Qt.SortOrder.AscendingOrder)
        page._messages.table.selectRow(0)
        assert page._messages.detail.shown is not None
        assert page._messages.detail.shown.text == column(page, TEXT)[0]
