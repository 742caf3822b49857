"""What a page shows while it has nothing."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

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
