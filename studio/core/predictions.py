"""Predictions of a split as a Parquet file: written by the worker, read by the window and the command line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from studio.core.answers import LabelProbability, Prediction
from studio.core.arrow import pa, write_parquet
from studio.core.errors import StudioError
from studio.core.files import save_file
from studio.core.metrics import confusion_counts
from studio.core.runs import RunFolder

_FIELDS: list[pa.Field[Any]] = [
    pa.field("text", pa.string()),
    pa.field("label", pa.string()),
    pa.field("predicted", pa.string()),
    pa.field("probability", pa.float64()),
    pa.field("label_probability", pa.float64()),
    pa.field("top_labels", pa.list_(pa.string())),
    pa.field("top_probabilities", pa.list_(pa.float64())),
    pa.field("left_set", pa.bool_()),
    pa.field("outside_mass", pa.float64()),
]
_SCHEMA = pa.schema(_FIELDS)
_LABELS_KEY, _DATA_KEY = b"labels", b"data"
_ALWAYS_THERE = ("text", "predicted", "probability", "top_labels", "top_probabilities", "left_set", "outside_mass")
_BATCH = 4096


class StoredPredictions(Sequence[Prediction]):
    """Rows that stay in their columns; each Prediction is made when it is asked for, as a hundred thousand take seconds."""

    def __init__(self, columns: pa.Table) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return int(self._columns.num_rows)

    def __iter__(self) -> Iterator[Prediction]:
        for batch in self._columns.to_batches(max_chunksize=_BATCH):
            yield from map(_prediction, batch.to_pylist())

    @overload
    def __getitem__(self, number: int) -> Prediction: ...
    @overload
    def __getitem__(self, number: slice) -> list[Prediction]: ...
    def __getitem__(self, number: int | slice) -> Prediction | list[Prediction]:
        if isinstance(number, slice):
            return [self[position] for position in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        (row,) = self._columns.slice(number % len(self), 1).to_pylist()
        return _prediction(row)


@dataclass(frozen=True)
class PredictionTable:
    """The predictions of one split, column by column, and the label set, in its order, that they were made over."""

    labels: list[str]
    columns: pa.Table
    """As in the file: text, label, predicted, probability and so on."""

    @classmethod
    def of(cls, labels: Sequence[str], predictions: Iterable[Prediction]) -> PredictionTable:
        """Predictions that are in memory, as a table."""
        rows = [
            {
                "text": row.text,
                "label": row.label,
                "predicted": row.predicted,
                "probability": row.probability,
                "label_probability": row.label_probability,
                "top_labels": [entry.label for entry in row.top],
                "top_probabilities": [entry.probability for entry in row.top],
                "left_set": row.left_set,
                "outside_mass": row.outside_mass,
            }
            for row in predictions
        ]
        return cls(list(labels), pa.Table.from_pylist(rows, schema=_SCHEMA))

    @property
    def predictions(self) -> StoredPredictions:
        """The rows as objects."""
        return StoredPredictions(self.columns)

    @property
    def texts(self) -> pa.ChunkedArray[Any]:
        """The messages, shape (rows,)."""
        return self.columns.column("text")

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The probability of each row's predicted label, shape (rows,)."""
        return self.columns.column("probability").to_numpy()

    @property
    def left_set(self) -> NDArray[np.bool_]:
        """For which rows free greedy decoding would have left the label set, shape (rows,)."""
        return np.asarray(self.columns.column("left_set").to_numpy(), dtype=np.bool_)

    def taken(self, rows: NDArray[np.int64]) -> PredictionTable:
        """Only these rows, in this order."""
        return PredictionTable(self.labels, self.columns.take(rows))

    def true_indices(self) -> NDArray[np.int64]:
        """The label index of each row. Raises KeyError when a row has no label or one outside the set."""
        return self._indices("label")

    def predicted_indices(self) -> NDArray[np.int64]:
        """The label index that each row was predicted as. Raises KeyError when one is outside the set."""
        return self._indices("predicted")

    def confusion(self) -> NDArray[np.int64]:
        """(labels, labels) counts: row = true intent, column = predicted intent."""
        return confusion_counts(self.true_indices(), self.predicted_indices(), len(self.labels))

    def _indices(self, name: str) -> NDArray[np.int64]:
        column = self.columns.column(name)
        found: Any = pc.index_in(column, value_set=pa.array(self.labels, pa.string()))
        if found.null_count:
            first = int(np.argmax(found.is_null().to_numpy()))
            raise KeyError(column[first].as_py() or "")
        return np.asarray(found.to_numpy(), dtype=np.int64)


def write_predictions(path: Path, labels: Sequence[str], predictions: Sequence[Prediction], data: Path | None = None) -> None:
    """Write all rows at once; the file appears complete or not at all. ``data`` is the labelled file whose rows they are."""
    table = PredictionTable.of(labels, predictions)
    metadata = {_LABELS_KEY: json.dumps(table.labels).encode(), _DATA_KEY: str(data or "").encode()}
    write_parquet(path, table.columns.replace_schema_metadata(metadata))


def name_for(run: RunFolder, data: Path) -> str:
    """What a labelled file's predictions are called among the run's: its own name, numbered where another file has it."""
    names = (data.stem if number == 1 else f"{data.stem} {number}" for number in count(1))
    return next(name for name in names if _data_of(run.predictions_of(name)) in (None, str(data)))


def _data_of(path: Path) -> str | None:
    """The labelled file that was predicted; None where there are no predictions, or none that can be read."""
    try:
        return bytes((pq.read_schema(path).metadata or {}).get(_DATA_KEY, b"")).decode()
    except (OSError, ValueError, pa.ArrowException):
        return None


def write_messages(path: Path, table: PredictionTable) -> None:
    """The rows as CSV with a header. Raises StudioError when it cannot be written."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["text", "label", "predicted", "right", "probability", "label_probability", "left_set"])
    names = ["text", "label", "predicted", "probability", "label_probability", "left_set"]
    for batch in table.columns.select(names).to_batches(max_chunksize=_BATCH):
        for message, label, predicted, probability, label_probability, left in zip(*batch.to_pydict().values(), strict=True):
            known = "" if label_probability is None else f"{label_probability:.6f}"
            right = str(predicted == label).lower()
            writer.writerow([message, label or "", predicted, right, f"{probability:.6f}", known, str(left).lower()])
    save_file(path, text.getvalue())


def write_confusion(path: Path, table: PredictionTable) -> None:
    """The counts as CSV: a row for each true intent, a column for each predicted one. Raises StudioError like the above."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true intent", *table.labels])
    for label, row in zip(table.labels, table.confusion().tolist(), strict=True):
        writer.writerow([label, *row])
    save_file(path, text.getvalue())


def read_predictions(path: Path) -> PredictionTable:
    """Raises StudioError when the file is missing or damaged."""
    try:
        return _read(path)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


@dataclass(frozen=True)
class Answers:
    """What was predicted of each message of a split, column by column: all that a comparison of runs needs."""

    texts: list[str]
    labels: list[str]
    predicted: list[str]
    probabilities: list[float]


def read_answers(path: Path) -> Answers:
    """Raises StudioError when the file is missing or damaged."""
    try:
        table = pq.read_table(path, columns=["text", "label", "predicted", "probability"])
        _refuse_gaps(table, ("text", "predicted", "probability"))
        columns = table.to_pydict()
        labels = [label or "" for label in columns["label"]]
        return Answers(columns["text"], labels, columns["predicted"], columns["probability"])
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> StudioError:
    return StudioError(f"The predictions {path.name} cannot be read: {error}.", "Evaluate the run again.", kind="damaged_run")


def _read(path: Path) -> PredictionTable:
    table = pq.read_table(path)
    metadata = table.schema.metadata or {}
    labels = json.loads(metadata.get(_LABELS_KEY, b"[]"))
    columns = table.select(_SCHEMA.names).cast(_SCHEMA).combine_chunks()
    _refuse_gaps(columns, _ALWAYS_THERE)
    return PredictionTable(labels, columns)


def _refuse_gaps(table: pa.Table, names: Sequence[str]) -> None:
    for name in names:
        if table.column(name).null_count:
            raise ValueError(f"the column {name} has gaps")


def _prediction(row: Mapping[str, Any]) -> Prediction:
    top = zip(row["top_labels"], row["top_probabilities"], strict=True)
    return Prediction(
        text=row["text"],
        label=row["label"],
        predicted=row["predicted"],
        probability=row["probability"],
        label_probability=row["label_probability"],
        top=[LabelProbability(label=name, probability=probability) for name, probability in top],
        left_set=row["left_set"],
        outside_mass=row["outside_mass"],
    )
