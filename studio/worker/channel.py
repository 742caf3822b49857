"""The worker's end of the wire: events out, commands in, a heartbeat, and the wish to stop."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import psutil

from studio.core.commands import Cancel, Checkpoint, Command, Pause, Stop
from studio.core.errors import StudioError
from studio.core.events import FINAL_EVENTS, Event, Heartbeat, LogLine, StageChanged
from studio.core.machine import DeviceName
from studio.core.wire import decode_command, encode

HEARTBEAT_SECONDS = 2.0
_CHUNK = 65536
# Enough for Hello and a minute of heartbeats: what is said before a job knows where to record it.
_EARLY_LINES = 64


@dataclass
class StopRequest:
    """What the app wants of a running job. Set by the reader thread, read by the job between two steps."""

    requested: bool = False
    pausing: bool = False
    """Keep what was learnt and end at once: nobody waits for an evaluation."""
    checkpoint: bool = False
    """Write a checkpoint and go on; the job takes this back when it has."""


def resident_bytes() -> int:
    """Memory of this process that lies in RAM."""
    return int(psutil.Process().memory_info().rss)


class Channel:
    """Events go to ``output`` and commands come from ``input``, both file descriptors that the channel then owns.

    Two daemon threads serve it until ``close()``: one reads commands, the other sends a ``Heartbeat`` every
    ``heartbeat_seconds``, whatever the job does.
    """

    def __init__(self, input: int, output: int, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self.stop = StopRequest()
        self.memory: Callable[[], int] = resident_bytes
        """Bytes that the job holds on its device; a job on CUDA or MPS puts its own function here."""
        self.device: DeviceName = "cpu"
        """What ``memory`` measures; set together with it."""
        self._cancelled = 0
        self._began = time.monotonic()
        self._input = input
        self._output = output
        self._heartbeat_seconds = heartbeat_seconds
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._record: BinaryIO | None = None
        self._early: deque[Event] = deque(maxlen=_EARLY_LINES)
        self._listened_to = True
        self._ended = False
        self._closed = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        threading.Thread(target=self._read, name="commands", daemon=True).start()
        self._heart.start()

    @classmethod
    def take_standard_streams(cls) -> Channel:
        """Keep private copies of stdin and stdout; what a library prints goes to stderr, what it reads is empty."""
        commands, events = os.dup(0), os.dup(1)
        sys.stdout.flush()
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        return cls(commands, events)

    @property
    def recording(self) -> bool:
        """Whether events go to a run's record."""
        return self._record is not None

    def continue_after(self, seconds: float) -> None:
        """The job goes on with one that has taken ``seconds`` already: the clock counts from there, also for what was said."""
        with self._lock:
            self._began -= seconds
            later = [event.model_copy(update={"elapsed": event.elapsed + seconds}) for event in self._early]
            self._early = deque(later, maxlen=_EARLY_LINES)

    def record_to(self, path: Path) -> None:
        """Append every event to ``path`` too, those said before included. Raises StudioError when it cannot be written."""
        with self._lock:
            try:
                record = path.open("a+b", buffering=0)
                self._record = record
                _cut_torn_line(record)
                while self._early:
                    _write_all(record.fileno(), encode(self._early.popleft()))
            except OSError as error:
                raise _unwritable(path, error) from error

    def emit(self, event: Event) -> None:
        """Stamp and write one event. Raises StudioError when the run's record cannot be written, e.g. on a full disk."""
        with self._lock:  # stamped inside it, so that the order of the lines is that of their times
            if self._ended and isinstance(event, Heartbeat):  # one that came up while the last word was written
                return
            self._ended = isinstance(event, FINAL_EVENTS)
            event = event.model_copy(update={"time": time.time(), "elapsed": self.elapsed()})
            line = encode(event)
            if self._listened_to:
                try:
                    _write_all(self._output, line)
                except OSError:
                    # The app is gone. The job goes on to keep what it learnt, and the record still tells the story.
                    self._listened_to = False
            if self._record is None:
                self._early.append(event)
            else:
                try:
                    _write_all(self._record.fileno(), line)
                except OSError as error:
                    raise _unwritable(Path(self._record.name), error) from error

    def stage(self, stage: str, done: int = 0, total: int = 0, unit: Literal["", "bytes"] = "") -> None:
        """Say what the job is doing, and how far it got where that is known."""
        self.emit(StageChanged(stage=stage, done=done, total=total, unit=unit))

    def log(self, text: str, level: Literal["info", "warning", "error"] = "info") -> None:
        """Say something that a person should read."""
        self.emit(LogLine(level=level, text=text))

    def measure(self, device: DeviceName, memory: Callable[[], int]) -> None:
        """From now on heartbeats say what ``memory`` counts on ``device``."""
        self.device, self.memory = device, memory

    def elapsed(self) -> float:
        """Seconds since the job began."""
        return time.monotonic() - self._began

    def next_command(self) -> Command | None:
        """Wait for the next command that is not for the job at work; None once stdin has ended."""
        command = self._commands.get()
        if command is None:
            self._commands.put(None)  # so that asking again gives the same answer
        return command

    def given_up(self, request: int) -> bool:
        """Whether nobody waits for the answer to this request any more."""
        return request <= self._cancelled or self.stop.requested

    def close(self) -> None:
        """Stop the heartbeat. After this nothing more should be emitted."""
        self._closed.set()
        self._heart.join()
        with self._lock:
            if self._record is not None:
                self._record.close()
                self._record = None

    def _beat(self) -> None:
        while not self._closed.wait(self._heartbeat_seconds):
            with contextlib.suppress(StudioError):  # the job meets the same full disk at its next event
                self.emit(Heartbeat(memory_bytes=self.memory(), host_bytes=resident_bytes(), device=self.device))

    def _read(self) -> None:
        # Read with os.read: a daemon thread inside sys.stdin's lock aborts the interpreter when it shuts down.
        rest = b""
        while chunk := self._read_chunk():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._take(line)
        self.stop.pausing = self.stop.requested = True
        self._commands.put(None)

    def _read_chunk(self) -> bytes:
        try:
            return os.read(self._input, _CHUNK)
        except OSError:
            return b""

    def _take(self, line: bytes) -> None:
        try:
            command = decode_command(line)
        except StudioError as error:
            with contextlib.suppress(StudioError):  # this thread must live to hear Stop
                self.emit(LogLine(level="error", text=f"{error.message} {error.detail}"))
            return
        if isinstance(command, Stop):
            self.stop.requested = True
        elif isinstance(command, Pause):
            self.stop.pausing = self.stop.requested = True
        elif isinstance(command, Checkpoint):
            self.stop.checkpoint = True
        elif isinstance(command, Cancel):
            self._cancelled = max(self._cancelled, command.request)
        else:
            self._commands.put(command)


def _cut_torn_line(record: BinaryIO) -> None:
    """A process that was killed may have left half a line, which would spoil the next one."""
    end = record.seek(0, os.SEEK_END)
    kept = end
    while kept > 0:
        start = max(0, kept - _CHUNK)
        record.seek(start)
        newline = record.read(kept - start).rfind(b"\n")
        if newline >= 0:
            kept = start + newline + 1
            break
        kept = start
    if kept < end:
        record.truncate(kept)


def _write_all(descriptor: int, line: bytes) -> None:
    view = memoryview(line)
    while view:
        view = view[os.write(descriptor, view) :]


def _unwritable(path: Path, error: OSError) -> StudioError:
    return StudioError(
        f"The run's record {path} cannot be written: {error.strerror or error}.",
        "Free some disk space or mend the folder's permissions, then start the run again.",
        kind="unwritable_run",
    )
