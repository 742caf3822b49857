"""A folder → the files of its splits, told by their names: train.csv, val.jsonl, test-00000-of-00002.parquet, …"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from studio.core.errors import StudioError
from studio.core.events import SplitName
from studio.core.words import listed
from studio.data.tables import KINDS, kind_of

SPLIT_WORDS: dict[str, SplitName] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What splits are called, in file names and on the hub."""
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{3,})-of-(?P<total>\d{3,})")
# Where repositories of data sets keep their files.
_INNER = "data"
_NAMES = "Name them train, validation (or valid, val, dev) and test, such as train.csv and test.csv, or choose one file."


def split_files(folder: Path, wanted: Iterable[SplitName] = ("train", "validation", "test")) -> dict[SplitName, list[Path]]:
    """The files of the splits that are there, shards in their order; "train" always.

    A folder with a single table in it is its training split. Raises StudioError when there is no training file, or
    when more than one file could be meant.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and kind_of(path) in KINDS)
        inner = folder / _INNER
        if not any(map(_split_of, files)) and inner.is_dir():
            return split_files(inner, wanted)
    except OSError as error:
        raise StudioError(f"The folder {folder} cannot be read: {error.strerror or error}.", "Check its permissions.") from error
    groups: dict[SplitName, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in files:
        if (split := _split_of(path)) is not None:
            shard = _SHARD.fullmatch(_stem(path))
            groups[split][f"{shard['stem']}-of-{shard['total']}{kind_of(path)}" if shard else path.name].append(path)
    found = {name: _only(folder, name, list(groups[name].values())) for name in wanted if groups[name]}
    if "train" not in found:
        tables = [path for path in files if kind_of(path) != ".txt"]
        if len(tables) != 1 or found:
            raise _no_training_file(folder, tables)
        found["train"] = tables
    return found


def _split_of(path: Path) -> SplitName | None:
    """The split whose word is in the name; None where there is none, or several."""
    stem = _stem(path)
    shard = _SHARD.fullmatch(stem)
    splits = {
        SPLIT_WORDS[word] for word in re.split(r"[\W_]+", (shard["stem"] if shard else stem).casefold()) if word in SPLIT_WORDS
    }
    return splits.pop() if len(splits) == 1 else None


def _stem(path: Path) -> str:
    return Path(path.stem).stem if path.suffix.lower() == ".gz" else path.stem


def _only(folder: Path, split: SplitName, groups: list[list[Path]]) -> list[Path]:
    if len(groups) > 1:
        raise StudioError(
            f"{folder} has more than one {split} file: {listed(group[0].name for group in groups)}.",
            "Choose one of them as the file, or leave one of each kind in the folder.",
        )
    (files,) = groups
    shard = _SHARD.fullmatch(_stem(files[0]))
    if shard and len(files) != int(shard["total"]):
        raise StudioError(
            f"{folder} has {len(files)} of {int(shard['total'])} parts of its {split} file ({shard['stem']}-…).",
            "Copy the missing ones into it; a download may be incomplete.",
        )
    return files


def _no_training_file(folder: Path, tables: list[Path]) -> StudioError:
    if not tables:
        return StudioError(f"{folder} holds no table of messages.", f"Put CSV, TSV, JSON or Parquet files into it. {_NAMES}")
    return StudioError(f"{folder} holds no training file, only {listed(path.name for path in tables)}.", _NAMES)
