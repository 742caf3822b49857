"""Files that are complete or absent."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from studio.core.errors import StudioError


def write_atomically(path: Path, content: str | bytes) -> None:
    """The file is either as before or complete, whatever happens meanwhile."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        with scratch.open("wb") as out:
            out.write(content.encode() if isinstance(content, str) else content)
            out.flush()
            os.fsync(out.fileno())
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object) -> None:
    write_atomically(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def save_file(path: Path, content: str | bytes) -> None:
    """Write a file that a person asked for. Raises StudioError when that fails; what was there before stays then."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise StudioError(
            f"{path} cannot be written: {error.strerror or error}.", "Choose another folder, or free some space.", kind="unwritable"
        ) from error
