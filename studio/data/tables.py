"""A file → a table in which everything is text. Nothing is guessed but the encoding and the delimiter.

Labels such as ``None``, ``NA``, ``001`` or ``true`` are labels, so no value is turned into a number, a truth value or a
null. The only nulls come from JSON and Parquet: ``null``, or a key that a row leaves out.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from studio.core.arrow import pa
from studio.core.errors import StudioError
from studio.core.paths import as_typed
from studio.data.delimited import column_names, parse_delimited
from studio.data.encodings import decode
from studio.data.records import parse_json, parse_jsonl, parse_parquet

_LARGEST_FILE = 2**30
_READ_TODAY = "CSV (.csv), TSV (.tsv), JSON (.json, .jsonl) and Parquet (.parquet) files are read, the texts compressed (.gz) too"
_DELIMITERS = {".csv": ",;\t|", ".tsv": "\t,;|", ".txt": "\t,;|"}
_RECORDS = {".jsonl": parse_jsonl, ".ndjson": parse_jsonl, ".json": parse_json}
KINDS = (*_DELIMITERS, *_RECORDS, ".parquet")
"""The endings of files that can be read."""


@dataclass(frozen=True)
class SourceTable:
    """A file as it was read: every column of type string, and ``problems`` in sentences."""

    name: str
    table: pa.Table
    problems: list[str] = field(default_factory=list)
    encoding: str = ""
    """As it was given or guessed; empty where the kind of file leaves no choice."""
    delimiter: str = ""


def load_table(path: str | Path, encoding: str | None = None, delimiter: str | None = None) -> SourceTable:
    """Read a file of a known kind. What is not given is guessed.

    Raises StudioError naming the file, and the line where there is one.
    """
    path = as_typed(path)
    kind, raw = _read_bytes(path)
    problems: list[str] = []
    if kind == ".parquet":
        encoding = delimiter = ""
        header, columns = parse_parquet(path.name, raw)
    else:
        text, encoding, problems = decode(path.name, raw, encoding)
        if not text.strip():
            raise StudioError(f"{path.name} is empty.", "Choose a file with a line of column names and a row for each message.")
        if kind in _RECORDS:
            delimiter = ""
            header, columns = _RECORDS[kind](path.name, text)
        else:
            rows, delimiter, quoted = parse_delimited(path.name, text, delimiter or _DELIMITERS[kind])
            if not quoted:
                problems.append(f"{path.name} does not use quotation marks around fields: they were kept as part of the text.")
            header = column_names(path.name, rows[0], problems)
            columns = [[row[position] for row in rows[1:]] for position in range(len(header))]
    if not columns or not columns[0]:
        raise StudioError(f"{path.name} has no rows below its column names.", "Add a row for each message.")
    arrays = [pa.array(column, pa.string()) for column in columns]
    return SourceTable(path.name, pa.Table.from_arrays(arrays, names=header), problems, encoding, delimiter)


def read_table(path: str | Path) -> pa.Table:
    """The table of ``load_table``: all columns of type string, rows in the file's order."""
    return load_table(path).table


def kind_of(path: Path) -> str:
    """The ending that tells how a file is read: without .gz, in small letters."""
    return (Path(path.stem) if path.suffix.lower() == ".gz" else path).suffix.lower()


def _read_bytes(path: Path) -> tuple[str, bytes]:
    """The kind of the file, as its ending without .gz, and what is in it, unpacked."""
    packed = path.suffix.lower() == ".gz"
    kind = kind_of(path)
    try:
        if path.is_dir():
            raise StudioError(f"{path} is a folder.", "Choose a file in it.")
        path.stat()  # what is not there is told before what it is called
        if kind not in KINDS or (packed and kind == ".parquet"):
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
    except gzip.BadGzipFile as error:
        raise StudioError(
            f"{path.name} is not compressed with gzip, or damaged.",
            "If it is plain, take .gz off its name; else copy it again, as a download may be incomplete.",
            detail=str(error),
        ) from error
    except (EOFError, zlib.error) as error:
        raise StudioError(f"{path.name} is damaged: {error}.", "Copy it again; a download may be incomplete.") from error
    if len(content) > _LARGEST_FILE:
        raise StudioError(f"{path.name} is larger than 1 GiB when it is unpacked.", "Choose a part of it.")
    return content
