"""What looks wrong in a data set that can be used all the same."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

ProblemKind = Literal[
    "file",
    "empty",
    "duplicate",
    "similar",
    "contradiction",
    "spelling",
    "few_rows",
    "small_split",
    "unknown_intent",
    "leak",
    "long",
    "cut",
]
"""file: how it was read; similar: copies but for capitals and spaces; leak: the same message in two splits;
long: too long to be one message; cut: longer than a run's prompts."""


class DataProblem(BaseModel):
    """One thing that looks wrong in data that can be used all the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ProblemKind
    sentence: str
    """What is wrong, and what was done about it: left out, kept or moved."""
    rows: int = 0
    """How many rows it is about, those included that only explain it."""
    rows_file: str = ""
    """Where they can be read with ``ProblemRows``; empty when they were not asked for."""
