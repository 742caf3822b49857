"""What the tables that list something have in common."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QAbstractItemView, QTableView, QWidget

from studio.ui.theme import GRID


def as_list(view: QTableView, selection: QAbstractItemView.SelectionMode) -> None:
    """Sortable whole rows without a grid; Tab leads on to the next control."""
    view.setSortingEnabled(True)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(selection)
    view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    view.setShowGrid(False)
    view.setWordWrap(False)
    view.setTabKeyNavigation(False)
    view.setCornerWidget(QWidget())
    view.verticalHeader().hide()
    view.verticalHeader().setDefaultSectionSize(3 * GRID + GRID // 2)
    view.horizontalHeader().setHighlightSections(False)
    _offer_sorting(view)


def _offer_sorting(view: QTableView) -> None:
    """A menu to sort by each column, for who has no mouse to click on a heading; the same again turns the order round."""
    view.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
    headings = view.model()
    for column in range(headings.columnCount()):
        name = headings.headerData(column, Qt.Orientation.Horizontal) or "right or wrong"
        action = QAction(f"Sort by {name}", view)
        action.triggered.connect(partial(_sort, view, column))
        view.addAction(action)


def _sort(view: QTableView, column: int, _checked: bool = False) -> None:
    header = view.horizontalHeader()
    again = header.sortIndicatorSection() == column and header.sortIndicatorOrder() == Qt.SortOrder.AscendingOrder
    view.sortByColumn(column, Qt.SortOrder.DescendingOrder if again else Qt.SortOrder.AscendingOrder)
