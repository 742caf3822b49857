"""What a resumed run goes on with: its newest whole checkpoint, how it stood on validation, and the same base."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from studio.core.config import RunConfig
from studio.core.errors import StudioError
from studio.core.resuming import check_resumable, recorded_seconds, resumable_checkpoints
from studio.core.runs import RunFolder
from studio.engine.checkpoints import newest_whole_checkpoint
from studio.engine.devices import Compute, choose_compute
from studio.engine.training_state import read_facts
from studio.worker.channel import Channel

# A model of gigabytes is not read whole: another one of the same shape differs nearly everywhere.
_SAMPLES, _SAMPLE_BYTES = 16, 65536


@dataclass
class Standing:
    """How a run stands after its newest step: what the best step and early stopping go by."""

    base: str = ""
    """What the base was when the run began: see ``base_fingerprint``."""
    best: tuple[float, float] | None = None
    """Accuracy and negative loss of the best validation so far."""
    best_step: int | None = None
    validated_step: int = 0
    without_better: int = 0
    """Validations in a row that were no better than ``best``."""
    peak_bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Standing:
        return cls(**{**stored, "best": tuple(stored["best"]) if stored["best"] else None})


@dataclass(frozen=True)
class Resumed:
    """From where a run goes on."""

    checkpoint: Path
    step: int
    standing: Standing


def find_resumed(run: RunFolder, channel: Channel) -> Resumed:
    """The newest checkpoint that is whole. Changes nothing in the run. Raises StudioError when there is none."""
    check_resumable(run)
    channel.continue_after(recorded_seconds(run))
    channel.stage("checking the checkpoint")
    checkpoint = newest_whole_checkpoint(run)
    facts = read_facts(checkpoint)
    step, standing = int(facts["step"]), Standing.from_json(facts["standing"])
    if checkpoint != (newest := resumable_checkpoints(run)[0]):
        channel.log(f"The newest checkpoint, {newest.name}, is damaged; the run goes on from {checkpoint.name}.", "warning")
    if standing.best_step is not None and not (run.checkpoints / f"step-{standing.best_step}" / "manifest.json").is_file():
        # A later one had taken its place, and is the one that is damaged.
        standing.best = standing.best_step = None
    return Resumed(checkpoint, step, standing)


def check_base(resumed: Resumed, fingerprint: str, base: str) -> None:
    """Raises StudioError when the base is no longer what the run began with."""
    if resumed.standing.base != fingerprint:
        raise StudioError(
            f"The base model {base} is not the one that this run began with: its files have changed.",
            "Put the model back as it was, or repeat the run with the model as it is now.",
            kind="changed_base",
        )


def choose_same_compute(config: RunConfig) -> Compute:
    """The device that the run began on. Raises StudioError when this computer lacks it: run.toml stays as it is."""
    try:
        return choose_compute(config.device, config.training.precision, config.training.threads)
    except StudioError as error:
        remedy = "Resume it on a computer that has it, or repeat the run with changes."
        raise StudioError(error.message, remedy, error.detail, error.kind) from error


def base_fingerprint(folder: Path) -> str:
    """A hash of a model folder's settings, tokenizer, and of sizes and samples of its weights."""
    digest = hashlib.sha256()
    for path in [*sorted(folder.glob("*.safetensors")), folder / "config.json", folder / "tokenizer.json"]:
        if path.is_file():
            size = path.stat().st_size
            digest.update(f"{path.name} {size}\n".encode())
            with path.open("rb") as file:
                for sample in range(_SAMPLES):
                    file.seek(max(0, size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
                    digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
