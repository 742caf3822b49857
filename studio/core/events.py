"""What a worker says: the same objects on the wire, in a run's events.jsonl and under ``train --json``."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from studio.core.comparison import RunComparison
from studio.core.data_problems import DataProblem
from studio.core.generation import GenerationEnd
from studio.core.memory import DeviceName, MemoryForecast, ModelDescription

SplitName = Literal["train", "validation", "test"]
RunOutcome = Literal["completed", "stopped", "paused", "failed", "crashed"]


class _Event(BaseModel):
    # JSON has no NaN; as a string it survives the wire and stays valid JSON for other readers.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    time: float = 0.0
    """Unix seconds, stamped where the event is written."""
    elapsed: float = 0.0
    """Monotonic seconds since the job began."""


class Hello(_Event):
    """The first line of every worker."""

    event: Literal["hello"] = "hello"
    protocol: int
    pid: int


class Heartbeat(_Event):
    """Every two seconds from a thread of its own, whatever the job does."""

    event: Literal["heartbeat"] = "heartbeat"
    memory_bytes: int
    """Resident bytes of the process on a CPU, bytes held by the allocator on CUDA and MPS."""
    host_bytes: int = 0
    """Resident bytes of the process, whatever the device."""
    device: DeviceName = "cpu"
    """What ``memory_bytes`` is the memory of."""


class StageChanged(_Event):
    """The job began a stage, or got further in it. ``total`` 0 means that the length is not known."""

    event: Literal["stage_changed"] = "stage_changed"
    stage: str
    done: int = 0
    total: int = 0
    unit: Literal["", "bytes"] = ""
    """What ``done`` and ``total`` count, where it is not plain from the stage."""


class RunStarted(_Event):
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


class StepsCompleted(_Event):
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


class Evaluated(_Event):
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


class CheckpointSaved(_Event):
    event: Literal["checkpoint_saved"] = "checkpoint_saved"
    step: int
    path: str
    best: bool


class LogLine(_Event):
    event: Literal["log_line"] = "log_line"
    level: Literal["info", "warning", "error"]
    text: str


class LabelProbability(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str
    probability: float


class Prediction(BaseModel):
    """One message classified by the one rule: p(label | message), normalised over the label set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    predicted: str
    probability: float
    top: list[LabelProbability]
    """At most five labels, most probable first."""
    left_set: bool
    """Free greedy decoding would not have written a label."""
    outside_mass: float
    """Share of the model's probability that lies on texts that are no label."""
    label: str | None = None
    label_probability: float | None = None


class Predicted(_Event):
    event: Literal["predicted"] = "predicted"
    request: int
    """The row's index, or the ``request`` of an ``Ask``."""
    prediction: Prediction
    seconds: float = 0.0
    cut: bool = False
    """The message was longer than ``max_length`` of the run allows, so its end was not read."""


class TokenGenerated(_Event):
    """A piece of free text: whole characters, several tokens at once when they come fast. The last one has an ``end``."""

    event: Literal["token_generated"] = "token_generated"
    request: int
    text: str
    end: GenerationEnd | None = None


class NoAnswer(_Event):
    """A request of a chat that cannot be answered, or was given up; the model stays loaded. ``kind`` as in StudioError."""

    event: Literal["no_answer"] = "no_answer"
    request: int
    kind: str
    message: str
    remedy: str
    detail: str = ""


class Finished(_Event):
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


class Failed(_Event):
    """The job ended with a reason. ``kind`` as in StudioError."""

    event: Literal["failed"] = "failed"
    kind: str
    message: str
    remedy: str
    detail: str = ""


class ColumnGuess(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: list[str]
    text_column: str
    label_column: str
    label_name_column: str | None = None
    """Where the names of the intents are when ``label_column`` only numbers them."""


class DataInspected(_Event):
    """Answer to ``InspectData``."""

    event: Literal["data_inspected"] = "data_inspected"
    guess: ColumnGuess
    preview: list[dict[str, str]]
    """The first rows of the source, column by column; long cells are cut."""
    encoding: str = ""
    """How the source was read, as given or guessed; empty where the kind of file leaves no choice."""
    delimiter: str = ""
    train_counts: dict[str, int]
    """Rows per intent, most frequent first."""
    validation_counts: dict[str, int]
    test_counts: dict[str, int]
    longest_text: str
    """The beginning of the message with the most characters; the forecast measures it in tokens."""
    problems: list[DataProblem] = []
    """What was left out or looks wrong."""


SPARE_BYTES = 2**28
"""What a download leaves free."""


class MissingFiles(BaseModel):
    """What a download of a hub model would fetch. All in bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    total: int
    """Everything of the model that is used here."""
    missing: int
    """What is not on this computer yet; less than ``total`` after a download that was cancelled or broke off."""
    free: int
    """Free space where it would go."""

    @property
    def fits(self) -> bool:
        """Whether there is room for it. The disk that it goes to holds everything else of the person too."""
        return self.free >= self.missing + SPARE_BYTES


class ModelDescribed(_Event):
    """Answer to ``DescribeModel`` and ``DownloadModel``."""

    event: Literal["model_described"] = "model_described"
    description: ModelDescription
    missing: MissingFiles | None = None
    """None when the model is on this computer."""


class DownloadProgressed(_Event):
    """Some more of a download has come, a few times a second. ``done`` counts what an earlier attempt brought too."""

    event: Literal["download_progressed"] = "download_progressed"
    file: str
    """What is coming now."""
    done: int
    total: int
    """Bytes of all files together."""
    bytes_per_second: float
    seconds_left: float | None
    """None until it can be told."""


class CachedModel(BaseModel):
    """A model in the hub's cache."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    """As in run.toml."""
    revision: str | None
    """A branch, tag or commit to name in run.toml; None for main."""
    disk_bytes: int
    whole: bool
    """False after a download that was cancelled or broke off."""


class ModelsListed(_Event):
    """Answer to ``ListModels``, by name."""

    event: Literal["models_listed"] = "models_listed"
    models: list[CachedModel]


class Forecasted(_Event):
    """Answer to ``Forecast``."""

    event: Literal["forecasted"] = "forecasted"
    forecast: MemoryForecast
    device: str
    available_bytes: int
    problems: list[DataProblem] = []
    """What was left out or looks wrong in the data, cut messages included."""


class InspectedToken(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int
    text: str
    """As it is written out; the vocabulary's own name where it is a part of a letter."""
    supervised: bool


class TokenTotals(BaseModel):
    """All training rows of a run in tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    longest: int
    longest_row: int
    """Counted from 0, as all row numbers here."""
    mean: float
    """Tokens a row: prompt, label and end."""
    supervised: float
    """Supervised tokens a row."""
    most_supervised: int
    cut: int
    """Rows whose message is cut to fit."""
    cut_rows: list[int]
    """The first of them."""
    padding: float
    """Share of the computed positions that is padding, in the first batches of the run."""
    alike: list[list[str]]
    """Intents that become the same tokens, and so cannot be told apart."""


class TokensInspected(_Event):
    """Answer to ``InspectTokens``."""

    event: Literal["tokens_inspected"] = "tokens_inspected"
    request: int
    row: int | None
    """None for a message of one's own."""
    text: str
    label: str
    cut: str
    """The end of the message that did not fit."""
    tokens: list[InspectedToken]
    chat: bool
    """The prompt is a turn of the model's chat template."""
    prompt: str
    """The prompt with {text} in place of the message."""
    max_length: int
    """The limit that holds: as configured, or what the model can read."""
    labels: list[str]
    totals: TokenTotals


class ModelLoaded(_Event):
    event: Literal["model_loaded"] = "model_loaded"
    run: str
    device: str
    labels: list[str]


class ComparedMessage(BaseModel):
    """What the run and its export say to one test message."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    run_predicted: str
    run_probability: float
    export_predicted: str
    export_probability: float
    difference: float
    """Largest absolute difference of the probability of any label that either of the two names among its first five."""


class Exported(_Event):
    """The export was written, reloaded in a clean process and compared with the run."""

    event: Literal["exported"] = "exported"
    folder: str
    files: dict[str, int]
    """Bytes by file name."""
    compared: int
    """Messages predicted by both."""
    agreeing: int
    largest_difference: float
    """Largest absolute difference of a probability."""
    tolerance: float
    """The largest difference with which the export still counts as the same model."""
    verified: bool
    """Every prediction is the same, and no probability differs by more than ``tolerance``."""
    messages: list[ComparedMessage] = []
    """What was compared, the worst first."""
    program: str = ""
    """Python that loads this export and asks it."""


class RunsCompared(_Event):
    """Answer to ``CompareRuns``."""

    event: Literal["runs_compared"] = "runs_compared"
    comparison: RunComparison


class ProtocolError(_Event):
    """A line that was no event. Made on the app's side, never sent."""

    event: Literal["protocol_error"] = "protocol_error"
    line: str
    reason: str


class Crashed(_Event):
    """The process ended without a last word. Made by supervise."""

    event: Literal["crashed"] = "crashed"
    exit_code: int | None
    signal: str | None
    log_tail: str
    likely_cause: str
    remedy: str


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
    | ModelDescribed
    | DownloadProgressed
    | ModelsListed
    | Forecasted
    | TokensInspected
    | ModelLoaded
    | Exported
    | RunsCompared
    | ProtocolError
    | Crashed,
    Field(discriminator="event"),
]
event_adapter: TypeAdapter[Event] = TypeAdapter(Event)

FINAL_EVENTS = (Finished, Failed, Crashed)
"""After one of these, a training run says no more."""
