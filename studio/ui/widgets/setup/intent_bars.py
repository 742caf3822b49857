"""How often each intent occurs: a list with one bar a row, stacked by split."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QStyledItemDelegate, QStyleOptionViewItem, QTableView

from studio.core.answers import DataInspected
from studio.ui import theme
from studio.ui.models.preview_model import COUNT_ROLE, LARGEST_ROLE, IntentCount, IntentsModel
from studio.ui.widgets.basics import named

_ROW = 22
_NUMBER_WIDTH = 48
SPLIT_COLOURS = ("train", "validation", "test")


class _BarDelegate(QStyledItemDelegate):
    def paint(self, painter: QPainter, option: Any, index: QModelIndex | QPersistentModelIndex) -> None:
        background = QStyleOptionViewItem(option)
        self.initStyleOption(background, index)
        background.text = ""
        background.widget.style().drawControl(
            background.widget.style().ControlElement.CE_ItemViewItem, background, painter, background.widget
        )
        row: IntentCount = index.data(COUNT_ROLE)
        largest: int = index.data(LARGEST_ROLE)
        colours = theme.current()
        area = QRectF(option.rect).adjusted(6, 6, -_NUMBER_WIDTH - 6, -6)
        painter.save()
        left = area.left()
        for name, count in zip(SPLIT_COLOURS, (row.train, row.validation, row.test), strict=True):
            width = area.width() * count / max(1, largest)
            painter.fillRect(QRectF(left, area.top(), width, area.height()), colours.color(name))
            left += width
        painter.setPen(colours.color("text"))
        number = QRectF(option.rect).adjusted(0, 0, -6, 0)
        painter.drawText(number, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), index.data())
        painter.restore()

    def sizeHint(self, option: Any, index: QModelIndex | QPersistentModelIndex) -> QSize:  # noqa: N802
        return QSize(super().sizeHint(option, index).width() + 80, _ROW)


class IntentBars(QTableView):
    """Intents with their bars; a click on a header sorts."""

    def __init__(self) -> None:
        super().__init__()
        named(self, "intentBars", "Messages for each intent", "Messages for each intent in each split; click a header to sort")
        self.counts = IntentsModel()
        self.setModel(self.counts)
        self.setItemDelegateForColumn(1, _BarDelegate(self))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        self.verticalHeader().setMinimumSectionSize(_ROW)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        header.setSortIndicator(1, Qt.SortOrder.DescendingOrder)
        self.setSortingEnabled(True)
        theme.notifier.changed.connect(self.viewport().update)

    def show_counts(self, answer: DataInspected) -> None:
        self.counts.show_counts(answer)
        header = self.horizontalHeader()
        self.sortByColumn(header.sortIndicatorSection(), header.sortIndicatorOrder())
