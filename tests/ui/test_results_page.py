"""The Results page: figures, matrix, messages."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot
from sklearn.metrics import f1_score

from studio.core.commands import WriteReport
from studio.core.events import Failed
from studio.core.predictions import read_predictions
from studio.core.runs import Home
from studio.core.words import UNKNOWN
from studio.supervise.threads import WorkerThread
from studio.ui.models.confusion_model import EVERYTHING, Scope
from studio.ui.models.messages_model import PROBABILITY, TEXT
from studio.ui.models.open_run import OpenRun
from studio.ui.pages.results import ResultsPage
from studio.ui.theme import GRID
from studio.ui.widgets.results.scores_table import ScoresTable
from tests.ui.conftest import FakeJobs
from tests.ui.results_staging import FEW, column, results_page
from tests.ui.sample_runs import assert_usable, finished, labels, make_run, started
from tests.ui.staging import button

MANY = 77


@pytest.fixture
def page(qtbot: QtBot, home: Home) -> ResultsPage:
    return results_page(qtbot, home)


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
    def begin(self, page: ResultsPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
        def act(entry: str, name: str) -> Path:
            chosen = tmp_path / name
            monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_arguments: (str(chosen), ""))
            (action,) = [action for action in page._save.menu().actions() if action.text().startswith(entry)]
            action.trigger()
            return chosen

        return act

    @pytest.fixture
    def save(self, page: ResultsPage, begin: Callable[[str, str], Path], qtbot: QtBot) -> Callable[[str, str], Path]:
        def act(entry: str, name: str) -> Path:
            path = begin(entry, name)
            qtbot.waitUntil(lambda: page._saved.text() == f"Saved {path}")
            return path

        return act

    def test_messages_as_they_are_listed(self, page: ResultsPage, save: Callable[[str, str], Path]) -> None:
        page.choose(Scope(predicted=0))
        page._messages.table.sortByColumn(PROBABILITY, Qt.SortOrder.AscendingOrder)
        with save("Messages", "a.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [row["text"] for row in rows] == column(page, TEXT)
        assert {row["right"] for row in rows} == {"true", "false"}

    def test_what_is_chosen_meanwhile_is_not_in_the_file(
        self, page: ResultsPage, begin: Callable[[str, str], Path], qtbot: QtBot
    ) -> None:
        path = begin("Messages", "a.csv")
        assert page._saved.text() == f"Writing {path}"
        page.choose(Scope(predicted=0))
        qtbot.waitUntil(lambda: page._saved.text() == f"Saved {path}")
        with path.open(newline="", encoding="utf-8") as file:
            assert len(list(csv.DictReader(file))) == 20

    def test_what_cannot_be_written_is_told(self, page: ResultsPage, begin: Callable[[str, str], Path], qtbot: QtBot) -> None:
        begin("Messages", "missing/a.csv")
        qtbot.waitUntil(lambda: "cannot be written" in page._problem.message)
        assert not page._saved.isVisible()

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
        self, page: ResultsPage, begin: Callable[[str, str], Path], qtbot: QtBot
    ) -> None:
        path = begin("Report", "report").with_suffix(".html")
        assert page._saved.text() == f"Writing {path}"
        qtbot.waitUntil(lambda: page._saved.text() == f"Saved {path}", timeout=20_000)
        assert page.run is not None
        assert page.run.name in path.read_text("utf-8")

    def test_a_report_is_written_to_its_end_when_the_window_closes(self, begin: Callable[[str, str], Path], qtbot: QtBot) -> None:
        path = begin("Report", "report.html")
        WorkerThread.cancel_all()
        qtbot.waitUntil(path.exists, timeout=20_000)

    def test_a_report_that_cannot_be_written_is_told(
        self, page: ResultsPage, begin: Callable[[str, str], Path], jobs: FakeJobs
    ) -> None:
        begin("Report", "missing/report.html")
        (job,) = jobs.open(WriteReport)
        job.answer(Failed(kind="unwritable", message="It cannot be written.", remedy="Choose another."), failed=True)
        assert page._problem.message == "It cannot be written."
        assert not page._saved.isVisible()

    def test_a_file_that_cannot_be_written_is_told(
        self, page: ResultsPage, begin: Callable[[str, str], Path], save: Callable[[str, str], Path], qtbot: QtBot
    ) -> None:
        begin("Matrix (SVG)", "missing/matrix.svg")
        qtbot.waitUntil(lambda: "cannot be written" in page._problem.message)
        assert not page._saved.isVisible()
        assert page._body.isVisible()
        save("Matrix (SVG)", "matrix.svg")
        assert not page._problem.isVisible()


class TestManyPredictions:
    """They are read in a thread of their own."""

    @pytest.fixture(autouse=True)
    def everything_is_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("studio.ui.models.run_predictions.LARGE_BYTES", 0)

    def test_it_says_so_and_shows_them_then(self, page: ResultsPage, home: Home, qtbot: QtBot) -> None:
        page.show_run(OpenRun(make_run(home, [], intents=FEW, final=finished())))
        assert page.state == 3
        assert_usable(page)
        qtbot.waitUntil(page._views.matrix.isVisible)
        assert page._messages._count.text() == "20 of 20 messages"
        qtbot.waitUntil(lambda: page._figures["base"].value == "25.0 %")

    def test_damage_is_told(self, page: ResultsPage, home: Home, qtbot: QtBot) -> None:
        folder = make_run(home, intents=FEW, final=finished())
        folder.predictions_path.write_bytes(b"no parquet")
        page.show_run(OpenRun(folder))
        qtbot.waitUntil(page._problem.isVisible)

    def test_out_of_sight_nothing_is_read(self, page: ResultsPage, home: Home, qtbot: QtBot) -> None:
        page.hide()
        run = OpenRun(make_run(home, intents=FEW, final=finished()))
        page.show_run(run)
        assert not run.predictions.reading
        page.show()
        assert run.predictions.reading
        qtbot.waitUntil(page._views.matrix.isVisible)


def test_a_file_that_was_saved_meanwhile_does_not_hide_why_nothing_is_shown(page: ResultsPage, home: Home) -> None:
    run = make_run(home, intents=FEW, final=finished())
    run.predictions_path.write_text("no parquet")
    page.show_run(OpenRun(run))
    page._save.saved.emit("/somewhere/report.html")
    assert page._problem.isVisible()


def test_a_damaged_labelled_file_leads_back_to_the_test_messages(page: ResultsPage, home: Home) -> None:
    run = make_run(home, intents=FEW, final=finished())
    run.predictions_of("others").write_bytes(b"no parquet")
    page.show_run(OpenRun(run))
    page.show_messages_of("others")
    assert "predictions-others.parquet cannot be read" in page._problem.message
    assert page._views.matrix.isVisible()
    assert page._source.isVisible()
    page.show_messages_of("")
    assert not page._problem.isVisible()


def test_a_damaged_file_is_told_in_words(page: ResultsPage, home: Home) -> None:
    folder = make_run(home, intents=FEW, final=finished())
    folder.predictions_path.write_bytes(b"no parquet")
    page.show_run(OpenRun(folder))
    assert page._problem.isVisible()
    assert not page._views.matrix.isVisible()
    page.show_run(OpenRun(make_run(home, intents=FEW, final=finished())))
    assert not page._problem.isVisible()
    assert page._views.matrix.isVisible()


def test_damaged_answers_of_the_base_hide_nothing_of_the_trained_model(page: ResultsPage, home: Home) -> None:
    folder = make_run(home, [], intents=FEW, final=finished())
    folder.base_predictions_path.write_bytes(b"no parquet")
    page.show_run(OpenRun(folder))
    assert page._views.matrix.isVisible()
    assert not page._problem.isVisible()
    assert page._figures["base"].value == UNKNOWN


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
