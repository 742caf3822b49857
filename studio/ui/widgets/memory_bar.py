"""The memory forecast as a stacked bar, and the legend that several bars share."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from studio.core.memory import MemoryForecast
from studio.core.words import MEMORY_PARTS, size
from studio.ui import theme
from studio.ui.words import plain_tooltip


def forecast_words(forecast: MemoryForecast, available: int) -> str:
    """The forecast part by part, for tooltips and screen readers."""
    lines = [f"Estimated peak: {size(forecast.total)} of {size(available)} that this machine has free"]
    lines += [f"{MEMORY_PARTS[name]}: {size(part)}" for name, part in forecast.parts.items() if part]
    return "\n".join(lines)


class MemoryBar(QWidget):
    """Bytes by part, side by side. Bars with one scale can be compared by eye; a line marks where the machine's memory ends."""

    def __init__(self, object_name: str) -> None:
        super().__init__()
        self.setObjectName(object_name)
        self.setAccessibleName("Memory forecast")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._parts: dict[str, int] = {}
        self._scale = 1
        self._available = 0
        theme.notifier.changed.connect(self.update)

    def show_forecast(self, forecast: MemoryForecast, scale: int, available: int) -> None:
        """``scale`` is how many bytes the whole width stands for."""
        self._parts, self._scale, self._available = forecast.parts, max(1, scale), available
        words = forecast_words(forecast, available)
        self.setToolTip(plain_tooltip(words))
        self.setAccessibleDescription(words)
        self.update()

    def clear(self) -> None:
        self._parts = {}
        self.setToolTip("")
        self.setAccessibleDescription("")
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(15 * theme.GRID, 2 * theme.GRID)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        return QSize(8 * theme.GRID, 2 * theme.GRID)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002, N802
        colours = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        track = QRectF(0, 2, self.width(), self.height() - 4)
        outline = QPainterPath()
        outline.addRoundedRect(track, 3, 3)
        painter.setClipPath(outline)
        painter.fillRect(track, colours.color("raised"))
        left = track.left()
        for name, part in self._parts.items():
            width = track.width() * part / self._scale
            painter.fillRect(QRectF(left, track.top(), width, track.height()), colours.color(name))
            left += width
        painter.setClipping(False)
        if self._parts and 0 < self._available < self._scale:
            end = track.width() * self._available / self._scale
            painter.setPen(QPen(colours.color("bad"), 2))
            painter.drawLine(round(end), 0, round(end), self.height())


class MemoryLegend(QLabel):
    """Which colour is which part. The text is ours alone, so rich text is safe here."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("memoryLegend")
        self.setProperty("role", "small")
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setWordWrap(True)
        self.setAccessibleName("Legend of the memory bars: " + ", ".join(MEMORY_PARTS.values()))
        theme.notifier.changed.connect(self._render)
        self._render()

    def _render(self) -> None:
        colours = theme.current()
        entries = (
            f'<span style="color:{colours.parts[part]}">&#9632;</span>&nbsp;{name.replace(" ", "&nbsp;")}'
            for part, name in MEMORY_PARTS.items()
        )
        self.setText("&nbsp; ".join(entries))
