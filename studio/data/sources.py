"""A table → labelled messages. The two columns are guessed, or named by the person."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from studio.core.answers import ColumnGuess
from studio.core.arrow import pa
from studio.core.errors import StudioError
from studio.core.words import counted, listed, nearest
from studio.data.examples import Example, Problem
from studio.data.tables import SourceTable, load_table, read_table

__all__ = ["Example", "examples_of", "guess_columns", "names_of_labels", "read_examples", "read_messages", "read_table"]

# Most telling name first.
_TEXT_NAMES = (
    *("text", "message", "utterance", "sentence", "query", "question", "prompt", "input", "content", "body"),
    *("comment", "review", "description", "request", "example"),
)
_LABEL_NAMES = ("label", "intent", "category", "class", "target", "topic", "tag", "intention", "output", "answer", "y")
# A column without a known name is taken for the intent only if its values repeat at least this often.
_LARGEST_DISTINCT_SHARE = 0.5
# What a column with the names of numbered intents is called beside ``label``: label_text, label_name, …
_NAME_WORDS = ("text", "name", "names", "string", "str", "title")


def guess_columns(table: pa.Table, text_column: str | None = None, label_column: str | None = None) -> ColumnGuess:
    """Which column holds the message and which the intent.

    A given column is taken as it is. Otherwise known names win (text, message, … and label, intent, …), then the
    values decide: the intent is the column whose values repeat most, the message the one with the longest values.
    Raises StudioError for an unknown column, or when the guess cannot be made.
    """
    return _guess(SourceTable("The file", table), text_column, label_column)


def read_examples(
    path: str | Path, text_column: str | None = None, label_column: str | None = None, label_name_column: str | None = None
) -> tuple[list[Example], ColumnGuess, list[Problem]]:
    """``examples_of`` a file. Raises StudioError."""
    return examples_of(load_table(path), text_column, label_column, label_name_column)


def examples_of(
    source: SourceTable,
    text_column: str | None = None,
    label_column: str | None = None,
    label_name_column: str | None = None,
    like: ColumnGuess | None = None,
    names: Mapping[str, str] | None = None,
) -> tuple[list[Example], ColumnGuess, list[Problem]]:
    """All rows with a message and an intent, in the file's order; the columns; and problems.

    Rows without a message or an intent (null, or nothing but spaces) are left out and counted in the problems.
    ``label_name_column`` holds the names of the intents that ``label_column`` numbers; the names are the labels then.
    ``like`` holds the columns of another file of the same data set: where this file has them too, they are taken.
    ``names`` are that file's names of numbered intents, for a file that has none. Raises StudioError when a column or
    the whole content cannot be used.
    """
    if like is not None:
        columns = source.table.column_names
        text_column = text_column or (like.text_column if like.text_column in columns else None)
        label_column = label_column or (like.label_column if like.label_column in columns else None)
        # A file without the names takes them from the other one; one without the numbers does not need them.
        label_name_column = like.label_name_column if like.label_name_column in columns else None
        if label_name_column is not None and like.label_column not in columns:
            label_column, label_name_column = label_name_column, None
    guess = _guess(source, text_column, label_column, label_name_column)
    texts = source.table.column(guess.text_column).to_pylist()
    labels = source.table.column(guess.label_column).to_pylist()
    if guess.label_name_column is not None:
        own = names_of_labels(source, guess)
        labels = [own.get(label or "") for label in labels]
    elif names and like is not None and like.label_column == guess.label_column:
        labels = [names.get(label or "", label) for label in labels]
    examples: list[Example] = []
    no_text: list[Example] = []
    no_label: list[Example] = []
    for row, (text, label) in enumerate(zip(texts, labels, strict=True), start=1):
        example = Example(text or "", label or "", row, source.name)
        (no_text if not example.text.strip() else no_label if not example.label.strip() else examples).append(example)
    if not examples:
        raise StudioError(
            f"{source.name} has no row with both a message (column {guess.text_column!r}) "
            f"and an intent (column {guess.label_column!r}).",
            "Check that these are the right columns.",
        )
    problems = [Problem("file", sentence) for sentence in source.problems]
    for rows, missing in ((no_text, "a message"), (no_label, "an intent")):
        if rows:
            problems.append(Problem("empty", f"Left out: {counted(len(rows), 'row')} of {source.name} without {missing}.", rows))
    return examples, guess, problems


def names_of_labels(source: SourceTable, columns: ColumnGuess) -> dict[str, str]:
    """The name of each numbered intent; empty when they are not numbered.

    Raises StudioError for an intent with two names, and for a name of two intents.
    """
    if (names := columns.label_name_column) is None:
        return {}
    label = columns.label_column
    pairs = pa.table({"label": source.table.column(label), "name": source.table.column(names)}).group_by(["label", "name"])
    found: dict[str, str] = {}
    owners: dict[str, str] = {}
    for pair in pairs.aggregate([]).to_pylist():
        value, name = pair["label"], pair["name"]
        if not (value and name and name.strip()):
            continue
        if found.setdefault(value, name) != name or owners.setdefault(name, value) != value:
            both = f"{found[value]!r} and {name!r}" if found[value] != name else f"{owners[name]!r} and {value!r}"
            what = f"the intent {value!r} has two names" if found[value] != name else f"two intents have the name {name!r}"
            raise StudioError(
                f"In {source.name} {what} in the column {names!r}: {both}.",
                f"Correct them, or use {names!r} itself as the column of the intents.",
            )
    return found


def read_messages(path: str | Path, text_column: str | None = None) -> tuple[pa.Table, str]:
    """A file that needs no intents, every column of it as text, and the name of the column with the messages.

    Raises StudioError.
    """
    source = load_table(path)
    columns = source.table.column_names
    if text_column is not None:
        chosen = _known_column(source, text_column)
    elif (named := _by_name(columns, _TEXT_NAMES)) is not None:
        chosen = named
    elif len(columns) == 1:
        raise StudioError(
            f"It cannot be told whether the first line of {source.name} ({columns[0]!r}) is a column name or a message.",
            "Make 'text' its first line, or name the column.",
        )
    else:
        chosen = max(columns, key=lambda column: _mean_length(source.table, column))
    return source.table, chosen


def _guess(
    source: SourceTable, text_column: str | None, label_column: str | None, label_name_column: str | None = None
) -> ColumnGuess:
    columns = source.table.column_names
    if len(columns) < 2:
        raise StudioError(
            f"{source.name} has one column ({columns[0]!r}); training needs a message and its intent in each row.",
            "Add a column with the intents. If it has one, choose another delimiter: "
            "commas, semicolons, tabs and | are found without being named.",
        )
    text = None if text_column is None else _known_column(source, text_column)
    label = None if label_column is None else _known_column(source, label_column)
    names = None if label_name_column is None else _known_column(source, label_name_column)
    if text is not None and text in (label, names):
        raise StudioError(f"The column {text!r} is named for both the message and the intent.", "Name two different columns.")
    # label_text is no text: it goes with label.
    beside = {f"{name}_{word}" for name in _LABEL_NAMES for word in _NAME_WORDS}
    may_be_text = [column for column in columns if column not in (label, names) and _plain(column) not in beside]
    text = text or _by_name(may_be_text, _TEXT_NAMES)
    label = label or _by_name([column for column in columns if column not in (text, names)], _LABEL_NAMES)
    named = text is not None or label is not None
    if label is None:
        others = [column for column in columns if column not in (text, names)]
        # Where there are only a message and a name, nothing is numbered.
        label = _label_by_values(source, others, sure=text is not None) if others else names or columns[-1]
    if text is None:
        others = [column for column in columns if column not in (label, names)]
        text = max(others, key=lambda column: _mean_length(source.table, column))
    if not named:
        _refuse_headerless(source, label)
    if label_name_column is None and label_column is None:
        names = _guess_names(source, text, label)
    return ColumnGuess(columns=columns, text_column=text, label_column=label, label_name_column=names if names != label else None)


def _guess_names(source: SourceTable, text: str, label: str) -> str | None:
    """The column with the names of intents that ``label`` only numbers: label_text beside label, for one."""
    numbers = [value for value in source.table.column(label).unique().to_pylist() if value]
    if not all(re.fullmatch(r"-?\d+", value) for value in numbers):
        return None
    wanted = {f"{_plain(label)}_{word}" for word in _NAME_WORDS}
    for column in source.table.column_names:
        if column != text and _plain(column) in wanted:
            try:
                names_of_labels(source, ColumnGuess(columns=[], text_column=text, label_column=label, label_name_column=column))
            except StudioError:
                continue
            return column
    return None


def _plain(column: str) -> str:
    return re.sub(r"[\W_]+", "_", column).strip("_").casefold()


def _known_column(source: SourceTable, name: str) -> str:
    columns = source.table.column_names
    if name not in columns:
        raise StudioError(
            f"{source.name} has no column {name!r}; the nearest is {nearest(name, columns)!r}.",
            f"Its columns are {listed(columns)}.",
        )
    return name


def _by_name(columns: list[str], known: tuple[str, ...]) -> str | None:
    """The column with the most telling name: a whole name before one word of a longer name (``message_text``)."""
    whole = {_plain(column): column for column in reversed(columns)}
    for name in known:
        if name in whole:
            return whole[name]
    for name in known:
        for words, column in reversed(whole.items()):
            parts = words.split("_")
            if name in parts and not {"id", "index", "number", "count", "length"} & set(parts):
                return column
    return None


def _label_by_values(source: SourceTable, columns: list[str], sure: bool) -> str:
    """The column whose values repeat most; of equals, the one with the shorter values."""
    table = source.table

    def measure(column: str) -> tuple[float, float]:
        return len(table.column(column).unique()) / table.num_rows, _mean_length(table, column)

    # A column that always says the same tells no messages apart.
    varied = [column for column in columns if len(table.column(column).unique()) > 1] or columns
    best = min(varied, key=measure)
    if measure(best)[0] > _LARGEST_DISTINCT_SHARE and not (sure and len(columns) == 1):
        raise StudioError(
            f"It cannot be told which column of {source.name} holds the intent: its columns are {listed(table.column_names)}.",
            "Name the columns of the message and the intent. If the first line is already a message, add a line of names above it.",
        )
    return best


def _refuse_headerless(source: SourceTable, label: str) -> None:
    if label in source.table.column(label).to_pylist():
        raise StudioError(
            f"{source.name} seems to have no line of column names: its first line says {label!r}, which is an intent further down.",
            "Add a first line such as text,label; or name both columns if these are their names.",
        )


def _mean_length(table: pa.Table, column: str) -> float:
    return fmean(len(value or "") for value in table.column(column).to_pylist())
