"""The rows behind one problem of a data set: to look through, to search, to copy."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QGuiApplication, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QDialog, QHBoxLayout, QHeaderView, QTableView, QVBoxLayout, QWidget

from studio.core.data_problems import DataProblem
from studio.core.problem_rows import ProblemRows
from studio.core.words import counted
from studio.ui.models.problem_rows_model import FILE, LABEL, ROW, SPLIT, TEXT, ProblemRowsModel
from studio.ui.theme import GRID
from studio.ui.widgets.basics import button, named, search_field, shortcut, text_label
from studio.ui.widgets.tables import as_list

_WIDTHS = {SPLIT: 11 * GRID, FILE: 20 * GRID, ROW: 9 * GRID, LABEL: 26 * GRID}
_SEARCH_MS = 150


class ProblemRowsDialog(QDialog):
    """Raises StudioError when the rows cannot be read any more."""

    def __init__(self, problem: DataProblem, path: Path, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("problemRows")
        self.setWindowTitle("Rows with a problem")
        self.resize(110 * GRID, 70 * GRID)
        self.model = ProblemRowsModel(ProblemRows(path))
        self._of = len(self.model.found)
        self.search = search_field(
            "problemRowsSearch", "Search the rows", "Show only rows with these words in message, intent or split"
        )
        self._delay = QTimer(self, interval=_SEARCH_MS, singleShot=True)
        self._delay.timeout.connect(self._find)
        self.search.textChanged.connect(self._delay.start)
        self.count = named(text_label("", "muted"), "problemRowsCount", "Rows shown")
        self.table = named(QTableView(), "problemRowsTable", "Rows with a problem", "Choose rows to copy them with Ctrl+C")
        self._show_table()
        self.copy_button = button("Copy", "copyProblemRows", "Copy the chosen rows, or all of them, as a table", self._copy)
        close = button("Close", "closeProblemRows", "Close this list (Escape)", self.reject)
        keys = QKeySequence.StandardKey
        shortcut(self.table, keys.Copy, "Problems: copy the chosen rows", self._copy, Qt.ShortcutContext.WidgetShortcut)
        shortcut(self, keys.Find, "Problems: search the rows", self.search.setFocus)
        top = QHBoxLayout()
        top.setSpacing(2 * GRID)
        top.addWidget(self.search, 1)
        top.addWidget(self.count)
        bottom = QHBoxLayout()
        bottom.setSpacing(GRID)
        bottom.addWidget(self.copy_button)
        bottom.addStretch(1)
        bottom.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.setSpacing(GRID)
        column.addWidget(text_label(problem.sentence, "strong", wrap=True, selectable=True))
        if problem.rows > self._of:
            column.addWidget(text_label(f"The first {self._of:,} of {problem.rows:,} rows are listed.", "muted"))
        column.addLayout(top)
        column.addWidget(self.table, 1)
        column.addLayout(bottom)
        self._show_count()
        self.table.setFocus()

    def _show_table(self) -> None:
        self.table.setModel(self.model)
        as_list(self.table, QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.setSortingEnabled(False)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        for column, width in _WIDTHS.items():
            self.table.setColumnWidth(column, width)
        self.table.setColumnHidden(FILE, not self.model.found.several_files())
        self.table.horizontalHeader().setSectionResizeMode(TEXT, QHeaderView.ResizeMode.Stretch)

    def _find(self) -> None:
        self.model.find(self.search.text())
        self.table.scrollToTop()
        self._show_count()

    def _show_count(self) -> None:
        shown = self.model.rowCount()
        self.count.setText(counted(shown, "row") if shown == self._of else f"{shown:,} of {counted(self._of, 'row')}")

    def _copy(self) -> None:
        """As text with tabs between: split, file, row, message, intent."""
        selection = self.table.selectionModel().selection()
        ranges = sorted((part.top(), part.bottom()) for part in map(selection.at, range(selection.count())))
        rows = [row for first, last in ranges or [(0, self.model.rowCount() - 1)] for row in self.model.chosen(first, last)]
        lines = ("\t".join(" ".join(str(cell).split()) for cell in row) for row in rows)
        QGuiApplication.clipboard().setText("\n".join(lines))
