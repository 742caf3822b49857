"""What a file or folder is to this app, told from its name and its place alone: nothing in it is opened."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["data", "model", "settings", "run", "other"]

DATA_SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet")
_LOOKED_AT = 2000
"""Entries of a folder that are looked at: a drag over the window must not wait for a huge one."""


@dataclass(frozen=True)
class Dropped:
    """``path`` is what to open, for the file of a model the folder it lies in. ``reason``: why "other" cannot be used."""

    path: Path
    kind: Kind
    reason: str = ""


def what_is(paths: Sequence[Path]) -> Dropped:
    """What was dropped together. Never raises: what cannot be read is "other"."""
    if len(paths) != 1:
        return Dropped(Path(), "other", "One file or folder at a time. Put several tables into one folder and drop that.")
    path = paths[0]
    try:
        if path.is_dir():
            return _folder(path)
        return _file(path) if path.is_file() else Dropped(path, "other", f"{path.name} is not there any more.")
    except OSError as error:
        return Dropped(path, "other", f"{path.name} cannot be read: {error.strerror or error}.")


def _file(path: Path) -> Dropped:
    name = path.name.lower()
    if name.endswith(".toml"):
        return Dropped(path, "settings")
    if name.endswith(".gguf"):
        return Dropped(path, "model")
    if name.endswith(".safetensors") or name == "config.json":
        # A model is a folder, but a person may well take hold of the largest file in it.
        folder = _folder(path.parent)
        if folder.kind in ("model", "other"):
            return folder
    if name.removesuffix(".gz").endswith(DATA_SUFFIXES):
        return Dropped(path, "data")
    return Dropped(path, "other", f"{path.name} is no table, model, settings file or run.")


def _folder(path: Path) -> Dropped:
    with_case = {entry.name for entry in itertools.islice(path.iterdir(), _LOOKED_AT)}
    names = {name.lower() for name in with_case}
    if "run.toml" in names:
        return Dropped(path, "run")
    if "adapter_config.json" in names:
        return Dropped(path, "other", f"{path.name} holds an adapter, which is no model by itself. Drop its base instead.")
    if "config.json" in names:
        return Dropped(path, "model")
    if any(name.removesuffix(".gz").endswith(DATA_SUFFIXES) for name in names):
        return Dropped(path, "data")
    weights = sorted(name for name in with_case if name.lower().endswith(".gguf"))
    if len(weights) == 1:
        return Dropped(path / weights[0], "model")
    what = "is empty" if not names else "holds no table, model or run"
    return Dropped(path, "other", f"The folder {path.name} {what}.")
