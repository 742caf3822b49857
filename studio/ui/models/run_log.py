"""What the readable log says of an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from studio.core.events import (
    CheckpointSaved,
    Crashed,
    Evaluated,
    Event,
    Failed,
    Finished,
    LogLine,
    ProtocolError,
    RunStarted,
)
from studio.core.words import CRASHED, percent

LOG_LINES = 5000
"""Lines of the log that are kept in memory; all of them are in the run's events.jsonl."""

Level = Literal["stage", "info", "warning", "error"]


@dataclass(frozen=True)
class LogEntry:
    """One line of the readable log. ``elapsed`` in seconds since the run began, ``time`` in Unix seconds, 0 for unknown."""

    elapsed: float
    level: Level
    text: str
    time: float = 0.0


def log_text(event: Event) -> tuple[Level, str] | None:
    """How an event is told; None when it is not. A stage is told by whoever knows whether it is a new one."""
    match event:
        case RunStarted():
            return "info", _opening(event)
        case Evaluated():
            return "info", _evaluation(event)
        case CheckpointSaved():
            return "info", f"Checkpoint of step {event.step} saved" + (", the best so far." if event.best else ".")
        case LogLine():
            return event.level, event.text
        case ProtocolError():
            return "warning", f"A line that could not be read came from the background process: {event.line}"
        case Finished() | Failed() | Crashed():
            return _ending(event)
    return None


def _opening(event: RunStarted) -> str:
    if event.resumed_after is not None:
        return f"Resumed after step {event.resumed_after:,} on {event.device} in {event.precision}."
    return (
        f"Training {event.trainable_parameters:,} of {event.total_parameters:,} parameters on {event.device} in {event.precision}: "
        f"{event.train_rows:,} messages, {event.total_steps:,} steps."
    )


def _evaluation(event: Evaluated) -> str:
    who = "Untrained base" if event.step == 0 else f"Step {event.step}"
    return (
        f"{who}, {event.split} ({event.rows:,} messages): loss {event.loss:.4f}, accuracy {percent(event.accuracy)}, "
        f"macro-F1 {percent(event.macro_f1)}, outside the label set {percent(event.outside_rate)}."
    )


def _ending(event: Finished | Failed | Crashed) -> tuple[Level, str]:
    if isinstance(event, Finished):
        if event.rows == 0:
            return "stage", f"Run {event.outcome}."
        return "stage", f"Run {event.outcome}: test accuracy {percent(event.accuracy)} of {event.rows:,} messages."
    if isinstance(event, Failed):
        return "error", f"{event.message} {event.remedy}".strip()
    return "error", f"{CRASHED}. {event.likely_cause}"
