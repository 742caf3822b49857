"""A searched and copied table of words."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QTableView

from studio.ui.models.grid_model import GridModel
from studio.ui.models.table_model import WordsFilter
from studio.ui.theme import GRID
from studio.ui.widgets.basics import named
from studio.ui.widgets.tables import as_list

_LEAST = 12 * GRID


class GridView(QTableView):
    """The columns share the width; the first one takes more of it."""

    def __init__(self, object_name: str, accessible: str, tooltip: str) -> None:
        super().__init__()
        named(self, object_name, accessible, tooltip)
        self.grid = GridModel(self)
        self.found = WordsFilter(self.grid, self.grid.words, self)
        self.setModel(self.found)
        as_list(self, QAbstractItemView.SelectionMode.ExtendedSelection)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(_LEAST)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)

    def show_rows(
        self, headers: Sequence[str], rows: Sequence[Sequence[str]], tones: Sequence[Sequence[str | None]] | None = None
    ) -> None:
        self.grid.show_rows(headers, rows, tones)
        self._share()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._share()

    def _share(self) -> None:
        if number := len(self.grid.columns):
            share = max(_LEAST, self.viewport().width() * 10 // (10 * number + 4))
            for column in range(1, number):
                self.setColumnWidth(column, share)
            self.setColumnWidth(0, max(_LEAST, self.viewport().width() - (number - 1) * share))

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)

    def copy(self) -> None:
        """Put the chosen rows on the clipboard, one a line, tabs between their cells; all of them when none is chosen."""
        chosen = sorted({index.row() for index in self.selectedIndexes()}) or list(range(self.found.rowCount()))
        lines = [
            [column.name for column in self.grid.columns],
            *([str(self.found.index(row, column).data()) for column in range(self.found.columnCount())] for row in chosen),
        ]
        QGuiApplication.clipboard().setText("\n".join("\t".join(line) for line in lines))
