"""The job that puts runs side by side. Loads no torch, so that it answers at once."""

from __future__ import annotations

from pathlib import Path

from studio.core.answers import RunsCompared
from studio.core.commands import Command, CompareRuns
from studio.core.compare_runs import compare_runs
from studio.core.events import StageChanged
from studio.core.runs import RunFolder
from studio.worker.channel import Channel


def compare(command: Command, channel: Channel) -> None:
    """Answer with ``RunsCompared``. Raises StudioError when a run cannot be read."""
    assert isinstance(command, CompareRuns)
    channel.emit(StageChanged(stage="reading the runs"))
    channel.emit(RunsCompared(comparison=compare_runs([RunFolder(Path(run)) for run in command.runs])))
