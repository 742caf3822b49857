"""The download of a model or data set of the hub: how large it is, the button that starts it, how far it is, and the way out."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from studio.core.answers import SPARE_BYTES, DownloadProgressed, MissingFiles
from studio.core.events import Event, StageChanged
from studio.core.words import sentence, size, spoken_duration
from studio.ui.theme import GRID
from studio.ui.widgets.basics import allow, button, named, primary_button, text_label

_STEPS = 1000  # bytes are more than the bar's integers can hold


class HubDownload(QWidget):
    """Hidden until something is missing."""

    wanted = Signal()
    cancelled = Signal()

    def __init__(self, object_name: str, what: str) -> None:
        """``what`` is downloaded, in words: "the model"."""
        super().__init__()
        self.missing: MissingFiles | None = None
        """What a download would still fetch."""
        self.running = False
        self.words = named(
            text_label("", wrap=True),
            f"{object_name}DownloadWords",
            f"The download of {what}",
            f"What of {what} is to be downloaded, and how far it is",
        )
        self.bar = named(
            QProgressBar(), f"{object_name}DownloadBar", f"Progress of {what}", f"How much of {what} is on this computer"
        )
        self.bar.setRange(0, _STEPS)
        self.bar.setTextVisible(False)
        tip = f"Fetch {what} into the hub's cache"
        self.start_button = primary_button("Download", f"{object_name}Download", tip, self.wanted.emit)
        tip = f"Stop the download of {what}; what has come is kept, and the next one goes on there"
        self.cancel_button = button("Cancel", f"{object_name}CancelDownload", tip, self.cancelled.emit)
        row = QHBoxLayout()
        row.setSpacing(2 * GRID)
        row.addWidget(self.words, 1)
        row.addWidget(self.start_button)
        row.addWidget(self.cancel_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        column.addLayout(row)
        column.addWidget(self.bar)
        self._show_running(False)
        self.hide()

    def offer(self, missing: MissingFiles | None) -> None:
        """Offer what is missing to be fetched; nothing when nothing is."""
        self.missing = missing
        self.setVisible(missing is not None)
        self._show_running(False)
        if missing is None:
            return
        begun = missing.missing < missing.total
        words = f"Not on this computer yet: {size(missing.missing)} to download"
        words += f" of {size(missing.total)}; the rest came earlier." if begun else "."
        self.words.setText(f"{words} {size(missing.free)} are free there.")
        self.start_button.setText("Continue download" if begun else "Download")
        self.start_button.setAccessibleName(self.start_button.text())
        lacking = f"It needs {size(missing.missing)} and {size(SPARE_BYTES)} to spare; only {size(missing.free)} are free."
        allow(self.start_button, "" if missing.fits else lacking)
        self.bar.setVisible(begun)
        self._show_share(missing.total - missing.missing, missing.total)

    def start(self) -> None:
        """The download was asked for and has said nothing yet."""
        self._show_running(True)
        self.words.setText("Starting the download…")
        self.bar.show()

    def hear(self, event: Event) -> None:
        """Any event of the worker that downloads."""
        if isinstance(event, DownloadProgressed):
            if self.missing is not None:
                self.missing = self.missing.model_copy(update={"missing": max(0, event.total - event.done)})
            words = f"{size(event.done)} of {size(event.total)}"
            if event.bytes_per_second:
                words += f", {size(event.bytes_per_second)}/s"
            if event.seconds_left is not None and event.done < event.total:
                words += f", about {spoken_duration(event.seconds_left)} left"
            self.words.setText(words)
            self._show_share(event.done, event.total)
        elif isinstance(event, StageChanged):
            self.words.setText(f"{sentence(event.stage)}…")

    def _show_running(self, running: bool) -> None:
        self.running = running
        self.start_button.setVisible(not running)
        self.cancel_button.setVisible(running)

    def _show_share(self, done: int, total: int) -> None:
        self.bar.setValue(round(_STEPS * done / max(1, total)))
