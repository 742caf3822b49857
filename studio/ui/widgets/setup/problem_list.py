"""What looks wrong in a data set, one sentence a line, each of which opens the rows that it is about."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from studio.core.data_problems import DataProblem
from studio.core.errors import StudioError
from studio.core.words import counted
from studio.ui.theme import GRID
from studio.ui.widgets.basics import ErrorPanel, button, text_label
from studio.ui.widgets.tab_order import tab_before

_SHOWN = 3


class ProblemList(QWidget):
    """The first three problems, and the rest at a click."""

    def __init__(self, object_name: str, what: str) -> None:
        """``what`` has the problems, in words: "the data"."""
        super().__init__()
        self._name, self._what = object_name, what
        self.setObjectName(object_name)
        self.setAccessibleName(f"Problems found in {what}")
        self._rows: list[QWidget] = []
        self._all = False
        self._more = button(
            "Show all", f"{object_name}More", f"Show every problem found in {what}, or only the first ones", self._toggle, "link"
        )
        self._error = ErrorPanel(f"{object_name}Error")
        # Tab follows the order in which widgets came to their parent, and rows come later than the button below them.
        listed = QWidget()
        self._column = QVBoxLayout(listed)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(GRID // 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        column.addWidget(listed)
        column.addWidget(self._more, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self._error)

    def show_problems(self, problems: list[DataProblem]) -> None:
        """Show these instead of those before."""
        for row in self._rows:
            self._column.removeWidget(row)
            row.deleteLater()
        self._rows = [self._row(number, problem) for number, problem in enumerate(problems, start=1)]
        for row in self._rows:
            self._column.addWidget(row)
        tab_before(self._more, [show for row in self._rows for show in row.findChildren(QPushButton)])
        self._error.clear()
        self._show(all_of_them=False)
        self.setVisible(bool(problems))

    def _row(self, number: int, problem: DataProblem) -> QWidget:
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(GRID)
        line.addWidget(text_label(problem.sentence, "warning", wrap=True), 1)
        if problem.rows_file:
            tip = f"List the rows of problem {number} of {self._what} with their split and place in the file"
            show = button(
                f"Show {counted(problem.rows, 'row')}", f"{self._name}Rows{number}", tip, partial(self._open, problem), "link"
            )
            line.addWidget(show, 0, Qt.AlignmentFlag.AlignTop)
        return row

    def _open(self, problem: DataProblem) -> None:
        # Loads pyarrow, which the window's start does not wait for.
        from studio.ui.widgets.setup.problem_rows_dialog import ProblemRowsDialog

        try:
            dialog = ProblemRowsDialog(problem, Path(problem.rows_file), self)
        except StudioError as error:
            self._error.show_problem(error)
            return
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def _show(self, *, all_of_them: bool) -> None:
        self._all = all_of_them
        for number, row in enumerate(self._rows):
            row.setVisible(all_of_them or number < _SHOWN)
        self._more.setVisible(len(self._rows) > _SHOWN)
        self._more.setText("Show fewer" if all_of_them else f"Show all {len(self._rows)}")

    def _toggle(self) -> None:
        self._show(all_of_them=not self._all)
