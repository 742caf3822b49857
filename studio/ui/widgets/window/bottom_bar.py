"""The bar at the bottom, always in sight: device, memory, and how far the run is."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QWidget

from studio.core.events import Event, Finished
from studio.core.words import duration, percent, sentence, size, size_of
from studio.supervise.gauges import MemorySample
from studio.ui.models.open_run import OpenRun
from studio.ui.theme import GRID
from studio.ui.widgets.basics import text_label
from studio.ui.widgets.stacked_bar import StackedBar

_REDRAW_MS = 100


class GaugeBar(StackedBar):
    """Ours, other programs' and free memory side by side, with a mark where the forecast says the run will peak."""

    def __init__(self) -> None:
        super().__init__("memoryGauge", "Memory in use", "free", 28 * GRID, 10 * GRID)
        self.setMaximumWidth(40 * GRID)

    def show_sample(self, sample: MemorySample, forecast: int) -> None:
        """``forecast`` is the expected peak of our worker in bytes, 0 for none."""
        words = [
            f"{sample.device}: {size(sample.total)}",
            f"this app and its workers: {size(sample.ours)}",
            f"other programs: {size(sample.others)}",
            f"free: {size(sample.free)}",
        ]
        if forecast:
            words.append(f"line: forecast peak of the run, {size(forecast)}")
        if sample.device != "RAM":
            words.append(f"RAM: {size_of(sample.host_used, sample.host_total)} in use")
        peak = ("forecast", sample.others + forecast) if forecast else None
        self.show_parts({"others": sample.others, "ours": sample.ours}, sample.total, peak, "\n".join(words))


class BottomBar(QWidget):
    """Shows the newest memory sample and the active run."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("bottomBar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.device = text_label("", "muted")
        self.device.setObjectName("deviceName")
        self.device.setToolTip("The memory that training uses")
        self.gauge = GaugeBar()
        self.memory = text_label()
        self.memory.setObjectName("memoryText")
        self.memory.setToolTip("Memory in use, by every program")
        self.stage = text_label("", "muted")
        self.stage.setObjectName("runStage")
        self.step = text_label()
        self.step.setObjectName("runStep")
        self.step.setToolTip("Optimizer steps done and in all")
        self.eta = text_label()
        self.eta.setObjectName("runEta")
        self.eta.setToolTip("Time until the run ends, in minutes and seconds; validations and the test count once one was seen")
        self._run: OpenRun | None = None
        """What is to be drawn next."""
        self._pause = QTimer(self, interval=_REDRAW_MS, singleShot=True)
        self._pause.timeout.connect(self._draw)
        row = QHBoxLayout(self)
        row.setContentsMargins(2 * GRID, GRID, 2 * GRID, GRID)
        row.setSpacing(12)
        row.addWidget(self.device)
        row.addWidget(self.gauge, 2)
        row.addWidget(self.memory)
        row.addStretch(1)
        for label in (self.stage, self.step, self.eta):
            row.addWidget(label)

    def show_sample(self, sample: MemorySample, forecast: int) -> None:
        self.device.setText(sample.device)
        self.memory.setText(size_of(sample.ours + sample.others, sample.total))
        self.gauge.show_sample(sample, forecast)

    def show_end(self, name: str, final: Event) -> None:
        """How a run ended, until another begins."""
        if isinstance(final, Finished) and final.outcome == "paused":
            self._tell(f"{name} is paused")
            return
        how = f"{percent(final.accuracy)} right on test" if isinstance(final, Finished) and final.rows else "see Training"
        self._tell(f"{name} has ended: {how}")

    def show_run(self, run: OpenRun | None) -> None:
        """The active run's progress; None when there is none."""
        if run is None or run.final is not None:
            self._run = None
            self._tell()
            return
        self._run = run
        if not self._pause.isActive():
            self._draw()

    def _draw(self) -> None:
        """Now, and again once enough time has passed if there was more meanwhile: a run may say a thousand things a second."""
        run, self._run = self._run, None
        if run is None or run.final is not None:
            return
        self._pause.start()
        self._tell(
            sentence(run.stage.stage) if run.stage else "",
            f"step {run.step:,}/{run.total_steps:,}" if run.total_steps else "",
            f"{duration(run.eta)} left" if run.eta is not None else "",
        )

    def _tell(self, stage: str = "", step: str = "", eta: str = "") -> None:
        """What has nothing to say takes no room, so that the last word ends at the margin."""
        for label, words in ((self.stage, stage), (self.step, step), (self.eta, eta)):
            label.setText(words)
            label.setVisible(bool(words))
