"""The rows behind a problem of a data set: a file that the worker writes and the window pages through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from studio.core.arrow import pa
from studio.core.errors import StudioError

ROWS_LISTED = 100_000
"""No more rows of one problem are written."""
_LONGEST_TEXT = 2_000


class ProblemRow(NamedTuple):
    """A row of the data as a person finds it again."""

    split: str
    """train, validation, test, "left out", or "not used"."""
    file: str
    row: int
    """Counted from 1, the line of column names left out."""
    text: str
    label: str


_FIELDS: list[pa.Field[Any]] = [
    pa.field("split", pa.string()),
    pa.field("file", pa.string()),
    pa.field("row", pa.int64()),
    pa.field("text", pa.string()),
    pa.field("label", pa.string()),
]
_SCHEMA = pa.schema(_FIELDS)


def write_problem_rows(path: Path, rows: Iterable[ProblemRow]) -> None:
    """Write rows uncompressed, so that they can be mapped into memory; long texts are cut. Raises OSError."""
    kept = list(rows)
    columns: list[list[Any]] = [[row[position] for row in kept] for position in range(len(_FIELDS))]
    for position in (3, 4):  # text and label
        columns[position] = [_short(cell) for cell in columns[position]]
    arrays = [pa.array(column, kind.type) for column, kind in zip(columns, _FIELDS, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=_SCHEMA)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        writer.write_table(table)


class ProblemRows:
    """The rows of one problem. Opening takes the same time for ten rows and for 100,000: they are read where they lie."""

    def __init__(self, path: Path) -> None:
        """Raises StudioError when the file is gone or damaged."""
        try:
            with pa.memory_map(str(path)) as source:
                self._table = pa.ipc.open_file(source).read_all().combine_chunks()
        except (OSError, pa.ArrowException) as error:
            raise StudioError(f"The rows cannot be read any more: {error}.", "Read the data again.", kind="rows_gone") from error

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def row(self, number: int) -> ProblemRow:
        """The row at a position, from 0."""
        return ProblemRow(*(column[number].as_py() for column in self._table.columns))

    def rows(self, numbers: Sequence[int]) -> list[ProblemRow]:
        """The rows at some positions."""
        taken = self._table.take(pa.array(numbers, pa.int64()))
        return [ProblemRow(*cells) for cells in zip(*(column.to_pylist() for column in taken.columns), strict=True)]

    def several_files(self) -> bool:
        """Whether the rows come from more than one file."""
        return len(self._table.column("file").unique()) > 1

    def matching(self, words: str) -> NDArray[np.int64]:
        """The positions of the rows whose message, intent or split holds each of the words, whatever the capitals."""
        chosen = np.ones(len(self), dtype=np.bool_)
        for word in words.split():
            found = np.zeros(len(self), dtype=np.bool_)
            for name in ("text", "label", "split"):
                hits = pc.match_substring(self._table.column(name), word, ignore_case=True)
                found |= np.asarray(hits.to_numpy(zero_copy_only=False), dtype=np.bool_)
            chosen &= found
        return np.flatnonzero(chosen)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
