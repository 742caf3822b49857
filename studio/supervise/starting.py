"""Workers with a job to do: a training run from the start or resumed, or one short command."""

from __future__ import annotations

import contextlib
import shutil
from functools import partial

from studio.core.commands import Command, Evaluate, Export, LoadModel, Predict, Resume, Train
from studio.core.config import RunConfig
from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed, Finished
from studio.core.exports import export_folder, partial_folder
from studio.core.resuming import already_training, check_resumable
from studio.core.runs import Home, RunFolder
from studio.core.wire import encode
from studio.supervise.environment import computing_environment
from studio.supervise.process import WorkerProcess

_WITH_A_MODEL = (Evaluate, Predict, LoadModel, Export)


def start_training(home: Home, config: RunConfig) -> tuple[RunFolder, WorkerProcess]:
    """Make a run folder and start a worker that trains in it. Raises StudioError.

    The run's outcome.json is written here when the worker could not, or could not be started.
    """
    run = home.create_run(config)
    try:
        process = WorkerProcess(run.log_path, on_end=lambda final: _keep_outcome(run, final), environment=computing_environment())
    except StudioError as error:
        _keep_outcome(run, Failed(kind=error.kind, message=error.message, remedy=error.remedy, detail=error.detail))
        raise
    process.send(Train(run=str(run.path), home=str(home.path)))
    return run, process


def _clear_away(command: Export, _final: Event) -> None:
    """What a worker leaves half-written when it is killed. One that ends by itself, or is asked to, has taken it away."""
    shutil.rmtree(partial_folder(export_folder(command.folder)), ignore_errors=True)


def resume_training(home: Home, run: RunFolder, micro_batch: int | None = None) -> WorkerProcess:
    """Start a worker that goes on with a run from its newest checkpoint. Raises StudioError when there is nothing to go on from.

    ``micro_batch`` takes the place of the run's own from then on, which changes nothing that is learnt. What the worker finds
    wrong before it goes on, such as a base that has changed, leaves the run as it was.
    """
    check_resumable(run)
    if run.is_running():
        raise already_training(run)

    def keep_crash(final: Event) -> None:
        if isinstance(final, Crashed):
            _keep_outcome(run, final)

    process = WorkerProcess(run.log_path, on_end=keep_crash, environment=computing_environment())
    process.send(Resume(run=str(run.path), home=str(home.path), micro_batch=micro_batch))
    return process


def _keep_outcome(run: RunFolder, final: Event) -> None:
    if isinstance(final, Finished | Failed | Crashed) and run.outcome() is None:
        with contextlib.suppress(OSError):  # the disk is full: the list of runs shows it as interrupted
            run.write_outcome(final)


def start_job(command: Command) -> WorkerProcess:
    """A worker that was sent its one command; read its ``events()``. Raises StudioError."""
    encode(command)  # a command that cannot be sent is told before there is a process that waits for it
    process = WorkerProcess(
        on_end=partial(_clear_away, command) if isinstance(command, Export) else None,
        environment=computing_environment() if isinstance(command, _WITH_A_MODEL) else None,
    )
    process.send(command)
    return process
