"""What a worker says: the same objects on the wire, in a run's events.jsonl and under ``train --json``.

Declared here are the events of training and those of every job; what answers a short job is in ``answers``.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from studio.core.answers import (
    DataInspected,
    DownloadOffered,
    DownloadProgressed,
    Exported,
    Forecasted,
    ModelDescribed,
    ModelLoaded,
    ModelsListed,
    NoAnswer,
    Predicted,
    ReportWritten,
    RunsCompared,
    TokenGenerated,
    TokensInspected,
)
from studio.core.event_base import EventBase
from studio.core.machine import DeviceName

SplitName = Literal["train", "validation", "test"]


class Hello(EventBase):
    """The first line of every worker."""

    event: Literal["hello"] = "hello"
    protocol: int
    pid: int


class Heartbeat(EventBase):
    """Every two seconds from a thread of its own, whatever the job does."""

    event: Literal["heartbeat"] = "heartbeat"
    memory_bytes: int
    """Resident bytes of the process on a CPU, bytes held by the allocator on CUDA and MPS."""
    host_bytes: int = 0
    """Resident bytes of the process, whatever the device."""
    device: DeviceName = "cpu"
    """What ``memory_bytes`` is the memory of."""


class StageChanged(EventBase):
    """The job began a stage, or got further in it. ``total`` 0 means that the length is not known."""

    event: Literal["stage_changed"] = "stage_changed"
    stage: str
    done: int = 0
    total: int = 0
    unit: Literal["", "bytes"] = ""
    """What ``done`` and ``total`` count, where it is not plain from the stage."""


class RunStarted(EventBase):
    event: Literal["run_started"] = "run_started"
    run: str
    device: str
    precision: str
    trainable_parameters: int
    total_parameters: int
    forecast_bytes: int
    total_steps: int
    train_rows: int
    validation_rows: int
    test_rows: int
    resumed_after: int | None = None
    """The step whose checkpoint a resumed run goes on from: later steps in the record are taken again. None: from the start."""


class StepsCompleted(EventBase):
    """One or more optimizer steps. ``losses`` are means over supervised tokens, in nats; ``seconds`` per step."""

    event: Literal["steps_completed"] = "steps_completed"
    first_step: int
    """The number of the first step in ``losses``, counted from 1."""
    losses: list[float]
    seconds: list[float]
    steps: int
    """Steps in the whole run."""
    epoch: float
    learning_rate: float
    gradient_norm: float
    tokens: int
    """Tokens computed over these steps, padding left out."""
    memory_bytes: int


class Evaluated(EventBase):
    """A split was predicted. ``step`` 0 is the untrained base. ``loss`` is per supervised token, in nats."""

    event: Literal["evaluated"] = "evaluated"
    step: int
    split: SplitName
    loss: float
    accuracy: float
    macro_f1: float
    outside_rate: float
    """Share of messages for which free greedy decoding would have left the label set."""
    rows: int


class CheckpointSaved(EventBase):
    event: Literal["checkpoint_saved"] = "checkpoint_saved"
    step: int
    path: str
    best: bool


class LogLine(EventBase):
    event: Literal["log_line"] = "log_line"
    level: Literal["info", "warning", "error"]
    text: str


class Finished(EventBase):
    """The job ended well. A training run that was stopped keeps what it learnt; a paused one waits to be resumed."""

    event: Literal["finished"] = "finished"
    outcome: Literal["completed", "stopped", "paused"]
    rows: int = 0
    accuracy: float = math.nan
    accuracy_low: float = math.nan
    accuracy_high: float = math.nan
    macro_f1: float = math.nan
    outside_rate: float = math.nan
    base_accuracy: float | None = None
    best_step: int | None = None
    peak_bytes: int = 0
    forecast_bytes: int = 0
    seconds: float = 0.0
    output: str = ""
    """The file or folder that the job wrote, if any."""


class Failed(EventBase):
    """The job ended with a reason. ``kind`` as in StudioError."""

    event: Literal["failed"] = "failed"
    kind: str
    message: str
    remedy: str
    detail: str = ""


class ProtocolError(EventBase):
    """A line that was no event. Made on the app's side, never sent."""

    event: Literal["protocol_error"] = "protocol_error"
    line: str
    reason: str


class Crashed(EventBase):
    """The process ended without a last word. Made by supervise."""

    event: Literal["crashed"] = "crashed"
    exit_code: int | None
    signal: str | None
    log_tail: str
    likely_cause: str
    remedy: str
    out_of_memory: bool = False
    """Whether memory is what most likely ran out."""


Event = Annotated[
    Hello
    | Heartbeat
    | StageChanged
    | RunStarted
    | StepsCompleted
    | Evaluated
    | CheckpointSaved
    | LogLine
    | Predicted
    | TokenGenerated
    | NoAnswer
    | Finished
    | Failed
    | DataInspected
    | DownloadOffered
    | ModelDescribed
    | DownloadProgressed
    | ModelsListed
    | Forecasted
    | TokensInspected
    | ModelLoaded
    | Exported
    | RunsCompared
    | ReportWritten
    | ProtocolError
    | Crashed,
    Field(discriminator="event"),
]
event_adapter: TypeAdapter[Event] = TypeAdapter(Event)

FINAL_EVENTS = (Finished, Failed, Crashed)
"""After one of these, a training run says no more."""
