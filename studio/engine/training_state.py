"""What training needs, besides the weights, to go on as if it had never ended: safetensors and JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from studio.core.files import write_json
from studio.core.resuming import TRAINING_FACTS
from studio.engine.optimizers import page_averages

_TENSORS = "training.safetensors"
_OPTIMIZER, _RANDOM = "optimizer", "random"
_SHARED = "qmap"


@dataclass(frozen=True)
class TrainingState:
    """The moving parts of the loop beside ``model``. Its random states are those of the whole process."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    scaler: torch.amp.GradScaler

    def write(self, folder: Path, step: int, standing: dict[str, Any]) -> None:
        """Write everything as it is after ``step``; ``standing`` is what the caller wants to find again."""
        tensors = {
            # A copy of what several share, as 8-bit averages share the numbers that their 256 levels stand for.
            f"{_OPTIMIZER}/{name}/{key}": value.clone() if key.startswith(_SHARED) else value.contiguous()
            for name, parameter in self._parameters()
            for key, value in self.optimizer.state.get(parameter, {}).items()
            if isinstance(value, torch.Tensor)
        }
        save_file(tensors | _random_tensors(), folder / _TENSORS)
        facts = {
            "step": step,
            "standing": standing,
            "optimizer": {
                name: {key: value for key, value in self.optimizer.state.get(parameter, {}).items() if isinstance(value, int)}
                for name, parameter in self._parameters()
            },
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "python": random.getstate(),
            "numpy": _plain(np.random.get_state(legacy=False)),
        }
        write_json(folder / TRAINING_FACTS, facts)

    def read(self, folder: Path) -> int:
        """Take over everything from a checkpoint whose hashes were verified; returns the step after which it was written."""
        facts = read_facts(folder)
        tensors = load_file(folder / _TENSORS)
        numbers = {name: number for number, (name, _) in enumerate(self._parameters())}
        state: dict[int, dict[str, torch.Tensor]] = {}
        for stored, value in tensors.items():
            part, _, rest = stored.partition("/")
            if part == _OPTIMIZER:
                name, _, key = rest.rpartition("/")
                # A copy: what is updated in place must not be a piece of the file.
                state.setdefault(numbers[name], {})[key] = value.clone()
        for name, values in facts.get("optimizer", {}).items():
            state.setdefault(numbers[name], {}).update(values)
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})
        page_averages(self.optimizer)
        self.schedule.load_state_dict(facts["schedule"])
        for group, rate in zip(self.optimizer.param_groups, self.schedule.get_last_lr(), strict=True):
            group["lr"] = rate
        self.scaler.load_state_dict(facts["scaler"])
        _restore_random(facts, tensors)
        return int(facts["step"])

    def _parameters(self) -> list[tuple[str, torch.nn.Parameter]]:
        """What is trained, by name, in the order in which the optimizer numbers it."""
        names = {parameter: name for name, parameter in self.model.named_parameters()}
        return [(names[parameter], parameter) for group in self.optimizer.param_groups for parameter in group["params"]]


def read_facts(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint's ``TrainingState`` says in JSON."""
    facts: dict[str, Any] = json.loads((checkpoint / TRAINING_FACTS).read_text("utf-8"))
    return facts


def is_training_file(name: str) -> bool:
    """Whether a checkpoint's file is of use to training alone."""
    return name in (_TENSORS, TRAINING_FACTS)


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Whatever draws torch's random numbers in between, those that follow are the same as without it."""
    before = _random_tensors()
    try:
        yield
    finally:
        _restore_torch(before)


def _random_tensors() -> dict[str, torch.Tensor]:
    tensors = {f"{_RANDOM}/cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors[f"{_RANDOM}/cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        tensors[f"{_RANDOM}/mps"] = torch.mps.get_rng_state()
    return tensors


def _restore_random(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    version, words, gauss = facts["python"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(facts["numpy"])
    _restore_torch(tensors)


def _restore_torch(tensors: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(tensors[f"{_RANDOM}/cpu"])
    if torch.cuda.is_available() and f"{_RANDOM}/cuda" in tensors:
        torch.cuda.set_rng_state(tensors[f"{_RANDOM}/cuda"])
    if torch.backends.mps.is_available() and f"{_RANDOM}/mps" in tensors:
        torch.mps.set_rng_state(tensors[f"{_RANDOM}/mps"])


def _plain(value: Any) -> Any:
    """numpy's arrays and numbers, wherever they are in ``value``, as lists and numbers."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
