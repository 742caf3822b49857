"""Short jobs and the chat model: one way to ask a worker something without blocking the window."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal, Slot

from studio.core.commands import Ask, Command, LoadModel
from studio.core.events import Crashed, Event, Failed, ModelLoaded, Predicted, StageChanged
from studio.core.runs import Home, RunFolder
from studio.supervise.process import start_job
from studio.supervise.threads import WorkerThread

Handler = Callable[[Event], None]


class Job(QObject):
    """One command to one worker. The handlers run in the thread of the job's parent, none after ``cancel()``."""

    def __init__(self, parent: QObject, command: Command, success: Handler, failure: Handler, progress: Handler | None) -> None:
        super().__init__(parent)
        self._success, self._failure, self._progress = success, failure, progress
        self._thread: WorkerThread | None = WorkerThread(start_job(command))
        self._thread.event_received.connect(self._receive)
        self._thread.ended.connect(self._end)
        # A worker whose page is gone has nobody to answer to.
        self.destroyed.connect(self._thread.cancel)
        self._thread.start()

    @property
    def active(self) -> bool:
        return self._thread is not None

    def cancel(self) -> None:
        """End the worker; no handler is called any more."""
        if (thread := self._thread) is not None:
            self._release(thread)
            thread.cancel()

    @Slot(object)
    def _receive(self, event: Event) -> None:
        if self._thread is not None and self._progress is not None:
            self._progress(event)

    @Slot(object)
    def _end(self, final: Event) -> None:
        if (thread := self._thread) is None:
            return
        self._release(thread)
        if isinstance(final, Failed | Crashed):
            self._failure(final)
        else:
            self._success(final)

    def _release(self, thread: WorkerThread) -> None:
        self._thread = None
        thread.event_received.disconnect(self._receive)
        thread.ended.disconnect(self._end)
        self.destroyed.disconnect(thread.cancel)
        self.deleteLater()


def run_job(parent: QObject, command: Command, on_success: Handler, on_failure: Handler, on_progress: Handler | None = None) -> Job:
    """Run ``command`` in a worker of its own; it lives no longer than ``parent``.

    ``on_progress`` gets every event, ``on_success`` the answer, ``on_failure`` a Failed or Crashed, each of these two
    once the process is gone. Raises StudioError when no worker can be started.
    """
    return Job(parent, command, on_success, on_failure, on_progress)


class ChatSession(QObject):
    """A worker that keeps one run's model loaded and answers messages."""

    loading = Signal(object)
    """A StageChanged while the model is being loaded."""
    loaded = Signal(object)
    """The ModelLoaded."""
    answered = Signal(object)
    """A Predicted whose ``request`` is what ``ask()`` returned."""
    failed = Signal(object)
    """A Failed or Crashed; the model is gone."""
    unloaded = Signal()
    """The worker ends and gives its memory back; also emitted after ``failed``."""
    event_received = Signal(object)
    """Each Event of the worker, its Heartbeats too, before the signals above."""

    def __init__(self, home: Home, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._home = home
        self._thread: WorkerThread | None = None
        self._requests = 0
        self.model: ModelLoaded | None = None
        """What is loaded."""

    @property
    def active(self) -> bool:
        """A worker is loading or holds a model."""
        return self._thread is not None

    def load(self, run: RunFolder) -> None:
        """Load the run's model in place of the one loaded before. Raises StudioError when no worker can be started."""
        self.unload()
        command = LoadModel(run=str(run.path), home=str(self._home.path))
        thread = self._thread = WorkerThread(start_job(command))
        thread.event_received.connect(self._receive)
        thread.ended.connect(self._end)
        self.destroyed.connect(thread.cancel)
        thread.start()

    def ask(self, text: str) -> int:
        """Classify ``text``; returns the request's number. Needs a loaded or loading model."""
        if self._thread is None:
            raise RuntimeError("no model is loaded")
        self._requests += 1
        self._thread.send(Ask(request=self._requests, text=text))
        return self._requests

    def unload(self) -> None:
        """End the worker; ``unloaded`` follows at once."""
        if (thread := self._thread) is None:
            return
        thread.event_received.disconnect(self._receive)
        thread.ended.disconnect(self._end)
        thread.cancel()  # it holds nothing that would have to be kept
        self._forget(thread)

    @Slot(object)
    def _receive(self, event: Event) -> None:
        if self.sender() is not self._thread:  # queued by a worker that was let go since
            return
        self.event_received.emit(event)
        if isinstance(event, StageChanged):
            self.loading.emit(event)
        elif isinstance(event, ModelLoaded):
            self.model = event
            self.loaded.emit(event)
        elif isinstance(event, Predicted):
            self.answered.emit(event)

    @Slot(object)
    def _end(self, final: Event) -> None:
        if (thread := self._thread) is None or self.sender() is not thread:
            return
        if isinstance(final, Failed | Crashed):
            self.failed.emit(final)
        self._forget(thread)

    def _forget(self, thread: WorkerThread) -> None:
        self.destroyed.disconnect(thread.cancel)
        self._thread = None
        self.model = None
        self.unloaded.emit()
