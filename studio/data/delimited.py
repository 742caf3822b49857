"""Text with delimiters (CSV, TSV and their kin) → rows of fields."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from studio.core.errors import StudioError
from studio.core.words import counted

_QUOTE_ADVICE = "put quotation marks around the whole field and write a quotation mark inside it twice."
# Otherwise a message of more than 131,072 characters is refused.
csv.field_size_limit(2**30)


@dataclass(eq=False)
class _BadLineError(Exception):
    line: int
    width: int
    reason: str
    remedy: str


def parse_delimited(name: str, text: str, delimiters: str) -> tuple[list[list[str]], str, bool]:
    """The first delimiter that cuts every row into the same number of fields, two at least, wins.

    Returns the rows, the header first, the delimiter, and whether quotation marks enclose fields. Files whose fields merely contain
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
                return rows, delimiter, quoted
            if quoted and one_column is None:
                one_column = rows
    wide = [failure for failure in failures if failure.width > 1]
    if one_column and not wide:
        return one_column, delimiters[0], True
    worst = max(wide or failures, key=lambda failure: failure.line)
    cut_elsewhere = len(delimiters) == 1 and not wide  # a named delimiter that the line of column names does not hold
    remedy = "Choose another delimiter, or have it guessed." if cut_elsewhere else worst.remedy
    raise StudioError(f"{name}, line {worst.line}: {worst.reason}.", remedy)


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
                        f"Add or remove fields. If the text holds the character {delimiter!r}, {_QUOTE_ADVICE}",
                    )
                rows.append(record)
            line = reader.line_num + 1
    except csv.Error as error:
        never_closed = "unexpected end" in str(error)
        reason = "a quotation mark opens here and is never closed" if never_closed else "a quotation mark ends in mid-field"
        raise _BadLineError(line, width, reason, _QUOTE_ADVICE.capitalize()) from error
    return rows


def _marks_are_text(rows: list[list[str]]) -> bool:
    """Whether quotation marks are part of the fields rather than around them."""
    marked = [field for row in rows for field in row if '"' in field]
    enclosed = sum(len(field) > 1 and field[0] == field[-1] == '"' for field in marked)
    return 2 * enclosed < len(marked)


def column_names(name: str, header: list[str], problems: list[str]) -> list[str]:
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
