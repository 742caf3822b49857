"""Reads run folders and puts them side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from studio.core.comparison import (
    MOST_LISTED,
    Disagreement,
    PairCounts,
    RunComparison,
    RunFigures,
    common_rows,
    settings_side_by_side,
)
from studio.core.errors import StudioError
from studio.core.events import Finished, RunStarted, StepsCompleted
from studio.core.predictions import Answers, read_answers
from studio.core.resuming import weight_bytes
from studio.core.runs import RunFolder
from studio.core.starter import base_name
from studio.core.words import METHOD_TITLES


def compare_runs(runs: Sequence[RunFolder]) -> RunComparison:
    """Two or more runs; the first is the one that the others are held against. Raises StudioError for an unreadable run.toml."""
    if len(runs) < 2:
        raise StudioError("One run alone cannot be compared.", "Name at least two runs.", kind="bad_input")
    seen: set[Path] = set()
    for run in runs:
        if (path := run.path.resolve()) in seen:
            raise StudioError(
                f"{run.name} is named twice: a run cannot be compared with itself.", "Name each run once.", kind="bad_input"
            )
        seen.add(path)
    figures = [_figures(run) for run in runs]
    settings = settings_side_by_side([run.config().model_dump() for run in runs])
    answers: list[Answers] = []
    problems: list[str] = []
    for run, figure in zip(runs, figures, strict=True):
        if not run.predictions_path.exists():
            problems.append(f"{figure.title} has no predictions of its test messages.")
            continue
        try:
            answers.append(read_answers(run.predictions_path))
        except StudioError as error:
            problems.append(f"{figure.title}: {error.message}")
    if problems:
        return RunComparison(runs=figures, settings=settings, problems=problems)
    rows = common_rows([list(zip(table.texts, table.labels, strict=True)) for table in answers])
    if not rows:
        problems.append("No test message was predicted by all of these runs: their test splits differ.")
    differing = _differing(answers, rows)
    return RunComparison(
        runs=figures,
        settings=settings,
        common_messages=len(rows),
        same_messages=all(len(table.texts) == len(rows) for table in answers),
        pairs=[_pair(figure.title, answers[0], answers[number], rows, number) for number, figure in enumerate(figures) if number],
        disagreeing=len(differing),
        disagreements=[_disagreement(answers, row) for row in differing[:MOST_LISTED]],
        problems=problems,
    )


def _figures(run: RunFolder) -> RunFigures:
    config, scores = run.config(), run.scores()
    started: RunStarted | None = None
    for event in run.events():
        if isinstance(event, RunStarted):
            started = event
        if isinstance(event, RunStarted | StepsCompleted):
            break
    outcome = run.outcome()
    final = outcome.final if outcome is not None and isinstance(outcome.final, Finished) else None
    checkpoint = run.checkpoint()
    return RunFigures(
        name=run.name,
        title=run.notes().title or run.name,
        method=METHOD_TITLES[config.method.kind],
        base=base_name(config.model.base),
        device=f"{started.device}, {started.precision}" if started is not None else None,
        rows=scores.rows if scores is not None else None,
        accuracy=_known(scores.accuracy) if scores is not None else None,
        accuracy_low=_known(scores.accuracy_low) if scores is not None else None,
        accuracy_high=_known(scores.accuracy_high) if scores is not None else None,
        macro_f1=_known(scores.macro_f1) if scores is not None else None,
        peak_bytes=(final.peak_bytes or None) if final is not None else None,
        forecast_bytes=(started.forecast_bytes or None) if started is not None else None,
        seconds=(final.seconds or None) if final is not None else None,
        trainable_parameters=started.trainable_parameters if started is not None else None,
        disk_bytes=weight_bytes(checkpoint) if checkpoint else None,
    )


def _known(share: float) -> float | None:
    return share if math.isfinite(share) else None


def _pair(name: str, first: Answers, other: Answers, rows: Sequence[Sequence[int]], number: int) -> PairCounts:
    counts = {(True, True): 0, (False, True): 0, (True, False): 0, (False, False): 0}
    for row in rows:
        here, there = row[0], row[number]
        counts[first.predicted[here] == first.labels[here], other.predicted[there] == other.labels[there]] += 1
    return PairCounts(
        name=name,
        both_right=counts[True, True],
        fixed=counts[False, True],
        broken=counts[True, False],
        both_wrong=counts[False, False],
    )


def _differing(answers: Sequence[Answers], rows: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    predicted = [table.predicted for table in answers]
    return [row for row in rows if len({told[place] for told, place in zip(predicted, row, strict=True)}) > 1]


def _disagreement(answers: Sequence[Answers], row: Sequence[int]) -> Disagreement:
    return Disagreement(
        text=answers[0].texts[row[0]],
        label=answers[0].labels[row[0]],
        predicted=[table.predicted[place] for table, place in zip(answers, row, strict=True)],
        probability=[table.probabilities[place] for table, place in zip(answers, row, strict=True)],
    )
