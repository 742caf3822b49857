"""A run as the window shows it: rebuilt from its folder and fed live. Pages read it; none keeps a copy of its own."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from PySide6.QtCore import QObject, QTimer, Signal

from studio.core.answers import DownloadProgressed
from studio.core.config import RunConfig
from studio.core.event_log import EventLog
from studio.core.events import (
    FINAL_EVENTS,
    CheckpointSaved,
    Crashed,
    Evaluated,
    Event,
    Failed,
    Finished,
    Heartbeat,
    Hello,
    RunStarted,
    StageChanged,
    StepsCompleted,
)
from studio.core.machine import DeviceName, device_kind
from studio.core.resuming import resumable_step, up_to
from studio.core.runs import Outcome, RunFolder, RunState
from studio.core.words import sentence
from studio.ui.models.run_log import LOG_LINES, Level, LogEntry, log_text
from studio.ui.models.run_predictions import RunPredictions
from studio.ui.models.step_series import StepSeries
from studio.ui.models.time_left import TimeLeft

RECENT = 50
AT_ONCE = 1000
"""Events that are read when a run is opened; the others are read in slices between which the window lives."""
SLICE_SECONDS = 0.01
FOLLOWED_MS = 1000
"""How often the file of a run that another program trains is read."""
_SILENT = 5
"""Readings without anything new after which its worker may be gone: it gives a sign of life every 2 seconds."""


class OpenRun(QObject):
    """One run folder with everything its training worker has said.

    Opening it reads events.jsonl, a long one piece by piece while the window goes on; events of a live run are then given
    to ``add``. An event that was already read from the file is left out, so it does not matter how far the worker was when
    the folder was opened. A run that another program trains is followed through its file. Memory: nine numbers a
    step, two more each half second, and the newest lines of the log; no event is kept.
    """

    changed = Signal(object)
    """Emitted with each live event that was taken in, and with the last one of each piece that was read."""
    loaded = Signal()
    """All that was written has been read, or many predictions have. Not emitted for what is short, which is there at once."""
    ended = Signal()
    """The run has ended, or the program that trained it is gone."""

    def __init__(self, folder: RunFolder, parent: QObject | None = None, *, ours: bool = False) -> None:
        """``ours``: this window trains it, and can stop it. Raises StudioError for an unreadable run.toml."""
        super().__init__(parent)
        self.folder = folder
        self.ours = ours
        self.config: RunConfig = folder.config()
        folder.put_back_replaced()
        self.predictions = RunPredictions(folder, self)
        self.predictions.loaded.connect(self.loaded)
        self.started: RunStarted | None = None
        self.steps = StepSeries()
        self.evaluations: list[Evaluated] = []
        self.checkpoints = 0
        """Checkpoints that were written, those that are gone by now included."""
        self.log: deque[LogEntry] = deque(maxlen=LOG_LINES)
        self.log_count = 0
        """Lines ever written to ``log``, including those that fell out of it."""
        self.stage: StageChanged | None = None
        self.final: Finished | Failed | Crashed | None = None
        self._recent: deque[StepsCompleted] = deque(maxlen=RECENT)
        self._time_left = TimeLeft(self.config.training, self.config.training.batch_size)
        self._early: list[Heartbeat] = []
        self._waiting: list[Event] = []
        self._replayed_until = 0.0
        self._elapsed = 0.0
        self._heard: float | None = None
        self._silent = 0
        self._written = EventLog(folder.events_path)
        self._history: Iterator[Event] | None = self._written.read()
        # A run of this window is at work, however it had ended before it was resumed.
        self._outcome = None if ours else folder.outcome()
        self._running = folder.events_path.exists() if ours else self._outcome is None and folder.is_running()
        self._read_on(events=AT_ONCE)
        if self.reading:
            self._reader = QTimer(self)
            self._reader.timeout.connect(lambda: self._read_on(seconds=SLICE_SECONDS))
            self._reader.start()

    @property
    def reading(self) -> bool:
        """What was written before has not been read to its end yet."""
        return self._history is not None

    @property
    def share_read(self) -> float:
        """How much of what was written has been read, 0 to 1."""
        return self._written.share_read if self.reading else 1.0

    def add(self, event: Event) -> None:
        """Take in a live event; while the past is being read it waits."""
        if self.reading:
            self._waiting.append(event)
            return
        if self.final is not None or (event.elapsed and event.elapsed <= self._replayed_until):
            return
        self._hear(event)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def state(self) -> RunState:
        """How the run stands; like ``RunFolder.state`` but without asking the disk again."""
        if self.final is not None:
            return Outcome(final=self.final).state
        if self._outcome is not None:
            return self._outcome.state
        if self._running:
            return "running"
        return "interrupted" if self.started or self.log_count else "new"

    @property
    def resumable_step(self) -> int | None:
        """The step from which it can go on; None while it is at work, and where nothing was kept to go on from."""
        return None if self.active else resumable_step(self.folder)

    @property
    def active(self) -> bool:
        """A worker trains it; for a run of this window, also when one is about to."""
        return self.state == "running" or (self.ours and self.state == "new")

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return int(self.steps.step.last) if len(self.steps.step) else 0

    @property
    def total_steps(self) -> int:
        """Optimizer steps in the whole run; 0 while unknown."""
        if self._recent:
            return self._recent[-1].steps
        return self.started.total_steps if self.started else 0

    @property
    def elapsed(self) -> float:
        """Seconds since the run began; goes on between events while it is live."""
        if isinstance(self.final, Finished) and self.final.seconds:
            return self.final.seconds
        waited = time.monotonic() - self._heard if self._running and self._heard is not None else 0.0
        return self._elapsed + waited

    @property
    def eta(self) -> float | None:
        """Seconds still to come, validations and the last test included as far as one has been seen; None while unknown."""
        return self._time_left.seconds if self.active else None

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens computed a second, padding left out, over the recent steps; None while unknown."""
        seconds = sum(sum(event.seconds) for event in self._recent)
        return sum(event.tokens for event in self._recent) / seconds if seconds > 0 else None

    def evaluated(self, split: str) -> list[Evaluated]:
        """The evaluations of one split, oldest first."""
        return [event for event in self.evaluations if event.split == split]

    def _read_on(self, *, events: int = 0, seconds: float = 0.0) -> None:
        """Read so many events, or for so long, and set everything else going once all are read."""
        assert self._history is not None
        read, last, until = 0, None, time.perf_counter() + seconds
        for event in self._history:
            self._take(event)
            self._replayed_until = max(self._replayed_until, event.elapsed)
            read, last = read + 1, event
            if read == events or (not events and time.perf_counter() > until):
                self.final = None if self.ours else self.final
                if not events:
                    self.changed.emit(last)
                return
        self._history = None
        if self._outcome is not None and self.final is None:
            self._take(self._outcome.final)
        self._outcome = None
        if self.ours:
            self.final = None
        else:
            self._running = self.final is None and self.folder.is_running()
        if self.final is None and not self.ours and self.state != "interrupted":
            self._follower = QTimer(self, interval=FOLLOWED_MS)
            self._follower.timeout.connect(self._follow)
            self._follower.start()
        if not events:
            self._reader.stop()
            if last is not None:
                self.changed.emit(last)
            self.loaded.emit()
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            self.add(event)

    def _hear(self, event: Event) -> None:
        self._running = not isinstance(event, FINAL_EVENTS)
        self._heard = time.monotonic()
        self._take(event)
        self.changed.emit(event)
        if not self._running:
            self.ended.emit()

    def _follow(self) -> None:
        """Take in what another program's worker has written since."""
        self._silent += 1
        for event in self._written.read():
            self._silent = 0
            self._hear(event)
        if self.final is None and self._silent >= _SILENT and not self.folder.is_running():
            outcome = self.folder.outcome()
            if outcome is not None:
                self._hear(outcome.final)
            elif self._running:
                self._running = False
                self.ended.emit()
        if self.state not in ("new", "running"):
            self._follower.stop()

    def _take(self, event: Event) -> None:
        self._elapsed = max(self._elapsed, event.elapsed)
        match event:
            case Hello():
                self.final = None  # one that was resumed says it again
            case RunStarted():
                self._begin(event)
            case StepsCompleted():
                if event.first_step > self.step:
                    self.steps.add(event)
                    self.steps.add_memory(event.elapsed, event.memory_bytes)
                    self._recent.append(event)
                self.stage = None
            case Heartbeat():
                if self.started is None:
                    self._early.append(event)
                if self.started is None or event.device == device_kind(self.started.device):
                    self.steps.add_memory(event.elapsed, event.memory_bytes)
            case Evaluated():
                self.evaluations.append(event)
            case CheckpointSaved():
                self.checkpoints += 1
            case StageChanged():
                if self.stage is None or self.stage.stage != event.stage:
                    self._write(event, "stage", sentence(event.stage))
                self.stage = event
            case DownloadProgressed():
                what = self.stage.stage if self.stage is not None else "downloading"
                self.stage = StageChanged(stage=what, done=event.done, total=event.total, unit="bytes", elapsed=event.elapsed)
            case Finished() | Failed() | Crashed():
                self.final = event
                self.stage = None
        self._time_left.hear(event)
        if (told := log_text(event)) is not None:
            self._write(event, *told)

    def _begin(self, event: RunStarted) -> None:
        self.started, self.final = event, None
        if event.resumed_after is None:
            self._measure_only(device_kind(event.device))
            return
        self.steps.forget_after(event.resumed_after)
        self._recent.clear()
        self.evaluations = [earlier for earlier in self.evaluations if up_to(earlier, event.resumed_after) is not None]

    def _measure_only(self, device: DeviceName) -> None:
        """Of the time before the run's device was known, keep what was measured on it."""
        self.steps.forget_memory()
        for event in self._early:
            if event.device == device:
                self.steps.add_memory(event.elapsed, event.memory_bytes)
        self._early.clear()

    def _write(self, event: Event, level: Level, text: str) -> None:
        self.log.append(LogEntry(event.elapsed or self._elapsed, level, text, event.time))
        self.log_count += 1
