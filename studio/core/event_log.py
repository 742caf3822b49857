"""events.jsonl of a run, read as it grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from studio.core.events import Event
from studio.core.wire import decode_event


class EventLog:
    """Gives what has come since it was asked last. Reads no line twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    @property
    def share_read(self) -> float:
        """How much of the file has been read, 0 to 1."""
        try:
            return min(1.0, self._read / max(1, self._path.stat().st_size))
        except OSError:
            return 1.0

    def read(self) -> Iterator[Event]:
        """The events since the last call, oldest first; a line that is still being written waits for the next."""
        try:
            lines = self._path.open("rb")
        except FileNotFoundError:
            return
        with lines:
            lines.seek(self._read)
            for line in lines:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                yield decode_event(line)
