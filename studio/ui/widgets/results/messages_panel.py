"""The predicted messages: what is chosen in the matrix, found by a word, misclassified or all, and one of them whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QVBoxLayout, QWidget

from studio.core.predictions import PredictionTable
from studio.ui.models.confusion_model import EVERYTHING, Scope
from studio.ui.models.messages_model import MessageFilter, MessagesModel
from studio.ui.theme import GRID
from studio.ui.widgets.basics import button, named, search_field, shortcut, text_label
from studio.ui.widgets.frames import ElidedLabel, split
from studio.ui.widgets.results.message_detail import MessageDetail
from studio.ui.widgets.results.messages_table import MessagesTable


class MessagesPanel(QWidget):
    """The messages of one scope."""

    everything_chosen = Signal()
    """The messages of all intents are wanted again."""
    ask_requested = Signal(str)
    """Emitted with a message's text when it is to be asked in Chat."""

    def __init__(self) -> None:
        super().__init__()
        self._messages = MessagesModel(self)
        self.filter = MessageFilter(self._messages, self)
        self._count = named(text_label("", "strong"), "messagesCount", "Messages shown")
        self._scope = named(ElidedLabel("small"), "messagesScope", "What is chosen in the matrix")
        self._search = search_field(
            "messagesSearch", "Search the messages", "Show only messages with these words (Ctrl+F); Escape clears"
        )
        shortcut(self._search, "Esc", "Results: clear the search", self._search.clear, Qt.ShortcutContext.WidgetShortcut)
        shortcut(self, QKeySequence.StandardKey.Find, "Results: search the messages", self.search)
        self._search.textChanged.connect(self._apply)
        self._wrong_only = named(
            QCheckBox("Misclassified only"),
            "misclassifiedOnly",
            "Misclassified only",
            "Leave out the messages that are predicted right",
        )
        self._wrong_only.toggled.connect(self._apply)
        self._all = button(
            "Show all", "showAllMessages", "Show the messages of all intents again", self.everything_chosen.emit, "link"
        )
        self.table = MessagesTable(self.filter)
        self.detail = MessageDetail()
        self.detail.ask_requested.connect(self.ask_requested)
        self.table.message_shown.connect(self.detail.show_prediction)
        self._build()

    def show_table(self, table: PredictionTable) -> None:
        """Show other predictions, all of them. Raises KeyError when a row has no label or one outside the table's set."""
        self._messages.show_table(table)
        self.table.unsort()
        for control in (self._wrong_only, self._search):
            control.blockSignals(True)
        self._wrong_only.setChecked(False)
        self._search.clear()
        for control in (self._wrong_only, self._search):
            control.blockSignals(False)

    def show_scope(self, scope: Scope, name: str) -> None:
        """Show the messages of a scope, called ``name``, and none of them whole."""
        self.filter.scope = scope
        self._scope.show_text(name)
        self._all.setVisible(scope != EVERYTHING)
        self._apply()

    def shown(self) -> tuple[PredictionTable, NDArray[np.int64]]:
        """All messages, and which of them the list shows, in its order. Neither is changed any more."""
        return self.filter.shown()

    def search(self) -> None:
        """Let words be typed."""
        self._search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self._search.selectAll()

    def _apply(self) -> None:
        self.table.show_only(self.filter.scope, self._wrong_only.isChecked(), self._search.text())
        self._count.setText(f"{self.filter.rowCount():,} of {len(self._messages.rows):,} messages")

    def _build(self) -> None:
        bar = QHBoxLayout()
        bar.setSpacing(GRID)
        bar.addWidget(self._count)
        bar.addStretch(1)
        bar.addWidget(self._wrong_only)
        chosen = QHBoxLayout()
        chosen.setSpacing(GRID)
        chosen.addWidget(self._scope, 1)
        chosen.addWidget(self._all)
        parts = split(Qt.Orientation.Vertical, "messagesSplit", self.table, self.detail)
        parts.setStretchFactor(0, 3)
        parts.setStretchFactor(1, 2)
        parts.setSizes([300, 200])
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        column.addLayout(bar)
        column.addWidget(self._search)
        column.addLayout(chosen)
        column.addWidget(parts, 1)
