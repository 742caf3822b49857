"""The predicted messages as a list in which the message takes the room that is left."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QTableView, QWidget

from studio.core.answers import Prediction
from studio.ui.models.confusion_model import Scope
from studio.ui.models.messages_model import PREDICTED, PROBABILITY, RIGHT, TEXT, TRUE, MessageFilter
from studio.ui.theme import GRID
from studio.ui.widgets.basics import named
from studio.ui.widgets.tables import as_list

_WIDTHS = {RIGHT: 4 * GRID, TRUE: 8 * GRID, PREDICTED: 8 * GRID, PROBABILITY: 9 * GRID}
_WIDEST_INTENT = 28 * GRID
_INTENT_MARGIN = 3 * GRID
_LEAST_TEXT = 20 * GRID


class MessagesTable(QTableView):
    """Sortable; one message can be chosen. A column that would say the same in every row is hidden."""

    message_shown = Signal(object)
    """The chosen Prediction, or None."""

    def __init__(self, messages: MessageFilter, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        named(
            self,
            "messagesTable",
            "Predicted messages",
            "Choose a message to see it whole, several to copy them (Ctrl+C); a click on a column sorts",
        )
        self._filter = messages
        self.setModel(messages)
        as_list(self, QAbstractItemView.SelectionMode.ExtendedSelection)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(3 * GRID)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        for column, width in _WIDTHS.items():
            self.setColumnWidth(column, width)
        self.selectionModel().currentRowChanged.connect(self._show_message)
        self.unsort()

    def unsort(self) -> None:
        """Back to the order of the test split."""
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)

    def show_only(self, scope: Scope, misclassified_only: bool, words: str) -> None:
        """Show the messages of a scope that hold the words, none of them chosen."""
        self.clearSelection()
        self.setCurrentIndex(QModelIndex())
        self._filter.show_only(scope, misclassified_only, words)
        self.setColumnHidden(TRUE, scope.true is not None)
        self.setColumnHidden(PREDICTED, scope.predicted is not None)
        self.scrollToTop()
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        room = self.viewport().width()
        named_here = [column for column in (TRUE, PREDICTED) if not self.isColumnHidden(column)]
        left = room - _LEAST_TEXT - _WIDTHS[RIGHT] - _WIDTHS[PROBABILITY]
        for column in named_here:
            longest = max((self.fontMetrics().horizontalAdvance(name) for name in self._filter.messages.table.labels), default=0)
            widest = min(_WIDEST_INTENT, longest + _INTENT_MARGIN, left // len(named_here))
            self.setColumnWidth(column, max(_WIDTHS[column], widest))
        others = sum(self.columnWidth(column) for column in _WIDTHS)  # a hidden column is 0 wide
        self.setColumnWidth(TEXT, max(_LEAST_TEXT, room - others))

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)

    def copy(self) -> None:
        """Put the chosen messages on the clipboard: one a line, with true intent, predicted intent and probability."""
        rows = [self._filter.prediction(index) for index in sorted(self.selectionModel().selectedRows())]
        lines = ("\t".join([" ".join(row.text.split()), row.label or "", row.predicted, f"{row.probability:.4f}"]) for row in rows)
        if rows:
            QGuiApplication.clipboard().setText("\n".join(lines))

    def _show_message(self, current: QModelIndex, _previous: QModelIndex) -> None:
        prediction: Prediction | None = self._filter.prediction(current) if current.isValid() else None
        self.message_shown.emit(prediction)
