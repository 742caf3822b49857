"""JSON, JSON Lines and Parquet → columns in which everything is text or null."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq

from studio.core.arrow import pa
from studio.core.errors import StudioError

Cell = str | None
Columns = tuple[list[str], list[list[Cell]]]
"""Column names, and one list of cells for each."""
# Numbers stay as they were written: 1.0 and 1 are two labels.
_AS_WRITTEN: dict[str, Any] = {"parse_int": str, "parse_float": str, "parse_constant": str}


def parse_jsonl(name: str, text: str) -> Columns:
    """One object on each line. Raises StudioError naming the line."""
    rows: list[dict[str, Cell]] = []
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
    return _columns(rows)


def parse_json(name: str, text: str) -> Columns:
    """A list of objects, or an object that holds one such list. Raises StudioError.

    What is JSON Lines for all its ending, as many data sets of the hub are, is read as that.
    """
    if re.match(r"\s*\{.*\}[ \t\r]*\n\s*\{", text):  # one object on the first line, and another one after it
        return parse_jsonl(name, text)
    remedy = 'Write a list of objects, such as [{"text": "…", "label": "…"}].'
    try:
        found = _rows(json.loads(text, **_AS_WRITTEN))
        plain = _rows(json.loads(text)) if any(map(_is_nested, found)) else found
        rows = [_cells(row, whole) for row, whole in zip(found, plain, strict=True)]
        if "\\u" in text:
            _refuse_halves(rows)
    except UnicodeEncodeError as error:
        raise StudioError(f"{name}: a \\u escape stands for half a character.", "Write the whole character.") from error
    except (ValueError, RecursionError) as error:
        raise StudioError(f"{name} is not a JSON list of objects ({error}).", remedy) from error
    return _columns(rows)


def parse_parquet(name: str, raw: bytes) -> Columns:
    """A Parquet table; integer labels that the ``datasets`` library stored become their names. Raises StudioError."""
    try:
        table = pq.read_table(io.BytesIO(raw))
        names = class_names(table.schema)
        columns = [_written(table.column(column).to_pylist(), names.get(column, [])) for column in table.column_names]
    except (pa.ArrowException, OSError, ValueError, IndexError, KeyError) as error:
        raise StudioError(
            f"{name} is no Parquet file, or a damaged one.", "Save it again, or as CSV.", detail=str(error)
        ) from error
    return list(table.column_names), columns


def _parse_object(line: str) -> dict[str, Cell]:
    row = json.loads(line, **_AS_WRITTEN)
    if not isinstance(row, dict):
        raise ValueError("it is another JSON value")
    cells = _cells(row, json.loads(line) if _is_nested(row) else row)
    if "\\u" in line:
        _refuse_halves([cells])
    return cells


def _rows(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        lists = [part for part in value.values() if isinstance(part, list)]
        if len(lists) != 1:
            raise ValueError("it is an object, and not one with a single list in it")
        value = lists[0]
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ValueError("it is another JSON value")
    return value


def _is_nested(row: dict[str, Any]) -> bool:
    return any(isinstance(value, dict | list) for value in row.values())


def _cells(row: dict[str, Any], plain: dict[str, Any]) -> dict[str, Cell]:
    """``plain`` is the row with its numbers as numbers, for the lists and objects in it."""
    return {
        key: value if value is None or isinstance(value, str) else json.dumps(plain[key], ensure_ascii=False)
        for key, value in row.items()
    }


def _refuse_halves(rows: Sequence[dict[str, Cell]]) -> None:
    # An escape can write half a surrogate pair, which no UTF-8 text can hold.
    for row in rows:
        "".join(part for pair in row.items() for part in pair if part).encode()


def _columns(rows: Sequence[dict[str, Cell]]) -> Columns:
    header = list(dict.fromkeys(key for row in rows for key in row))
    return header, [[row.get(key) for row in rows] for key in header]


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """The names behind integer labels, by column, as the ``datasets`` library leaves them in the file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {column: list(kind["names"]) for column, kind in features.items() if kind.get("_type") == "ClassLabel"}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _written(values: Sequence[Any], names: Sequence[str]) -> list[Cell]:
    return [_as_text(value, names) for value in values]


def _as_text(value: Any, names: Sequence[str]) -> Cell:
    if value is None or isinstance(value, str):
        return value
    if names and isinstance(value, int):
        # The library writes -1 for a row without a label.
        return names[value] if value >= 0 else None
    return json.dumps(value, ensure_ascii=False, default=str).strip('"')
