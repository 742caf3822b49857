"""What a person wrote about a run: a title, a note and tags, in about.json of its folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

ABOUT = "about.json"


class RunNotes(BaseModel):
    """Empty until something is written. The folder keeps its name, which the command line uses."""

    model_config = ConfigDict(frozen=True)

    title: str = ""
    note: str = ""
    tags: list[str] = []


def read_notes(folder: Path) -> RunNotes:
    """The notes of a run folder; empty when there are none or they cannot be read."""
    try:
        return RunNotes.model_validate_json((folder / ABOUT).read_bytes())
    except (OSError, ValueError):
        return RunNotes()


def parse_tags(text: str) -> list[str]:
    """Tags as typed, with commas between them; each once, in their order."""
    return list(dict.fromkeys(tag for part in text.split(",") if (tag := " ".join(part.split()))))
