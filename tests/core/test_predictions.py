"""Stored predictions come back exactly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studio.core.answers import LabelProbability, Prediction
from studio.core.errors import StudioError
from studio.core.predictions import read_answers, read_predictions, write_predictions


def prediction(predicted: str, label: str | None, **changes: object) -> Prediction:
    top = [LabelProbability(label=predicted, probability=1 / 3), LabelProbability(label="None", probability=1e-300)]
    fields = {"text": "a\n😀\0", "probability": 1 / 3, "left_set": True, "outside_mass": 0.1, "label_probability": None}
    return Prediction.model_validate({**fields, "predicted": predicted, "label": label, "top": top, **changes})


def test_predictions_come_back(tmp_path: Path) -> None:
    rows = [prediction("NA", "None"), prediction("None", None, top=[]), prediction("None", "None", label_probability=0.5)]
    path = tmp_path / "predictions.parquet"
    write_predictions(path, ["None", "NA", "é"], rows)
    table = read_predictions(path)
    assert list(table.predictions) == rows
    assert [table.predictions[0], table.predictions[-1]] == [rows[0], rows[-1]]
    assert table.predictions[1:] == rows[1:]
    assert list(table.taken(np.array([2, 0])).predictions) == [rows[2], rows[0]]
    with pytest.raises(IndexError):
        table.predictions[3]
    assert table.labels == ["None", "NA", "é"]
    assert list(tmp_path.iterdir()) == [path]


def test_confusion_is_in_the_labels_order(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    write_predictions(path, ["b", "a"], [prediction("a", "b"), prediction("a", "a"), prediction("b", "b")])
    table = read_predictions(path)
    assert table.true_indices().tolist() == [0, 1, 0]
    assert table.confusion().tolist() == [[1, 1], [0, 1]]


def test_rows_without_a_true_label_have_no_confusion(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    write_predictions(path, ["a", "b"], [prediction("a", None)])
    with pytest.raises(KeyError):
        read_predictions(path).confusion()


@pytest.mark.parametrize("content", [None, b"", b"PAR1 nonsense PAR1"])
def test_damaged_predictions_are_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "predictions.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StudioError, match=r"predictions\.parquet cannot be read"):
        read_predictions(path)
    with pytest.raises(StudioError, match=r"predictions\.parquet cannot be read"):
        read_answers(path)


@pytest.mark.parametrize("name", ["text", "predicted", "probability"])
def test_predictions_with_gaps_are_damaged(tmp_path: Path, name: str) -> None:
    path = tmp_path / "predictions.parquet"
    write_predictions(path, ["a", "b"], [prediction("a", "a")])
    table = pq.read_table(path)
    number = table.column_names.index(name)
    pq.write_table(table.set_column(number, table.schema.field(number), pa.nulls(1, table.schema.field(number).type)), path)
    for read in (read_predictions, read_answers):
        with pytest.raises(StudioError, match="has gaps"):
            read(path)


def test_reading_searching_and_sorting_load_no_pandas(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    write_predictions(path, ["b", "a"], [prediction("a", "b"), prediction("b", "b")])
    code = """
import sys
import subprocess
import sys
from pathlib import Path
from studio.core.predictions import read_predictions
from studio.ui.models.messages_model import EVERYTHING, MessageFilter, MessagesModel
table = read_predictions(Path(sys.argv[1]))
messages = MessagesModel()
shown = MessageFilter(messages)
messages.show_table(table)
shown.show_only(EVERYTHING, True, "😀 a")
for column in range(shown.columnCount()):
    shown.sort(column)
print(len(shown.shown()[1]), table.confusion().sum(), "pandas" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["1", "2", "False"]
