"""Files in, examples out: nothing is lost, nothing is turned into something else, and every refusal says where and why."""

from __future__ import annotations

import csv
import gzip
import json
import os
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.core.errors import StudioError
from studio.data.examples import Problem
from studio.data.sources import Example, guess_columns, read_examples, read_messages, read_table

# Every character that a text file can hold: no zero, no half of a surrogate pair.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).filter(str.strip)
ROWS = st.lists(st.tuples(ANY_TEXT, ANY_TEXT), min_size=1, max_size=8)
SAME_FILE_AGAIN = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def write(folder: Path, content: str | bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def sentences(problems: list[Problem]) -> list[str]:
    return [problem.sentence for problem in problems]


def refusal(path: Path, **columns: str) -> str:
    with pytest.raises(StudioError) as caught:
        read_examples(path, **columns)
    assert caught.value.remedy
    return caught.value.message


@pytest.mark.parametrize(
    ("suffix", "delimiter"), [("csv", ","), ("csv", ";"), ("csv", "\t"), ("csv", "|"), ("tsv", "\t"), ("tsv", ",")]
)
@SAME_FILE_AGAIN
@given(rows=ROWS)
def test_delimited_rows_come_back_exactly(tmp_path: Path, suffix: str, delimiter: str, rows: list[tuple[str, str]]) -> None:
    path = tmp_path / f"data.{suffix}"
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writerows([("text", "label"), *rows])
    examples, _, problems = read_examples(path)
    assert examples == [Example(*row) for row in rows]
    assert problems == []


@SAME_FILE_AGAIN
@given(rows=ROWS, ascii_only=st.booleans())
def test_jsonl_rows_come_back_exactly(tmp_path: Path, rows: list[tuple[str, str]], ascii_only: bool) -> None:
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=ascii_only) for text, label in rows]
    examples, _, problems = read_examples(write(tmp_path, "\n".join(lines), "data.jsonl"))
    assert examples == [Example(*row) for row in rows]
    assert problems == []


def test_words_that_look_like_values_stay_labels(tmp_path: Path) -> None:
    labels = ["None", "NA", "null", "NaN", "", "001", "1.0", "1", "true", "2024-01-01", "0x10", "1e5", " spaced "]
    path = write(tmp_path, "text,label\n" + "".join(f"message {n},{label}\n" for n, label in enumerate(labels)))
    examples, _, problems = read_examples(path)
    assert [example.label for example in examples] == [label for label in labels if label]
    assert sentences(problems) == ["Left out: 1 row of data.csv without an intent."]


def test_jsonl_values_become_their_literal_text(tmp_path: Path) -> None:
    values = ["1", "1.0", "1e5", "-0", "true", "false", '"true"', "null", '{"a": [1, 2.50]}', "12345678901234567890123"]
    path = write(tmp_path, "".join(f'{{"text": "m{n}", "label": {value}}}\n' for n, value in enumerate(values)), "data.jsonl")
    examples, _, problems = read_examples(path)
    expected = ["1", "1.0", "1e5", "-0", "true", "false", "true", '{"a": [1, 2.5]}', "12345678901234567890123"]
    assert [example.label for example in examples] == expected
    assert sentences(problems) == ["Left out: 1 row of data.jsonl without an intent."]


def test_jsonl_missing_key_is_a_null(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, '{"text": "a", "label": "x"}\r\n\n{"label": "y", "more": 1}\n', "data.jsonl"))
    assert table.to_pydict() == {"text": ["a", None], "label": ["x", "y"], "more": [None, "1"]}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"text": "a", "label": ', "line 2: this is not a JSON object"),
        ('["a", "b"]', "line 2: this is not a JSON object (it is another JSON value)"),
        ('{"text": "\\ud83d", "label": "x"}', "line 2: a \\u escape stands for half a character"),
    ],
)
def test_bad_jsonl_line_is_named(tmp_path: Path, line: str, words: str) -> None:
    assert words in refusal(write(tmp_path, f'{{"text": "a", "label": "b"}}\n{line}\n', "data.jsonl"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_encodings(tmp_path: Path, encoding: str) -> None:
    marks = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
    path = write(tmp_path, marks.get(encoding, b"") + "text,label\r\nÜber 😀,café\r\n".encode(encoding))
    examples, guess, problems = read_examples(path)
    assert examples == [Example("Über 😀", "café")]
    assert guess.columns == ["text", "label"]
    assert problems == []


@pytest.mark.parametrize(
    ("raw", "text", "named"), [(b"\x80 caf\xe9", "€ café", "Windows-1252"), (b"\x81 caf\xe9", "\x81 café", "Latin-1")]
)
def test_western_encodings_are_read_and_told(tmp_path: Path, raw: bytes, text: str, named: str) -> None:
    examples, _, problems = read_examples(write(tmp_path, b"text,label\n" + raw + b",x\n"))
    assert examples == [Example(text, "x")]
    assert len(problems) == 1
    assert named in problems[0].sentence
    assert "not UTF-8" in problems[0].sentence


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \r\n\n", "is empty"),
        (b"text,label\n", "no rows below its column names"),
        (b"text,label\n,\n", "no row with both a message"),
        (b"text,label\nhello\0,x\n", "not a text file"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not a text file"),
        (bytes(range(1, 32)) * 4 + b"\xff\xfd\xfc", "not a text file"),
        ("text,label\nhi,x\n".encode("utf-16-le"), "not a text file"),
        (b"\xff\xfet", "says that it is UTF-16 but is not"),
        (b"text\nhello\n", "one column"),
        (b"text,label\na,x\nb\n", "line 3: this row has 1 field but the first line names 2 columns"),
        (b'text,label\n"two\nlines",x\na,b,c\n', "line 4: this row has 3 fields"),
        (b'text,label\n"a",x\n"never closed,y\nb,z\n', "line 3: a quotation mark opens here and is never closed"),
        (b'text,label\n"a, b,x\nc,"d" e, f",y\n', "line 2: a quotation mark ends in mid-field"),
    ],
)
def test_unusable_content_is_refused_with_its_reason(tmp_path: Path, content: bytes, words: str) -> None:
    message = refusal(write(tmp_path, content))
    assert message.startswith("data.csv")
    assert words in message


def test_unusable_files_are_refused_with_their_reason(tmp_path: Path) -> None:
    assert f"There is no file {tmp_path / 'none.csv'}" in refusal(tmp_path / "none.csv")
    assert "is a folder" in refusal(tmp_path)
    for name in ("data.parquet.gz", "data.gz", "data.xlsx", "data"):
        path = write(tmp_path, gzip.compress(b"text,label\na,b\n"), name)
        with pytest.raises(StudioError, match="not read") as caught:
            read_examples(path)
        assert ".csv" in caught.value.remedy
        assert ".tsv" in caught.value.remedy
        assert ".jsonl" in caught.value.remedy
    assert "NUL character" in refusal(Path("zero\0byte.csv"))


@pytest.mark.skipif(
    sys.platform == "win32" or (hasattr(os, "geteuid") and os.geteuid() == 0), reason="permissions do not bind here"
)
def test_forbidden_file(tmp_path: Path) -> None:
    path = write(tmp_path, "text,label\na,b\n")
    path.chmod(0)
    assert "cannot be read: Permission denied" in refusal(path)


def test_quotation_marks_that_enclose_nothing_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path, 'text\tlabel\n"Hello" he said\tgreeting\n5" disk\tstorage\n', "data.tsv")
    examples, _, problems = read_examples(path)
    assert examples == [Example('"Hello" he said', "greeting"), Example('5" disk', "storage")]
    assert "quotation marks" in problems[0].sentence


@pytest.mark.parametrize("mark", ["", '"'])
def test_a_very_long_message_is_read(tmp_path: Path, mark: str) -> None:
    message = "word " * 40_000 + "end"
    examples, _, _ = read_examples(write(tmp_path, f"text,intent\n{mark}{message}{mark},a\nshort,b\n"))
    assert examples[0] == Example(message, "a")


def test_delimiter_is_found_despite_others_in_the_text(tmp_path: Path) -> None:
    path = write(tmp_path, "text;label\nOne, two, three;a\nOne, two, three;b\nNo comma;a\n")
    assert [example.label for example in read_examples(path)[0]] == ["a", "b", "a"]


def test_old_line_ends_and_blank_lines(tmp_path: Path) -> None:
    for end in ("\r", "\r\n", "\n"):
        path = write(tmp_path, f"text,label{end}{end}a,x{end}  {end}b,y")
        assert read_examples(path)[0] == [Example("a", "x"), Example("b", "y")]


def test_rows_left_out_are_counted(tmp_path: Path) -> None:
    examples, _, problems = read_examples(write(tmp_path, "text,label\n a ,x\n  ,x\n,y\nb,\t\nc,\u00a0\n,\n"))
    assert examples == [Example(" a ", "x")]
    assert sentences(problems) == [
        "Left out: 3 rows of data.csv without a message.",
        "Left out: 2 rows of data.csv without an intent.",
    ]


def test_nameless_and_repeated_columns_get_names(tmp_path: Path) -> None:
    path = write(tmp_path, ",text,label,text,text (2)\n0,a,x,b,c\n1,d,y,e,f\n")
    table = read_table(path)
    assert table.column_names == ["column 1", "text", "label", "text (2)", "text (2) (2)"]
    examples, _, problems = read_examples(path)
    assert examples == [Example("a", "x"), Example("d", "y")]
    assert len(problems) == 3


@pytest.mark.parametrize(
    ("header", "text", "label"),
    [
        ("text,category", "text", "category"),
        ("Label,Utterance", "Utterance", "Label"),
        ("id,Message Text,Intent-Name,intent_id", "Message Text", "Intent-Name"),
        ("query,text,target,intent", "text", "intent"),
        ("label,intent_text", "intent_text", "label"),
    ],
)
def test_columns_are_guessed_by_name(tmp_path: Path, header: str, text: str, label: str) -> None:
    width = header.count(",") + 1
    path = write(
        tmp_path, f"{header}\n" + "".join(",".join(f"v{row}{column}" for column in range(width)) + "\n" for row in range(4))
    )
    guess = guess_columns(read_table(path))
    assert (guess.text_column, guess.label_column) == (text, label)


def test_columns_are_guessed_by_their_values(tmp_path: Path) -> None:
    rows = "".join(f"{n},{'ab'[n % 2]},a longer message with number {n},same\n" for n in range(10))
    guess = guess_columns(read_table(write(tmp_path, "number,kind,what was said,source\n" + rows)))
    assert (guess.text_column, guess.label_column) == ("what was said", "kind")


def test_a_guess_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    unique = write(tmp_path, "one,two,three\n" + "".join(f"a{n},b{n},c{n}\n" for n in range(6)))
    assert "cannot be told which column" in refusal(unique)
    assert len(read_examples(unique, "one", "three")[0]) == 6
    headerless = write(tmp_path, "".join(f"some message number {n},{'ab'[n % 2]}\n" for n in range(10)))
    assert "no line of column names: its first line says 'a'" in refusal(headerless)


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path, "text,label,topic\na,x,p\nb,y,q\n")
    examples, guess, _ = read_examples(path, label_column="topic")
    assert examples == [Example("a", "p"), Example("b", "q")]
    assert guess.label_column == "topic"
    assert "no column 'Topics'; the nearest is 'topic'" in refusal(path, label_column="Topics")
    assert "both the message and the intent" in refusal(path, text_column="label", label_column="label")


def test_texts_of_an_unlabelled_file_keep_their_rows(tmp_path: Path) -> None:
    path = write(tmp_path, 'id,message\n1,first\n2,\n3,"third, with\nlines"\n')
    table, column = read_messages(path)
    assert (table.column_names, column) == (["id", "message"], "message")
    assert table.column(column).to_pylist() == ["first", "", "third, with\nlines"]
    assert read_messages(path, "id")[1] == "id"
    assert read_messages(write(tmp_path, 'text\nHello, you\n"Bye"\n'))[1] == "text"
    with pytest.raises(StudioError, match="no column 'none'"):
        read_messages(path, "none")
    with pytest.raises(StudioError, match="cannot be told whether the first line"):
        read_messages(write(tmp_path, "Where is my card?\nHelp!\n"))


def test_banking77_is_read_whole(banking77: Path) -> None:
    for name, rows in (("train.csv", 10_003), ("test.csv", 3_080)):
        examples, guess, problems = read_examples(banking77 / name)
        assert len(examples) == rows
        assert len({example.label for example in examples}) == 77
        assert (guess.text_column, guess.label_column) == ("text", "category")
        assert problems == []
        assert any("\n" in example.text for example in examples)
    assert set(Counter(example.label for example in examples).values()) == {40}


ROW = {"text": "where is it?", "label": "001", "n": 1.0, "extra": None, "tags": ["a", 2]}
CELLS = {"text": ["where is it?"], "label": ["001"], "n": ["1.0"], "extra": [None], "tags": ['["a", 2]']}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.json", json.dumps([ROW])),
        ("d.json", json.dumps({"version": 2, "rows": [ROW]}, indent=2)),
        ("d.jsonl", json.dumps(ROW)),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_json_in_its_shapes_packed_or_not(tmp_path: Path, name: str, content: str, packed: bool) -> None:
    raw = content.encode()
    path = write(tmp_path, gzip.compress(raw) if packed else raw, name + (".gz" if packed else ""))
    assert read_table(path).to_pydict() == CELLS


def test_packed_text_with_delimiters(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress("text;label\nä;NA\n".encode("cp1252")), "d.csv.gz")
    assert read_table(path).to_pydict() == {"text": ["ä"], "label": ["NA"]}


@pytest.mark.parametrize("content", ["[1, 2]", '{"a": 1}', '{"a": [{}], "b": [{}]}', "[", '[{"a": "\\ud800"}]'])
def test_other_json_is_told(tmp_path: Path, content: str) -> None:
    assert refusal(write(tmp_path, content.encode(), "d.json"))


@pytest.mark.parametrize("cut", [1, 12, 30])
def test_a_packed_file_that_was_cut_off_is_told(tmp_path: Path, cut: int) -> None:
    raw = gzip.compress(b"text,label\n" + b"abc,def\n" * 50)
    assert "is damaged" in refusal(write(tmp_path, raw[:-cut], "d.csv.gz"))


def test_a_file_that_unpacks_into_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.data.tables._LARGEST_FILE", 1000)
    path = write(tmp_path, gzip.compress(b"text,label\n" + b"abc,def\n" * 500), "d.csv.gz")
    assert "when it is unpacked" in refusal(path)


def test_parquet_with_the_names_of_its_labels(tmp_path: Path) -> None:
    features = {"label": {"names": ["card", "None"], "_type": "ClassLabel"}, "text": {"dtype": "string", "_type": "Value"}}
    table = pa.table({"text": ["a", "b", None], "label": [1, 0, -1], "number": [1, 2, 3], "flag": [True, False, None]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "d.parquet")
    assert read_table(tmp_path / "d.parquet").to_pydict() == {
        "text": ["a", "b", None],
        "label": ["None", "card", None],
        "number": ["1", "2", "3"],
        "flag": ["true", "false", None],
    }
    pq.write_table(table, tmp_path / "plain.parquet")
    assert read_table(tmp_path / "plain.parquet")["label"].to_pylist() == ["1", "0", "-1"]


def test_what_is_no_parquet_is_told(tmp_path: Path) -> None:
    assert "is no Parquet file, or a damaged one" in refusal(write(tmp_path, b"PAR1 and then nothing", "d.parquet"))


def test_what_is_not_there_is_told_before_what_it_is_called(tmp_path: Path) -> None:
    assert "There is no file" in refusal(tmp_path / "nothing")


def test_parquet_with_two_columns_of_one_name_is_told(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "d.parquet")
    assert "is no Parquet file, or a damaged one" in refusal(tmp_path / "d.parquet")
