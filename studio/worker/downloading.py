"""Jobs around the Hugging Face hub: fetch a base model, and list those that the cache holds."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

from studio.core.answers import DownloadProgressed, ModelDescribed, ModelsListed
from studio.core.bases import hub_id
from studio.core.commands import Command, DownloadModel
from studio.core.config import ModelConfig
from studio.core.errors import StudioError
from studio.core.runs import Home
from studio.data.hub import Repository, fetch
from studio.engine.hub_models import cached_base, check_settings, list_cached, look_up_model, settings_alone
from studio.engine.models import describe_base
from studio.worker.channel import Channel

_REPORT_SECONDS = 0.25
_SPEED_SECONDS = 5.0
"""The speed is that of the last seconds: long enough to be steady, short enough to notice a change."""


def download_model(command: Command, channel: Channel) -> None:
    """Run ``DownloadModel``."""
    assert isinstance(command, DownloadModel)
    bring_base(command.model, channel)
    channel.stage("reading the model")
    channel.emit(ModelDescribed(description=describe_base(command.model, Home(Path(command.home)), channel.stage)))


def list_models(_command: Command, channel: Channel) -> None:
    """Run ``ListModels``."""
    channel.emit(ModelsListed(models=list_cached()))


def bring_base(model: ModelConfig, channel: Channel) -> None:
    """Download a hub model unless it is on this computer. For any other base there is nothing to do."""
    if hub_id(model.base) is None:
        return
    try:
        cached_base(model)
    except StudioError as error:
        if error.kind != "not_downloaded":
            raise
        channel.stage("asking the Hugging Face hub")
        repository = look_up_model(model)
        with settings_alone(repository) as scratch:  # weights that nobody can use are not worth fetching
            check_settings(Path(scratch), repository.id)
        channel.stage("downloading the model")
        meter = _Meter(repository, channel)
        fetch(repository, meter.report, lambda: channel.stop.requested)
        meter.tell()


class _Meter:
    """Adds the files of a download up, and says how fast it goes."""

    def __init__(self, repository: Repository, channel: Channel) -> None:
        self._channel = channel
        self._total = repository.total
        self._done: dict[str, int] = {}
        self._file = ""
        self._fetched = 0
        self._recent: deque[tuple[float, int]] = deque()
        self._told = -_REPORT_SECONDS

    def report(self, file: str, done: int) -> None:
        """``done`` bytes of ``file`` are there. The first word on a file is what an earlier attempt brought."""
        if file in self._done:
            self._fetched += done - self._done[file]
        self._done[file], self._file = done, file
        if time.monotonic() - self._told >= _REPORT_SECONDS:
            self.tell()

    def tell(self) -> None:
        """Say how far the download is."""
        now = self._told = time.monotonic()
        self._recent.append((now, self._fetched))
        while now - self._recent[0][0] > _SPEED_SECONDS:
            self._recent.popleft()
        (before, had), done = self._recent[0], sum(self._done.values())
        speed = max(0.0, (self._fetched - had) / (now - before)) if now > before else 0.0
        left = (self._total - done) / speed if speed else None
        self._channel.emit(
            DownloadProgressed(file=self._file, done=done, total=self._total, bytes_per_second=speed, seconds_left=left)
        )
