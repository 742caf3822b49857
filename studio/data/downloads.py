"""What a download of the hub may take, and how it tells how far it is."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from studio.core.answers import DownloadProgressed, MissingFiles
from studio.core.errors import StudioError
from studio.core.words import size

_REPORT_SECONDS = 0.25
_SPEED_SECONDS = 5.0
"""The speed is that of the last seconds: long enough to be steady, short enough to notice a change."""


@dataclass(frozen=True)
class Downloads:
    """What may be fetched of a data set, and who hears of it."""

    told: Callable[[DownloadProgressed], object] = lambda _event: None
    largest: int | None = None
    """Bytes; where more are missing, ``DownloadTooLargeError`` is raised. None: whatever it takes."""


class DownloadTooLargeError(StudioError):
    """More is missing than may be fetched without asking. Nothing was fetched."""

    def __init__(self, id: str, missing: MissingFiles) -> None:
        super().__init__(f"{id} is not on this computer yet: {size(missing.missing)}.", "Download it.", kind="not_downloaded")
        self.missing = missing


class DownloadMeter:
    """Adds the files of a download up, and says how fast it goes."""

    def __init__(self, total: int, told: Callable[[DownloadProgressed], object]) -> None:
        """``total`` in bytes, of all files together."""
        self._total, self._told = total, told
        self._done: dict[str, int] = {}
        self._file = ""
        self._fetched = 0
        self._recent: deque[tuple[float, int]] = deque()
        self._last = -_REPORT_SECONDS

    def report(self, file: str, done: int) -> None:
        """``done`` bytes of ``file`` are there. The first word on a file is what an earlier attempt brought."""
        if file in self._done:
            self._fetched += done - self._done[file]
        self._done[file], self._file = done, file
        if time.monotonic() - self._last >= _REPORT_SECONDS:
            self.tell()

    def tell(self) -> None:
        """Say how far the download is."""
        now = self._last = time.monotonic()
        self._recent.append((now, self._fetched))
        while now - self._recent[0][0] > _SPEED_SECONDS:
            self._recent.popleft()
        (before, had), done = self._recent[0], sum(self._done.values())
        speed = max(0.0, (self._fetched - had) / (now - before)) if now > before else 0.0
        left = (self._total - done) / speed if speed else None
        self._told(DownloadProgressed(file=self._file, done=done, total=self._total, bytes_per_second=speed, seconds_left=left))
