"""The token inspector's worker: started by the first question, kept for the next, let go when nobody asks any more."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from studio.core.answers import TokensInspected
from studio.core.commands import InspectTokens
from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed, StageChanged
from studio.supervise.starting import start_job
from studio.supervise.threads import WorkerThread

# A loaded tokenizer holds a few hundred megabytes, which training could use.
IDLE_SECONDS = 60


class TokenSession(QObject):
    """One question at a time: of those asked meanwhile only the last is sent on."""

    answered = Signal(object)
    """The TokensInspected that answers the last question."""
    failed = Signal(object)
    """A Failed, Crashed or StudioError; the worker is gone, and the next question starts another."""
    progressed = Signal(object)
    """A StageChanged while something is being read."""
    event_received = Signal(object)
    """Each Event of the worker."""
    released = Signal()
    """The worker is gone, whatever the reason."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread: WorkerThread | None = None
        self._requests = 0
        self._in_flight = False
        self._waiting: InspectTokens | None = None
        self._soon = QTimer(self, interval=0, singleShot=True)
        self._soon.timeout.connect(self._send)
        self._idle = QTimer(self, interval=IDLE_SECONDS * 1000, singleShot=True)
        self._idle.timeout.connect(self.release)

    @property
    def active(self) -> bool:
        """There is a worker, answering or waiting."""
        return self._thread is not None

    @property
    def asking(self) -> bool:
        """An answer is yet to come."""
        return self._in_flight

    def ask(self, command: InspectTokens) -> None:
        """Ask, and forget what was asked before. The answer or a failure follows as a signal, never within this call."""
        self._idle.stop()
        self._requests += 1
        self._waiting = command.model_copy(update={"request": self._requests})
        if not self._in_flight:
            self._in_flight = True
            self._soon.start()

    def release(self) -> None:
        """End the worker and give its memory back; what was asked is forgotten."""
        self._waiting, self._in_flight = None, False
        for timer in (self._soon, self._idle):
            timer.stop()
        if (thread := self._thread) is not None:
            self._forget(thread)
            thread.cancel()  # it holds nothing that would have to be kept

    def _send(self) -> None:
        command, self._waiting = self._waiting, None
        assert command is not None
        if self._thread is not None:
            self._thread.send(command)
            return
        try:
            thread = WorkerThread(start_job(command))
        except StudioError as error:
            self._in_flight = False
            self.failed.emit(error)
            return
        self._thread = thread
        thread.listen(self, self._receive, self._end)

    @Slot(object)
    def _receive(self, event: Event) -> None:
        if self.sender() is not self._thread:  # queued by a worker that was let go since
            return
        self.event_received.emit(event)
        if isinstance(event, StageChanged):
            self.progressed.emit(event)
        elif isinstance(event, TokensInspected):
            if self._waiting is not None:
                self._send()
                return
            self._in_flight = False
            self._idle.start()
            self.answered.emit(event)

    @Slot(object)
    def _end(self, final: Event) -> None:
        if (thread := self._thread) is None or self.sender() is not thread:
            return
        self._forget(thread)
        if self._waiting is not None:  # the question that failed is no longer the one that counts
            self._send()
            return
        self._in_flight = False
        if isinstance(final, Failed | Crashed):
            self.failed.emit(final)

    def _forget(self, thread: WorkerThread) -> None:
        self._thread = None
        thread.ignore(self, self._receive, self._end)
        self.released.emit()
