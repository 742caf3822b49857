"""What a worker answers to short jobs: what is in a file, what a model is, what it says to a message.

Each answer is an event of ``studio.core.events`` too, with the same common fields.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from studio.core.comparison import RunComparison
from studio.core.data_problems import DataProblem
from studio.core.event_base import EventBase
from studio.core.fit import Fit
from studio.core.generation import GenerationEnd
from studio.core.memory import Lengths, MemoryForecast
from studio.core.model_description import ModelDescription


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


class Predicted(EventBase):
    event: Literal["predicted"] = "predicted"
    request: int
    """The row's index, or the ``request`` of an ``Ask``."""
    prediction: Prediction
    seconds: float = 0.0
    cut: bool = False
    """The message was longer than ``max_length`` of the run allows, so its end was not read."""


class TokenGenerated(EventBase):
    """A piece of free text: whole characters, several tokens at once when they come fast. The last one has an ``end``."""

    event: Literal["token_generated"] = "token_generated"
    request: int
    text: str
    end: GenerationEnd | None = None


class NoAnswer(EventBase):
    """A request of a chat that cannot be answered, or was given up; the model stays loaded. ``kind`` as in StudioError."""

    event: Literal["no_answer"] = "no_answer"
    request: int
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


class DataInspected(EventBase):
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
    drawn: list[Literal["validation", "test"]] = Field(default=["validation", "test"])
    """The splits that were drawn from the training rows by their share; the others came with the data."""
    longest_text: str
    """The beginning of the message with the most characters; the forecast measures it in tokens."""
    problems: list[DataProblem] = Field(default_factory=list)
    """What was left out or looks wrong."""


SPARE_BYTES = 2**28
"""What a download leaves free."""


class MissingFiles(BaseModel):
    """What a download from the hub would fetch. All in bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    total: int
    """Everything of the model or data set that is used here."""
    missing: int
    """What is not on this computer yet; less than ``total`` after a download that was cancelled or broke off."""
    free: int
    """Free space where it would go."""

    @property
    def fits(self) -> bool:
        """Whether there is room for it. The disk that it goes to holds everything else of the person too."""
        return self.free >= self.missing + SPARE_BYTES


class DownloadOffered(EventBase):
    """Answer to ``InspectData``: the data set is not on this computer, and larger than may be fetched without asking."""

    event: Literal["download_offered"] = "download_offered"
    missing: MissingFiles


class ModelDescribed(EventBase):
    """Answer to ``DescribeModel`` and ``DownloadModel``."""

    event: Literal["model_described"] = "model_described"
    description: ModelDescription
    missing: MissingFiles | None = None
    """None when the model is on this computer."""


class DownloadProgressed(EventBase):
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


class ModelsListed(EventBase):
    """Answer to ``ListModels``, by name."""

    event: Literal["models_listed"] = "models_listed"
    models: list[CachedModel]


class Forecasted(EventBase):
    """Answer to ``Forecast``."""

    event: Literal["forecasted"] = "forecasted"
    forecast: MemoryForecast
    fit: Fit
    device: str
    available_bytes: int
    problems: list[DataProblem] = Field(default_factory=list)
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
    largest: Lengths
    """The largest micro-batch."""
    shared: float
    """Share of the tokens that need no computing, as another message of their batch begins alike; in the run's first batches."""
    alike: list[list[str]]
    """Intents that become the same tokens, and so cannot be told apart."""


class TokensInspected(EventBase):
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
    problems: list[DataProblem] = Field(default_factory=list)
    """The messages that are cut: one problem or none."""


class ModelLoaded(EventBase):
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


class Exported(EventBase):
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
    messages: list[ComparedMessage] = Field(default_factory=list)
    """What was compared, the worst first."""
    program: str = ""
    """Python that loads this export and asks it."""


class RunsCompared(EventBase):
    """Answer to ``CompareRuns``."""

    event: Literal["runs_compared"] = "runs_compared"
    comparison: RunComparison


class ReportWritten(EventBase):
    """Answer to ``WriteReport``."""

    event: Literal["report_written"] = "report_written"
    path: str
