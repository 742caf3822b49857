"""The legend of a plot: a sample of each curve with its name and a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QPointF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from studio.ui import theme
from studio.ui.theme import SMALL_FONT

Look = Literal["raw", "line", "diamonds", "circles", "dashed"]
SYMBOLS: dict[Look, str] = {"diamonds": "d", "circles": "o", "raw": "o"}
_SAMPLE = 22
_WIDEST = 220


@dataclass(frozen=True)
class Curve:
    """How one curve looks. ``colour`` is a name of the theme; ``write`` turns a value into the text of the legend."""

    name: str
    colour: str
    look: Look
    write: Callable[[float], str]
    unit: float = 1.0
    """What a number of the column is multiplied with before it is drawn or written."""
    listed: bool = True
    """The legend has an entry for it."""


class LegendEntry(QWidget):
    """A sample of the curve, its name and a value."""

    def __init__(self, curve: Curve) -> None:
        super().__init__()
        self._curve = curve
        self.text = curve.name
        """What the entry says."""
        self.setAccessibleName(self.text)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.hide()

    def show_value(self, value: str) -> None:
        name = QFontMetrics(self._small()).elidedText(self._curve.name, Qt.TextElideMode.ElideMiddle, _WIDEST * 3 // 5)
        text = f"{name} {value}".strip()
        if text != self.text:
            self.text = text
            self.setAccessibleName(text)
            self.updateGeometry()
            self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        metrics = QFontMetrics(self._small())
        return QSize(_SAMPLE + min(_WIDEST, metrics.horizontalAdvance(self.text) + 1), metrics.height())

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002, N802
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(self._small())
        painter.setPen(QColor(theme.current().muted))
        words = self.rect().adjusted(_SAMPLE, 0, 0, 0)
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, self.text)
        self._paint_sample(painter)
        painter.end()

    def _paint_sample(self, painter: QPainter) -> None:
        colour, look = theme.current().color(self._curve.colour), self._curve.look
        if look == "raw":
            colour.setAlpha(120)
        pen = QPen(colour, 1.5 if look == "raw" else 2.5)
        if look == "dashed":
            pen.setDashPattern([2.4, 2.0])
            pen.setCapStyle(Qt.PenCapStyle.FlatCap)
        painter.setPen(pen)
        middle = self.height() / 2
        painter.drawLine(QPointF(2, middle), QPointF(18, middle))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        if look == "circles":
            painter.drawEllipse(QPointF(10, middle), 4, 4)
        elif look == "diamonds":
            corners = [QPointF(10, middle - 5), QPointF(14, middle), QPointF(10, middle + 5), QPointF(6, middle)]
            painter.drawPolygon(QPolygonF(corners))

    def _small(self) -> QFont:
        font = QFont(self.font())
        font.setPixelSize(SMALL_FONT)
        return font
