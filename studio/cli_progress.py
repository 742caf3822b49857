"""Progress of a worker: a bar with loss and remaining time on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from studio.core.answers import DownloadProgressed
from studio.core.events import Evaluated, Event, LogLine, ProtocolError, RunStarted, StageChanged, StepsCompleted
from studio.core.words import percent, sentence, size, spoken_duration

_LINE_SECONDS = 10.0
"""On a pipe, at most one line of progress in this time, but always the last step."""


class TerminalProgress:
    """Turns events into lines; the bar, where there is one, stays below them."""

    def __init__(self, console: Console, bar: Progress | None) -> None:
        self._console = console
        self._bar = bar
        self._task = bar.add_task("Starting", total=None, note="", bytes=False) if bar else None
        self._stage = ""
        self._said = -math.inf
        self._seconds: list[float] = []  # of every step so far

    def show(self, event: Event) -> None:
        match event:
            case StageChanged():
                self._show_stage(event)
            case RunStarted():
                share = event.trainable_parameters / max(1, event.total_parameters)
                self._say(
                    f"{event.device}, {event.precision}; training {event.trainable_parameters:,} of {event.total_parameters:,} "
                    f"parameters ({percent(share)}) on {event.train_rows} messages; memory forecast {size(event.forecast_bytes)}"
                )
            case StepsCompleted():
                self._show_steps(event)
            case DownloadProgressed():
                self._show_download(event)
            case Evaluated():
                model = f"step {event.step}" if event.step else "untrained base"
                self._say(
                    f"{event.split} ({model}): accuracy {percent(event.accuracy)}, macro-F1 {event.macro_f1:.3f}, "
                    f"loss {event.loss:.4f}, left the label set {percent(event.outside_rate)}"
                )
            case LogLine():
                self._say(event.text if event.level == "info" else f"{event.level}: {event.text}")
            case ProtocolError():
                self._say(f"warning: a line that could not be read came from the background process: {event.line}")

    def _show_stage(self, event: StageChanged) -> None:
        title = sentence(event.stage)
        if self._bar is None or self._task is None:
            if event.stage != self._stage:
                self._say(title)
        elif event.stage != self._stage:
            counted = event.unit == "bytes"
            self._bar.reset(self._task, description=title, total=event.total or None, completed=event.done, note="", bytes=counted)
        else:
            self._bar.update(self._task, total=event.total or None, completed=event.done)
        self._stage = event.stage

    def _show_steps(self, event: StepsCompleted) -> None:
        step = event.first_step + len(event.losses) - 1
        note = f"loss {event.losses[-1]:.4f}"
        self._seconds += event.seconds
        if self._bar is not None and self._task is not None:
            if self._stage != "training":
                self._bar.reset(self._task, description="Training", total=event.steps, completed=event.first_step - 1)
            self._bar.update(self._task, completed=step, note=note)
        elif step == event.steps or time.monotonic() - self._said >= _LINE_SECONDS:
            left = (event.steps - step) * sum(self._seconds) / max(1, len(self._seconds))
            self._say(f"step {step}/{event.steps}  epoch {event.epoch:.2f}  {note}  about {spoken_duration(left)} left")
        self._stage = "training"

    def _show_download(self, event: DownloadProgressed) -> None:
        note = f"{size(event.bytes_per_second)}/s" if event.bytes_per_second else ""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=event.total, completed=event.done, note=note, bytes=True)
        elif event.done == event.total or time.monotonic() - self._said >= _LINE_SECONDS:
            left = f", about {spoken_duration(event.seconds_left)} left" if event.seconds_left else ""
            self._say(f"{size(event.done)} of {size(event.total)}" + (f", {note}{left}" if note else ""))

    def _say(self, line: str) -> None:
        shown = "".join(character if character.isprintable() else " " for character in line)
        self._console.print(shown, soft_wrap=True)
        self._said = time.monotonic()


class _Amount(MofNCompleteColumn):
    """How many of how many: steps, rows, or the bytes of a download."""

    def render(self, task: Task) -> Text:
        if task.fields["bytes"]:
            return Text(f"{size(task.completed)} of {size(task.total or 0)}", style="progress.download")
        return super().render(task)


@contextlib.contextmanager
def start_progress(console: Console) -> Iterator[TerminalProgress]:
    """A bar on a terminal, lines elsewhere."""
    if not console.is_terminal:
        yield TerminalProgress(console, None)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        _Amount(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield TerminalProgress(console, bar)
