"""The confusion matrix: chosen in by mouse and keyboard, readable at any size and in both themes."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot

from studio.core.runs import Home
from studio.ui import theme
from studio.ui.models.confusion_model import EVERYTHING, ConfusionModel, Scope
from studio.ui.models.messages_model import PREDICTED, TEXT, TRUE
from studio.ui.models.open_run import OpenRun
from studio.ui.pages.results import ResultsPage
from studio.ui.theme import GRID
from studio.ui.widgets.results.confusion_view import readable_on
from tests.ui.results_staging import FEW, click_cell, column, results_page
from tests.ui.sample_runs import finished, labels, make_run
from tests.ui.staging import button

MANY, PER_LABEL = 77, 5


@pytest.fixture
def page(qtbot: QtBot, home: Home) -> ResultsPage:
    return results_page(qtbot, home)


class TestMatrix:
    def test_a_cell_shows_its_messages(self, page: ResultsPage, qtbot: QtBot) -> None:
        click_cell(qtbot, page._views.matrix, 1, 2)
        assert column(page, TEXT) == ["message 4 about intent_001"]
        assert page._messages._count.text() == "1 of 20 messages"
        assert page._messages._scope.text() == "intent_001, predicted as intent_002"

    def test_a_row_name_shows_its_intent(self, page: ResultsPage, qtbot: QtBot) -> None:
        header = page._views.matrix.verticalHeader()
        at = QPoint(20, header.sectionViewportPosition(2) + header.sectionSize(2) // 2)
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=at)
        assert set(column(page, TRUE)) == {"intent_002"}
        assert len(column(page, TRUE)) == PER_LABEL
        assert page._messages.table.isColumnHidden(TRUE)

    def test_a_column_name_shows_what_was_predicted_so(self, page: ResultsPage, qtbot: QtBot) -> None:
        header = page._views.matrix.horizontalHeader()
        at = QPoint(header.sectionViewportPosition(0) + header.sectionSize(0) // 2, 20)
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=at)
        assert set(column(page, PREDICTED)) == {"intent_000"}
        assert set(column(page, TRUE)) == {"intent_000", "intent_003"}
        qtbot.mouseClick(button(page, "showAllMessages"), Qt.MouseButton.LeftButton)
        assert page._messages._count.text() == "20 of 20 messages"
        assert page._views.matrix.scope == EVERYTHING
        assert not button(page, "showAllMessages").isVisible()

    def test_the_keyboard_does_all_of_it(self, page: ResultsPage, qtbot: QtBot) -> None:
        view = page._views.matrix
        view.setFocus()
        view.setCurrentIndex(view.confusion.index(0, 0))
        qtbot.keyClick(view, Qt.Key.Key_Right)
        assert page._messages.filter.scope == Scope(0, 1)
        qtbot.keyClick(view, Qt.Key.Key_Down)
        assert page._messages.filter.scope == Scope(1, 1)
        qtbot.keyClick(view, Qt.Key.Key_Space, Qt.KeyboardModifier.ShiftModifier)
        assert page._messages.filter.scope == Scope(true=1)
        qtbot.keyClick(view, Qt.Key.Key_Space, Qt.KeyboardModifier.ControlModifier)
        assert page._messages.filter.scope == Scope(predicted=1)
        qtbot.keyClick(view, Qt.Key.Key_Escape)
        assert page._messages.filter.scope == EVERYTHING

    def test_counts_and_shares(self, page: ResultsPage, qtbot: QtBot) -> None:
        model = page._views.confusion
        assert [model.index(1, to).data() for to in range(FEW)] == ["", "4", "1", ""]
        qtbot.mouseClick(button(page, "matrix_row"), Qt.MouseButton.LeftButton)
        assert [model.index(1, to).data() for to in range(FEW)] == ["", "80", "20", ""]
        qtbot.mouseClick(button(page, "matrix_column"), Qt.MouseButton.LeftButton)
        assert [model.index(of, 2).data() for of in range(FEW)] == ["", "20", "80", ""]
        qtbot.mouseClick(button(page, "matrix_counts"), Qt.MouseButton.LeftButton)
        assert model.greatest == 4
        assert model.heat[1, 2] == pytest.approx(np.sqrt(1 / 4))

    def test_full_names_are_in_the_tooltips(self, page: ResultsPage) -> None:
        tip = str(page._views.confusion.index(1, 2).data(Qt.ItemDataRole.ToolTipRole))
        assert "True intent intent_001" in tip
        assert "Predicted intent intent_002" in tip
        head = page._views.confusion.headerData(1, Qt.Orientation.Vertical, Qt.ItemDataRole.ToolTipRole)
        assert "4 of 5 messages found: recall 80.0 %" in head

    def test_only_cells_in_sight_are_painted(self, page: ResultsPage, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        page.show_run(OpenRun(make_run(home, intents=150, final=finished())))
        view = page._views.matrix
        painted: list[float] = []
        shade = view.shade
        monkeypatch.setattr(view, "shade", lambda heat: painted.append(heat) or shade(heat))
        view.grab()
        room = view.viewport().size()
        most = (room.width() // 32 + 2) * (room.height() // 24 + 2)
        assert 0 < len(painted) <= most < 150 * 150

    @pytest.mark.parametrize("intents", [4, 13, 20])
    def test_a_matrix_that_can_be_whole_is(self, page: ResultsPage, home: Home, intents: int) -> None:
        page.resize(1200, 800)
        page.show_run(OpenRun(make_run(home, intents=intents, final=finished())))
        view = page._views.matrix
        whole = view.horizontalHeader().length()
        assert whole <= view.viewport().width()
        assert 3 * GRID <= view.columnWidth(0) <= 8 * GRID
        assert 4 * GRID <= view.rowHeight(0) <= 6 * GRID

    def test_few_intents_use_the_room(self, page: ResultsPage, home: Home) -> None:
        """Cells and names grow with it, and give it back."""
        run = OpenRun(make_run(home, intents=6, final=finished()))
        page.resize(1400, 1000)
        page.show_run(run)
        view = page._views.matrix
        long = "a_name_that_is_much_longer_than_the_names_of_intents_mostly_are"
        view.confusion.labels[0] = long
        page.resize(1600, 1000)
        assert (view.columnWidth(0), view.rowHeight(0)) == (8 * GRID, 6 * GRID)
        assert view.verticalHeader().width() > 18 * GRID
        assert view.horizontalHeader().height() > 15 * GRID
        assert view.verticalScrollBar().maximum() == view.horizontalScrollBar().maximum() == 0
        for height in range(700, 800, 7):  # where the names of columns take just what the rows leave
            page.resize(1500, height)
            assert view.verticalScrollBar().maximum() == 0
        page.resize(900, 600)
        assert view.verticalHeader().width() <= view.width() - 6 * view.columnWidth(0)
        assert view.horizontalScrollBar().maximum() == 0

    def test_all_names_stay_in_sight_while_scrolling(self, page: ResultsPage, home: Home) -> None:
        page.show_run(OpenRun(make_run(home, intents=MANY, final=finished())))
        view = page._views.matrix
        view.scrollTo(view.confusion.index(MANY - 1, MANY - 1))
        assert view.verticalHeader().sectionViewportPosition(MANY - 1) > 0
        assert view.verticalHeader().geometry().left() <= view.frameWidth() + 1
        assert view.horizontalHeader().geometry().top() <= view.frameWidth() + 1

    def test_text_in_cells_can_be_read_in_both_themes(self) -> None:
        model = ConfusionModel()
        model.show_counts(labels(2), np.array([[9, 1], [0, 9]]))
        for palette in (theme.LIGHT, theme.DARK):
            for colour in (palette.heat_low, palette.heat_high):
                background = palette.color("heat_low" if colour == palette.heat_low else "heat_high")
                assert abs(readable_on(background).lightnessF() - background.lightnessF()) > 0.5

    def test_colours_follow_the_theme(self, page: ResultsPage, monkeypatch: pytest.MonkeyPatch) -> None:
        for palette in (theme.DARK, theme.LIGHT):
            monkeypatch.setattr(theme.notifier, "theme", palette)
            theme.notifier.changed.emit()
            assert page._views.matrix.shade(0).name() == palette.heat_low
            assert page._views.matrix.shade(1).name() == palette.heat_high
