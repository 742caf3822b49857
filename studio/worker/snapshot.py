"""What a run keeps of how it was made: its settings with nothing left open, and the computer that it was trained on."""

from __future__ import annotations

import contextlib
import platform
from importlib import metadata

import torch

from studio.core.batch_sizes import micro_batch_for
from studio.core.config import RunConfig
from studio.engine.devices import Compute

_PACKAGES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "safetensors", "finetune-studio")


def resolved_config(config: RunConfig, compute: Compute) -> RunConfig:
    """The config with everything decided that 'auto' left open."""
    return config.with_training(
        learning_rate=config.learning_rate,
        precision=compute.precision,
        micro_batch=micro_batch_for(config, compute.kind),
        threads=torch.get_num_threads(),
    ).model_copy(update={"device": config.device.model_copy(update={"kind": compute.kind})})


def environment(compute: Compute) -> dict[str, object]:
    """For environment.json: what the numbers of a run may depend on; memory in bytes."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": compute.name,
        "memory_bytes": compute.available_bytes(),
        "packages": versions,
    }
