"""Going on with a run: whether it can, from where, and what of its record still stands afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from studio.core.errors import StudioError
from studio.core.events import CheckpointSaved, Evaluated, Event, RunStarted, StepsCompleted
from studio.core.runs import RunFolder

TRAINING_FACTS = "training.json"
"""The file in a checkpoint that, beside the weights, says how training stood; without it nothing can be resumed from there."""
TRAINING_TENSORS = "training.safetensors"
"""The optimizer's state beside it, of no use to anything but training."""


def weight_bytes(checkpoint: Path) -> int:
    """How large the weights in a checkpoint are, without the optimizer's state, which stays behind when they are exported."""
    return sum(path.stat().st_size for path in checkpoint.glob("*.safetensors") if path.name != TRAINING_TENSORS)


def resumable_checkpoints(run: RunFolder) -> list[Path]:
    """The complete checkpoints that hold more than weights, newest step first. Whether they are damaged is not looked at."""
    found = []
    for manifest in run.checkpoints.glob("step-*/manifest.json"):
        step = manifest.parent.name.removeprefix("step-")
        if step.isdecimal() and TRAINING_FACTS in _files(manifest):
            found.append((int(step), manifest.parent))
    return [folder for _, folder in sorted(found, reverse=True)]


def resumable_step(run: RunFolder) -> int | None:
    """The step from which an ended run can go on; None when it cannot."""
    checkpoints = resumable_checkpoints(run)
    outcome = run.outcome()
    if not checkpoints or (outcome is not None and outcome.state == "completed"):
        return None
    return int(checkpoints[0].name.removeprefix("step-"))


def check_resumable(run: RunFolder) -> None:
    """Raises StudioError, which says why, when the run has ended for good or keeps nothing to go on from."""
    outcome = run.outcome()
    if outcome is not None and outcome.state == "completed":
        raise StudioError(
            f"The run {run.name} is finished: every step was taken.", "Repeat it with changes to train longer.", kind="finished"
        )
    if not resumable_checkpoints(run):
        raise StudioError(
            f"The run {run.name} cannot be resumed: it ended before a checkpoint was written.",
            "Train again with the same settings.",
            kind="no_checkpoint",
        )


def already_training(run: RunFolder) -> StudioError:
    """What is told to whoever wants to train in a run that another process trains in."""
    return StudioError(
        f"The run {run.name} is already being trained by another process.", "Wait for it, or start a new run.", kind="busy"
    )


def recorded_seconds(run: RunFolder) -> float:
    """How long the run has taken by its record, in seconds; 0 where nothing tells."""
    last = b""
    try:
        with run.events_path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    last = line
        return float(json.loads(last)["elapsed"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def still_standing(events: Iterable[Event]) -> list[Event]:
    """The events without the steps, scores and checkpoints that a resumed run has taken back and made again."""
    kept: list[Event] = []
    for event in events:
        if isinstance(event, RunStarted) and event.resumed_after is not None:
            kept = [cut for earlier in kept if (cut := up_to(earlier, event.resumed_after)) is not None]
        kept.append(event)
    return kept


def up_to(event: Event, step: int) -> Event | None:
    """What an event says of the steps up to ``step``: all of it, a part, or None for nothing.

    What was tested at the end of training holds no longer once it goes on.
    """
    if isinstance(event, StepsCompleted):
        taken, told = max(0, step + 1 - event.first_step), len(event.losses)
        if taken >= told:
            return event
        part = {"losses": event.losses[:taken], "seconds": event.seconds[:taken], "tokens": event.tokens * taken // told}
        return event.model_copy(update=part) if taken else None
    if isinstance(event, Evaluated) and event.split == "test":
        return event if event.step == 0 else None
    if isinstance(event, Evaluated | CheckpointSaved):
        return event if event.step <= step else None
    return event


def _files(manifest: Path) -> list[str]:
    try:
        return list(json.loads(manifest.read_text("utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
