"""Problems of a data set in the dataset card, and the rows behind them: listed, searched, copied."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QKeySequence
from PySide6.QtWidgets import QApplication, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from studio.core.answers import DataInspected
from studio.core.commands import InspectData
from studio.core.data_problems import DataProblem
from studio.core.problem_rows import ProblemRow, ProblemRows, write_problem_rows
from studio.ui.pages.setup import TWO_COLUMNS_FROM, SetupPage
from studio.ui.widgets.setup.problem_rows_dialog import ProblemRowsDialog
from tests.ui.conftest import FakeJobs, Opened
from tests.ui.staging import button, reread


def problem_with(folder: Path, rows: int, kind: str = "train") -> DataProblem:
    path = folder / "0.arrow"
    write_problem_rows(path, [ProblemRow(kind, "data.csv", n + 1, f"<b>message</b> {n}", f"intent {n % 7}") for n in range(rows)])
    return DataProblem(kind="duplicate", sentence="Rows that repeat. Kept.", rows=rows, rows_file=str(path))


class TestProblems:
    def test_three_at_first(self, ready: SetupPage, qtbot: QtBot) -> None:
        problems = ready.dataset.views.problems
        rows = [row for row in problems._rows if row.isVisibleTo(ready)]
        assert len(rows) == 3
        qtbot.mouseClick(problems._more, Qt.MouseButton.LeftButton)
        assert all(row.isVisibleTo(ready) for row in problems._rows)
        assert problems._more.text() == "Show fewer"

    def test_tab_goes_through_them_in_their_order_however_wide_the_window_is(
        self, ready: SetupPage, opened: Opened, inspected: DataInspected, tmp_path: Path, qtbot: QtBot
    ) -> None:
        opened(inspected.model_copy(update={"problems": [problem_with(tmp_path, 2)] * 4}))
        problems = ready.dataset.views.problems
        problems._more.click()
        names = [f"datasetProblemsRows{number}" for number in range(1, 5)] + ["datasetProblemsMore"]
        ready.activateWindow()
        for width in (1024, TWO_COLUMNS_FROM, 1024):
            ready.resize(width, 700)
            stop: QWidget | None = button(ready, names[0])
            button(ready, names[0]).setFocus()
            qtbot.waitUntil(button(ready, names[0]).hasFocus)
            reached = []
            for _ in names:
                assert stop is not None
                reached.append(stop.objectName())
                qtbot.keyClick(stop, Qt.Key.Key_Tab)
                stop = QApplication.focusWidget()
            assert reached == names

    def test_a_problem_opens_its_rows(
        self, ready: SetupPage, opened: Opened, inspected: DataInspected, tmp_path: Path, qtbot: QtBot
    ) -> None:
        opened(inspected.model_copy(update={"problems": [problem_with(tmp_path, 12)]}))
        show = ready.findChild(QPushButton, "datasetProblemsRows1")
        assert show.text() == "Show 12 rows"
        qtbot.mouseClick(show, Qt.MouseButton.LeftButton)
        dialog = ready.findChild(ProblemRowsDialog)
        assert dialog.isVisible()
        assert [dialog.model.index(1, column).data() for column in range(5)] == [
            "train",
            "data.csv",
            "2",
            "<b>message</b> 1",
            "intent 1",
        ]
        with qtbot.waitSignal(dialog.destroyed):
            dialog.reject()

    def test_rows_that_are_gone_are_told(
        self, ready: SetupPage, opened: Opened, inspected: DataInspected, tmp_path: Path, qtbot: QtBot
    ) -> None:
        problem = problem_with(tmp_path, 2)
        Path(problem.rows_file).unlink()
        opened(inspected.model_copy(update={"problems": [problem]}))
        qtbot.mouseClick(ready.findChild(QPushButton, "datasetProblemsRows1"), Qt.MouseButton.LeftButton)
        assert "cannot be read any more" in ready.dataset.views.problems._error.message

    def test_the_worker_is_told_where_to_write_them(self, page: SetupPage, jobs: FakeJobs) -> None:
        assert page.dataset is not None
        command = jobs.open(InspectData)[0].command
        assert isinstance(command, InspectData)
        assert command.rows_folder
        assert Path(command.rows_folder).is_dir()

    def test_the_rows_shown_stay_until_others_have_been_read(self, ready: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> None:
        shown = Path(ready.dataset._rows.path())
        ready.settings.fields["dataset.seed"].set_value(5)
        written = Path(str(reread(ready, jobs, qtbot).rows_folder))
        assert shown.is_dir()
        assert written.is_dir()
        assert written != shown

    def test_search_and_copy(self, ready: SetupPage, tmp_path: Path, qtbot: QtBot) -> None:
        dialog = ProblemRowsDialog(problem_with(tmp_path, 30), tmp_path / "0.arrow", ready)
        dialog.show()
        assert dialog.table.isColumnHidden(1), "one file needs no column"
        qtbot.keyClicks(dialog.search, "INTENT 3 message")
        qtbot.waitUntil(lambda: dialog.count.text() != "30 rows")
        assert dialog.count.text() == f"{dialog.model.rowCount()} of 30 rows"
        shown = {dialog.model.index(row, 4).data() for row in range(dialog.model.rowCount())}
        assert "intent 3" in shown
        dialog.search.setText("message 29")
        qtbot.waitUntil(lambda: dialog.model.rowCount() == 1)
        qtbot.mouseClick(dialog.copy_button, Qt.MouseButton.LeftButton)
        assert QGuiApplication.clipboard().text() == "train\tdata.csv\t30\t<b>message</b> 29\tintent 1"
        dialog.search.clear()
        qtbot.waitUntil(lambda: dialog.model.rowCount() == 30)
        dialog.table.selectRow(2)
        dialog.table.setFocus()
        qtbot.keySequence(dialog.table, QKeySequence(QKeySequence.StandardKey.Copy))
        assert QGuiApplication.clipboard().text() == "train\tdata.csv\t3\t<b>message</b> 2\tintent 2"
        QGuiApplication.clipboard().clear()
        dialog.copy_button.setFocus()
        qtbot.keySequence(dialog.copy_button, QKeySequence(QKeySequence.StandardKey.Copy))
        assert QGuiApplication.clipboard().text() == "", "only in the table"

    def test_a_hundred_thousand_rows_are_read_where_they_are_seen(
        self, ready: SetupPage, tmp_path: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: list[int] = []
        row = ProblemRows.row

        def watched(rows: ProblemRows, number: int) -> ProblemRow:
            read.append(number)
            return row(rows, number)

        monkeypatch.setattr(ProblemRows, "row", watched)
        dialog = ProblemRowsDialog(problem_with(tmp_path, 100_000), tmp_path / "0.arrow", ready)
        dialog.show()
        qtbot.waitExposed(dialog)
        qtbot.waitUntil(lambda: bool(read))
        dialog.table.scrollToBottom()
        qtbot.waitUntil(lambda: 99_999 in read)
        assert dialog.count.text() == "100,000 rows"
        assert len(set(read)) < 500

    def test_a_long_list_says_that_it_is_cut(self, ready: SetupPage, tmp_path: Path) -> None:
        problem = problem_with(tmp_path, 5).model_copy(update={"rows": 7_000})
        dialog = ProblemRowsDialog(problem, tmp_path / "0.arrow", ready)
        texts = [label.text() for label in dialog.findChildren(type(dialog.count))]
        assert "The first 5 of 7,000 rows are listed." in texts
