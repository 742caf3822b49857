"""A worker at work for the command line: its events shown, Ctrl-C heard, its last word told."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from studio.cli_output import DONE, FAILED, INTERRUPTED, Output
from studio.core.commands import Command
from studio.core.events import Event
from studio.supervise.process import WorkerProcess
from studio.supervise.starting import start_job

Answer = TypeVar("Answer", bound=Event)


def ask(command: Command, expected: type[Answer], output: Output) -> tuple[Answer | None, int]:
    """The answer of a short job, or None after its failure was told, and the exit code."""
    with output.live():
        final, code = listen(start_job(command), output, output.progress)
    if isinstance(final, expected):
        return final, code
    return None, tell_failure(final, code, output)


def tell_failure(final: Event, code: int, output: Output) -> int:
    """Say why a job failed; the exit code."""
    output.fail(final)
    return code or FAILED


def listen(
    process: WorkerProcess,
    output: Output,
    on_event: Callable[[Event], None],
    on_interrupt: Callable[[], None] | None = None,
    interrupted: str = "Pausing after this step, to keep what was learnt.",
) -> tuple[Event, int]:
    """Read a worker to its end: its last event, and DONE or INTERRUPTED. A second Ctrl-C ends it at once."""
    interruptions = 0

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        # Says nothing itself: it may have interrupted a print.
        nonlocal interruptions
        interruptions += 1
        if interruptions == 1 and on_interrupt is not None:
            on_interrupt()
        else:
            process.cancel()

    told = False
    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        for event in process.events():
            if interruptions and on_interrupt is not None and not told:
                output.warn(f"{interrupted} Press Ctrl-C again to end at once.")
                told = True
            on_event(event)
    finally:
        signal.signal(signal.SIGINT, previous)
        process.close()
    assert process.last_word is not None
    return process.last_word, INTERRUPTED if interruptions else DONE
