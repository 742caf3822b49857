"""For a run that kept what it learnt but never predicted its test messages: one button that does so."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QVBoxLayout, QWidget

from studio.core.commands import Evaluate
from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed, Finished
from studio.core.runs import Home, RunFolder
from studio.supervise.jobs import Job, run_job
from studio.ui.theme import GRID
from studio.ui.widgets.basics import ErrorPanel, allow, button
from studio.ui.widgets.empty_state import EmptyState
from studio.ui.widgets.job_progress import JobProgress


class EvaluateNow(QWidget):
    """Predicts the test messages of one run in a worker of its own."""

    evaluated = Signal()
    """The predictions are written and the scores recorded."""
    event_received = Signal(object)
    """Each Event of the worker."""
    worker_ended = Signal()

    def __init__(self, home: Home) -> None:
        super().__init__()
        self._home = home
        self._run: RunFolder | None = None
        self._job: Job | None = None
        self._problem = ErrorPanel("evaluateError")
        self._empty = EmptyState(
            "Not evaluated yet",
            "This run kept what it learnt, but ended before its test messages were predicted.",
            "Evaluate now",
            "resultsEvaluate",
        )
        self._empty.activated.connect(self.evaluate)
        self._progress = JobProgress("evaluate", "the evaluation", QBoxLayout.Direction.LeftToRight)
        self._cancel = button("Cancel", "evaluateCancel", "End the evaluation; the run stays as it is", self.cancel)
        row = QHBoxLayout()
        row.setSpacing(2 * GRID)
        row.addWidget(self._progress, 1)
        row.addWidget(self._cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.addWidget(self._problem)
        column.addWidget(self._empty, 1)
        column.addLayout(row)
        self._look()

    @property
    def working(self) -> bool:
        return self._job is not None

    def show_run(self, run: RunFolder | None) -> None:
        """Offer to evaluate this run. An evaluation of another one is cancelled."""
        if run != self._run:
            self.cancel()
            self._problem.clear()
        self._run = run

    def evaluate(self) -> None:
        """Predict the test messages."""
        if self._run is None or self._job is not None:
            return
        self._problem.clear()
        command = Evaluate(run=str(self._run.path), home=str(self._home.path))
        try:
            self._job = run_job(self, command, self._succeed, self._fail, self._hear)
        except StudioError as error:
            self._problem.show_problem(error)
            return
        self._progress.start()
        self._look()

    def cancel(self) -> None:
        """End an evaluation that is at work."""
        if self._job is not None:
            self._job.cancel()
            self._end()

    def _look(self) -> None:
        self._progress.setVisible(self.working)
        self._cancel.setVisible(self.working)
        allow(self._empty.button, "The test messages are being predicted." if self.working else "")

    def _hear(self, event: Event) -> None:
        self.event_received.emit(event)
        self._progress.hear(event)

    def _succeed(self, answer: Event) -> None:
        self._end()
        try:
            if isinstance(answer, Finished) and self._run is not None:
                self._run.record_scores(answer)
        except StudioError as error:
            self._problem.show_problem(error)
        self.evaluated.emit()

    def _fail(self, problem: Event) -> None:
        self._end()
        if isinstance(problem, Failed | Crashed):
            self._problem.show_problem(problem)

    def _end(self) -> None:
        self._job = None
        self._look()
        self.worker_ended.emit()
