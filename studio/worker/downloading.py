"""Jobs around the Hugging Face hub: fetch a base model, and list those that the cache holds."""

from __future__ import annotations

from pathlib import Path

from studio.core.answers import ModelDescribed, ModelsListed
from studio.core.bases import hub_id
from studio.core.commands import Command, DownloadModel
from studio.core.config import ModelConfig
from studio.core.errors import StudioError
from studio.core.runs import Home
from studio.data.downloads import DownloadMeter
from studio.data.hub import fetch
from studio.engine.hub_models import cached_base, check_settings, list_cached, look_up_model, settings_alone
from studio.engine.models import describe_base
from studio.worker.channel import Channel


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
        meter = DownloadMeter(repository.total, channel.emit)
        fetch(repository, meter.report, lambda: channel.stop.requested)
        meter.tell()
