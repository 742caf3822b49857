"""The stage that a worker is in, with a bar for how much of it is done."""

from __future__ import annotations

from PySide6.QtWidgets import QBoxLayout, QProgressBar, QWidget

from studio.core.answers import DownloadProgressed
from studio.core.events import Event, StageChanged
from studio.core.words import sentence, size
from studio.ui.theme import GRID
from studio.ui.widgets.basics import named, text_label


class JobProgress(QWidget):
    """Stage and bar, one beside or one above the other; hidden until ``start``."""

    def __init__(self, object_name: str, what: str, direction: QBoxLayout.Direction = QBoxLayout.Direction.TopToBottom) -> None:
        """``what`` is at work, for those who cannot see it: "the export"."""
        super().__init__()
        self._shown = ""
        self.stage = named(text_label(), f"{object_name}Stage", f"Stage of {what}", "What is being done now")
        self.bar = named(QProgressBar(), f"{object_name}Progress", f"Progress of {what}", "How much of this stage is done")
        self.bar.setTextVisible(False)
        row = QBoxLayout(direction, self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GRID // 2 if direction == QBoxLayout.Direction.TopToBottom else 2 * GRID)
        row.addWidget(self.stage)
        row.addWidget(self.bar, 1)
        self.hide()

    def start(self) -> None:
        """The worker was started and has said nothing yet."""
        self.show_stage("starting")
        self.show()

    def hear(self, event: Event) -> None:
        """Any event of the worker; those that name a stage are shown."""
        if isinstance(event, StageChanged):
            self.show_stage(event.stage, event.done, event.total, event.unit)
        elif isinstance(event, DownloadProgressed):
            self.show_stage(self._shown, event.done, event.total, "bytes")

    def show_stage(self, stage: str, done: int = 0, total: int = 0, unit: str = "") -> None:
        """``done`` of ``total``, plain numbers or "bytes"; a total of 0 is unknown."""
        self._shown = stage
        amount = f" {size(done)} of {size(total)}" if unit == "bytes" else f" {done:,} of {total:,}"
        self.stage.setText(sentence(stage) + (amount if total else ""))
        if unit == "bytes":  # more than the bar's integers can hold
            done, total = done // 1024, total // 1024
        self.bar.setRange(0, total)
        self.bar.setValue(done)
