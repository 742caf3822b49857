"""A file → a table in which everything is text. Nothing is guessed but the encoding and the delimiter.

Labels such as ``None``, ``NA``, ``001`` or ``true`` are labels, so no value is turned into a number, a truth value or a
null. The only nulls come from JSON and Parquet: ``null``, or a key that a row leaves out.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pyarrow as pa

from studio.core.errors import StudioError
from studio.core.paths import as_typed
from studio.data.delimited import column_names, parse_delimited
from studio.data.records import parse_json, parse_jsonl, parse_parquet

_LARGEST_FILE = 2**30
_READ_TODAY = "CSV (.csv), TSV (.tsv), JSON (.json, .jsonl) and Parquet (.parquet) files are read, the texts compressed (.gz) too"
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DELIMITERS = {".csv": ",;\t|", ".tsv": "\t,;|", ".txt": "\t,;|"}
_RECORDS = {".jsonl": parse_jsonl, ".json": parse_json}


@dataclass(frozen=True)
class SourceTable:
    """A file as it was read: every column of type string, and ``problems`` in sentences."""

    name: str
    table: pa.Table
    problems: list[str] = field(default_factory=list)


def load_table(path: str | Path) -> SourceTable:
    """Read a file of a known kind. Raises StudioError naming the file, and the line where there is one."""
    path = as_typed(path)
    kind, raw = _read_bytes(path)
    problems: list[str] = []
    if kind == ".parquet":
        header, columns = parse_parquet(path.name, raw)
    else:
        text, problems = _decode(path.name, raw)
        if not text.strip():
            raise StudioError(f"{path.name} is empty.", "Choose a file with a line of column names and a row for each message.")
        if kind in _RECORDS:
            header, columns = _RECORDS[kind](path.name, text)
        else:
            rows, quoted = parse_delimited(path.name, text, _DELIMITERS[kind])
            if not quoted:
                problems.append(f"{path.name} does not use quotation marks around fields: they were kept as part of the text.")
            header = column_names(path.name, rows[0], problems)
            columns = [list(column) for column in zip(*rows[1:], strict=True)] or [[] for _ in header]
    if not columns or not columns[0]:
        raise StudioError(f"{path.name} has no rows below its column names.", "Add a row for each message.")
    arrays = [pa.array(column, pa.string()) for column in columns]
    return SourceTable(path.name, pa.Table.from_arrays(arrays, names=header), problems)


def read_table(path: str | Path) -> pa.Table:
    """The table of ``load_table``: all columns of type string, rows in the file's order."""
    return load_table(path).table


def _read_bytes(path: Path) -> tuple[str, bytes]:
    """The kind of the file, as its ending without .gz, and what is in it, unpacked."""
    packed = path.suffix.lower() == ".gz"
    kind = (Path(path.stem) if packed else path).suffix.lower()
    try:
        if path.is_dir():
            raise StudioError(f"{path} is a folder.", "Choose a file in it.")
        path.stat()  # what is not there is told before what it is called
        if kind not in (*_DELIMITERS, *_RECORDS, ".parquet") or (packed and kind == ".parquet"):
            such = (
                f"{''.join(path.suffixes[-2:]) if packed else path.suffix} files are"
                if path.suffix
                else "files without an ending are"
            )
            raise StudioError(
                f"{path.name} cannot be used: {such} not read.", f"{_READ_TODAY}: save or convert the data as one of them."
            )
        if path.stat().st_size > _LARGEST_FILE:
            raise StudioError(f"{path.name} is larger than 1 GiB.", "Choose a part of it.")
        return kind, _unpack(path) if packed else path.read_bytes()
    except FileNotFoundError as error:
        raise StudioError(f"There is no file {path}.", "Check its name, or choose it again.") from error
    except (OSError, ValueError) as error:
        # A ValueError is a name that no file can have.
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise StudioError(f"{path} cannot be read: {reason}.", "Check its permissions.") from error


def _unpack(path: Path) -> bytes:
    # Read no further than the limit: a few kilobytes can unpack into any number of gigabytes.
    try:
        with gzip.open(path) as file:
            content = file.read(_LARGEST_FILE + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise StudioError(f"{path.name} is damaged: {error}.", "Copy it again; a download may be incomplete.") from error
    if len(content) > _LARGEST_FILE:
        raise StudioError(f"{path.name} is larger than 1 GiB when it is unpacked.", "Choose a part of it.")
    return content


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
