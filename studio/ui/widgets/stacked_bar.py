"""A bar of amounts side by side, with a line somewhere across it."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QRectF, QSize
from PySide6.QtGui import QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from studio.ui import theme
from studio.ui.words import plain_tooltip

_HEIGHT = 2 * theme.GRID
_MARGIN, _RADIUS, _LINE = 2, 3, 2


class StackedBar(QWidget):
    """Amounts by the names of their colours. ``background`` is that of what no amount takes."""

    def __init__(self, object_name: str, name: str, background: str, width: int, least_width: int) -> None:
        super().__init__()
        self.setObjectName(object_name)
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._background, self._width, self._least_width = background, width, least_width
        self._parts: dict[str, int] = {}
        self._scale = 1
        self._line: tuple[str, int] | None = None
        theme.notifier.changed.connect(self.update)

    def show_parts(self, parts: Mapping[str, int], scale: int, line: tuple[str, int] | None, words: str) -> None:
        """``scale`` is what the whole width stands for, ``line`` a colour and an amount, ``words`` say it all."""
        self._parts, self._scale, self._line = dict(parts), max(1, scale), line
        self.setToolTip(plain_tooltip(words))
        self.setAccessibleDescription(words)
        self.update()

    def clear(self) -> None:
        self.show_parts({}, 1, None, "")

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(self._width, _HEIGHT)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        return QSize(self._least_width, _HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002, N802
        colours = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        track = QRectF(0, _MARGIN, self.width(), self.height() - 2 * _MARGIN)
        outline = QPainterPath()
        outline.addRoundedRect(track, _RADIUS, _RADIUS)
        painter.setClipPath(outline)
        painter.fillRect(track, colours.color(self._background))
        left = track.left()
        for name, part in self._parts.items():
            width = track.width() * part / self._scale
            painter.fillRect(QRectF(left, track.top(), width, track.height()), colours.color(name))
            left += width
        painter.setClipping(False)
        if self._line is not None:
            name, amount = self._line
            painter.setPen(QPen(colours.color(name), _LINE))
            at = round(min(1.0, amount / self._scale) * (self.width() - _LINE)) + _LINE // 2
            painter.drawLine(at, 0, at, self.height())
