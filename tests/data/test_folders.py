"""A folder as a data set: which file is which split, and what is said where that cannot be told."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studio.core.config import DatasetConfig
from studio.core.errors import StudioError
from studio.data.folders import split_files
from studio.data.splits import load_splits


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("text,label\n" + "".join(f"{name} {n},{'ab'[n % 2]}\n" for n in range(30)), "utf-8")
    return folder


def found(folder: Path) -> dict[str, list[str]]:
    return {split: [path.name for path in files] for split, files in split_files(folder).items()}


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train.csv", "test.csv"], {"train": ["train.csv"], "test": ["test.csv"]}),
        (["Train.CSV.gz", "val.jsonl", "README.md"], {"train": ["Train.CSV.gz"], "validation": ["val.jsonl"]}),
        (["my_train-data.tsv", "bank77.dev.json"], {"train": ["my_train-data.tsv"], "validation": ["bank77.dev.json"]}),
        (["training.parquet", "valid.parquet", "config.json"], {"train": ["training.parquet"], "validation": ["valid.parquet"]}),
        (["all.csv", "notes.txt", "LICENSE"], {"train": ["all.csv"]}),
        (["latest.csv"], {"train": ["latest.csv"]}),
        (
            ["train-00001-of-00002.parquet", "train-00000-of-00002.parquet", "test-00000-of-00001.parquet"],
            {"train": ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"], "test": ["test-00000-of-00001.parquet"]},
        ),
    ],
)
def test_splits_are_told_by_name(tmp_path: Path, names: list[str], splits: dict[str, list[str]]) -> None:
    assert found(fill(tmp_path, *names)) == splits
    assert found(fill(tmp_path / "repository" / "data", *names).parent) == splits, "files in data/ are found too"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "holds no table of messages"),
        (["README.md", "notes.txt"], "holds no table of messages"),
        (["one.csv", "two.csv"], "holds no training file, only 'one.csv', 'two.csv'"),
        (["test.csv"], "holds no training file, only 'test.csv'"),
        (["train.csv", "train_small.csv"], "more than one train file: 'train.csv', 'train_small.csv'"),
        (["train.csv", "val.csv", "dev.csv"], "more than one validation file: 'dev.csv', 'val.csv'"),
        (["train-00000-of-00002.csv"], "has 1 of 2 parts of its train file"),
    ],
)
def test_a_folder_that_does_not_tell_is_refused(tmp_path: Path, names: list[str], words: str) -> None:
    with pytest.raises(StudioError) as caught:
        split_files(fill(tmp_path, *names))
    assert words in caught.value.message
    assert caught.value.remedy


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", forbidden)
    with pytest.raises(StudioError, match="cannot be read: Permission denied"):
        split_files(tmp_path)


def test_a_file_that_is_named_is_taken_before_the_folder_s(tmp_path: Path) -> None:
    folder = fill(tmp_path / "set", "train.csv", "test.csv", "test_hard.csv", "val.csv")
    other = fill(tmp_path / "other", "mine.csv") / "mine.csv"
    splits = load_splits(DatasetConfig(source=str(folder), test=str(other)))
    assert splits.test[0].text == "mine.csv 0"
    assert splits.validation[0].text == "val.csv 0"
    with pytest.raises(StudioError, match="more than one test file"):
        load_splits(DatasetConfig(source=str(folder)))
    with pytest.raises(StudioError, match="named for both train and test"):
        load_splits(DatasetConfig(source=str(folder), test=str(folder / "train.csv")))


def test_shards_are_read_one_after_the_other(tmp_path: Path) -> None:
    for number in range(2):
        rows = {"text": [f"part {number} message {n}" for n in range(20)], "label": [f"{n % 2}" for n in range(20)]}
        rows["text"][3] = ""
        pq.write_table(pa.table(rows), tmp_path / f"train-0000{number}-of-00002.parquet")
    splits = load_splits(DatasetConfig(source=str(tmp_path)))
    rows_read = [row for part in splits.parts().values() for row in part]
    assert len(rows_read) == 38
    assert {(row.file, row.text.split()[1]) for row in rows_read} == {
        ("train-00000-of-00002.parquet", "0"),
        ("train-00001-of-00002.parquet", "1"),
    }
    assert [problem.sentence for problem in splits.problems if problem.kind == "empty"] == [
        f"Left out: 1 row of train-0000{number}-of-00002.parquet without a message." for number in range(2)
    ]
