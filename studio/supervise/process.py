"""Start a worker, read its events, stop it in good order, and say what happened when it ended unexpectedly."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from studio.core.answers import (
    DataInspected,
    DownloadOffered,
    Exported,
    Forecasted,
    ModelDescribed,
    ModelLoaded,
    ModelsListed,
    NoAnswer,
    Predicted,
    ReportWritten,
    RunsCompared,
    TokenGenerated,
    TokensInspected,
)
from studio.core.commands import Checkpoint, Command, Pause, Stop
from studio.core.errors import StudioError
from studio.core.events import Event, Failed, Finished
from studio.core.wire import WORKER_COMMAND, decode_event, encode
from studio.supervise.crashes import explain_crash

# These end a job. The others answer one question of several: enough when the process then ends in good order.
LAST_WORDS = (
    *(Finished, Failed, DataInspected, DownloadOffered, ModelDescribed, ModelsListed, Forecasted, Exported),
    *(RunsCompared, ReportWritten),
)
_PARTIAL_ANSWERS = (Predicted, TokenGenerated, NoAnswer, ModelLoaded, TokensInspected)
_CHUNK = 65536
_TAIL_BYTES = 32768
_TAIL_LINES = 40


@dataclass(frozen=True)
class Patience:
    """Seconds. ``silence`` without any event after a wish to end lead to SIGTERM, ``terminate`` more to SIGKILL."""

    silence: float = 30.0
    terminate: float = 5.0


PATIENCE = Patience()
# Ctrl-C in a terminal goes to its whole foreground group; the worker is asked to stop instead.
_APART: dict[str, Any] = {"start_new_session": True}
if sys.platform == "win32":
    # There a session is nothing. Without a window: an app that was started with the mouse has no console to share.
    _APART = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}


class WorkerProcess:
    """A worker and the pipe to it. All methods may be called from any thread; ``events()`` is read by one.

    The worker's stderr goes to ``log_path``, or to a temporary file. ``command`` replaces the program, ``environment`` this
    process's own. ``on_end`` is called with the job's last event when the process is gone, in the thread that reads the
    events. Raises StudioError when no process can be started.
    """

    def __init__(
        self,
        log_path: Path | None = None,
        *,
        command: Sequence[str] | None = None,
        patience: Patience = PATIENCE,
        on_end: Callable[[Event], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._patience = patience
        self._on_end = on_end
        self._log = _open_log(log_path)
        reading, writing = os.pipe()
        self._events: BinaryIO = os.fdopen(reading, "rb", buffering=0)
        self._marker: BinaryIO = os.fdopen(writing, "wb", buffering=0)
        # Written by the app itself once the process is gone: whatever comes before it, the worker had written. End of
        # file cannot tell that, because a grandchild may hold the pipe open.
        self._end_mark = b"end-of-worker-" + secrets.token_hex(16).encode()
        try:
            self._process = subprocess.Popen(
                list(command or WORKER_COMMAND),
                stdin=subprocess.PIPE,
                stdout=self._marker,
                stderr=self._log,
                bufsize=0,
                env=environment,
                **_APART,
            )
        except OSError as error:
            for stream in (self._events, self._marker, self._log):
                stream.close()
            raise StudioError(
                f"The background process could not be started: {error}.",
                "Check the installation with `finetune-studio doctor`.",
                kind="worker_missing",
            ) from error
        self._input_lock = threading.RLock()
        self._mark_lock = threading.Lock()
        self._gone = threading.Event()
        self._last_sign = time.monotonic()
        self._silence_watched = False
        self._cancelled = False
        self._ended_because = ""
        self.last_word: Event | None = None
        """The job's last event: an answer, Finished, Failed or Crashed. None while it works, and after ``detach()``."""
        threading.Thread(target=self._await_exit, name="worker-exit", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return not self._gone.is_set()

    def send(self, command: Command) -> None:
        """Hand the worker a command. Nothing happens when it is gone: ``events()`` tells how it ended."""
        assert self._process.stdin is not None
        with self._input_lock, contextlib.suppress(OSError, ValueError):
            line = memoryview(encode(command))
            while line:
                line = line[self._process.stdin.write(line) :]

    def close(self) -> None:
        """Close the worker's stdin, which asks it to keep what it has and end."""
        assert self._process.stdin is not None
        with self._input_lock, contextlib.suppress(OSError):
            self._process.stdin.close()
        self._watch_silence()

    def stop(self) -> None:
        """Ask a training job to keep what it learnt, evaluate it and end.

        A worker that shows no sign of life for ``patience.silence`` seconds after this is terminated, then killed.
        """
        self.send(Stop())
        self._watch_silence()

    def pause(self) -> None:
        """Ask a training job to write a checkpoint and end at once; watched over as after ``stop``."""
        self.send(Pause())
        self._watch_silence()

    def checkpoint(self) -> None:
        """Ask a training job to write a checkpoint and go on."""
        self.send(Checkpoint())

    def cancel(self) -> None:
        """End the worker now, with whatever it started; nothing more is kept. The last event is Failed, kind "cancelled"."""
        self._cancelled = True
        self.terminate()
        self._start_ladder(self._kill_when_patience_ends)

    def detach(self) -> None:
        """Close the worker's stdin and stop listening: ``events()`` ends at once, the worker by itself when it has saved."""
        self.close()
        self._write_end_mark()

    def terminate(self) -> None:
        """Send SIGTERM to the worker and what it started."""
        self._send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the worker and what it started."""
        self._send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))

    def wait(self, timeout: float | None = None) -> bool:
        """Whether the process is gone within ``timeout`` seconds."""
        return self._gone.wait(timeout)

    def events(self) -> Iterator[Event]:
        """Each event as it comes, until the process has exited and what it wrote is read. To be iterated once, to its end.

        A line that is no event becomes a ProtocolError. One Crashed comes last when the job had no last word.
        """
        answer: Event | None = None
        for line in self._lines():
            event = decode_event(line)
            self._last_sign = time.monotonic()
            if isinstance(event, LAST_WORDS):
                self.last_word = event
            elif isinstance(event, _PARTIAL_ANSWERS):
                answer = event
            yield event
        final = None if self.running else self.last_word or self._last_word_of_the_dead(answer)
        self._log.close()
        if final is None:  # detached
            return
        spoken = final is self.last_word or final is answer
        self.last_word = final
        if self._on_end is not None:
            self._on_end(final)
        if not spoken:
            yield final

    def _lines(self) -> Iterator[bytes]:
        rest: list[bytes] = []  # of a line whose end has not come yet; joined once, so that long lines stay cheap
        with self._events:
            while chunk := self._events.read(_CHUNK):
                first, *others = chunk.split(b"\n")
                rest.append(first)
                for part in others:
                    line = b"".join(rest)
                    rest = [part]
                    if line == self._end_mark:
                        return
                    if line:
                        yield line

    def _await_exit(self) -> None:
        self._process.wait()
        self._gone.set()
        self.close()
        self._write_end_mark()

    def _write_end_mark(self) -> None:
        with self._mark_lock, contextlib.suppress(OSError, ValueError), self._marker:  # nobody reads, or it was written
            self._marker.write(b"\n" + self._end_mark + b"\n")

    def _last_word_of_the_dead(self, answer: Event | None) -> Event:
        exit_code = self._process.returncode
        if answer is not None and exit_code == 0:
            return answer
        if self._cancelled:
            return Failed(kind="cancelled", message="It was cancelled before it was done.", remedy="Start it again.")
        return explain_crash(exit_code, self._log_tail(), self._ended_because)

    def _log_tail(self) -> str:
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - _TAIL_BYTES))
        return "\n".join(self._log.read().decode("utf-8", "replace").splitlines()[-_TAIL_LINES:])

    def _watch_silence(self) -> None:
        if not self._silence_watched:
            self._silence_watched = True
            self._last_sign = time.monotonic()
            self._start_ladder(self._terminate_when_silent)

    def _start_ladder(self, climb: Callable[[], None]) -> None:
        if self.running:
            threading.Thread(target=climb, name="worker-ladder", daemon=True).start()

    def _terminate_when_silent(self) -> None:
        silence = self._patience.silence
        while (left := self._last_sign + silence - time.monotonic()) > 0:
            if self._gone.wait(left):
                return
        self._ended_because = f"It was asked to stop, then showed no sign of life for {silence:g} seconds, so it was ended."
        self.terminate()
        self._kill_when_patience_ends()

    def _kill_when_patience_ends(self) -> None:
        if not self._gone.wait(self._patience.terminate):
            self.kill()

    def _send_signal(self, number: int) -> None:
        if not self.running:
            return
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._process.terminate()
            else:
                os.killpg(self.pid, number)  # the worker leads a group of its own


def _open_log(path: Path | None) -> BinaryIO:
    try:
        return path.open("a+b") if path else tempfile.TemporaryFile()
    except OSError as error:
        raise StudioError(
            f"The log of the background process cannot be written: {error}.", "Free some space or mend permissions."
        ) from error
