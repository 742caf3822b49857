"""Jobs that use a trained run: evaluate it, predict messages."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from studio.core.answers import Predicted, Prediction
from studio.core.arrow import pa
from studio.core.commands import Command, Evaluate, Predict
from studio.core.errors import InterruptedByUserError, StudioError
from studio.core.events import Finished
from studio.core.predictions import name_for, write_predictions
from studio.core.runs import Home, RunFolder
from studio.core.words import counted
from studio.data.sources import Example, examples_of, read_messages
from studio.data.splits import read_split
from studio.data.tables import load_table
from studio.engine.predictor import Predictor, Summary, kept_checkpoint, load_run, run_labels
from studio.worker.channel import Channel

_ROWS_AT_ONCE = 1024
"""Rows that are answered together and then written. The last of them are computed with ever fewer others: of 256 a tenth slower."""
_ANSWERS = ("predicted", "probability", "second", "second_probability", "left_set")
"""The columns that a predicted file has beside its own."""


def evaluate(command: Command, channel: Channel) -> None:
    """Run ``Evaluate``: the test split, or a labelled file."""
    assert isinstance(command, Evaluate)
    run = RunFolder(Path(command.run))
    out = Path(command.out) if command.out else run.predictions_path
    # Before the model is loaded: what is wrong is told at once.
    kept_checkpoint(run)
    if command.data is None:
        examples = read_split(run, "test")
    else:
        examples = _known(_labelled(run, command, command.data, channel), run_labels(run), channel)
        if not command.out:
            out = run.predictions_of(name_for(run, Path(command.data)))
    predictor = _load(run, command.home, channel)
    scored = predictor.classify_examples(examples, channel.stage, "predicting", lambda: channel.stop.requested)
    data = Path(command.data) if command.data is not None else None
    write_predictions(out, predictor.labels.names, [row.prediction for row in scored], data)
    summary = Summary.of(scored, predictor.labels)
    finished = Finished(outcome="completed", output=str(out), seconds=channel.elapsed(), peak_bytes=0)
    channel.emit(summary.scores(finished))


def predict(command: Command, channel: Channel) -> None:
    """Run ``Predict``: answers one by one, or a CSV file, written as it goes, with the columns of ``data`` and the answers."""
    assert isinstance(command, Predict)
    run = RunFolder(Path(command.run))
    kept_checkpoint(run)
    texts, table = command.texts, pa.table({})
    if command.data is not None:
        table, column = read_messages(Path(command.data), command.text_column)
        texts = [text or "" for text in table.column(column).to_pylist()]
    if not texts:
        raise StudioError("There is no message to predict.", "Give at least one message, or a file with some.")
    predictor = _load(run, command.home, channel)
    if command.out is None:
        for row, prediction in enumerate(_in_chunks(predictor, texts, channel)):
            channel.emit(Predicted(request=row, prediction=prediction))
        channel.emit(Finished(outcome="completed", rows=len(texts), seconds=channel.elapsed()))
        return
    out = Path(command.out)
    scratch = out.with_name(f".{out.name}.partial")
    try:
        with scratch.open("w", encoding="utf-8", newline="") as file:
            written = _write_csv(file, table, _in_chunks(predictor, texts, channel))
        if written < len(texts):
            partial = out.with_name(f"{out.stem}.partial{out.suffix}")
            scratch.replace(partial)
            raise StudioError(
                f"The job was stopped after {written:,} of {len(texts):,} messages; their answers are in {partial}.",
                "Start it again to predict all of them.",
                kind="stopped",
            )
        scratch.replace(out)
    except OSError as error:
        raise StudioError(f"{out} cannot be written: {error.strerror or error}.", "Choose another file with --out.") from error
    finally:
        with contextlib.suppress(OSError):  # where nothing could be written there is nothing to take away
            scratch.unlink()
    channel.emit(Finished(outcome="completed", rows=len(texts), seconds=channel.elapsed(), output=str(out)))


def _load(run: RunFolder, home: str, channel: Channel) -> Predictor:
    predictor = load_run(run, Home(Path(home)), channel.stage, merged=True)
    channel.measure(predictor.compute.kind, predictor.compute.memory_bytes)
    return predictor


def _labelled(run: RunFolder, command: Evaluate, data: str, channel: Channel) -> list[Example]:
    dataset = run.config().dataset
    source = load_table(Path(data))
    # Columns that were named for the run's own data hold for another file if it has them too; else they are guessed.
    text, label, names = (
        name if name in source.table.column_names else None
        for name in (dataset.text_column, dataset.label_column, dataset.label_name_column)
    )
    if names is not None and dataset.label_column is not None and label is None:
        label, names = names, None  # without the numbers their names are the intents
    named = None if command.label_column else names
    examples, _, problems = examples_of(source, command.text_column or text, command.label_column or label, named)
    for problem in problems:
        channel.log(problem.sentence, "warning")
    return examples


def _known(examples: list[Example], labels: list[str], channel: Channel) -> list[Example]:
    own = set(labels)
    known = [example for example in examples if example.label in own]
    unknown = sorted({example.label for example in examples}.difference(labels))
    if not known:
        raise StudioError(
            f"None of {counted(len(examples), 'row')} has an intent that this run knows.",
            "Check the label column, or choose the data that belongs to this run.",
        )
    if unknown:
        left_out = len(examples) - len(known)
        channel.log(f"{left_out} rows are left out: the run knows no intent {', '.join(map(repr, unknown[:5]))}.", "warning")
    return known


def _in_chunks(predictor: Predictor, texts: list[str], channel: Channel) -> Iterator[Prediction]:
    channel.stage("predicting", 0, len(texts))
    for start in range(0, len(texts), _ROWS_AT_ONCE):

        def progress(done: int, start: int = start) -> None:
            channel.stage("predicting", start + done, len(texts))

        chunk = texts[start : start + _ROWS_AT_ONCE]
        scored = predictor.classify(chunk, progress=progress, should_stop=lambda: channel.stop.requested)
        yield from (row.prediction for row in scored)


def _write_csv(file: TextIO, table: pa.Table, predictions: Iterator[Prediction]) -> int:
    """Each row as it was, and behind it what was predicted of it; returns how many rows, which are fewer after a stop."""
    writer = csv.writer(file)
    writer.writerow([*table.column_names, *_free_names(table.column_names)])
    rows = (row for batch in table.to_batches(_ROWS_AT_ONCE) for row in zip(*batch.to_pydict().values(), strict=True))
    written = 0
    with contextlib.suppress(InterruptedByUserError):
        for cells, row in zip(rows, predictions, strict=True):
            second = row.top[1] if len(row.top) > 1 else None
            told = [
                row.predicted,
                f"{row.probability:.6f}",
                second.label if second else "",
                f"{second.probability:.6f}" if second else "",
                str(row.left_set).lower(),
            ]
            writer.writerow([*(cell or "" for cell in cells), *told])
            written += 1
    return written


def _free_names(taken: Sequence[str]) -> list[str]:
    """The names of the columns with answers; where the file has one of them already, all get the same number."""
    names, number = list(_ANSWERS), 2
    known = {name.casefold() for name in taken}
    while known.intersection(names):
        names, number = [f"{name}_{number}" for name in _ANSWERS], number + 1
    return names
