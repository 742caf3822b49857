"""What one process of the training benchmark is asked to do, and what it tells of it: a JSON file each."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from studio.core.config import RunConfig

Contender = Literal["trainer", "ours", "ours-bf16", "trainer-grouped", "trainer-bf16", "trl", "trl-plain"]
TITLES: dict[Contender, str] = {
    "trainer": "(A) Trainer, fp32, random batches",
    "ours": "Finetune Studio, fp32",
    "ours-bf16": "Finetune Studio, bf16",
    "trainer-grouped": "(B) Trainer, fp32, groups by length",
    "trainer-bf16": "(A') Trainer, bf16, random batches",
    "trl": "(C) SFTTrainer, its defaults: bf16, checkpointing",
    "trl-plain": "(C') SFTTrainer, fp32, no checkpointing",
}
SAME_BATCHES: tuple[Contender, ...] = ("trainer", "ours", "ours-bf16", "trainer-bf16", "trl", "trl-plain")
"""Those that can be told the order of the messages, and are: their losses are compared step by step."""


def is_ours(contender: Contender) -> bool:
    """Whether it is the app's own code, which runs as its worker does."""
    return contender.startswith("ours")


def precision_of(contender: Contender) -> Literal["fp32", "bf16"]:
    """What it computes in."""
    return "bf16" if contender in ("ours-bf16", "trainer-bf16", "trl") else "fp32"


class Row(BaseModel):
    """One message: its token ids, and which of them are graded."""

    ids: list[int]
    supervised: list[bool]


class Job(BaseModel):
    """One contender on one row of the table, once through the messages."""

    contender: Contender
    folder: str
    """The base model: a Hugging Face folder."""
    tokenizer: str
    """A folder with the tokenizer. Messages are tokenised already; the libraries want to know how to pad."""
    adapter: str | None
    """The adapter that everybody starts from; None when all weights are trained."""
    rows: str
    """JSON: a list of ``Row``."""
    keep: str | None = None
    """A folder for what was learnt, where it is wanted."""
    config: RunConfig
    """Method and training as the app has them; precision and threads are decided."""


class Record(BaseModel):
    """What came of it. ``seconds``, ``cpu_seconds`` and ``losses`` have one entry for each step, from its fetch to its update."""

    seconds: list[float]
    cpu_seconds: list[float]
    """Of all threads of the process."""
    losses: list[float]
    graded: list[int]
    """Supervised tokens of each step, whose mean loss is in ``losses``."""
    peak_bytes: int
    """Of the process, or of the GPU's allocator, since just before the first step."""
    before_bytes: int
    """The same at that moment: the loaded model and the libraries."""
    notes: list[str] = []
    versions: dict[str, str]


class Run(BaseModel):
    """One process as the report keeps it."""

    model: str
    method: str
    contender: Contender
    round: int
    load: list[float]
    """The machine's load averages over 1, 5 and 15 minutes when the process was started."""
    started: str
    whole_seconds: float
    """From the start of the process to its end: imports and loading included."""
    record: Record | None = None
    failure: str | None = None
    """The end of what it said, when it left no record."""


class Report(BaseModel):
    """The JSON that the benchmark writes."""

    date: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    runs: list[Run] = []
