"""The messages with which an export was verified: what the run says to them, and what the export does."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QTableView

from studio.core.answers import Exported
from studio.core.words import short_number
from studio.ui.models.compared_model import (
    DIFFERENCE,
    EXPORT,
    EXPORT_PROBABILITY,
    RUN,
    RUN_PROBABILITY,
    TEXT,
    ComparedModel,
)
from studio.ui.models.table_model import WordsFilter
from studio.ui.theme import GRID
from studio.ui.widgets.basics import Card, named, search_field, text_label
from studio.ui.widgets.tables import as_list

_WIDTHS = {RUN_PROBABILITY: 11 * GRID, EXPORT_PROBABILITY: 13 * GRID, DIFFERENCE: 12 * GRID}
_MOST_ROWS = 12


class ComparisonCard(Card):
    """Hidden until ``show_exported``, and for an export that was compared with nothing."""

    def __init__(self) -> None:
        super().__init__("Message by message", "exportComparison")
        self._model = ComparedModel(self)
        self._filter = WordsFilter(self._model, self._model.words, self)
        self._filter.setSortRole(Qt.ItemDataRole.UserRole)
        self._words = named(text_label("", "muted", wrap=True), "comparisonWords", "How much may differ")
        self.search = search_field(
            "comparisonSearch",
            "Search",
            "Show only messages that hold these words, or such an intent",
            "Search messages and intents",
        )
        self.search.setMinimumWidth(30 * GRID)
        self.search.textChanged.connect(self._filter.search)
        self.table = named(
            QTableView(),
            "comparisonTable",
            "Messages of the verification",
            "The worst first; a click on a column's name sorts by it",
        )
        self.table.setModel(self._filter)
        as_list(self.table, QAbstractItemView.SelectionMode.SingleSelection)
        header = self.table.horizontalHeader()
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setMinimumSectionSize(6 * GRID)
        self.header.addWidget(self.search)
        self.body.addWidget(self._words)
        self.body.addWidget(self.table)
        self.hide()

    def show_exported(self, exported: Exported) -> None:
        self.search.clear()
        self._model.show_messages(exported.messages, exported.tolerance)
        self.table.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self._words.setText(
            f"Both answered these {exported.compared:,} test messages, each in a process of its own. They count as the same "
            f"model when every intent agrees and no probability differs by more than {short_number(exported.tolerance)}."
        )
        rows = min(_MOST_ROWS, len(exported.messages)) * self.table.verticalHeader().defaultSectionSize()
        self.table.setFixedHeight(self.table.horizontalHeader().sizeHint().height() + rows + 2 * self.table.frameWidth() + 2)
        self._fit()
        self.setVisible(bool(exported.messages))

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        room = self.table.viewport().width()
        intent = max(10 * GRID, room // 6)
        for column, width in {**_WIDTHS, RUN: intent, EXPORT: intent}.items():
            self.table.setColumnWidth(column, width)
        self.table.setColumnWidth(TEXT, max(12 * GRID, room - sum(_WIDTHS.values()) - 2 * intent))
