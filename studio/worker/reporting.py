"""The job that writes a run's report: of a long run it takes seconds, which the window does not have. Loads no torch."""

from __future__ import annotations

from pathlib import Path

from studio.core.answers import ReportWritten
from studio.core.commands import Command, WriteReport
from studio.core.files import save_file
from studio.core.report import report_html
from studio.core.runs import RunFolder
from studio.worker.channel import Channel


def write_report(command: Command, channel: Channel) -> None:
    """Answer with ``ReportWritten``. Raises StudioError when the run cannot be read or the file not be written."""
    assert isinstance(command, WriteReport)
    save_file(Path(command.out), report_html(RunFolder(Path(command.run))))
    channel.emit(ReportWritten(path=command.out))
