"""What the tables that list something have in common."""

from __future__ import annotations

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
