"""Intents or confused pairs as a table: sort by any column, choose a row to see its messages."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QModelIndex, QSortFilterProxyModel, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QTableView

from studio.ui.models.confusion_model import EVERYTHING, Scope
from studio.ui.models.scores_model import SORT_ROLE, Row, ScoresModel
from studio.ui.models.table_model import AT_LEFT, Column
from studio.ui.theme import GRID
from studio.ui.widgets.basics import named
from studio.ui.widgets.tables import as_list

_LEAST_NAME, _LEAST_NUMBER = 13 * GRID, 9 * GRID


class ScoresTable(QTableView):
    """The columns whose values are names share the room that the numbers leave."""

    scope_chosen = Signal(object)
    """Emitted with the Scope of the row that a click or a key chose."""

    def __init__(self, object_name: str, what: str, columns: Sequence[Column]) -> None:
        super().__init__()
        named(self, object_name, what, "Choose a row to see its messages; a click on a column sorts by it")
        self.scores = ScoresModel(columns, self)
        self._sorted = QSortFilterProxyModel(self)
        self._sorted.setSortRole(SORT_ROLE)
        self._sorted.setSourceModel(self.scores)
        self.setModel(self._sorted)
        as_list(self, QAbstractItemView.SelectionMode.SingleSelection)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.selectionModel().currentRowChanged.connect(self._choose)

    def show_rows(self, rows: list[Row]) -> None:
        """Replace all rows; they come in this order until a column is clicked."""
        self.scores.show_rows(rows)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.scrollToTop()
        self._fit()

    def show_scope(self, scope: Scope) -> None:
        """Mark the row of a scope without a word; none if there is none."""
        found = next((number for number, row in enumerate(self.scores.rows) if row.scope == scope), None)
        self.selectionModel().currentRowChanged.disconnect(self._choose)
        if found is None:
            self.clearSelection()
            self.setCurrentIndex(QModelIndex())
        else:
            self.setCurrentIndex(self._sorted.mapFromSource(self.scores.index(found, 0)))
        self.selectionModel().currentRowChanged.connect(self._choose)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        names = [number for number, column in enumerate(self.scores.columns) if column.side == AT_LEFT]
        room = self.viewport().width()
        for number, column in enumerate(self.scores.columns):
            if column.side != AT_LEFT:
                # Not resizeColumnToContents: it leaves room for the mark of sorting in every column.
                heading = self.fontMetrics().horizontalAdvance(column.name)
                self.setColumnWidth(number, max(_LEAST_NUMBER, heading + 3 * GRID))
                room -= self.columnWidth(number)
        for number in names:
            self.setColumnWidth(number, max(_LEAST_NAME, room // len(names)))

    def _choose(self, current: QModelIndex, _previous: QModelIndex) -> None:
        source = self._sorted.mapToSource(current)
        self.scope_chosen.emit(self.scores.rows[source.row()].scope if source.isValid() else EVERYTHING)
