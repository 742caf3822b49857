"""Workers that follow a script instead of training: real processes, the real wire, no model."""

from __future__ import annotations

import sys
from pathlib import Path

from studio.core.commands import Command
from studio.supervise.process import WorkerProcess

SCRIPT = Path(__file__).with_name("scripted_worker.py")


class Stage:
    """Which script the next worker follows; the commands that were given and the workers that were started."""

    def __init__(self, script: str) -> None:
        self.script = script
        self.commands: list[Command] = []
        self.started: list[WorkerProcess] = []

    def start(self, command: Command) -> WorkerProcess:
        """Stands in for ``start_job``."""
        process = WorkerProcess(command=[sys.executable, "-S", str(SCRIPT), self.script])
        process.send(command)
        self.commands.append(command)
        self.started.append(process)
        return process
