"""A row of small widgets that goes on in the next line when room is short."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPoint, QRect, QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from studio.ui.theme import GRID


class FlowBox(QWidget):
    """Left to right, then down; hidden widgets take no room.

    A widget and no layout: PySide6 6.11 loses track of the items that a layout in Python holds, once one of them is removed,
    and the exception about it, in the middle of Qt's arranging, ends the interpreter.
    """

    def __init__(self, spacing: int = GRID) -> None:
        super().__init__()
        self._spacing = spacing
        self._parts: list[QWidget] = []
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def add(self, part: QWidget, before: QWidget | None = None) -> None:
        """Take in a widget, at the end or ``before`` another."""
        self._parts.insert(len(self._parts) if before is None else self._parts.index(before), part)
        hidden = part.isHidden() and part.testAttribute(Qt.WidgetAttribute.WA_WState_ExplicitShowHide)
        part.setParent(self)
        part.setVisible(not hidden)
        self._changed()

    def remove(self, part: QWidget) -> None:
        """Let go of a widget, and delete it."""
        self._parts.remove(part)
        part.hide()
        part.deleteLater()
        self._changed()

    def hasHeightForWidth(self) -> bool:  # noqa: N802
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        return self._arrange(width, place=False)

    def sizeHint(self) -> QSize:  # noqa: N802
        sizes = [part.sizeHint() for part in self._shown()]
        width = sum(size.width() + self._spacing for size in sizes)
        return QSize(width, max((size.height() for size in sizes), default=0))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        sizes = [_least(part) for part in self._shown()]
        return QSize(max((size.width() for size in sizes), default=0), max((size.height() for size in sizes), default=0))

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.LayoutRequest:  # a part was shown or hidden, or wants another size
            self._changed()
        return super().event(event)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._arrange(self.width(), place=True)

    def _shown(self) -> list[QWidget]:
        return [part for part in self._parts if not part.isHidden()]

    def _changed(self) -> None:
        self.updateGeometry()
        self._arrange(self.width(), place=True)

    def _arrange(self, width: int, *, place: bool) -> int:
        """Put everything in its place, if so wanted; returns the height that it takes."""
        x = y = line = 0
        for part in self._shown():
            size = part.sizeHint()
            if x > 0 and x + size.width() > width:
                x, y, line = 0, y + line + 2, 0
            if place:
                part.setGeometry(QRect(QPoint(x, y), size.boundedTo(QSize(width, size.height()))))
            x, line = x + size.width() + self._spacing, max(line, size.height())
        return y + line


def _least(part: QWidget) -> QSize:
    """What a layout would leave it at the least."""
    fixed = part.sizePolicy().horizontalPolicy() == QSizePolicy.Policy.Fixed
    return part.sizeHint() if fixed else part.minimumSizeHint().expandedTo(part.minimumSize())
