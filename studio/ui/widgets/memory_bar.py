"""The memory forecast as a stacked bar, and the legend that several bars share."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from studio.core.memory import MemoryForecast
from studio.core.words import MEMORY_PARTS, size
from studio.ui import theme
from studio.ui.widgets.stacked_bar import StackedBar


def forecast_words(forecast: MemoryForecast, available: int) -> str:
    """The forecast part by part, for tooltips and screen readers."""
    lines = [f"Estimated peak: {size(forecast.total)} of {size(available)} that this machine has free"]
    lines += [f"{MEMORY_PARTS[name]}: {size(part)}" for name, part in forecast.parts.items() if part]
    return "\n".join(lines)


class MemoryBar(StackedBar):
    """Bytes by part, side by side. Bars with one scale can be compared by eye; a line marks where the machine's memory ends."""

    def __init__(self, object_name: str) -> None:
        super().__init__(object_name, "Memory forecast", "raised", 15 * theme.GRID, 8 * theme.GRID)

    def show_forecast(self, forecast: MemoryForecast, scale: int, available: int) -> None:
        """``scale`` is how many bytes the whole width stands for."""
        end = ("bad", available) if 0 < available < scale else None
        self.show_parts(forecast.parts, scale, end, forecast_words(forecast, available))


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
