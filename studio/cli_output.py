"""How the command line shows things: progress, scores, tables, JSON. Text that comes from data is never markup."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from studio.cli_progress import TerminalProgress, start_progress
from studio.core.answers import Exported, Forecasted, Prediction
from studio.core.events import Crashed, Event, Failed, Finished, LogLine
from studio.core.fit import verdict
from studio.core.model_description import ModelDescription
from studio.core.predictions import PredictionTable
from studio.core.runs import RunFolder, RunSummary
from studio.core.starter import base_name
from studio.core.words import CRASHED, MEMORY_PARTS, percent, short_count, short_number, size, spoken_duration
from studio.doctor import Check

PROGRAM = "finetune-studio"
DONE, FAILED, INTERRUPTED = 0, 1, 130
# Beyond this a matrix does not fit a terminal, and its few mistakes are easier to find as a list.
_MATRIX_LABELS = 20
_LISTED_PAIRS = 20
_LOG_LINES = 8
_WORST = 5


def plain(text: str) -> str:
    """Text from data without control characters, which could move the cursor or rename the terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


class Output:
    """Results on stdout, problems on stderr.

    With ``json``, stdout holds JSON and nothing else: one document, or with ``streaming`` one event a line.
    """

    def __init__(self, as_json: bool, streaming: bool = False) -> None:
        self.json = as_json
        self._streaming = streaming
        self._out = Console(highlight=False, markup=False, emoji=False)
        self._problems = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._progress: TerminalProgress | None = None
        self._last_event: Event | None = None
        self._warnings: set[str] = set()

    def say(self, text: str = "") -> None:
        if not self.json:
            self._out.print(text, soft_wrap=True)

    def table(self, listing: Table | str) -> None:
        if not self.json:
            self._out.print(listing)

    def warn(self, text: str) -> None:
        self._warnings.add(text)
        self._problems.print(f"Warning: {plain(text)}", style="yellow")

    def fail(self, problem: Event, log: Path | None = None) -> None:
        """Tell why a command failed and what to do. ``problem`` is a Failed or a Crashed."""
        if self.json and not self._streaming:
            self.document(to_json(problem))
        elif self.json and problem != self._last_event:
            self.event(problem)
        if isinstance(problem, Failed):
            self._problems.print(plain(problem.message), style="red")
            if problem.kind == "bug" and not self.json:
                for line in problem.detail.splitlines():
                    self._problems.print(plain(line))
            self._problems.print(plain(problem.remedy))
        elif isinstance(problem, Crashed):
            how = problem.signal or f"exit code {problem.exit_code}"
            self._problems.print(f"{CRASHED} ({how}). {problem.likely_cause}", style="red")
            self._problems.print(problem.remedy)
            for line in problem.log_tail.splitlines()[-_LOG_LINES:]:
                self._problems.print(f"  {plain(line)}")
        else:
            self._problems.print("The process ended without an answer.", style="red")
        if log is not None and log.exists():
            self._problems.print(f"Log: {log}")

    def document(self, content: object) -> None:
        """One JSON document."""
        print(json.dumps(content, indent=1, allow_nan=False))

    def line(self, content: object) -> None:
        """One JSON document of several, on a line of its own."""
        print(json.dumps(content, allow_nan=False), flush=True)

    def write(self, text: str) -> None:
        """A piece of text that a model writes, as it comes; its line breaks are kept."""
        print("\n".join(map(plain, text.replace("\t", "    ").split("\n"))), end="", flush=True)

    def event(self, event: Event) -> None:
        """A training event: a line of JSON, or progress."""
        if self.json:
            self._last_event = event
            print(event.model_dump_json(), flush=True)
        else:
            self.progress(event)

    def progress(self, event: Event) -> None:
        """Show what an event says of the way; needs ``live()`` around it."""
        known = isinstance(event, LogLine) and event.text in self._warnings  # the worker has the same warnings for the record
        if self._progress is not None and not known:
            self._progress.show(event)

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        """While a worker is at work: a progress bar on a terminal, lines elsewhere, nothing with JSON."""
        if self.json:
            yield
            return
        with start_progress(self._out) as self._progress:
            yield
        self._progress = None

    def training(self, run: RunFolder, finished: Finished, table: PredictionTable | None) -> None:
        """What a training run ended with."""
        if finished.outcome == "completed":
            how = "Trained in"
        elif finished.outcome == "paused":
            how = "Paused; what was learnt is kept, and `resume` goes on with it. It took"
        elif run.checkpoint() is not None:
            how = "Stopped early; what was learnt is kept. It took"
        else:
            how = "Stopped before anything was learnt. It took"
        self.say(f"\n{how} {spoken_duration(finished.seconds)}.")
        if finished.outcome != "paused":
            self.scores(finished, table)
        if finished.base_accuracy is not None:
            self.say(f"Untrained base: accuracy {percent(finished.base_accuracy)}")
        if finished.peak_bytes:
            self.say(f"Memory: peak {size(finished.peak_bytes)}, forecast {size(finished.forecast_bytes)}")
        self.say(f"Run folder: {run.path}")
        if table is not None:
            self.say(f"Confusion matrix: {run.path / 'confusion.csv'}")

    def downloaded(self, model: ModelDescription) -> None:
        """A hub model that is on this computer now, and how a run file names it."""
        facts = f"{short_count(model.parameters)} parameters, {size(model.disk_bytes)}, licence: {model.licence}"
        self.say(plain(f"{model.architecture}, {facts}"))
        self.say(f'In a run file:\n[model]\nbase = "{plain(model.base)}"\nrevision = "{model.revision}"')

    def scores(self, finished: Finished, table: PredictionTable | None) -> None:
        """The mistakes and the numbers of a predicted split; says so when none was predicted."""
        if not finished.rows:
            self.say("No messages were predicted.")
            return
        if table is not None:
            self.confusion(table)
        interval = f"95 % interval {percent(finished.accuracy_low)} to {percent(finished.accuracy_high)}"
        self.say(f"Accuracy: {percent(finished.accuracy)} of {finished.rows} messages ({interval})")
        self.say(f"Macro-F1: {finished.macro_f1:.3f}")
        self.say(f"Free greedy decoding left the label set on {percent(finished.outside_rate)} of the messages.")

    def confusion(self, table: PredictionTable) -> None:
        """The matrix when it fits a terminal, else the intents that were mistaken for one another."""
        counts = table.confusion()
        used = [index for index in range(len(table.labels)) if counts[index].any() or counts[:, index].any()]
        if len(used) <= _MATRIX_LABELS:
            grid = Table("", "true intent", *(str(column + 1) for column in range(len(used))), box=None, title="Predicted as")
            for row, true in enumerate(used):
                cells = [_count(int(counts[true, predicted]), true == predicted) for predicted in used]
                grid.add_row(str(row + 1), Text(plain(table.labels[true])), *cells)
            self._out.print(grid)
            return
        pairs = [
            (int(counts[true, predicted]), table.labels[true], table.labels[predicted], int(counts[true].sum()))
            for true in used
            for predicted in used
            if true != predicted and counts[true, predicted]
        ]
        pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
        listing = Table("times", "true intent", "predicted as", "of", box=None, title="Most confused intents")
        for times, label, mistaken, total in pairs[:_LISTED_PAIRS]:
            listing.add_row(str(times), Text(plain(label)), Text(plain(mistaken)), str(total))
        self._out.print(listing if pairs else "No mistakes.")
        if len(pairs) > _LISTED_PAIRS:
            self.say(f"and {len(pairs) - _LISTED_PAIRS} more pairs")

    def predictions(self, predictions: Sequence[Prediction]) -> None:
        listing = Table("message", "intent", "probability", "next best", box=None)
        for row in predictions:
            others = ", ".join(f"{plain(entry.label)} {percent(entry.probability)}" for entry in row.top[1:3])
            listing.add_row(Text(plain(row.text)), Text(plain(row.predicted)), percent(row.probability), Text(others))
        self._out.print(listing)

    def exported(self, exported: Exported) -> None:
        self.say(f"Export: {exported.folder} ({size(sum(exported.files.values()))})")
        compared = f"{exported.agreeing} of {exported.compared} messages predicted alike, largest difference"
        result = "Verified in a clean process" if exported.verified else "NOT verified: a clean process predicts otherwise"
        rounding = f"(up to {short_number(exported.tolerance)} is rounding)"
        self.say(f"{result}: {compared} {short_number(exported.largest_difference)} {rounding}")
        if not exported.verified:
            for row in exported.messages[:_WORST]:
                ours = f"run {row.run_predicted} {percent(row.run_probability)}"
                theirs = f"export {row.export_predicted} {percent(row.export_probability)}"
                self.say(plain(f"  {ours}, {theirs}: {' '.join(row.text.split())}"))

    def forecast(self, answer: Forecasted) -> None:
        for problem in answer.problems:
            self.warn(problem.sentence)
        listing = Table("memory", "size", box=None)
        listing.columns[1].justify = "right"
        for part, part_size in answer.forecast.parts.items():
            listing.add_row(MEMORY_PARTS[part], size(part_size))
        listing.add_row("expected peak", size(answer.forecast.total), style="bold")
        self._out.print(listing)
        self.say(f"{answer.device}: {size(answer.available_bytes)} available")
        self.say(f"Verdict: {verdict(answer.forecast.total, answer.available_bytes)}")
        self.say(answer.fit.sentence)
        trainable, disk = answer.forecast.trainable_parameters, size(answer.forecast.output_bytes)
        self.say(f"Trains {trainable:,} parameters; the result takes {disk} on disk.")

    def runs(self, summaries: Sequence[RunSummary]) -> None:
        if self.json:
            self.document([{**vars(summary), "path": str(summary.path), "notes": to_json(summary.notes)} for summary in summaries])
            return
        if not summaries:
            self.say(f"No runs yet. Start one with `{PROGRAM} train sample`.")
            return
        listing = Table(box=None, pad_edge=False)
        listing.add_column("run", no_wrap=True, min_width=max(len(run.name) for run in summaries))  # to be typed again
        for title in ("state", "accuracy", "method"):
            listing.add_column(title, no_wrap=True)
        for title in ("base", "data"):
            listing.add_column(title, overflow="fold")
        listing.add_column("started", no_wrap=True)
        for run in summaries:
            accuracy = "" if run.accuracy is None else percent(run.accuracy)
            started = datetime.fromtimestamp(run.created).strftime("%Y-%m-%d %H:%M")
            data = Text(plain(Path(run.source).name))
            listing.add_row(Text(plain(run.name)), run.state, accuracy, run.method, Text(plain(base_name(run.base))), data, started)
        self._out.print(listing)

    def checks(self, checks: Iterable[Check]) -> list[Check]:
        """Show each finding as soon as it is made, and return them all."""
        styles = {"ok": "green", "warning": "yellow", "wrong": "red"}
        made = []
        for check in checks:
            made.append(check)
            if self.json:
                continue
            self._out.print(Text.assemble((f"{check.state:<8}", styles[check.state]), plain(check.what)), soft_wrap=True)
            if check.remedy:
                self.say(f"{'':<8}{check.remedy}")
        if self.json:
            self.document([vars(check) for check in made])
        return made

    def next_commands(self, commands: Sequence[str]) -> None:
        self.say("\nNext:")
        for command in commands:
            self.say(f"  {command}")


def to_json(model: BaseModel) -> dict[str, Any]:
    """Plain JSON values; NaN becomes a string, as on the wire."""
    content: dict[str, Any] = json.loads(model.model_dump_json())
    return content


def _count(count: int, right: bool) -> Text:
    if not count:
        return Text("·", style="dim")
    return Text(str(count), style="green" if right else "red")
