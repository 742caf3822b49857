"""How pages are cut up: cards around one thing, splits between cards, and names that give way when room is short."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QLabel, QLayout, QSizePolicy, QSplitter, QVBoxLayout, QWidget

from studio.ui.theme import GRID
from studio.ui.widgets.basics import Role
from studio.ui.words import plain_tooltip


def framed(content: QWidget, header: QWidget | QLayout | None = None) -> QFrame:
    """A card around a widget, with a line above it."""
    card = QFrame()
    card.setProperty("card", True)
    column = QVBoxLayout(card)
    column.setContentsMargins(GRID + GRID // 2, GRID, GRID + GRID // 2, GRID + GRID // 2)
    column.setSpacing(GRID)
    if isinstance(header, QWidget):
        column.addWidget(header)
    elif header is not None:
        column.addLayout(header)
    column.addWidget(content, 1)
    return card


def split(orientation: Qt.Orientation, object_name: str, *parts: QWidget) -> QSplitter:
    """Parts whose border can be dragged, a grid step apart."""
    splitter = QSplitter(orientation)
    splitter.setObjectName(object_name)
    splitter.setChildrenCollapsible(False)
    splitter.setHandleWidth(GRID)
    # The cards have borders of their own; a coloured handle between them would be a bar.
    splitter.setProperty("gap", True)
    for part in parts:
        splitter.addWidget(part)
    return splitter


class ElidedLabel(QLabel):
    """Plain text on one line that is shortened in its middle when room is short; the tooltip then has all of it."""

    def __init__(self, role: Role | None = None) -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        if role:
            self.setProperty("role", role)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def show_text(self, text: str) -> None:
        self.setText(text)
        self.setToolTip(plain_tooltip(text))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        return QSize(8 * GRID, super().minimumSizeHint().height())

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(self.fontMetrics().horizontalAdvance(self.text()) + 2, super().sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002, N802
        painter = QPainter(self)
        painter.setFont(self.font())
        painter.setPen(self.palette().color(self.foregroundRole()))
        shown = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideMiddle, self.width())
        painter.drawText(self.rect(), self.alignment() | Qt.AlignmentFlag.AlignVCenter, shown)
        painter.end()
