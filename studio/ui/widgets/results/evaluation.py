"""Predicts the test messages of a run, or a labelled file of one's own, in a worker: its progress, and what went wrong."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QVBoxLayout, QWidget

from studio.core.commands import Evaluate
from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed, Finished, LogLine
from studio.core.predictions import name_for
from studio.core.runs import Home, RunFolder
from studio.supervise.jobs import Job, run_job
from studio.ui.theme import GRID
from studio.ui.widgets.basics import ErrorPanel, button
from studio.ui.widgets.job_progress import JobProgress


class Evaluation(QWidget):
    """Hidden while nothing is evaluated and nothing went wrong."""

    changed = Signal()
    """It has begun or ended."""
    evaluated = Signal(str)
    """The predictions are written. Emitted with the name of the labelled file, empty for the test messages."""
    event_received = Signal(object)
    """Each Event of the worker."""
    worker_ended = Signal()

    def __init__(self, home: Home) -> None:
        super().__init__()
        self._home = home
        self._run: RunFolder | None = None
        self._job: Job | None = None
        self._file = ""
        self.warnings: dict[str, str] = {}
        """What was told of each labelled file of this run, such as rows that were left out."""
        self._pressed: QWidget | None = None
        """The button whose keyboard Cancel has."""
        self._problem = ErrorPanel("evaluateError")
        self._problem.cleared.connect(self._look)
        self._progress = JobProgress("evaluate", "the evaluation", QBoxLayout.Direction.LeftToRight)
        self._cancel = button("Cancel", "evaluateCancel", "End the evaluation; the run stays as it is", self.cancel)
        row = QHBoxLayout()
        row.setSpacing(2 * GRID)
        row.addWidget(self._progress, 1)
        row.addWidget(self._cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 0)
        column.addWidget(self._problem)
        column.addLayout(row)
        self._look()

    @property
    def working(self) -> bool:
        return self._job is not None

    def show_run(self, run: RunFolder | None) -> None:
        """Evaluate this run from now on. An evaluation of another one is cancelled."""
        if run != self._run:
            self.cancel()
            self._problem.clear()
            self.warnings.clear()
        self._run = run

    def evaluate(self, file: Path | None = None) -> None:
        """Predict the test messages, or a labelled file."""
        if self._run is None or self._job is not None:
            return
        self._problem.clear()
        run, home = str(self._run.path), str(self._home.path)
        command, self._file = Evaluate(run=run, home=home), ""
        if file is not None:
            self._file = name_for(self._run, file)
            command = Evaluate(run=run, home=home, data=str(file), out=str(self._run.predictions_of(self._file)))
        self.warnings.pop(self._file, None)
        try:
            self._job = run_job(self, command, self._succeed, self._fail, self._hear)
        except StudioError as error:
            self._tell(error)
            return
        self._progress.start()
        self._look()

    def cancel(self) -> None:
        """End an evaluation that is at work."""
        if self._job is not None:
            self._job.cancel()
            self._end()

    def _look(self) -> None:
        """Show how it stands. The button that was pressed goes out meanwhile: Cancel gets its keyboard, and gives it back."""
        # The window's, not the application's: a dialog that asked for a file may be about to go.
        keyboard = self.window().focusWidget()
        if self.working:
            self._show_parts()
            self.changed.emit()
            if keyboard is not None and not keyboard.isEnabled():
                self._pressed = keyboard
                self._cancel.setFocus()
            return
        self.changed.emit()
        if keyboard is self._cancel and self._pressed is not None and self._pressed.isVisible():
            self._pressed.setFocus()
        self._pressed = None
        self._show_parts()

    def _show_parts(self) -> None:
        self._progress.setVisible(self.working)
        self._cancel.setVisible(self.working)
        self.setVisible(self.working or not self._problem.isHidden())

    def _tell(self, problem: StudioError | Failed | Crashed) -> None:
        self._problem.show_problem(problem)
        self._look()

    def _hear(self, event: Event) -> None:
        self.event_received.emit(event)
        self._progress.hear(event)
        if isinstance(event, LogLine) and event.level == "warning":
            self.warnings[self._file] = f"{self.warnings.get(self._file, '')} {event.text}".strip()

    def _succeed(self, answer: Event) -> None:
        self._end()
        try:
            if isinstance(answer, Finished) and self._run is not None and not self._file:
                self._run.record_scores(answer)
        except StudioError as error:
            self._tell(error)
        self.evaluated.emit(self._file)

    def _fail(self, problem: Event) -> None:
        self._end()
        if isinstance(problem, Failed | Crashed):
            self._tell(problem)

    def _end(self) -> None:
        self._job = None
        self._look()
        self.worker_ended.emit()
