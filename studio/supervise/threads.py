"""Workers under Qt: a QThread turns a worker's lines into signals, a session holds the one training run."""

from __future__ import annotations

import atexit
import time
from collections import deque
from collections.abc import Callable
from typing import ClassVar

from PySide6.QtCore import QObject, QThread, QTimer, Signal, Slot

from studio.core.commands import Command
from studio.core.config import RunConfig
from studio.core.errors import StudioError
from studio.core.events import Event
from studio.core.resuming import resumable_step
from studio.core.runs import Home, RunFolder
from studio.supervise.process import WorkerProcess
from studio.supervise.starting import resume_training, start_training

SHUT_DOWN_SECONDS = 20.0
SLICE_SECONDS = 0.01
"""For so long events are handed over in one go; between two slices the window lives."""
CROWDED = 5000
"""With more events than this in the queue a worker is read slowly, so that it waits for the window instead of filling memory."""
_SLOWLY_SECONDS = 0.001


class WorkerThread(QThread):
    """Reads one worker's events to its end. The process is given; ``start()`` begins to read.

    What was read waits in a queue that a timer empties in slices: signals straight from the reading thread would all be
    delivered before the next paint, however many a busy worker says or have come together while the window was at work.

    ``saves`` says that the worker has something to keep, and is let do so when the program ends before it.
    """

    event_received = Signal(object)
    """Each Event, in order."""
    ended = Signal(object)
    """The job's last Event, once, after the process is gone. Not after ``detach()``."""

    _arrived = Signal()

    # Destroying a QThread that still runs aborts the program, so every running one is held here.
    _running: ClassVar[set[WorkerThread]] = set()

    def __init__(self, process: WorkerProcess, saves: bool = False) -> None:
        super().__init__()
        self._process = process
        self._saves = saves
        self._waiting: deque[Event | None] = deque()  # None: there will be no more
        self._told = False
        self._delivering = QTimer(self, singleShot=True, interval=0)
        self._delivering.timeout.connect(self._deliver)
        self._arrived.connect(self._delivering.start)
        self._running.add(self)
        self.finished.connect(self._release)

    def run(self) -> None:
        for event in self._process.events():
            self._queue(event)
        self._queue(None)

    def listen(self, owner: QObject, receive: Callable[[Event], None], end: Callable[[Event], None]) -> None:
        """Begin to read: ``receive`` gets each event, ``end`` the last; both are slots of ``owner``, with which the worker ends."""
        self.event_received.connect(receive)
        self.ended.connect(end)
        owner.destroyed.connect(self.cancel)
        self.start()

    def ignore(self, owner: QObject, receive: Callable[[Event], None], end: Callable[[Event], None]) -> None:
        """Tell ``owner`` no more; what ``listen`` was given."""
        self.event_received.disconnect(receive)
        self.ended.disconnect(end)
        owner.destroyed.disconnect(self.cancel)

    def send(self, command: Command) -> None:
        self._process.send(command)

    def stop(self) -> None:
        """Ask for a good end: see ``WorkerProcess.stop``."""
        self._process.stop()

    def pause(self) -> None:
        """Ask for an end that can be gone on from: see ``WorkerProcess.pause``."""
        self._process.pause()

    def checkpoint(self) -> None:
        """Ask for a checkpoint: see ``WorkerProcess.checkpoint``."""
        self._process.checkpoint()

    def cancel(self) -> None:
        """End the worker now: see ``WorkerProcess.cancel``."""
        self._process.cancel()

    def detach(self) -> None:
        """Let the worker save and end by itself, unheard: see ``WorkerProcess.detach``."""
        self._process.detach()

    @classmethod
    def cancel_all(cls) -> None:
        """End every worker that is still read, and wait for their threads. For the end of the program.

        One that trains is detached instead: it saves and ends by itself.
        """
        reading = [thread for thread in cls._running if thread.isRunning()]
        for thread in reading:
            if thread._saves:
                thread.detach()
            else:
                thread.cancel()
        for thread in reading:
            thread.wait()
        cls._running.clear()

    def _queue(self, event: Event | None) -> None:
        self._waiting.append(event)
        if not self._told:
            self._told = True
            self._arrived.emit()
        if len(self._waiting) > CROWDED:
            time.sleep(_SLOWLY_SECONDS)  # not until there is room: the main thread may be waiting for this one to end

    @Slot()
    def _deliver(self) -> None:
        self._told = False  # before the queue is looked at: what comes from here on says so again
        until = time.perf_counter() + SLICE_SECONDS
        while self._waiting and time.perf_counter() < until:
            event = self._waiting.popleft()
            if event is not None:
                self.event_received.emit(event)
            elif self._process.last_word is not None:
                self.ended.emit(self._process.last_word)
        if self._waiting:
            self._delivering.start()
        self._release()

    @Slot()
    def _release(self) -> None:
        """Let go once the thread is done and all that it read is delivered."""
        if self.isFinished() and not self._waiting:
            # Not at once: the last reference must not go in the middle of a signal of this object's own timer.
            QTimer.singleShot(0, lambda: self._running.discard(self))


# Whatever way the program ends, no QThread may be destroyed while it runs.
atexit.register(WorkerThread.cancel_all)


class TrainingSession(QObject):
    """The training run of the window: at most one at a time."""

    run_started = Signal(object)
    """The RunFolder of a run whose worker was started."""
    event_received = Signal(object)
    """Each Event of the active run."""
    run_ended = Signal(object, object)
    """The RunFolder and its last Event: Finished, Failed or Crashed."""

    def __init__(self, home: Home, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._home = home
        self._run: RunFolder | None = None
        self._thread: WorkerThread | None = None

    @property
    def active(self) -> bool:
        return self._thread is not None

    @property
    def run(self) -> RunFolder | None:
        """The run in progress."""
        return self._run

    def start(self, config: RunConfig) -> RunFolder:
        """Make the run folder and start its worker. Raises StudioError, also while another run is active."""
        self._refuse_another()
        run, process = start_training(self._home, config)
        self._listen(run, process)
        return run

    def resume(self, run: RunFolder) -> None:
        """Go on with a run that has ended. Raises StudioError when it cannot, also while another run is active."""
        self._refuse_another()
        self._listen(run, resume_training(self._home, run))

    def retry(self, run: RunFolder, config: RunConfig) -> None:
        """Go on with ``run``, or train anew where it kept nothing, with the micro-batch of ``config``. Raises StudioError."""
        self._refuse_another()
        if resumable_step(run) is None:
            self.start(config)
        else:
            self._listen(run, resume_training(self._home, run, int(config.training.micro_batch)))

    def stop(self) -> None:
        """Keep what was learnt, predict the test split with it and end the run."""
        if self._thread is not None:
            self._thread.stop()

    def pause(self) -> None:
        """Write a checkpoint and end the run at once; ``resume`` goes on with it."""
        if self._thread is not None:
            self._thread.pause()

    def checkpoint(self) -> None:
        """Write a checkpoint and go on."""
        if self._thread is not None:
            self._thread.checkpoint()

    def shut_down(self, seconds: float = SHUT_DOWN_SECONDS) -> None:
        """For closing the window: pause the run and wait ``seconds`` for its worker; a slower one saves by itself."""
        if (thread := self._thread) is None:
            return
        self._thread = None
        thread.ended.disconnect(self._end)
        thread.event_received.disconnect(self.event_received)
        thread.pause()
        if not thread.wait(round(seconds * 1000)):
            thread.detach()
            thread.wait()

    def _refuse_another(self) -> None:
        if self.active:
            raise StudioError("A run is in progress.", "Wait for its end, pause it or stop it first.", kind="busy")

    def _listen(self, run: RunFolder, process: WorkerProcess) -> None:
        thread = WorkerThread(process, saves=True)
        self._run, self._thread = run, thread
        thread.event_received.connect(self.event_received)
        thread.ended.connect(self._end)
        self.run_started.emit(run)
        thread.start()

    @Slot(object)
    def _end(self, final: Event) -> None:
        run, self._run, self._thread = self._run, None, None
        self.run_ended.emit(run, final)
