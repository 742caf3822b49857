"""The Results page: figures, matrix, messages."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QSize, Qt
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtWidgets import QCheckBox, QFileDialog, QLineEdit, QPushButton
from pytestqt.qtbot import QtBot
from sklearn.metrics import f1_score

from studio.core.commands import WriteReport
from studio.core.events import Failed
from studio.core.predictions import read_predictions
from studio.core.runs import Home
from studio.ui import theme
from studio.ui.models.confusion_model import EVERYTHING, ConfusionModel, Scope
from studio.ui.models.messages_model import PREDICTED, PROBABILITY, RIGHT, TEXT, TRUE
from studio.ui.models.open_run import OpenRun
from studio.ui.pages.results import ResultsPage
from studio.ui.theme import GRID
from studio.ui.widgets.confusion_view import ConfusionView, readable_on
from studio.ui.widgets.scores_table import ScoresTable
from tests.ui.conftest import FakeJobs
from tests.ui.sample_runs import GB, assert_usable, finished, labels, make_run, started

FEW, MANY, PER_LABEL = 4, 77, 5


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.locate(tmp_path)


@pytest.fixture
def page(qtbot: QtBot, home: Home) -> ResultsPage:
    page = ResultsPage(home)
    qtbot.addWidget(page)
    page.resize(1100, 700)
    page.show()
    page.show_run(OpenRun(make_run(home, intents=FEW, final=finished(peak_bytes=3 * GB, forecast_bytes=4 * GB))))
    return page


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


def test_without_a_run_it_says_what_to_do_next(page: ResultsPage, qtbot: QtBot) -> None:
    page.show_run(None)
    with qtbot.waitSignal(page.setup_requested):
        qtbot.mouseClick(button(page, "resultsEmptyButton"), Qt.MouseButton.LeftButton)


def test_while_a_run_is_trained_its_training_is_offered(page: ResultsPage, home: Home, qtbot: QtBot) -> None:
    run = OpenRun(make_run(home, [], checkpoint=False), ours=True)
    page.show_run(run)
    run.add(started(run.name))
    with qtbot.waitSignal(page.training_requested):
        qtbot.mouseClick(button(page, "resultsWaitingButton"), Qt.MouseButton.LeftButton)


def test_results_appear_when_the_run_ends(page: ResultsPage, home: Home) -> None:
    folder = make_run(home, [])
    run = OpenRun(folder, ours=True)
    page.show_run(run)
    run.add(started(run.name))
    assert button(page, "resultsWaitingButton").isVisible()
    source = make_run(home, intents=FEW)
    folder.predictions_path.write_bytes(source.predictions_path.read_bytes())
    run.add(finished())
    assert page._views.matrix.isVisible()
    assert page._figures["base"].value == "—"
    assert page._figures["base"].note == "was not predicted"


def test_headline_figures(page: ResultsPage) -> None:
    assert page.run is not None
    table = read_predictions(page.run.folder.predictions_path)
    true, predicted = ([row.label for row in table.predictions], [row.predicted for row in table.predictions])
    figures = {key: figure.value for key, figure in page._figures.items()}
    assert figures["accuracy"] == "80.0 %"
    assert page._figures["accuracy"].note.replace("\u00a0", " ") == "95 %: 58.4 to 91.9 %\n16 of 20 right"
    assert figures["macro_f1"] == f"{100 * f1_score(true, predicted, average='macro'):.1f} %"
    assert figures["base"] == "2.0 %"
    assert page._figures["base"].note == "+78.0 points"
    assert figures["left"] == "5.0 %"
    assert figures["memory"] == "3.0 GB"
    assert page._figures["memory"].note == "forecast 4.0 GB"
    assert figures["seconds"] == "2:05"


def test_the_base_is_read_from_its_file_when_no_event_tells_it(page: ResultsPage, home: Home) -> None:
    page.show_run(OpenRun(make_run(home, [], intents=FEW, final=finished())))
    assert page._figures["base"].value == "25.0 %"
    assert page._figures["base"].note == "+55.0 points"


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
        assert view.columnWidth(0) <= 5 * GRID

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


class TestScores:
    def rows(self, table: ScoresTable) -> list[list[str]]:
        model = table.model()
        return [
            [str(model.index(row, number).data()).replace("\u00a0", " ") for number in range(model.columnCount())]
            for row in range(model.rowCount())
        ]

    def test_each_intent(self, page: ResultsPage, qtbot: QtBot) -> None:
        qtbot.mouseClick(button(page, "view_intents"), Qt.MouseButton.LeftButton)
        table = page._views.intents
        assert table.isVisible()
        assert self.rows(table)[1] == ["intent_001", "5", "80.0 %", "80.0 %", "80.0 %", "intent_002"]
        table.selectRow(1)
        assert page._messages.filter.scope == Scope(true=1)
        assert page._messages._count.text() == "5 of 20 messages"
        assert page._views.matrix.scope == Scope(true=1)

    def test_confused_pairs_the_most_messages_first(self, page: ResultsPage, qtbot: QtBot) -> None:
        qtbot.mouseClick(button(page, "view_pairs"), Qt.MouseButton.LeftButton)
        counts = np.array([[5, 1, 0], [3, 5, 0], [2, 0, 0]])
        page._views.show_counts(["a", "b", "c"], counts)
        assert self.rows(page._views.pairs) == [
            ["b", "a", "3", "37.5 %", "1"],
            ["c", "a", "2", "100.0 %", "0"],
            ["a", "b", "1", "16.7 %", "3"],
        ]

    def test_a_pair_shows_its_messages_and_is_marked_when_its_cell_is_chosen(self, page: ResultsPage, qtbot: QtBot) -> None:
        qtbot.mouseClick(button(page, "view_pairs"), Qt.MouseButton.LeftButton)
        pairs = page._views.pairs
        pairs.setFocus()
        qtbot.keyClick(pairs, Qt.Key.Key_Home)
        qtbot.keyClick(pairs, Qt.Key.Key_Down)
        assert page._messages.filter.scope == Scope(1, 2)
        assert column(page, TEXT) == ["message 4 about intent_001"]
        page.choose(Scope(2, 3))
        assert pairs.currentIndex().row() == 2
        page.choose(EVERYTHING)
        assert not pairs.currentIndex().isValid()
        assert page._messages._count.text() == "20 of 20 messages"

    def test_columns_sort_by_number(self, page: ResultsPage) -> None:
        names = [f"intent {number}" for number in range(3)]
        page._views.show_counts(names, np.array([[9, 0, 2], [0, 0, 0], [0, 0, 11]]))
        table = page._views.intents
        assert [row[1:5] for row in self.rows(table)][1] == ["0", "—", "—", "—"]
        table.sortByColumn(1, Qt.SortOrder.DescendingOrder)
        assert [row[1] for row in self.rows(table)] == ["11", "11", "0"]
        table.sortByColumn(2, Qt.SortOrder.AscendingOrder)
        assert [row[2] for row in self.rows(table)] == ["—", "81.8 %", "100.0 %"]


class TestSaving:
    @pytest.fixture
    def save(self, page: ResultsPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
        def act(entry: str, name: str) -> Path:
            chosen = tmp_path / name
            monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_arguments: (str(chosen), ""))
            (action,) = [action for action in page._save.menu().actions() if action.text().startswith(entry)]
            action.trigger()
            return chosen

        return act

    def test_messages_as_they_are_listed(self, page: ResultsPage, save: Callable[[str, str], Path]) -> None:
        page.choose(Scope(predicted=0))
        page._messages.table.sortByColumn(PROBABILITY, Qt.SortOrder.AscendingOrder)
        with save("Messages", "a.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [row["text"] for row in rows] == column(page, TEXT)
        assert {row["right"] for row in rows} == {"true", "false"}
        assert page._saved.text().endswith("a.csv")

    def test_the_matrix_as_a_table(self, save: Callable[[str, str], Path]) -> None:
        lines = save("Matrix (CSV)", "m.csv").read_text("utf-8").splitlines()
        assert lines[0] == "true intent,intent_000,intent_001,intent_002,intent_003"
        assert lines[2] == "intent_001,0,4,1,0"

    def test_the_matrix_as_a_picture(self, page: ResultsPage, save: Callable[[str, str], Path], home: Home) -> None:
        page.show_run(OpenRun(make_run(home, intents=MANY, final=finished())))
        picture = QImage(str(save("Matrix (PNG)", "m.png")))
        assert picture.width() > 2 * MANY * 5 * GRID
        shown = {picture.pixelColor(x, picture.height() - 60).name() for x in range(0, picture.width(), 4)}
        assert len(shown) > 3, "cells of more than one shade"
        drawing = save("Matrix (SVG)", "m.svg").read_text("utf-8")
        assert all(f">{name}</text>" in drawing for name in labels(MANY))

    def test_a_worker_writes_the_report_to_a_name_without_a_suffix(
        self, page: ResultsPage, save: Callable[[str, str], Path], qtbot: QtBot
    ) -> None:
        path = save("Report", "report").with_suffix(".html")
        assert page._saved.text() == f"Writing {path}"
        qtbot.waitUntil(lambda: page._saved.text() == f"Saved {path}", timeout=20_000)
        assert page.run is not None
        assert page.run.name in path.read_text("utf-8")

    def test_a_report_that_cannot_be_written_is_told(
        self, page: ResultsPage, save: Callable[[str, str], Path], jobs: FakeJobs
    ) -> None:
        save("Report", "missing/report.html")
        (job,) = jobs.open(WriteReport)
        job.answer(Failed(kind="unwritable", message="It cannot be written.", remedy="Choose another."), failed=True)
        assert page._problem.message == "It cannot be written."
        assert not page._saved.isVisible()

    def test_a_file_that_cannot_be_written_is_told(self, page: ResultsPage, save: Callable[[str, str], Path]) -> None:
        save("Matrix (SVG)", "missing/matrix.svg")
        assert "cannot be written" in page._problem.message
        assert page._body.isVisible()
        save("Matrix (SVG)", "matrix.svg")
        assert not page._problem.isVisible()


class TestMessages:
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


def test_a_damaged_file_is_told_in_words(page: ResultsPage, home: Home) -> None:
    folder = make_run(home, intents=FEW, final=finished())
    folder.predictions_path.write_bytes(b"no parquet")
    page.show_run(OpenRun(folder))
    assert page._problem.isVisible()
    assert not page._views.matrix.isVisible()
    page.show_run(OpenRun(make_run(home, intents=FEW, final=finished())))
    assert not page._problem.isVisible()
    assert page._views.matrix.isVisible()


def test_a_failed_run_without_predictions_says_so(page: ResultsPage, home: Home) -> None:
    page.show_run(OpenRun(make_run(home, final=Failed(kind="x", message="m", remedy="r"), checkpoint=False)))
    assert button(page, "resultsWaitingButton").isVisible()


def test_fits_a_small_window(page: ResultsPage, home: Home) -> None:
    page.show_run(OpenRun(make_run(home, intents=MANY, final=finished())))
    assert page.minimumSizeHint().width() <= 800
    assert page.minimumSizeHint().height() <= QSize(0, 600).height()


def test_names_tooltips_and_plain_text(page: ResultsPage) -> None:
    page._messages.table.selectRow(0)
    assert_usable(page)
