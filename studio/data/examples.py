"""A labelled message, and what looks wrong about some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from studio.core.data_problems import ProblemKind


@dataclass(frozen=True, slots=True)
class Example:
    """A message and its intent, both exactly as in the file, and the place they come from."""

    text: str
    label: str
    row: int = field(default=0, compare=False)
    """Counted from 1 in the file ``file``, the line of column names left out."""
    file: str = field(default="", compare=False)


@dataclass(frozen=True)
class Problem:
    """What looks wrong in data that can be used all the same: the sentence says what was done about it."""

    kind: ProblemKind
    sentence: str
    rows: Sequence[Example] = ()
    """The rows that it is about, those that belong together next to each other."""


def normalised(text: str) -> str:
    """The text without what makes no other message of it: capitals, and how its words are spaced."""
    return " ".join(text.casefold().split())
