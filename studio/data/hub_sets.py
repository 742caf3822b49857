"""Data sets of the Hugging Face hub → the tables of their splits.

Their files come into the hub's cache the way base models do. The ``datasets`` library then says which of them belong to
which configuration and split, and what integer labels are called; nothing of the repository is executed. The files are
read by ``tables``, because that library turns the labels None, NA and 001 into something else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from huggingface_hub import DatasetCard

from studio.core.arrow import pa
from studio.core.config import DatasetConfig
from studio.core.errors import StudioError
from studio.core.events import SplitName
from studio.core.files import write_atomically
from studio.core.words import listed, nearest, size
from studio.data.downloads import DownloadMeter, Downloads, DownloadTooLargeError
from studio.data.folders import SPLIT_WORDS
from studio.data.hub import cached_snapshot, fetch, look_up, missing_files
from studio.data.progress import Progress
from studio.data.records import class_names
from studio.data.tables import KINDS, SourceTable, kind_of, load_table

_LARGEST = 2 * 2**30
_DESCRIPTIONS = ("README.md", "dataset_infos.json", ".huggingface.yaml")
_WHOLE = ".finetune-studio-whole"
"""Beside the files in the cache once all of them are there: other programs fetch a part of a data set into the same folder."""
_CONVERTED = "refs/convert/parquet"
"""The branch in which the hub keeps a Parquet copy of data that a script would have to make."""


def open_hub_dataset(
    id: str,
    dataset: DatasetConfig,
    wanted: Sequence[SplitName],
    progress: Progress,
    should_stop: Callable[[], bool],
    downloads: Downloads,
) -> dict[SplitName, list[SourceTable]]:
    """The tables of the splits, "train" always. What is in the cache is taken from there, without a network.

    Raises StudioError when there is no such data set, configuration or training split, when the hub cannot be reached or
    does not show it, and for files that cannot be read; DownloadTooLargeError when more is missing than ``downloads``
    allows; InterruptedByUserError when asked to stop.
    """
    folder, problems = _bring(id, dataset.revision, progress, should_stop, downloads)
    progress("reading the data", 0, 0)
    files, names = _described(id, folder, dataset.config)
    splits: dict[SplitName, list[Path]] = {}
    for split, paths in files.items():
        if (known := SPLIT_WORDS.get(split.casefold())) in wanted and known is not None:
            splits.setdefault(known, []).extend(paths)
    if "train" not in splits:
        raise StudioError(
            f"The data set {id} has no training split; its splits are {listed(files)}.",
            "Choose another data set, or download the file that you want to train on and open that.",
        )
    tables = {
        split: [_named(path, load_table(path, dataset.encoding, dataset.delimiter), names) for path in paths]
        for split, paths in splits.items()
    }
    tables["train"][0].problems.extend(problems)
    return tables


def _bring(
    id: str, revision: str | None, progress: Progress, should_stop: Callable[[], bool], downloads: Downloads
) -> tuple[Path, list[str]]:
    """The folder in the cache, downloaded if it is not all there, and what is to be told of it."""
    if (whole := cached_snapshot(id, _WHOLE, "dataset", revision)) is not None:
        return whole, []
    try:
        return _download(id, revision, progress, should_stop, downloads), []
    except StudioError as error:
        if error.kind not in ("no_network", "offline", "hub_down", "hub_busy") or (folder := _cached(id, revision)) is None:
            raise
    return folder, [
        f"Another program has put {id} on this computer, perhaps not all of it, and the Hugging Face hub cannot be asked."
    ]


def _cached(id: str, revision: str | None) -> Path | None:
    """The folder in the cache, if it holds a description and a table: all that another program wanted of the data set."""
    for marker in _DESCRIPTIONS:
        if (folder := cached_snapshot(id, marker, "dataset", revision)) is not None and _tables(folder):
            return folder
    return None


def _tables(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if kind_of(path) in KINDS and path.name not in _DESCRIPTIONS]


def _download(id: str, revision: str | None, progress: Progress, should_stop: Callable[[], bool], downloads: Downloads) -> Path:
    progress("asking the Hugging Face hub", 0, 0)
    repository = look_up(id, "dataset", revision)
    names = [file.name for file in repository.files if file.name in _DESCRIPTIONS or kind_of(Path(file.name)) in KINDS]
    chosen = repository.choose(names)
    if not any(name not in _DESCRIPTIONS for name in names):
        raise StudioError(
            f"The data set {id} holds no table: it has {listed(file.name for file in repository.files)}.",
            f"If a script makes its data, name the hub's Parquet copy as its revision: {_CONVERTED}.",
        )
    if chosen.total > _LARGEST:
        raise StudioError(
            f"The data set {id} takes {size(chosen.total)}, which is more than the {size(_LARGEST)} that are read.",
            "Download the part that you want to train on, and open that file or folder.",
        )
    if downloads.largest is not None and (missing := missing_files(chosen)).missing > downloads.largest:
        raise DownloadTooLargeError(id, missing)
    progress("downloading the data set", 0, 0)
    meter = DownloadMeter(chosen.total, downloads.told)
    folder = fetch(chosen, meter.report, should_stop)
    meter.tell()
    write_atomically(folder / _WHOLE, "")
    return folder


def _described(id: str, folder: Path, config: str | None) -> tuple[dict[str, list[Path]], dict[str, list[str]]]:
    """The files of each split of a configuration, and the names of integer labels by column."""
    from datasets import (  # half a second, and only data sets of the hub need it
        ClassLabel,
        get_dataset_config_names,
        get_dataset_default_config_name,
        load_dataset_builder,
    )

    folder = folder.resolve()  # as the library names it where the cache lies behind a link
    try:
        _refuse_addresses(id, folder)
        configs = get_dataset_config_names(str(folder))
        if config is None and len(configs) > 1 and get_dataset_default_config_name(str(folder)) is None:
            raise StudioError(
                f"The data set {id} comes in {len(configs)} configurations: {listed(configs)}.",
                "Name the one that you want, as config.",
            )
        if config is not None and config not in configs:
            raise StudioError(
                f"The data set {id} has no configuration {config!r}; the nearest is {nearest(config, configs)!r}.",
                f"Its configurations are {listed(configs)}.",
            )
        builder = load_dataset_builder(str(folder), name=config)
        files: Any = builder.config.data_files
        features: Any = builder.info.features or {}
        found = {str(split): [Path(path) for path in paths] for split, paths in files.items()}
        names = {column: list(kind.names) for column, kind in features.items() if isinstance(kind, ClassLabel)}
        _refuse_files_elsewhere(id, folder, [path for paths in found.values() for path in paths])
    except StudioError:
        raise
    except Exception as error:  # a foreign description can be wrong in any way
        raise StudioError(
            f"What the data set {id} says of itself cannot be understood: {type(error).__name__}.",
            f"Choose another revision ({_CONVERTED} is the hub's Parquet copy of many), or download its files and open those.",
            detail=str(error),
        ) from error
    return found, names


def _refuse_files_elsewhere(id: str, folder: Path, paths: Sequence[Path]) -> None:
    """A description may name any file of this computer, or an address. Only the repository's own files are read."""
    for path in paths:
        # Without following links: the cache's own lead out of this folder.
        if not Path(os.path.normpath(path)).is_relative_to(folder):
            raise _foreign_file(id, str(path))


def _refuse_addresses(id: str, folder: Path) -> None:
    """Before the library asks the network for what the description calls its files."""
    for name, around in (("README.md", ""), (".huggingface.yaml", "---\n")):
        if (description := folder / name).is_file():
            content = f"{around}{description.read_text('utf-8')}\n{around}"
            for value in _strings(DatasetCard(content).data.get("configs")):
                if "://" in value:
                    raise _foreign_file(id, value)


def _strings(told: Any) -> Iterator[str]:
    """All strings in what a YAML file says. Its aliases may stand within what they are names of."""
    seen: set[int] = set()
    values = [told]
    while values:
        value = values.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list) and id(value) not in seen:
            seen.add(id(value))
            values += value.values() if isinstance(value, dict) else value


def _foreign_file(id: str, name: str) -> StudioError:
    return StudioError(
        f"The data set {id} names a file as its own that is not in its repository: {name}.",
        "Choose another data set; this one may want to read what is none of its business.",
        kind="foreign_file",
    )


def _named(path: Path, source: SourceTable, names: dict[str, list[str]]) -> SourceTable:
    """The table with the names of its integer labels. The library writes -1 for a row without a label."""
    table = source.table
    # Those that a Parquet file names itself are names already, and a name such as "1" is a number once more.
    named = class_names(pq.read_schema(path)) if kind_of(path) == ".parquet" else {}
    for column, known in names.items():
        if column not in table.column_names or column in named:
            continue
        by_number: dict[str | None, str | None] = {"-1": None, **{str(number): name for number, name in enumerate(known)}}
        values = [by_number.get(value, value) for value in table.column(column).to_pylist()]
        table = table.set_column(table.column_names.index(column), column, pa.array(values, pa.string()))
    return SourceTable(source.name, table, source.problems, source.encoding, source.delimiter)
