"""Predictions of a split as a Parquet file: written by the worker, read by the window and the command line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from studio.core.errors import StudioError
from studio.core.events import LabelProbability, Prediction
from studio.core.files import save_file
from studio.core.metrics import confusion_counts

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
_LABELS_KEY = b"labels"


@dataclass(frozen=True)
class PredictionTable:
    """The predictions of one split and the label set, in its order, that they were made over."""

    labels: list[str]
    predictions: list[Prediction]

    @cached_property
    def positions(self) -> dict[str, int]:
        """The index of each label."""
        return {name: position for position, name in enumerate(self.labels)}

    def true_indices(self) -> list[int]:
        """The label index of each row. Raises KeyError when a row has no label or one outside the set."""
        return [self.positions[row.label or ""] for row in self.predictions]

    def predicted_indices(self) -> list[int]:
        """The label index that each row was predicted as. Raises KeyError when one is outside the set."""
        return [self.positions[row.predicted] for row in self.predictions]

    def confusion(self) -> NDArray[np.int64]:
        """(labels, labels) counts: row = true intent, column = predicted intent."""
        return confusion_counts(self.true_indices(), self.predicted_indices(), len(self.labels))


def write_predictions(path: Path, labels: Sequence[str], predictions: Sequence[Prediction]) -> None:
    """Write all rows at once; the file appears complete or not at all."""
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
    schema = _SCHEMA.with_metadata({_LABELS_KEY: json.dumps(list(labels)).encode()})
    scratch = path.with_name(f".{path.name}.partial")
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), scratch)
    scratch.replace(path)


def write_messages(path: Path, predictions: Sequence[Prediction]) -> None:
    """The rows as CSV with a header. Raises StudioError when it cannot be written."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["text", "label", "predicted", "right", "probability", "label_probability", "left_set"])
    for row in predictions:
        known = "" if row.label_probability is None else f"{row.label_probability:.6f}"
        right = str(row.predicted == row.label).lower()
        writer.writerow(
            [row.text, row.label or "", row.predicted, right, f"{row.probability:.6f}", known, str(row.left_set).lower()]
        )
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
        raise StudioError(
            f"The predictions {path.name} cannot be read: {error}.", "Evaluate the run again.", kind="damaged_run"
        ) from error


def _read(path: Path) -> PredictionTable:
    table = pq.read_table(path)
    metadata = table.schema.metadata or {}
    labels = json.loads(metadata.get(_LABELS_KEY, b"[]"))
    rows = [
        Prediction(
            text=row["text"],
            label=row["label"],
            predicted=row["predicted"],
            probability=row["probability"],
            label_probability=row["label_probability"],
            top=[
                LabelProbability(label=name, probability=probability)
                for name, probability in zip(row["top_labels"], row["top_probabilities"], strict=True)
            ],
            left_set=row["left_set"],
            outside_mass=row["outside_mass"],
        )
        for row in table.to_pylist()
    ]
    return PredictionTable(labels, rows)
