"""One run as a single HTML page that needs no other file: figures, curves, matrix, scores, mistakes and settings.

Everything that comes from data is escaped, and the page holds no script and loads nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from studio.core.answers import Prediction
from studio.core.config import RunConfig
from studio.core.errors import StudioError
from studio.core.events import Evaluated, Finished, RunStarted, StepsCompleted
from studio.core.metrics import accuracy, confused_pairs, label_scores, macro_f1, wilson_interval
from studio.core.predictions import PredictionTable, read_predictions
from studio.core.resuming import still_standing
from studio.core.run_file import dump_run_config
from studio.core.runs import RunFolder
from studio.core.starter import base_name
from studio.core.words import METHOD_TITLES, UNKNOWN, counted, duration, percent, size

_MOST_MISTAKES = 2000
_MOST_POINTS = 800
_WIDTH, _HEIGHT, _MARGIN = 720, 240, 48

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --muted: #777; --accent: #2a5bd7; --bad: #b3261e; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; } p.about, td.note, figcaption { color: var(--muted); }
table { border-collapse: collapse; } th, td { padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
tr + tr > td { border-top: 1px solid var(--line); } .wide { overflow-x: auto; }
.matrix td, .matrix th { border: 1px solid var(--line); padding: .1rem .35rem; text-align: center; font-size: 12px; }
.matrix th.across { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; font-weight: normal; }
.matrix th.down { text-align: right; font-weight: normal; white-space: nowrap; }
pre { overflow-x: auto; padding: 1rem; border: 1px solid var(--line); border-radius: 6px; }
"""


def report_html(run: RunFolder) -> str:
    """The page. Raises StudioError for an unreadable run, or one whose test split was not predicted."""
    config = run.config()
    if not run.predictions_path.exists():
        raise StudioError(f"The run {run.name} has no test predictions to report on.", "Train it to its end, or evaluate it.")
    table = read_predictions(run.predictions_path)
    started, curve, evaluations = _history(run)
    counts = table.confusion()
    parts = [
        f"<h1>{escape(run.name)}</h1>",
        f'<p class="about">{escape(_about(run, config, started))}</p>',
        "<h2>Results</h2>",
        _table(("", "", ""), _figures(run, table, counts, evaluations), head=False),
        "<h2>Loss</h2>",
        _plot(curve, [(event.step, event.loss) for event in evaluations if event.split == "validation"]),
        "<h2>Confusion matrix</h2>",
        _matrix(table.labels, counts),
        "<h2>Intents</h2>",
        _table(("Intent", "#Messages", "#Recall", "#Precision", "#F1"), _intents(table.labels, counts)),
        *_pairs(table.labels, counts),
        *_mistakes(table.predictions),
        "<h2>Settings</h2>",
        f"<pre>{escape(dump_run_config(config))}</pre>",
    ]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(run.name)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def _history(run: RunFolder) -> tuple[RunStarted | None, list[tuple[float, float]], list[Evaluated]]:
    """What the run began with, its (step, training loss), and its evaluations."""
    started: RunStarted | None = None
    curve: list[tuple[float, float]] = []
    evaluations: list[Evaluated] = []
    for event in still_standing(run.events()):
        if isinstance(event, RunStarted):
            started = event
        elif isinstance(event, StepsCompleted):
            curve += [(float(event.first_step + number), loss) for number, loss in enumerate(event.losses)]
        elif isinstance(event, Evaluated):
            evaluations.append(event)
    return started, curve, evaluations


def _about(run: RunFolder, config: RunConfig, started: RunStarted | None) -> str:
    made = time.strftime("%d %b %Y", time.localtime((run.path / "run.toml").stat().st_mtime))
    parts = [f"{METHOD_TITLES[config.method.kind]} of {base_name(config.model.base)}", config.dataset.source, made]
    if started is not None:
        parts += [f"{started.device}, {started.precision}", counted(started.train_rows, "training message")]
    return " · ".join(parts)


def _figures(
    run: RunFolder, table: PredictionTable, counts: NDArray[np.int64], evaluations: Sequence[Evaluated]
) -> Iterable[tuple[str, str, str]]:
    rows, hits = int(counts.sum()), int(np.trace(counts))
    low, high = wilson_interval(hits, rows)
    yield "Test accuracy", percent(accuracy(counts)), f"95 % interval {100 * low:.1f} to {percent(high)}; {hits:,} of {rows:,}"
    yield "Macro-F1", percent(macro_f1(counts)), f"over {counted(len(table.labels), 'intent')}"
    base = [event.accuracy for event in evaluations if event.split == "test" and event.step == 0]
    yield "Untrained base", percent(base[-1] if base else None), "the same messages by the same rule"
    left = float(table.left_set.mean()) if rows else None
    yield "Left the set", percent(left), "free greedy decoding would have written no label"
    outcome = run.outcome()
    if outcome is not None and isinstance(final := outcome.final, Finished):
        forecast = f"forecast {size(final.forecast_bytes)}" if final.forecast_bytes else ""
        yield "Peak memory while training", size(final.peak_bytes) if final.peak_bytes else UNKNOWN, forecast
        yield "Duration", duration(final.seconds), "the whole run"


def _intents(labels: Sequence[str], counts: NDArray[np.int64]) -> Iterable[tuple[str, ...]]:
    scores = label_scores(counts)
    for number, name in enumerate(labels):
        shares = (scores.recall[number], scores.precision[number], scores.f1[number])
        yield name, f"{int(counts[number].sum()):,}", *(percent(float(share)) for share in shares)


def _pairs(labels: Sequence[str], counts: NDArray[np.int64]) -> list[str]:
    rows = [
        (labels[pair.true], labels[pair.predicted], f"{pair.messages:,}", percent(pair.share)) for pair in confused_pairs(counts)
    ]
    return ["<h2>Confused pairs</h2>", _table(("True", "Predicted", "#Messages", "#Share"), rows)] if rows else []


def _mistakes(predictions: Sequence[Prediction]) -> list[str]:
    wrong = [row for row in predictions if row.predicted != row.label]
    rows = [(row.text, row.label or "", row.predicted, percent(row.probability)) for row in wrong[:_MOST_MISTAKES]]
    left_out = f"<p>The first {_MOST_MISTAKES:,} of {len(wrong):,}.</p>" if len(wrong) > _MOST_MISTAKES else ""
    columns = ("Message", "True", "Predicted", "#Probability")
    return ["<h2>Misclassified messages</h2>", left_out + _table(columns, rows)] if rows else []


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, head: bool = True) -> str:
    """A table of plain text. The name of a column of numbers begins with #."""
    kinds = [' class="number"' if name.startswith("#") else "" for name in columns]
    titles = "".join(f"<th{kind}>{escape(name.lstrip('#'))}</th>" for name, kind in zip(columns, kinds, strict=True))
    body = "\n".join(
        "<tr>" + "".join(f"<td{kind}>{escape(value)}</td>" for value, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table>\n{f"<tr>{titles}</tr>" if head else ""}\n{body}\n</table></div>'


def _matrix(labels: Sequence[str], counts: NDArray[np.int64]) -> str:
    """Rows are true intents; the colour grows with the square root of the count, so that single mistakes show."""
    greatest = max(1, int(counts.max(initial=0)))
    across = "".join(f'<th class="across">{escape(name)}</th>' for name in labels)
    lines = [f"<tr><th>true ↓ predicted →</th>{across}</tr>"]
    for row, name in enumerate(labels):
        cells = "".join(_cell(int(counts[row, column]), greatest, row == column) for column in range(len(labels)))
        lines.append(f'<tr><th class="down">{escape(name)}</th>{cells}</tr>')
    return '<div class="wide"><table class="matrix">\n' + "\n".join(lines) + "\n</table></div>"


def _cell(count: int, greatest: int, right: bool) -> str:
    if not count:
        return "<td></td>"
    colour = "42, 91, 215" if right else "179, 38, 30"
    return f'<td style="background: rgba({colour}, {0.15 + 0.45 * math.sqrt(count / greatest):.2f})">{count}</td>'


def _plot(training: Sequence[tuple[float, float]], validation: Sequence[tuple[float, float]]) -> str:
    """Training loss as a line, validation loss as dots, over steps; a drawing without script."""
    finite = [(step, loss) for step, loss in training if math.isfinite(loss)]
    dots = [(step, loss) for step, loss in validation if math.isfinite(loss)]
    if not finite:
        return "<p>No step was completed.</p>"
    finite = finite[:: math.ceil(len(finite) / _MOST_POINTS)]
    last = max(step for step, _loss in [*finite, *dots])
    top = max(loss for _step, loss in [*finite, *dots]) or 1.0

    def x(step: float) -> float:
        return _MARGIN + (_WIDTH - _MARGIN - 8) * step / last

    def y(loss: float) -> float:
        return 8 + (_HEIGHT - _MARGIN) * (1 - loss / top)

    line = " ".join(f"{x(step):.1f},{y(loss):.1f}" for step, loss in finite)
    marks = "".join(f'<circle cx="{x(step):.1f}" cy="{y(loss):.1f}" r="4" fill="var(--bad)"/>' for step, loss in dots)
    label = '<text x="{}" y="{}" font-size="12" fill="currentColor" text-anchor="{}">{}</text>'
    floor = y(0.0)
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" aria-label="Loss over steps">'
        f'<path d="M{_MARGIN} 8V{floor:.1f}H{_WIDTH - 8}" fill="none" stroke="var(--muted)"/>'
        f'<polyline points="{line}" fill="none" stroke="var(--accent)" stroke-width="1.5"/>{marks}'
        + label.format(_MARGIN - 6, 16, "end", f"{top:.2f}")
        + label.format(_MARGIN - 6, f"{floor:.0f}", "end", "0")
        + label.format(_WIDTH - 8, f"{floor + 18:.0f}", "end", f"step {last:.0f}")
        + "</svg><figcaption>Nats per graded token: training (line), validation (dots).</figcaption></figure>"
    )
