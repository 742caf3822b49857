"""Jobs that look before a run: what a model is made of, and what a run will need."""

from __future__ import annotations

from pathlib import Path

from studio.core.commands import Command, DescribeModel, Forecast
from studio.core.events import Forecasted, ModelDescribed
from studio.core.runs import Home
from studio.data.prompts import PromptEncoder
from studio.data.splits import load_splits
from studio.engine.devices import choose_compute
from studio.engine.models import base_folder, describe, load_tokenizer, within_context
from studio.engine.sizes import forecast_run
from studio.worker.channel import Channel
from studio.worker.inspection import cut_messages, problems_found


def describe_model(command: Command, channel: Channel) -> None:
    """Run ``DescribeModel``."""
    assert isinstance(command, DescribeModel)
    folder = base_folder(command.base, Home(Path(command.home)), channel.stage)
    channel.emit(ModelDescribed(description=describe(folder, command.base)))


def forecast(command: Command, channel: Channel) -> None:
    """Run ``Forecast``."""
    assert isinstance(command, Forecast)
    progress = channel.stage
    config = command.config
    progress("reading the data", 0, 0)
    splits = load_splits(config.dataset)
    compute = choose_compute(config.device, config.training.precision, config.training.threads)
    folder = base_folder(config.model.base, Home(Path(command.home)), progress)
    progress("tokenising", 0, 0)
    prompt = within_context(config.prompt, folder)
    encoder = PromptEncoder(load_tokenizer(folder), prompt)
    encoder.label_set(splits.labels)
    encoded = [encoder.encode(example) for example in splits.train]
    description = describe(folder, config.model.base)
    result = forecast_run(description, config, compute, encoded)
    problems = problems_found(splits) + cut_messages(encoded, prompt.max_length)
    channel.emit(Forecasted(forecast=result, device=compute.name, available_bytes=compute.available_bytes(), problems=problems))
