"""The most probable intents of one message as bars."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from studio.core.answers import LabelProbability
from studio.core.words import percent
from studio.ui import theme
from studio.ui.theme import GRID

_ROW = 3 * GRID
_VALUE = 8 * GRID
_FONT = 12


class ProbabilityBars(QWidget):
    """One line an intent: name, bar, percent. The true intent, where there is one, is named with a tick."""

    def __init__(self, object_name: str = "probabilityBars", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(object_name)
        self.setAccessibleName("Most probable intents")
        self.setToolTip("Probability of each intent, in percent; all intents of the run together make 100 %")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._top: list[LabelProbability] = []
        self._true: str | None = None
        theme.notifier.changed.connect(self.update)

    def show_top(self, top: Sequence[LabelProbability], true_label: str | None = None) -> None:
        """Show intents with their probabilities (0 to 1), in the order given."""
        self._top, self._true = list(top), true_label
        self.setAccessibleDescription(", ".join(f"{entry.label} {percent(entry.probability)}" for entry in self._top))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(40 * GRID, _ROW * max(1, len(self._top)))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        return QSize(24 * GRID, _ROW * max(1, len(self._top)))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002, N802
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colours = theme.current()
        font = QFont(self.font())
        font.setPixelSize(_FONT)
        names = [self._named(entry.label) for entry in self._top]
        bold = QFont(font)
        bold.setBold(True)
        widest = max((QFontMetrics(bold).horizontalAdvance(name) for name in names), default=0) + GRID
        name_width = min(widest, int(self.width() * 0.5))
        room = max(1.0, self.width() - name_width - _VALUE - GRID)
        for row, (entry, name) in enumerate(zip(self._top, names, strict=True)):
            top = row * _ROW
            painter.setFont(bold if row == 0 else font)
            shown = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, name_width - GRID // 2)
            painter.setPen(QColor(colours.good if entry.label == self._true else colours.text))
            middle = Qt.AlignmentFlag.AlignVCenter
            painter.drawText(QRectF(0, top, name_width, _ROW), Qt.AlignmentFlag.AlignLeft | middle, shown)
            track = QRectF(name_width, top + 7, room, _ROW - 14)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colours.raised))
            painter.drawRoundedRect(track, 3, 3)
            if entry.probability > 0:
                track.setWidth(max(2.0, room * min(1.0, entry.probability)))
                painter.setBrush(QColor(colours.accent if row == 0 else colours.muted))
                painter.drawRoundedRect(track, 3, 3)
            painter.setPen(QColor(colours.text if row == 0 else colours.muted))
            value = QRectF(self.width() - _VALUE, top, _VALUE, _ROW)
            painter.drawText(value, Qt.AlignmentFlag.AlignRight | middle, percent(entry.probability))
        painter.end()

    def _named(self, label: str) -> str:
        return f"{label} ✓" if label == self._true else label
