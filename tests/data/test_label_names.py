"""Intents that are numbered in one column and named in another."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.config import DatasetConfig
from studio.core.errors import StudioError
from studio.data.sources import guess_columns, read_examples, read_table
from studio.data.splits import load_splits

NAMES = ("card_arrival", "None", "001")


def write(path: Path, header: str, line: str, rows: int = 30) -> Path:
    lines = [line.format(n=n, label=n % 3, name=NAMES[n % 3]) for n in range(rows)]
    path.write_text("\n".join([header, *lines]), "utf-8")
    return path


def test_names_beside_numbers_are_guessed(tmp_path: Path) -> None:
    path = write(tmp_path / "data.csv", "text,label,label_text", "message {n},{label},{name}")
    examples, guess, problems = read_examples(path)
    assert (guess.text_column, guess.label_column, guess.label_name_column) == ("text", "label", "label_text")
    assert [row.label for row in examples[:4]] == [*NAMES, NAMES[0]]
    assert problems == []
    # Who names the column of the numbers means the numbers.
    assert {row.label for row in read_examples(path, label_column="label")[0]} == {"0", "1", "2"}


def test_the_names_are_no_message(tmp_path: Path) -> None:
    path = write(tmp_path / "data.csv", "label_text,said,label", "{name},a longer message {n},{label}")
    guess = guess_columns(read_table(path))
    assert (guess.text_column, guess.label_column, guess.label_name_column) == ("said", "label", "label_text")
    two = write(tmp_path / "two.csv", "text,label_text", "message {n},{name}")
    guess = guess_columns(read_table(two))
    assert (guess.text_column, guess.label_column, guess.label_name_column) == ("text", "label_text", None)


def test_intents_that_are_words_need_no_names(tmp_path: Path) -> None:
    path = write(tmp_path / "data.csv", "text,label,label_title", "message {n},{name},Title of {name}")
    assert read_examples(path)[1].label_name_column is None


def test_a_named_column_is_taken_for_every_file(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", "text,label,what it is", "message {n},{label},{name}", 60)
    named = write(tmp_path / "named.csv", "text,label,what it is", "another {n},{label},{name}", 3)
    bare = write(tmp_path / "bare.csv", "text,label", "one more {n},{label}", 3)
    config = DatasetConfig(
        source=str(train), test=str(bare), validation=str(named), label_column="label", label_name_column="what it is"
    )
    splits = load_splits(config)
    assert splits.labels == sorted(NAMES)
    assert [row.label for row in splits.test] == [row.label for row in splits.validation] == list(NAMES)


def test_numbers_without_a_name_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("text,label,label_name\na,0,zero\nb,1,\nc,1,one\nd,2,\n", "utf-8")
    examples, _, problems = read_examples(path)
    assert [(row.text, row.label) for row in examples] == [("a", "zero"), ("b", "one"), ("c", "one")]
    assert [problem.sentence for problem in problems] == ["Left out: 1 row of data.csv without an intent."]
    assert [(row.row, row.text) for row in problems[0].rows] == [(4, "d")]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("a,0,zero\nb,0,null", "the intent '0' has two names in the column 'name': 'zero' and 'null'"),
        ("a,0,zero\nb,1,zero", "two intents have the name 'zero' in the column 'name': '0' and '1'"),
    ],
)
def test_names_that_contradict_are_refused(tmp_path: Path, rows: str, words: str) -> None:
    path = tmp_path / "data.csv"
    path.write_text(f"text,label,name\n{rows}\n", "utf-8")
    with pytest.raises(StudioError, match=words):
        read_examples(path, "text", "label", "name")


def test_an_unknown_column_of_names_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "data.csv", "text,label,names", "message {n},{label},{name}")
    with pytest.raises(StudioError, match="no column 'name'; the nearest is 'names'"):
        read_examples(path, label_name_column="name")


def test_a_column_of_names_alone_is_the_intent(tmp_path: Path) -> None:
    path = write(tmp_path / "data.csv", "text,what", "message {n},{name}")
    examples, guess, _ = read_examples(path, label_name_column="what")
    assert (guess.label_column, guess.label_name_column) == ("what", None)
    assert [row.label for row in examples[:3]] == list(NAMES)
