"""The conversations with a run: chat.jsonl in its folder, one exchange a line."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from studio.core.answers import Predicted
from studio.core.errors import StudioError
from studio.core.generation import GenerationEnd, GenerationSettings, Speaker
from studio.core.words import percent

CHAT = "chat.jsonl"
MOST_EXCHANGES = 1000
_MOST_BYTES = 2 * 2**20
"""Read from the end of the file, so that opening a run never waits for years of messages."""
SPEAKER_NAMES: dict[Speaker, str] = {"tuned": "This run", "base": "The base"}


class ChatAnswer(BaseModel):
    """What one model made of a message. Free text grows while it is written."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    speaker: Speaker = "tuned"
    predicted: Predicted | None = None
    text: str = ""
    end: GenerationEnd | None = None
    problem: str = ""
    """Why there is no answer, or no whole one."""

    @property
    def waiting(self) -> bool:
        return self.predicted is None and self.end is None and not self.problem

    @property
    def empty(self) -> bool:
        return self.predicted is None and not self.text and self.end is None

    def as_text(self) -> str:
        """The answer as one copies it: the text, or the intents with their probabilities."""
        if self.predicted is not None:
            return "\n".join(f"{entry.label}\t{percent(entry.probability)}" for entry in self.predicted.prediction.top)
        return self.text.strip() or self.problem


class Exchange(BaseModel):
    """A message and what was answered: intents, or free text where there are ``settings``."""

    model_config = ConfigDict(extra="forbid")

    id: int = Field(default_factory=time.time_ns)
    """When it was sent. A line with the same id takes the place of the one before: an answer was written anew."""
    text: str
    settings: GenerationSettings | None = None
    answers: list[ChatAnswer]

    @property
    def waiting(self) -> bool:
        return any(answer.waiting for answer in self.answers)

    def as_text(self) -> str:
        """The exchange as one copies it."""
        parts = [f"{SPEAKER_NAMES[answer.speaker]}: {answer.as_text()}" for answer in self.answers]
        return "\n\n".join([f"You: {self.text}", *parts])


@dataclass
class History:
    """What could be read of a run's conversations, oldest first."""

    exchanges: list[Exchange] = field(default_factory=list)
    damaged: int = 0
    """Lines that are no exchange."""
    older: bool = False
    """There are more in the file than are read."""


def history_bytes(run: Path) -> int:
    """How large the file of the run's conversations is; 0 where there is none."""
    try:
        return (run / CHAT).stat().st_size
    except OSError:
        return 0


def read_history(run: Path) -> History:
    """The last exchanges of the run in folder ``run``. Raises StudioError when its file cannot be read."""
    try:
        with (run / CHAT).open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - _MOST_BYTES))
            lines = file.read(_MOST_BYTES).splitlines()
    except FileNotFoundError:
        return History()
    except OSError as error:
        raise StudioError(
            f"The conversations with {run.name} cannot be read: {error.strerror or error}.", "Check the permissions of its folder."
        ) from error
    history = History(older=length > _MOST_BYTES)
    if history.older:
        del lines[:1]  # it began before the part that was read
    found: dict[int, Exchange] = {}
    for line in filter(None, lines):
        try:
            exchange = Exchange.model_validate_json(line)
        except ValueError:
            history.damaged += 1
        else:
            found[exchange.id] = exchange
    history.exchanges = list(found.values())[-MOST_EXCHANGES:]
    history.older |= len(found) > MOST_EXCHANGES
    return history


def append_exchange(run: Path, exchange: Exchange) -> None:
    """Add one line, in one write. Raises StudioError; what was there stays."""
    line = exchange.model_dump_json().encode() + b"\n"
    try:
        file = os.open(run / CHAT, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
        try:
            if _torn(file):
                line = b"\n" + line
            if (written := os.write(file, line)) < len(line):  # the disk is full
                os.write(file, line[written:])
        finally:
            os.close(file)
    except OSError as error:
        raise StudioError(
            f"The conversation with {run.name} cannot be kept: {error.strerror or error}.", "Free some space or mend permissions."
        ) from error


def clear_history(run: Path) -> None:
    """Forget every conversation with the run. Raises StudioError."""
    try:
        (run / CHAT).unlink(missing_ok=True)
    except OSError as error:
        raise StudioError(
            f"The conversations with {run.name} cannot be deleted: {error.strerror or error}.",
            "Check the permissions of its folder.",
        ) from error


def _torn(file: int) -> bool:
    """Whether the last line was cut off as it was written."""
    length = os.lseek(file, 0, os.SEEK_END)
    if not length:
        return False
    os.lseek(file, length - 1, os.SEEK_SET)
    return os.read(file, 1) != b"\n"
