"""What the app says to a worker.

One worker process runs one job. ``Stop``, ``Pause``, ``Checkpoint`` and the end of stdin reach it while it works.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from studio.core.config import DatasetConfig, DeviceConfig, ModelConfig, RunConfig
from studio.core.exports import ExportKind
from studio.core.generation import GenerationSettings, Speaker
from studio.core.machine import DeviceName


class _Command(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelledMessage(BaseModel):
    """A message with its intent, as a person typed them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    label: str


class InspectData(_Command):
    """Read a data set and answer with ``DataInspected``. ``preview_rows`` bounds the rows sent back.

    The rows behind each problem are written to ``rows_folder``, an existing folder, when it is given. Where more than
    ``largest_download`` bytes of a hub data set are missing, nothing is fetched and the answer is ``DownloadOffered``.
    """

    command: Literal["inspect_data"] = "inspect_data"
    dataset: DatasetConfig
    preview_rows: int = 100
    rows_folder: str | None = None
    largest_download: int | None = None


class DescribeModel(_Command):
    """Answer with ``ModelDescribed``. The starter or a .gguf file is converted first if it has not been.

    A hub model that is not on this computer is described from its settings alone, if ``online``; otherwise the answer is
    a Failed of the kind "not_downloaded".
    """

    command: Literal["describe_model"] = "describe_model"
    model: ModelConfig
    home: str
    online: bool = False


class DownloadModel(_Command):
    """Fetch what is missing of a hub model, told by ``DownloadProgressed``; ends with ``ModelDescribed``."""

    command: Literal["download_model"] = "download_model"
    model: ModelConfig
    home: str


class ListModels(_Command):
    """Answer with ``ModelsListed``: the models in the hub's cache that can be trained."""

    command: Literal["list_models"] = "list_models"


class Forecast(_Command):
    """Answer with ``Forecasted``: reads data and model the way ``Train`` would, trains nothing."""

    command: Literal["forecast"] = "forecast"
    config: RunConfig
    home: str


class InspectTokens(_Command):
    """Show a training row, or a message of one's own, as tokens; answered by ``TokensInspected`` with the same ``request``.

    The rows that are cut are written to ``rows_folder``, an existing folder, when it is given. Loads the tokenizer and no
    model. The process keeps what it has read for the next ``InspectTokens`` until stdin closes.
    """

    command: Literal["inspect_tokens"] = "inspect_tokens"
    request: int = 0
    config: RunConfig
    home: str
    row: int = 0
    """A training row counted from 0; one behind the last is the last."""
    message: LabelledMessage | None = None
    """Shown in place of a row."""
    device: DeviceName = "cpu"
    """Where training would happen, which decides how batches are cut."""
    rows_folder: str | None = None


class Train(_Command):
    """Train in the run folder ``run``, which already holds its run.toml. Ends with ``Finished`` or ``Failed``."""

    command: Literal["train"] = "train"
    run: str
    home: str


class Resume(_Command):
    """Go on with the run in ``run`` from its newest whole checkpoint. Ends like ``Train``; refusing changes nothing in it."""

    command: Literal["resume"] = "resume"
    run: str
    home: str
    micro_batch: int | None = Field(None, ge=1)
    """In place of the run's own from now on, which changes nothing that is learnt; never above its batch."""


class Stop(_Command):
    """Finish the step, keep what was learnt and predict the test split with it."""

    command: Literal["stop"] = "stop"


class Pause(_Command):
    """Finish the step, write a checkpoint and end at once; ``Resume`` goes on from there. So does the end of stdin."""

    command: Literal["pause"] = "pause"


class Checkpoint(_Command):
    """Write a checkpoint after this step and go on."""

    command: Literal["checkpoint"] = "checkpoint"


class Evaluate(_Command):
    """Predict the run's test split again, or the labelled file ``data``. Ends with ``Finished``; predictions go to ``out``."""

    command: Literal["evaluate"] = "evaluate"
    run: str
    home: str
    data: str | None = None
    text_column: str | None = None
    label_column: str | None = None
    out: str | None = None


class Predict(_Command):
    """Predict ``texts`` or every row of ``data``; each answer is a ``Predicted``. With ``out``, a CSV is written instead.

    It has the columns of ``data`` as they are and, behind them, what was predicted.
    """

    command: Literal["predict"] = "predict"
    run: str
    home: str
    texts: list[str] = []
    data: str | None = None
    text_column: str | None = None
    out: str | None = None


class LoadModel(_Command):
    """Load a run's model for ``Ask`` and ``Generate``; answered by ``ModelLoaded``. The process keeps it until stdin closes.

    Said again, it changes to another run that shares the loaded base (``RunConfig.shares_base``).
    """

    command: Literal["load_model"] = "load_model"
    run: str
    home: str


class Ask(_Command):
    """Classify one message; answered by ``Predicted`` or ``NoAnswer`` with the same ``request``. Requests count upwards."""

    command: Literal["ask"] = "ask"
    request: int
    text: str
    speaker: Speaker = "tuned"


class Generate(_Command):
    """Write free text; answered by ``TokenGenerated`` until one has an ``end``, or by ``NoAnswer``."""

    command: Literal["generate"] = "generate"
    request: int
    text: str
    speaker: Speaker = "tuned"
    settings: GenerationSettings = GenerationSettings()


class Cancel(_Command):
    """Give up every request up to ``request``: free text ends before its next token, what has not begun gets ``NoAnswer``."""

    command: Literal["cancel"] = "cancel"
    request: int


class Export(_Command):
    """Write the run's adapter, merged model or model to ``folder`` and verify it in a clean process; answered by ``Exported``."""

    command: Literal["export"] = "export"
    run: str
    home: str
    folder: str
    kind: ExportKind


class VerifyExport(_Command):
    """Reload an export with plain transformers and peft and classify ``texts``; answered by one ``Predicted`` each."""

    command: Literal["verify_export"] = "verify_export"
    folder: str
    texts: list[str]
    base: str
    device: DeviceConfig = DeviceConfig()
    precision: Literal["fp32", "bf16", "fp16"]


class CompareRuns(_Command):
    """Put two or more run folders side by side; answered by ``RunsCompared``."""

    command: Literal["compare_runs"] = "compare_runs"
    runs: list[str]


class WriteReport(_Command):
    """Write the report of a run as one HTML page to the file ``out``; answered by ``ReportWritten``."""

    command: Literal["write_report"] = "write_report"
    run: str
    out: str


Command = Annotated[
    InspectData
    | DescribeModel
    | DownloadModel
    | ListModels
    | Forecast
    | InspectTokens
    | Train
    | Resume
    | Stop
    | Pause
    | Checkpoint
    | Evaluate
    | Predict
    | LoadModel
    | Ask
    | Generate
    | Cancel
    | Export
    | VerifyExport
    | CompareRuns
    | WriteReport,
    Field(discriminator="command"),
]
command_adapter: TypeAdapter[Command] = TypeAdapter(Command)
