"""A file → a table in which everything is text. Nothing is guessed but the encoding and the delimiter.

Labels such as ``None``, ``NA``, ``001`` or ``true`` are labels, so no value is turned into a number, a truth value or a
null. The one null there is comes from JSONL: ``null``, or a key that a line leaves out.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pyarrow as pa

from studio.core.errors import StudioError
from studio.core.paths import as_typed
from studio.core.words import counted

_LARGEST_FILE = 2**30
# Otherwise a message of more than 131,072 characters is refused.
csv.field_size_limit(_LARGEST_FILE)
_READ_TODAY = "CSV (.csv), TSV (.tsv) and JSON Lines (.jsonl) files are read"
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DELIMITERS = {".csv": ",;\t|", ".tsv": "\t,;|"}
_QUOTE_ADVICE = "Put quotation marks around the whole field and write a quotation mark inside it twice."


@dataclass(frozen=True)
class SourceTable:
    """A file as it was read: every column of type string, and ``problems`` in sentences."""

    name: str
    table: pa.Table
    problems: list[str] = field(default_factory=list)


def load_table(path: str | Path) -> SourceTable:
    """Read a CSV, TSV or JSONL file. Raises StudioError naming the file, and the line where there is one."""
    path = as_typed(path)
    text, problems = _decode(path.name, _read_bytes(path))
    if not text.strip():
        raise StudioError(f"{path.name} is empty.", "Choose a file with a line of column names and a row for each message.")
    if path.suffix.lower() == ".jsonl":
        header, columns = _parse_jsonl(path.name, text)
    else:
        rows, quoted = _parse_delimited(path.name, text, _DELIMITERS[path.suffix.lower()])
        if not quoted:
            problems.append(f"{path.name} does not use quotation marks around fields: they were kept as part of the text.")
        header = _column_names(path.name, rows[0], problems)
        columns = [list(column) for column in zip(*rows[1:], strict=True)] or [[] for _ in header]
    if not columns or not columns[0]:
        raise StudioError(f"{path.name} has no rows below its column names.", "Add a row for each message.")
    arrays = [pa.array(column, pa.string()) for column in columns]
    return SourceTable(path.name, pa.Table.from_arrays(arrays, names=header), problems)


def read_table(path: str | Path) -> pa.Table:
    """The table of ``load_table``: all columns of type string, rows in the file's order."""
    return load_table(path).table


def _read_bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise StudioError(f"{path} is a folder.", "Choose a file in it.")
        if path.suffix.lower() not in (*_DELIMITERS, ".jsonl"):
            kind = f"{path.suffix} files are" if path.suffix else "files without an ending are"
            raise StudioError(
                f"{path.name} cannot be used: {kind} not read yet.", f"{_READ_TODAY}: save or convert the data as one of them."
            )
        if path.stat().st_size > _LARGEST_FILE:
            raise StudioError(f"{path.name} is larger than 1 GiB.", "Choose a part of it.")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise StudioError(f"There is no file {path}.", "Check its name, or choose it again.") from error
    except (OSError, ValueError) as error:
        # A ValueError is a name that no file can have, such as one with a zero byte.
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise StudioError(f"{path} cannot be read: {reason}.", "Check its permissions.") from error


def _decode(name: str, raw: bytes) -> tuple[str, list[str]]:
    problems: list[str] = []
    for mark, encoding in _BOMS:
        if raw.startswith(mark):
            try:
                text = raw.decode(encoding)
            except UnicodeDecodeError as error:
                raise StudioError(
                    f"{name} says that it is {encoding.removesuffix('-sig').upper()} but is not: byte {error.start} is wrong.",
                    "Save it again as UTF-8.",
                ) from error
            break
    else:
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            text, encoding = _decode_western(name, raw)
            problems.append(
                f"{name} is not UTF-8 (byte {error.start} is not) and was read as {encoding}. "
                "Look whether letters with accents are right; if not, save the file as UTF-8."
            )
    if "\0" in text:
        _refuse_binary(name)
    return text, problems


def _decode_western(name: str, raw: bytes) -> tuple[str, str]:
    control = sum(byte < 32 and byte not in b"\t\n\f\r" for byte in raw[:4096])
    if b"\0" in raw or control > len(raw[:4096]) / 100:
        _refuse_binary(name)
    try:
        return raw.decode("cp1252"), "Windows-1252 (Western European)"
    except UnicodeDecodeError:
        return raw.decode("latin-1"), "Latin-1 (Western European)"


def _refuse_binary(name: str) -> NoReturn:
    raise StudioError(f"{name} is not a text file: it holds bytes that no text has.", f"{_READ_TODAY}, as UTF-8 text.")


@dataclass(eq=False)
class _BadLineError(Exception):
    line: int
    width: int
    reason: str
    remedy: str


def _parse_delimited(name: str, text: str, delimiters: str) -> tuple[list[list[str]], bool]:
    """The first delimiter that cuts every row into the same number of fields, two at least, wins.

    Returns the rows, the header first, and whether quotation marks enclose fields. Files whose fields merely contain
    quotation marks are common as TSV, so they are read that way when nothing else fits and few fields are enclosed.
    """
    failures: list[_BadLineError] = []
    one_column: list[list[str]] | None = None
    for quoted in (True, False) if '"' in text else (True,):
        for delimiter in delimiters:
            try:
                rows = _records(text, delimiter, quoted)
            except _BadLineError as failure:
                if quoted:
                    failures.append(failure)
                continue
            if len(rows[0]) > 1 and (quoted or _marks_are_text(rows)):
                return rows, quoted
            if quoted and one_column is None:
                one_column = rows
    wide = [failure for failure in failures if failure.width > 1]
    if one_column and not wide:
        return one_column, True
    worst = max(wide or failures, key=lambda failure: failure.line)
    raise StudioError(f"{name}, line {worst.line}: {worst.reason}.", worst.remedy)


def _records(text: str, delimiter: str, quoted: bool) -> list[list[str]]:
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=True
    )
    rows: list[list[str]] = []
    line, width = 1, 0
    try:
        for record in reader:
            blank = not record or (width > 1 and len(record) == 1 and not record[0].strip())
            if not blank:
                width = width or len(record)
                if len(record) != width:
                    raise _BadLineError(
                        line,
                        width,
                        f"this row has {counted(len(record), 'field')} but the first line names {counted(width, 'column')}",
                        f"Add or remove fields. If the text holds the character {delimiter!r}: {_QUOTE_ADVICE}",
                    )
                rows.append(record)
            line = reader.line_num + 1
    except csv.Error as error:
        never_closed = "unexpected end" in str(error)
        reason = "a quotation mark opens here and is never closed" if never_closed else "a quotation mark ends in mid-field"
        raise _BadLineError(line, width, reason, _QUOTE_ADVICE) from error
    return rows


def _marks_are_text(rows: list[list[str]]) -> bool:
    """Whether quotation marks are part of the fields rather than around them."""
    marked = [field for row in rows for field in row if '"' in field]
    enclosed = sum(len(field) > 1 and field[0] == field[-1] == '"' for field in marked)
    return 2 * enclosed < len(marked)


def _column_names(name: str, header: list[str], problems: list[str]) -> list[str]:
    names: list[str] = []
    for position, given in enumerate(header, start=1):
        wanted = given.strip() or f"column {position}"
        unique, copy = wanted, 1
        while unique in names:
            copy += 1
            unique = f"{wanted} ({copy})"
        names.append(unique)
        if not given.strip():
            problems.append(f"Column {position} of {name} has no name and is called {unique!r} here.")
        elif copy > 1:
            problems.append(f"{name} has more than one column {wanted!r}; number {position} is called {unique!r} here.")
    return names


def _parse_jsonl(name: str, text: str) -> tuple[list[str], list[list[str | None]]]:
    rows: list[dict[str, str | None]] = []
    # Not splitlines(): JSON allows U+2028 and other line ends of Unicode inside a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(_parse_object(line))
        except UnicodeEncodeError as error:
            raise StudioError(
                f"{name}, line {number}: a \\u escape stands for half a character.", "Write the whole character."
            ) from error
        except (ValueError, RecursionError) as error:
            raise StudioError(
                f"{name}, line {number}: this is not a JSON object ({error}).",
                'Write one object on each line, such as {"text": "…", "label": "…"}.',
            ) from error
    header = list(dict.fromkeys(key for row in rows for key in row))
    return header, [[row.get(key) for row in rows] for key in header]


def _parse_object(line: str) -> dict[str, str | None]:
    # Numbers stay as they were written: 1.0 and 1 are two labels.
    row = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
    if not isinstance(row, dict):
        raise ValueError("it is another JSON value")
    nested = any(isinstance(value, dict | list) for value in row.values())
    plain = json.loads(line) if nested else row
    cells = {
        key: value if value is None or isinstance(value, str) else json.dumps(plain[key], ensure_ascii=False)
        for key, value in row.items()
    }
    if "\\u" in line:
        # An escape can write half a surrogate pair, which no UTF-8 text can hold.
        "".join(part for pair in cells.items() for part in pair if part).encode()
    return cells
