"""Short jobs and the chat model: one way to ask a worker something without blocking the window."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal, Slot

from studio.core.answers import ModelLoaded, NoAnswer, Predicted, TokenGenerated
from studio.core.commands import Ask, Cancel, Command, Generate, LoadModel
from studio.core.config import RunConfig
from studio.core.events import Crashed, Event, Failed, StageChanged
from studio.core.generation import GenerationSettings, Speaker
from studio.core.runs import Home, RunFolder
from studio.supervise.starting import start_job
from studio.supervise.threads import WorkerThread

Handler = Callable[[Event], None]


class Job(QObject):
    """One command to one worker. The handlers run in the thread of the job's parent, none after ``cancel()``."""

    def __init__(
        self, parent: QObject, command: Command, success: Handler, failure: Handler, progress: Handler | None, saves: bool
    ) -> None:
        super().__init__(parent)
        self._success, self._failure, self._progress = success, failure, progress
        self._thread: WorkerThread | None = WorkerThread(start_job(command), saves)
        self._thread.listen(self, self._receive, self._end)

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
        thread.ignore(self, self._receive, self._end)
        self.deleteLater()


def run_job(
    parent: QObject,
    command: Command,
    on_success: Handler,
    on_failure: Handler,
    on_progress: Handler | None = None,
    *,
    saves: bool = False,
) -> Job:
    """Run ``command`` in a worker of its own; it lives no longer than ``parent``, with ``saves`` not even when the program ends.

    ``on_progress`` gets every event, ``on_success`` the answer, ``on_failure`` a Failed or Crashed, each of these two
    once the process is gone. Raises StudioError when no worker can be started.
    """
    return Job(parent, command, on_success, on_failure, on_progress, saves)


class ChatSession(QObject):
    """A worker that keeps one run's model loaded and answers messages."""

    loading = Signal(object)
    """A StageChanged while a model is being loaded."""
    loaded = Signal(object)
    """The ModelLoaded."""
    answered = Signal(object)
    """A Predicted, TokenGenerated or NoAnswer whose ``request`` is what ``ask()`` or ``generate()`` returned."""
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
        self._config: RunConfig | None = None
        self._requests = 0
        self.model: ModelLoaded | None = None
        """What is loaded."""

    @property
    def active(self) -> bool:
        """A worker is loading or holds a model."""
        return self._thread is not None

    def carries(self, config: RunConfig) -> bool:
        """Whether the loaded base can take the adapter of another run, so that only that has to be loaded."""
        return self.model is not None and self._config is not None and self._config.shares_base(config)

    def load(self, run: RunFolder) -> None:
        """Load the run's model in place of the one loaded before, whose base stays where it can serve both.

        Raises StudioError when the run cannot be read or no worker can be started.
        """
        config = run.config()
        command = LoadModel(run=str(run.path), home=str(self._home.path))
        if self._thread is not None and self.carries(config):
            self.cancel()
            self.model = None
            self._thread.send(command)
        else:
            self.unload()
            self._thread = WorkerThread(start_job(command))
            self._thread.listen(self, self._receive, self._end)
        self._config = config

    def ask(self, text: str, speaker: Speaker = "tuned") -> int:
        """Classify ``text``; returns the request's number. Needs a loaded or loading model."""
        return self._send(Ask(request=self._requests + 1, text=text, speaker=speaker))

    def generate(self, text: str, settings: GenerationSettings, speaker: Speaker = "tuned") -> int:
        """Have free text written; returns the request's number. Needs a loaded or loading model."""
        return self._send(Generate(request=self._requests + 1, text=text, speaker=speaker, settings=settings))

    def cancel(self) -> None:
        """Give up every request made so far; free text that is being written ends at once, and all are ``answered``."""
        if self._thread is not None and self._requests:
            self._thread.send(Cancel(request=self._requests))

    def unload(self) -> None:
        """End the worker; ``unloaded`` follows at once."""
        if (thread := self._thread) is None:
            return
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
        elif isinstance(event, Predicted | TokenGenerated | NoAnswer):
            self.answered.emit(event)

    @Slot(object)
    def _end(self, final: Event) -> None:
        if (thread := self._thread) is None or self.sender() is not thread:
            return
        if isinstance(final, Failed | Crashed):
            self.failed.emit(final)
        self._forget(thread)

    def _send(self, command: Ask | Generate) -> int:
        if self._thread is None:
            raise RuntimeError("no model is loaded")
        self._requests = command.request
        self._thread.send(command)
        return command.request

    def _forget(self, thread: WorkerThread) -> None:
        thread.ignore(self, self._receive, self._end)
        self._thread = None
        self.model = None
        self.unloaded.emit()
