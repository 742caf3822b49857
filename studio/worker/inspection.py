"""The job behind the data preview. Loads no torch, so that it answers at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from studio.core.answers import DataInspected, DownloadOffered
from studio.core.commands import InspectData
from studio.core.data_problems import DataProblem
from studio.core.errors import StudioError
from studio.core.problem_rows import ROWS_LISTED, ProblemRow, write_problem_rows
from studio.data.downloads import Downloads, DownloadTooLargeError
from studio.data.examples import Example, Problem
from studio.data.origins import open_dataset
from studio.data.prompts import Encoded
from studio.data.splits import HELD_OUT, Splits, split_tables
from studio.worker.channel import Channel

# What a preview shows of a cell, of a table's columns, and of the longest message: the answer stays small.
_CELL, _COLUMNS, _LONGEST = 500, 50, 20_000


def inspect_data(command: InspectData, channel: Channel) -> None:
    """Answer with ``DataInspected``, or ``DownloadOffered``. Raises StudioError when the data cannot be used."""
    downloads = Downloads(channel.emit, command.largest_download)
    try:
        tables = open_dataset(command.dataset, channel.stage, lambda: channel.stop.requested, downloads)
    except DownloadTooLargeError as error:
        channel.emit(DownloadOffered(missing=error.missing))
        return
    channel.stage("checking the data")
    splits = split_tables(command.dataset, tables)
    first = tables["train"][0]
    guess = splits.guess
    shown = dict.fromkeys([guess.text_column, guess.label_name_column or guess.label_column, *guess.columns[:_COLUMNS]])
    preview = first.table.select(list(shown)).slice(0, command.preview_rows).to_pylist()
    channel.emit(
        DataInspected(
            guess=guess,
            preview=[{column: _cut(value or "", _CELL) for column, value in row.items()} for row in preview],
            encoding=first.encoding,
            delimiter=first.delimiter,
            train_counts=_counts(splits.train),
            validation_counts=_counts(splits.validation),
            test_counts=_counts(splits.test),
            drawn=[name for name in HELD_OUT if name not in tables],
            longest_text=max((row.text for part in splits.parts().values() for row in part), key=len)[:_LONGEST],
            problems=problems_found(splits, Path(command.rows_folder) if command.rows_folder else None),
        )
    )


def problems_found(splits: Splits, folder: Path | None = None) -> list[DataProblem]:
    """The problems as the app hears of them; with ``folder``, their rows are written there. Raises StudioError."""
    wanted = {id(row) for problem in splits.problems for row in problem.rows} if folder is not None else set()
    split_of = {id(row): name for name, rows in splits.parts().items() for row in rows if id(row) in wanted}
    found = []
    for number, problem in enumerate(splits.problems):
        rows_file = ""
        if folder is not None and problem.rows:
            path = folder / f"{number}.arrow"
            _write(path, [_place(row, problem, split_of) for row in problem.rows[:ROWS_LISTED]])
            rows_file = str(path)
        found.append(
            DataProblem(kind=problem.kind, sentence=problem.sentence, rows=len(problem.rows), rows_file=rows_file),
        )
    return found


def cut_messages(
    encoded: Sequence[Encoded], limit: int, examples: Sequence[Example] = (), path: Path | None = None
) -> list[DataProblem]:
    """Training messages that are longer than ``limit`` tokens allow, which only the tokenizer can tell: one problem or none.

    With ``path``, their rows among ``examples``, which are those that were encoded, are written there. Raises StudioError.
    """
    cut = [position for position, row in enumerate(encoded) if row.truncated]
    if not cut:
        return []
    verb, end = ("is", "its end") if len(cut) == 1 else ("are", "their end")
    sentence = f"{len(cut):,} of {len(encoded):,} training messages {verb} longer than {limit:,} tokens and cut at {end}."
    if path is not None:
        listed = [examples[position] for position in cut[:ROWS_LISTED]]
        _write(path, [ProblemRow("train", row.file, row.row, row.text, row.label) for row in listed])
    return [DataProblem(kind="cut", sentence=sentence, rows=len(cut), rows_file=str(path or ""))]


def _write(path: Path, rows: Sequence[ProblemRow]) -> None:
    try:
        write_problem_rows(path, rows)
    except OSError as error:
        raise StudioError(
            f"The rows with problems cannot be written to {path.parent}: {error.strerror or error}.",
            "Free some disk space, then read the data again.",
            kind="disk",
        ) from error


def _place(row: Example, problem: Problem, split_of: Mapping[int, str]) -> ProblemRow:
    gone = "left out" if problem.kind in ("empty", "unknown_intent") else "not used"
    return ProblemRow(split_of.get(id(row), gone), row.file, row.row, row.text, row.label)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _counts(rows: Sequence[Example]) -> dict[str, int]:
    """Rows per intent, most frequent first, equals by name."""
    counts = Counter(row.label for row in rows)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
