"""Jobs that look before a run: what a model is made of, and what a run will need."""

from __future__ import annotations

from pathlib import Path

from studio.core.answers import Forecasted, MissingFiles, ModelDescribed
from studio.core.commands import Command, DescribeModel, Forecast
from studio.core.config import ModelConfig
from studio.core.errors import StudioError
from studio.core.fit import fit_config
from studio.core.memory import forecast_config
from studio.core.model_description import ModelDescription, check_layers
from studio.core.runs import Home
from studio.data.downloads import Downloads
from studio.data.hub import missing_files
from studio.data.prompts import PromptEncoder
from studio.data.splits import load_splits
from studio.engine.devices import choose_compute
from studio.engine.hub_models import check_settings, look_up_model, settings_alone
from studio.engine.models import base_folder, describe, describe_base, load_tokenizer, within_context
from studio.engine.sizes import largest_micro_batch
from studio.worker.channel import Channel
from studio.worker.downloading import bring_base
from studio.worker.inspection import cut_messages, problems_found


def describe_model(command: Command, channel: Channel) -> None:
    """Run ``DescribeModel``."""
    assert isinstance(command, DescribeModel)
    try:
        description, missing = describe_base(command.model, Home(Path(command.home)), channel.stage), None
    except StudioError as error:
        if error.kind != "not_downloaded" or not command.online:
            raise
        channel.stage("asking the Hugging Face hub")
        description, missing = _described_from_afar(command.model)
    channel.emit(ModelDescribed(description=description, missing=missing))


def _described_from_afar(model: ModelConfig) -> tuple[ModelDescription, MissingFiles]:
    """What a model on the hub is made of, from its settings alone, and what a download of it would bring."""
    repository = look_up_model(model)
    with settings_alone(repository) as scratch:
        check_settings(Path(scratch), repository.id)
        description = describe(Path(scratch), model.base)
    weights = sum(file.size for file in repository.files if file.name.endswith(".safetensors"))
    told = {"revision": repository.commit, "disk_bytes": weights, "licence": repository.licence or "not stated"}
    return description.model_copy(update=told), missing_files(repository)


def forecast(command: Command, channel: Channel) -> None:
    """Run ``Forecast``."""
    assert isinstance(command, Forecast)
    progress = channel.stage
    config = command.config
    splits = load_splits(config.dataset, channel.stage, lambda: channel.stop.requested, Downloads(channel.emit))
    compute = choose_compute(config.device, config.training.precision, config.training.threads)
    bring_base(config.model, channel)
    folder = base_folder(config.model, Home(Path(command.home)), progress)
    description = describe(folder, config.model.base)
    check_layers(config.method, description)
    progress("tokenising", 0, 0)
    prompt = within_context(config.prompt, folder)
    encoder = PromptEncoder(load_tokenizer(folder), prompt)
    encoder.label_set(splits.labels)
    encoded = [encoder.encode(example) for example in splits.train]
    lengths = largest_micro_batch(config, compute.kind, encoded, splits.most_predicted)
    result = forecast_config(description, config, lengths, compute.precision, compute.kind)
    problems = problems_found(splits) + cut_messages(encoded, prompt.max_length)
    available = compute.available_bytes()
    fit = fit_config(description, config, lengths, compute.precision, compute.kind, available)
    channel.emit(Forecasted(forecast=result, fit=fit, device=compute.name, available_bytes=available, problems=problems))
