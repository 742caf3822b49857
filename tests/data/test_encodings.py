"""How bytes become text and lines become columns: guessed or named, and refused in words with the line."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.core.config import DatasetConfig
from studio.core.errors import StudioError
from studio.core.run_file import validate_run_config
from studio.data.encodings import decode
from studio.data.splits import load_splits
from studio.data.tables import load_table

GERMAN = "text,label\nKäse läuft über,größe\nnur so,andere\n"


def write(folder: Path, content: bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def refusal(path: Path, encoding: str | None = None, delimiter: str | None = None) -> StudioError:
    with pytest.raises(StudioError) as caught:
        load_table(path, encoding, delimiter)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    ("encoding", "guessed"), [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16"), ("cp1252", "cp1252")]
)
def test_the_guess_is_told(tmp_path: Path, encoding: str, guessed: str) -> None:
    source = load_table(write(tmp_path, GERMAN.encode(encoding)))
    assert (source.encoding, source.delimiter) == (guessed, ",")
    assert source.table.to_pylist()[0] == {"text": "Käse läuft über", "label": "größe"}


@pytest.mark.parametrize("encoding", ["cp1250", "mac-roman", "utf-16-le", "utf-7", "latin-1", "utf-8"])
def test_a_named_encoding_is_taken(tmp_path: Path, encoding: str) -> None:
    source = load_table(write(tmp_path, GERMAN.encode(encoding)), encoding)
    assert source.encoding == encoding
    assert source.problems == []
    assert source.table.column("label").to_pylist() == ["größe", "andere"]


def test_a_mark_at_the_start_is_no_letter_of_the_first_column(tmp_path: Path) -> None:
    source = load_table(write(tmp_path, GERMAN.encode("utf-8-sig")), "utf-8")
    assert source.table.column_names == ["text", "label"]


def test_the_wrong_encoding_names_the_line(tmp_path: Path) -> None:
    problem = refusal(write(tmp_path, b"text,label\nfine,a\n\xe4h,b\n"), "utf-8")
    assert problem.message == "data.csv, line 3: this is not utf-8."
    assert "Choose another encoding" in problem.remedy
    assert "line 2: this is not ascii" in refusal(write(tmp_path, GERMAN.encode()), "ascii").message


def test_a_file_put_together_from_two_is_read_line_by_line(tmp_path: Path) -> None:
    lines = [b"text,label", "Käse,a".encode(), "Käse läuft,a".encode("cp1252"), "über,b".encode(), b"plain,b"]
    source = load_table(write(tmp_path, b"\n".join(lines)))
    assert source.table.column("text").to_pylist() == ["Käse", "Käse läuft", "über", "plain"]
    (problem,) = source.problems
    assert problem.startswith("data.csv mixes two encodings: 1 line (3) not UTF-8 like the rest, read as Windows-1252.")


def test_letters_that_happen_to_be_utf8_do_not_make_a_mixture(tmp_path: Path) -> None:
    lines = ["text,label", *(f"Käse {n},a" for n in range(20)), "Ã¤,b"]
    source = load_table(write(tmp_path, "\n".join(lines).encode("cp1252")))
    assert source.encoding == "cp1252"
    assert source.table.column("text")[20].as_py() == "Ã¤"


@settings(deadline=None, max_examples=150)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")))
def test_utf8_is_never_taken_for_anything_else(text: str) -> None:
    assert decode("data.csv", text.encode()) == (text, "utf-8", [])


@settings(deadline=None, max_examples=150)
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_words(raw: bytes) -> None:
    told = ""
    try:
        assert "\0" not in decode("data.csv", raw).text
    except StudioError as error:
        told = error.message
    assert not told or told.startswith("data.csv")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^", " ", "§"])
def test_a_named_delimiter_is_taken(tmp_path: Path, delimiter: str) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([("text", "label"), ("one, two; three | four", "a b"), ("x", "y")])
    source = load_table(write(tmp_path, out.getvalue().encode()), delimiter=delimiter)
    assert source.delimiter == delimiter
    assert source.table.to_pylist() == [{"text": "one, two; three | four", "label": "a b"}, {"text": "x", "label": "y"}]


def test_the_wrong_delimiter_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, b"text,label\na;b,x\nc,y\n")
    told = refusal(path, delimiter=";")
    assert "line 2: this row has 2 fields but the first line names 1 column" in told.message
    assert told.remedy == "Choose another delimiter, or have it guessed."
    short = write(tmp_path, b"text,label\na;b,x\nc\nd,y\n", "short.csv")
    assert refusal(short, delimiter=",").remedy.startswith("Add or remove fields.")
    with pytest.raises(StudioError) as caught:
        load_splits(DatasetConfig(source=str(path), delimiter="|"))
    assert "choose another delimiter" in caught.value.remedy


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"encoding": "utf8x"}, "is no encoding of text"),
        ({"encoding": "base64"}, "is no encoding of text"),
        ({"encoding": ""}, "is no encoding of text"),
        ({"delimiter": ",,"}, "must be one character"),
        ({"delimiter": ""}, "must be one character"),
        ({"delimiter": '"'}, "must be one character"),
        ({"delimiter": "\n"}, "must be one character"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting: dict[str, str], words: str) -> None:
    with pytest.raises(StudioError, match=words):
        validate_run_config({"dataset": setting})


def test_settings_that_can_be_are_kept() -> None:
    for dataset in ({"encoding": "utf-16", "delimiter": "\t"}, {"encoding": "shift_jis", "label_name_column": "label_text"}):
        assert validate_run_config({"dataset": dataset}).dataset.model_dump(include=set(dataset)) == dataset


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("data.csv", bytes(range(256)) * 20, "data.csv is not a text file"),
        ("data.csv", b"text,label\nfine,a\nhel\0lo,b\n", "data.csv is not a text file: line 3 holds a NUL byte"),
        ("data.csv", b"", "data.csv is empty"),
        ("data.csv", b"only\nwords\nhere\n", ""),
        ("data.csv.gz", b"\x1f\x8bno gzip at all", "data.csv.gz is not compressed with gzip, or damaged"),
        ("data.csv.gz", b"text,label\na,b\n", "data.csv.gz is not compressed with gzip, or damaged"),
        ("data.csv.gz", gzip.compress(b"text,label\n" + bytes(range(200)) * 99)[:-40], "data.csv.gz is damaged"),
        ("data.parquet", b"PAR1" + bytes(100) + b"PAR1", "data.parquet is no Parquet file, or a damaged one"),
        (
            "data.json",
            b'[{"text": "a",\n "label": "b"},\n {"text": }]',
            "data.json is not a JSON list of objects (Expecting value: line 3",
        ),
        ("data.jsonl", b'{"text": "a", "label": "b"}\n{"text": "a", "lab', "data.jsonl, line 2: this is not a JSON object"),
    ],
)
def test_broken_files_are_told(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = write(tmp_path, content, name)
    if words:
        assert refusal(path).message.startswith(words)
    else:
        assert load_table(path).table.num_columns == 1


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    problem = refusal(write(tmp_path, b"text,label\na,b\n"))
    assert problem.message.endswith("data.csv cannot be read: Permission denied.")
    assert problem.remedy == "Check its permissions."
