"""A data set → train, validation and test, the same on every machine.

The test split is set aside first, then the validation split from what is left, then ``limit`` thins out training. Copies
of a message with the same intent stay together, so that none is trained on and tested too.
"""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from studio.core.config import DatasetConfig
from studio.core.errors import StudioError
from studio.core.events import ColumnGuess, SplitName
from studio.core.paths import as_typed
from studio.core.runs import RunFolder
from studio.core.words import counted, listed, nearest
from studio.data.checks import check_examples, check_overlap
from studio.data.sources import Example, read_examples

_SCHEMA = pa.schema([pa.field("text", pa.string(), nullable=False), pa.field("label", pa.string(), nullable=False)])
_HELD_OUT: tuple[SplitName, ...] = ("test", "validation")
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Splits:
    """The rows of a run. Every label of ``validation`` and ``test`` occurs in ``train``; ``labels`` are sorted."""

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    labels: list[str]
    guess: ColumnGuess
    problems: list[str]


@contextmanager
def dataset_files(dataset: DatasetConfig) -> Iterator[dict[SplitName, Path]]:
    """The files of a data set by split: "train" always, the others where there is a file. The sample has a test file."""
    with ExitStack() as stack:
        found: dict[SplitName, Path] = {}
        if dataset.source == "sample":
            try:
                folder = files("studio.resources") / "sample"
            except ModuleNotFoundError as error:
                raise StudioError(
                    "The sample data set is not installed.",
                    "Install the app again (from a checkout: pip install -e .).",
                    kind="broken_install",
                ) from error
            found["train"] = stack.enter_context(as_file(folder / "train.csv"))
            found["test"] = stack.enter_context(as_file(folder / "test.csv"))
        else:
            found["train"] = as_typed(dataset.source)
        if dataset.validation is not None:
            found["validation"] = as_typed(dataset.validation)
        if dataset.test is not None:
            found["test"] = as_typed(dataset.test)
        yield found


def load_splits(dataset: DatasetConfig) -> Splits:
    """Read, check and split a data set.

    A split without a file is drawn from the training rows: every intent gives its share, rounded so that the whole
    split has the right size, and keeps at least one training row. Rows of an intent that has no training row cannot be
    learnt; they are left out and the intent is named in the problems. ``limit`` takes the same number of training rows
    from every intent, as far as it has them. Raises StudioError.
    """
    with dataset_files(dataset) as paths:
        _refuse_same_file(paths)
        train, guess, problems = read_examples(paths["train"], dataset.text_column, dataset.label_column)
        held_out: dict[SplitName, list[Example]] = {}
        for name in _HELD_OUT:
            if name in paths:
                held_out[name], _, more = read_examples(paths[name], dataset.text_column, dataset.label_column, like=guess)
                problems += more
    if dataset.labels is not None:
        train = _keep_labels(train, dataset.labels)
        held_out = {name: [row for row in rows if row.label in dataset.labels] for name, rows in held_out.items()}
    if len({row.label for row in train}) < 2:
        raise StudioError(
            f"The data has only one intent, {train[0].label!r}; telling messages apart needs at least two.",
            f"Check that {guess.label_column!r} is the column of the intents.",
        )
    problems += check_examples(train)
    if "test" not in held_out:
        train, held_out["test"] = _set_aside(train, dataset.test_fraction, dataset.seed, "test", problems)
    if "validation" not in held_out:
        train, held_out["validation"] = _set_aside(train, dataset.validation_fraction, dataset.seed, "validation", problems)
    labels = sorted({row.label for row in train})
    if dataset.limit is not None:
        train = _limited(train, dataset.limit, dataset.seed)
    for name in _HELD_OUT:
        held_out[name] = _learnable(held_out[name], set(labels), name, problems)
        problems += check_overlap(train, "training", held_out[name], name)
    problems += check_overlap(held_out["validation"], "validation", held_out["test"], "test")
    return Splits(train, held_out["validation"], held_out["test"], labels, guess, problems)


def write_splits(run: RunFolder, splits: Splits) -> None:
    """Store the exact rows in the run's folder; each file appears complete or not at all."""
    parts: dict[SplitName, list[Example]] = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    for name, rows in parts.items():
        path = run.split_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_arrays(
            [pa.array([row.text for row in rows], pa.string()), pa.array([row.label for row in rows], pa.string())], schema=_SCHEMA
        )
        scratch = path.with_name(f".{path.name}.partial")
        pq.write_table(table, scratch)
        scratch.replace(path)


def read_split(run: RunFolder, name: SplitName) -> list[Example]:
    """The rows as ``write_splits`` stored them. Raises StudioError when the file is missing or damaged."""
    path = run.split_path(name)
    try:
        table = pq.read_table(path).cast(_SCHEMA)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StudioError(
            f"The {name} rows of the run {run.name} cannot be read: {error}.", "Train it again.", kind="damaged_run"
        ) from error
    return [Example(**row) for row in table.to_pylist()]


def _refuse_same_file(paths: Mapping[SplitName, Path]) -> None:
    seen: dict[Path, str] = {}
    for name, path in paths.items():
        where = path.resolve()
        if where in seen:
            raise StudioError(
                f"{path.name} is named for both {seen[where]} and {name}, so the result would say nothing about new messages.",
                "Name different files, or leave one out to have rows set aside.",
            )
        seen[where] = name


def _keep_labels(rows: list[Example], wanted: Sequence[str]) -> list[Example]:
    known = sorted({row.label for row in rows})
    unknown = [label for label in wanted if label not in known]
    if unknown:
        hints = "; ".join(f"{label!r} (the nearest is {nearest(label, known)!r})" for label in unknown)
        raise StudioError(f"No training row has the intent {hints}.", "Name intents exactly as in the file.")
    kept = [row for row in rows if row.label in set(wanted)]
    if not kept:
        raise StudioError("The list of intents to keep is empty.", "Name at least two, or leave the setting out.")
    return kept


def _set_aside(
    rows: list[Example], fraction: float, seed: int, name: SplitName, problems: list[str]
) -> tuple[list[Example], list[Example]]:
    """(rows that stay, rows set aside), both in the file's order."""
    groups = _group(rows)
    shares = _shares({label: len(texts) for label, texts in groups.items()}, fraction, random.Random(f"{seed} {name}"))
    if not any(shares.values()):
        raise StudioError(
            f"No row can be set aside as {name} split: no intent has two different messages.",
            f"Add rows, or name a {name} file.",
        )
    chosen: set[int] = set()
    for label, texts in groups.items():
        # A generator for each intent: new rows of one intent do not move the others' rows.
        for copies in _shuffled(list(texts.values()), f"{seed} {name} {label}")[: shares[label]]:
            chosen.update(copies)
    single = sorted(label for label, texts in groups.items() if len(texts) == 1)
    if single:
        problems.append(f"{counted(len(single), 'intent')} with too few rows to be in the {name} split: {listed(single)}.")
    absent = sorted(label for label, share in shares.items() if share == 0 and len(groups[label]) > 1)
    if absent:
        problems.append(
            f"A share of {fraction:g} is too small for every intent to be in the {name} split; "
            f"{counted(len(absent), 'is', 'are')} missing: {listed(absent)}."
        )
    stay = [row for position, row in enumerate(rows) if position not in chosen]
    return stay, [rows[position] for position in sorted(chosen)]


def _group(rows: Sequence[Example]) -> dict[str, dict[str, list[int]]]:
    """The positions of the rows by intent and message."""
    groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for position, row in enumerate(rows):
        groups[row.label][row.text].append(position)
    return groups


def _shares(sizes: Mapping[str, int], fraction: float, generator: random.Random) -> dict[str, int]:
    """How many messages each intent gives: its quota rounded down, then one more for the largest remainders (Hamilton).

    Where the whole is enough for it, every intent that can gives at least one.
    """
    able = [label for label in sorted(sizes) if sizes[label] > 1]
    wanted = max(1, round(fraction * sum(sizes[label] for label in able)))
    least = 1 if wanted >= len(able) else 0
    shares = dict.fromkeys(sizes, 0) | {label: max(least, int(fraction * sizes[label])) for label in able}
    generator.shuffle(able)
    able.sort(key=lambda label: shares[label] - fraction * sizes[label])
    for label in [label for label in able if shares[label] < sizes[label] - 1][: max(0, wanted - sum(shares.values()))]:
        shares[label] += 1
    # What small intents give beyond their quota, those that are furthest above theirs give less.
    givers = [(fraction * sizes[label] - shares[label], label) for label in able if shares[label] > least]
    heapq.heapify(givers)
    for _ in range(sum(shares.values()) - wanted):
        lacking, label = heapq.heappop(givers)
        shares[label] -= 1
        if shares[label] > least:
            heapq.heappush(givers, (lacking + 1, label))
    return shares


def _learnable(rows: list[Example], labels: set[str], name: SplitName, problems: list[str]) -> list[Example]:
    kept = [row for row in rows if row.label in labels]
    lost = sorted({row.label for row in rows} - labels)
    if lost:
        problems.append(
            f"{counted(len(rows) - len(kept), f'{name} row')} left out: the training rows lack their intents ({listed(lost)}), "
            "so these cannot be learnt."
        )
    if not kept:
        raise StudioError(
            f"No {name} row has an intent that occurs in the training rows.", f"Check the intents of the {name} file."
        )
    return kept


def _limited(rows: list[Example], limit: int, seed: int) -> list[Example]:
    """The same number of rows from every intent as far as it has them, ``limit`` in all, in the file's order."""
    if limit >= len(rows):
        return rows
    positions: dict[str, list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        positions[row.label].append(position)
    if limit < len(positions):
        raise StudioError(
            f"A limit of {counted(limit, 'training row')} is too small for {len(positions)} intents.",
            f"Allow at least {len(positions)}, or keep fewer intents.",
        )
    chosen: list[int] = []
    smallest_first = sorted(positions, key=lambda label: (len(positions[label]), label))
    for done, label in enumerate(smallest_first):
        # What a small intent cannot give is shared by those after it.
        share = (limit - len(chosen)) // (len(smallest_first) - done)
        chosen += _shuffled(positions[label], f"{seed} limit {label}")[:share]
    return [rows[position] for position in sorted(chosen)]


def _shuffled(items: Sequence[_Item], seed: str) -> list[_Item]:
    shuffled = list(items)
    random.Random(seed).shuffle(shuffled)
    return shuffled
