"""Paths as people type them."""

from __future__ import annotations

from pathlib import Path

from studio.core.errors import StudioError


def as_typed(name: str | Path) -> Path:
    """~ is the home folder. Raises StudioError for a name that no system allows."""
    if "\0" in str(name):
        raise StudioError(f"{str(name)!r} is no name of a file: it holds a NUL character.", "Write the name anew.")
    try:
        return Path(name).expanduser()
    except RuntimeError:  # ~somebody who is not known here: a file may be called so
        return Path(name)
