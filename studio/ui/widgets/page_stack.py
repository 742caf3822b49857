"""What a page shows while it has nothing, in front of what it is made of."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from studio.ui.theme import GRID
from studio.ui.widgets.basics import primary_button, text_label


class EmptyState(QWidget):
    """A title, what to do next, and one button."""

    activated = Signal()

    def __init__(self, title: str, text: str, button_text: str, object_name: str) -> None:
        super().__init__()
        self.setObjectName(object_name)
        words = text_label(text, "muted", wrap=True)
        words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        words.setFixedWidth(52 * GRID)
        words.setMinimumHeight(words.heightForWidth(52 * GRID))
        column = QVBoxLayout(self)
        column.setSpacing(2 * GRID)
        column.addStretch(2)
        column.addWidget(text_label(title, "title"), 0, Qt.AlignmentFlag.AlignHCenter)
        # In a row of its own, because a label that is aligned in a column is not given the height of its wrapped text.
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(words)
        row.addStretch(1)
        column.addLayout(row)
        self.button = primary_button(button_text, f"{object_name}Button", text, self.activated.emit)
        column.addWidget(self.button, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(3)


class PageStack(QStackedWidget):
    """Fills ``page``: first its empty states as (title, text, object name), then its contents; shown by number."""

    setup_requested = Signal()
    """The button of an empty state was pressed."""

    def __init__(self, page: QWidget, states: Sequence[tuple[str, str, str]], *contents: QWidget) -> None:
        super().__init__()
        for title, words, name in states:
            empty = EmptyState(title, words, "Set up a run", name)
            empty.activated.connect(self.setup_requested)
            self.addWidget(empty)
        for content in contents:
            self.addWidget(content)
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self)
