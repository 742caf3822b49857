"""Where a data set comes from: a file, a folder, the Hugging Face hub, or the sample → the tables of its splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path

from studio.core.bases import hub_id
from studio.core.config import DatasetConfig
from studio.core.errors import StudioError
from studio.core.events import SplitName
from studio.core.paths import as_typed
from studio.data.downloads import Downloads
from studio.data.folders import split_files
from studio.data.progress import Progress, never, silent
from studio.data.tables import SourceTable, load_table

SAMPLE = "sample"
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
Tables = Mapping[SplitName, Sequence[SourceTable]]
"""The tables of each split, "train" always: one, or the shards that it was cut into."""


def open_dataset(
    dataset: DatasetConfig,
    progress: Progress = silent,
    should_stop: Callable[[], bool] = never,
    downloads: Downloads = Downloads(),  # noqa: B008  # it cannot change
) -> Tables:
    """Read every file of a data set. A split that ``dataset`` names a file for is taken from there.

    A data set of the hub is downloaded unless it is in the cache, as far as ``downloads`` allows; ``should_stop`` is asked
    meanwhile. Raises StudioError.
    """
    named: dict[SplitName, list[Path]] = {}
    if dataset.validation is not None:
        named["validation"] = [as_typed(dataset.validation)]
    if dataset.test is not None:
        named["test"] = [as_typed(dataset.test)]
    wanted = [name for name in SPLITS if name not in named]
    if (id := hub_id(dataset.source)) is not None:
        from studio.data.hub_sets import open_hub_dataset  # a file's preview does not wait for the hub's libraries

        found = open_hub_dataset(id, dataset, wanted, progress, should_stop, downloads)
        _refuse_same_file(named)
        return found | _load(named, dataset)
    progress("reading the data", 0, 0)
    paths = (_sample() if dataset.source == SAMPLE else _files(as_typed(dataset.source), wanted)) | named
    _refuse_same_file(paths)
    return _load(paths, dataset)


def _load(paths: Mapping[SplitName, Sequence[Path]], dataset: DatasetConfig) -> dict[SplitName, list[SourceTable]]:
    return {
        name: [load_table(path, dataset.encoding, dataset.delimiter) for path in files_of_split]
        for name, files_of_split in paths.items()
    }


def _files(source: Path, wanted: Sequence[SplitName]) -> dict[SplitName, list[Path]]:
    return split_files(source, wanted) if source.is_dir() else {"train": [source]}


def _sample() -> dict[SplitName, list[Path]]:
    """The sample's own files. It has a test file, and its package is always unpacked."""
    try:
        folder = files("studio.resources") / "sample"
    except ModuleNotFoundError as error:
        raise StudioError(
            "The sample data set is not installed.",
            "Install the app again (from a checkout: pip install -e .).",
            kind="broken_install",
        ) from error
    with as_file(folder / "train.csv") as train, as_file(folder / "test.csv") as test:
        return {"train": [train], "test": [test]}


def _refuse_same_file(paths: Mapping[SplitName, Sequence[Path]]) -> None:
    seen: dict[Path, str] = {}
    for name in SPLITS:
        for path in paths.get(name, ()):
            where = path.resolve()
            if where in seen:
                raise StudioError(
                    f"{path.name} is named for both {seen[where]} and {name}, so the result would say nothing about new messages.",
                    "Name different files, or leave one out to have rows set aside.",
                )
            seen[where] = name
