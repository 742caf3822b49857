"""A data set → train, validation and test, the same on every machine.

The test split is set aside first, then the validation split from what is left, then ``limit`` thins out training. Copies
of a message with the same intent stay together, so that none is trained on and tested too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow.parquet as pq

from studio.core.answers import ColumnGuess
from studio.core.arrow import pa, write_parquet
from studio.core.config import DatasetConfig
from studio.core.errors import StudioError
from studio.core.events import SplitName
from studio.core.runs import RunFolder
from studio.core.words import counted, listed, nearest
from studio.data.checks import check_examples, check_lengths, check_overlap, check_sizes
from studio.data.downloads import Downloads
from studio.data.examples import Example, Problem
from studio.data.origins import Tables, open_dataset
from studio.data.progress import Progress, never, silent
from studio.data.set_aside import limited, set_aside
from studio.data.sources import examples_of, names_of_labels
from studio.data.tables import SourceTable

_SCHEMA = pa.schema([pa.field("text", pa.string(), nullable=False), pa.field("label", pa.string(), nullable=False)])
HELD_OUT: tuple[Literal["test", "validation"], ...] = ("test", "validation")
# More intents than this are a sign of the wrong column.
_MOST_INTENTS = 10_000


@dataclass(frozen=True)
class Splits:
    """The rows of a run. Every label of ``validation`` and ``test`` occurs in ``train``; ``labels`` are sorted."""

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    labels: list[str]
    guess: ColumnGuess
    problems: list[Problem]

    def parts(self) -> dict[SplitName, list[Example]]:
        """The rows by split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def most_predicted(self) -> int:
        """Rows of the larger split that is predicted while a run lasts."""
        return max(len(self.validation), len(self.test))


def load_splits(
    dataset: DatasetConfig,
    progress: Progress = silent,
    should_stop: Callable[[], bool] = never,
    downloads: Downloads = Downloads(),  # noqa: B008  # it cannot change
) -> Splits:
    """Read, check and split a data set. Raises StudioError."""
    return split_tables(dataset, open_dataset(dataset, progress, should_stop, downloads))


def split_tables(dataset: DatasetConfig, tables: Tables) -> Splits:
    """Check and split the tables of a data set.

    A split without a table is drawn from the training rows: every intent gives its share, rounded so that the whole
    split has the right size, and keeps at least one training row. Rows of an intent that has no training row cannot be
    learnt; they are left out and the intent is named in the problems. ``limit`` takes the same number of training rows
    from every intent, as far as it has them. Raises StudioError.
    """
    first = tables["train"][0]
    train, guess, problems = examples_of(first, dataset.text_column, dataset.label_column, dataset.label_name_column)
    more, told = _read(tables["train"][1:], dataset, guess, first)
    train, problems = train + more, problems + told
    held_out: dict[SplitName, list[Example]] = {}
    for name in HELD_OUT:
        if name in tables:
            held_out[name], told = _read(tables[name], dataset, guess, first)
            problems += told
    if dataset.labels is not None:
        train = _keep_labels(train, dataset.labels)
        held_out = {name: [row for row in rows if row.label in dataset.labels] for name, rows in held_out.items()}
    labels = sorted({row.label for row in train})
    _refuse_odd_number(labels, guess)
    problems += check_examples(train, drawn=len(held_out) < len(HELD_OUT))
    if "test" not in held_out:
        train, held_out["test"] = set_aside(train, dataset.test_fraction, dataset.seed, "test", problems)
    if "validation" not in held_out:
        train, held_out["validation"] = set_aside(train, dataset.validation_fraction, dataset.seed, "validation", problems)
    problems += check_sizes(train)
    if dataset.limit is not None:
        train = limited(train, dataset.limit, dataset.seed)
    for name in HELD_OUT:
        held_out[name] = _learnable(held_out[name], set(labels), name, problems)
        problems += check_overlap(train, "training", held_out[name], name)
    problems += check_overlap(held_out["validation"], "validation", held_out["test"], "test")
    problems += check_lengths([*train, *held_out["validation"], *held_out["test"]])
    return Splits(train, held_out["validation"], held_out["test"], labels, guess, problems)


def write_splits(run: RunFolder, splits: Splits) -> None:
    """Store the exact rows in the run's folder; each file appears complete or not at all."""
    for name, rows in splits.parts().items():
        path = run.split_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_arrays(
            [pa.array([row.text for row in rows], pa.string()), pa.array([row.label for row in rows], pa.string())], schema=_SCHEMA
        )
        write_parquet(path, table)


def read_split(run: RunFolder, name: SplitName) -> list[Example]:
    """The rows as ``write_splits`` stored them. Raises StudioError when the file is missing or damaged."""
    path = run.split_path(name)
    try:
        table = pq.read_table(path).cast(_SCHEMA)
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = f"there is no {path}" if isinstance(error, FileNotFoundError) else error
        raise StudioError(
            f"The {name} rows of the run {run.name} cannot be read: {reason}.", "Train it again.", kind="damaged_run"
        ) from error
    return [Example(**row) for row in table.to_pylist()]


def _read(
    tables: Sequence[SourceTable], dataset: DatasetConfig, guess: ColumnGuess, first: SourceTable
) -> tuple[list[Example], list[Problem]]:
    """The rows of tables that go with the ``first`` one, whose columns were ``guess``ed."""
    found: list[Example] = []
    problems: list[Problem] = []
    names = names_of_labels(first, guess)
    for table in tables:
        rows, _, told = examples_of(table, dataset.text_column, dataset.label_column, dataset.label_name_column, guess, names)
        found += rows
        problems += told
    return found, problems


def _refuse_odd_number(labels: Sequence[str], guess: ColumnGuess) -> None:
    if len(labels) < 2:
        raise StudioError(
            f"The data has only one intent, {labels[0]!r}; telling messages apart needs at least two.",
            f"Check that {guess.label_column!r} is the column of the intents.",
        )
    if len(labels) > _MOST_INTENTS:
        raise StudioError(
            f"The column {guess.label_column!r} holds {len(labels):,} different intents, which is more than {_MOST_INTENTS:,}.",
            "Check that it is the column of the intents, or name the intents to keep as labels.",
        )


def read_splits(run: RunFolder) -> Splits:
    """The rows that a run began with, wherever its data is now. Raises StudioError when they are missing or damaged."""
    train = read_split(run, "train")
    columns = ColumnGuess(columns=_SCHEMA.names, text_column="text", label_column="label")
    labels = sorted({row.label for row in train})
    return Splits(train, read_split(run, "validation"), read_split(run, "test"), labels, columns, [])


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


def _learnable(rows: list[Example], labels: set[str], name: SplitName, problems: list[Problem]) -> list[Example]:
    kept = [row for row in rows if row.label in labels]
    lost = sorted({row.label for row in rows} - labels)
    if lost:
        missing = set(lost)
        problems.append(
            Problem(
                "unknown_intent",
                f"Left out: {counted(len(rows) - len(kept), f'{name} row')} whose intents ({listed(lost)}) no training row has, "
                "so these cannot be learnt.",
                [row for row in rows if row.label in missing],
            )
        )
    if not kept:
        raise StudioError(
            f"No {name} row has an intent that occurs in the training rows.", f"Check the intents of the {name} file."
        )
    return kept
