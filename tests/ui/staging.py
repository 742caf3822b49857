"""What tests of pages share: workers that follow a script instead of training, and looks into the Setup page."""

from __future__ import annotations

import sys
from pathlib import Path

from PySide6.QtWidgets import QPushButton, QWidget
from pytestqt.qtbot import QtBot

from studio.core.commands import Command, InspectData
from studio.supervise.gauges import MemorySample
from studio.supervise.process import WorkerProcess
from studio.ui.pages.setup import SetupPage
from studio.ui.pages.training import TrainingPage
from tests.ui.conftest import FakeJobs
from tests.ui.sample_runs import GB

# Programs for ``the_worker_is``: see ``write_worker``.
STARTED = (
    "say('run_started', run='r', device='cpu', precision='fp32', trainable_parameters=1, total_parameters=2,"
    " forecast_bytes=2**30, total_steps=10, train_rows=1, validation_rows=1, test_rows=1, elapsed=1)\n"
    "say('steps_completed', first_step=1, losses=[1.0], seconds=[2.0], steps=10, epoch=0.1, learning_rate=1e-4,"
    " gradient_norm=1, tokens=9, memory_bytes=5, elapsed=2)\n"
)
TRAINS_TO_ITS_END = "sys.stdin.readline()\n" + STARTED + "say('finished', outcome='completed', rows=9, accuracy=0.5, elapsed=3)"
TRAINS_UNTIL_STOPPED = (
    "sys.stdin.readline()\n"
    + STARTED
    + (
        "asked = json.loads(sys.stdin.readline())\n"
        "say('finished', outcome='paused' if asked['command'] == 'pause' else 'stopped', elapsed=3)"
    )
)
FAILS = "sys.stdin.readline()\nsay('failed', kind='bad_input', message='No room.', remedy='Free some.', elapsed=1)"
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


def button(page: QWidget | None, name: str) -> QPushButton:
    """A button of a page, by its object name."""
    found = page.findChild(QPushButton, name) if page is not None else None
    assert found is not None
    return found


def training_page(qtbot: QtBot) -> TrainingPage:
    """A Training page that is in sight, with its plots."""
    page = TrainingPage()
    qtbot.addWidget(page)
    page.resize(824, 610)
    page.show()
    qtbot.waitUntil(lambda: page.plots is not None)
    return page


def ram(free_gib: float) -> MemorySample:
    total, free = 32 * GB, round(free_gib * GB)
    return MemorySample("RAM", total, GB, total - GB - free, free, total, total - free, 0)


def editor(page: SetupPage, path: str) -> QWidget:
    return page.settings.fields[path].editor


def reread(page: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> InspectData:
    """The one question about data that is now open."""
    qtbot.waitUntil(lambda: len(jobs.open(InspectData)) == 1)
    command = jobs.open(InspectData)[0].command
    assert isinstance(command, InspectData)
    assert page.dataset.reading
    return command
