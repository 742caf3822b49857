"""Training: how a run is doing while it works, and how it went afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal, SignalInstance
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QApplication, QBoxLayout, QHBoxLayout, QSplitter, QVBoxLayout, QWidget

from studio.core.events import Crashed, Failed
from studio.core.runs import RunState
from studio.core.starter import base_name
from studio.core.words import METHOD_TITLES
from studio.ui.models.open_run import OpenRun
from studio.ui.models.runs_model import STATE_WORDS
from studio.ui.overlays import Overlay
from studio.ui.plotting import with_plots
from studio.ui.theme import GRID, restyle
from studio.ui.widgets.basics import Badge, ErrorPanel, Tone, allow, button, named, primary_button
from studio.ui.widgets.frames import ElidedLabel, framed, split
from studio.ui.widgets.job_progress import JobProgress
from studio.ui.widgets.training.log_view import LogView
from studio.ui.widgets.training.retry_button import RetryButton
from studio.ui.widgets.training.run_facts import RunFacts
from studio.ui.widgets.window.run_page import RunPage
from studio.ui.words import plain_tooltip

if TYPE_CHECKING:
    from studio.ui.widgets.training.training_plots import TrainingPlots

_REDRAW_MS = 100
_READING_REDRAW_MS = 500
_PAUSE_TIP = "Finish this step, write a checkpoint, and give the memory back; Resume goes on from there"
_CHECKPOINT_TIP = "Write a checkpoint after this step and go on, so that nothing so far can be lost"
_STOP_TIP = "Finish this step, keep what was learnt, and predict the test messages with it"
_ELSEWHERE = "This run is trained by another program, such as the command line; {} it there."
_FINISHING = "The step in progress is finished first."
_TONES: dict[RunState, Tone] = {"completed": "good", "failed": "bad", "crashed": "bad", "interrupted": "warning"}


class TrainingPage(RunPage):
    """Header, plots and log of the open run. Redraws on a timer while it is in sight."""

    stop_requested = Signal()
    pause_requested = Signal()
    checkpoint_requested = Signal()
    resume_requested = Signal()
    retry_requested = Signal(object)
    """Emitted with the RunConfig that ``RetryButton`` offers."""
    results_requested = Signal()
    failed = Signal(object)
    """Emitted with a StudioError that has nothing to do with how the run ended."""

    def __init__(self) -> None:
        super().__init__("trainingPage")
        self._dirty = False
        self._problem_of: OpenRun | None = None
        self._overlays: list[Overlay] = []
        self._asked = ""
        self._checkpoints: int | None = None
        self._pressed: QWidget | None = None
        self.plots: TrainingPlots | None = None
        """The plots; made when the page is shown first."""
        self._timer = QTimer(self)
        self._timer.setInterval(_REDRAW_MS)
        self._timer.timeout.connect(self._tick)
        empty = (
            "No run is open",
            "Choose data, a model and a method, then train. Loss, scores and memory appear here while the model learns.",
            "trainingEmpty",
        )
        self.fill([empty], self._build())

    def show_run(self, run: OpenRun | None) -> None:
        """Show a run from its beginning, live or ended; None shows what to do next."""
        if self.run is not None:
            self.run.changed.disconnect(self._mark)
        if run is not None:
            run.changed.connect(self._mark)
        other = run is not self.run  # a run that is resumed is read anew, from the same folder
        if other:
            self._asked, self._checkpoints = "", None
        self._log.show_run(run)
        super().show_run(run)
        if other:
            self._compare()

    def show_overlays(self, overlays: list[Overlay]) -> None:
        """Lay the curves of these runs over those of the open one."""
        for overlay in self._overlays:
            overlay.run.changed.disconnect(self._mark)
        self._overlays = overlays
        for overlay in overlays:
            overlay.run.changed.connect(self._mark)
        self._compare()

    def refresh(self, another: bool = False) -> None:
        """Bring everything up to date now; the plots of another run show all of its steps."""
        self._dirty = False
        run = self.run
        self.show_state(0 if run is None else 1)
        if run is None:
            self._problem_of = None
            return
        if another:
            self._name.show_text(run.name)
            # The method gives way first when the buttons need the room.
            self._name.setMinimumWidth(min(self._name.sizeHint().width(), 24 * GRID))
            self._method.show_text(f"{METHOD_TITLES[run.config.method.kind]} of {base_name(run.config.model.base)}")
        self._show_header(run)
        self._show_stage(run)
        self._show_problem(run)
        self._log.catch_up()
        if self.plots is not None and self.isVisible() and self.plots.run is run:
            self.plots.draw()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        super().showEvent(event)
        self._timer.start()
        if self.plots is None:
            with_plots(self, self._take_plots)
        self.refresh()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        super().hideEvent(event)
        self._timer.stop()

    def _build(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.setSpacing(GRID + GRID // 2)
        column.addLayout(self._build_header())
        self._facts = RunFacts()
        column.addWidget(self._facts)
        self._progress = JobProgress("training", "the run", QBoxLayout.Direction.LeftToRight)
        self._progress.bar.setFixedHeight(GRID)
        column.addWidget(self._progress)
        self._problem = ErrorPanel("trainingError", closable=False)
        self._retry = RetryButton()
        self._retry.wanted.connect(self.retry_requested)
        self._problem.add_action(self._retry)
        column.addWidget(self._problem)
        column.addWidget(self._build_body(), 1)
        return page

    def _build_header(self) -> QHBoxLayout:
        self._name = named(ElidedLabel("title"), "trainingName", "Run")
        self._badge = named(Badge(), "trainingState", "State of the run", "How the run stands")
        self._method = named(ElidedLabel("muted"), "trainingMethod", "Method and base model")
        self._checkpoint = button("Checkpoint now", "checkpointButton", _CHECKPOINT_TIP, self._ask_checkpoint)
        self._pause = button("Pause", "pauseButton", _PAUSE_TIP, lambda: self._ask("Pausing…", self.pause_requested))
        self._stop = button("Stop and keep", "stopButton", _STOP_TIP, lambda: self._ask("Stopping…", self.stop_requested))
        self._resume = primary_button("Resume", "resumeButton", "Go on with this run from its newest checkpoint")
        self._resume.clicked.connect(self.resume_requested)
        self._results = primary_button("See results", "resultsButton", "Show what the model gets right and wrong")
        self._results.clicked.connect(self.results_requested)
        row = QHBoxLayout()
        row.setSpacing(GRID + GRID // 2)
        row.addWidget(self._name)
        row.addWidget(self._badge)
        row.addWidget(self._method)
        row.addStretch(1)
        for control in self._controls():
            control.hide()  # never all at once, which would ask for more room than a small window has
            row.addWidget(control)
        return row

    def _build_body(self) -> QSplitter:
        self._log = LogView()
        self._log.failed.connect(self.failed)
        self._right = split(Qt.Orientation.Vertical, "logSplit", framed(self._log))
        self._body = split(Qt.Orientation.Horizontal, "trainingSplit", self._right)
        return self._body

    def _take_plots(self, plots: TrainingPlots) -> None:
        if self.plots is not None:
            return
        self.plots = plots
        self.plots.changed.connect(self._mark)
        self.plots.setMinimumWidth(32 * GRID)
        self._body.insertWidget(0, self.plots)
        self._body.setStretchFactor(0, 3)
        self._body.setStretchFactor(1, 2)
        self._body.setSizes([570, 430])
        self._right.insertWidget(0, framed(self.plots.details))
        self._right.setSizes([230, 270])
        QTimer.singleShot(1, self, self._draw_first)  # making them took long enough; 0 would not wait for what is due

    def _draw_first(self) -> None:
        self._compare()
        self.refresh()

    def _compare(self) -> None:
        """Draw the open run in front of the others, anew."""
        if self.plots is not None:
            opened = self.run.folder.path if self.run is not None else None
            self.plots.show_run(self.run)
            self.plots.show_compared([overlay for overlay in self._overlays if overlay.run.folder.path != opened])

    def _mark(self) -> None:
        self._dirty = True

    def _tick(self) -> None:
        # A long history that is being read needs the time for itself.
        self._timer.setInterval(_READING_REDRAW_MS if self.run is not None and self.run.reading else _REDRAW_MS)
        if self._dirty:
            self.refresh()
        elif self.run is not None and self.run.active:
            self._facts.show_elapsed(self.run)

    def _ask(self, answer: str, wish: SignalInstance) -> None:
        """Ask for the end of the run, once; ``answer`` is what its button says until then."""
        if self.run is not None and self.run.ours and not self._asked:
            self._asked = answer
            self._show_controls(self.run)
            wish.emit()

    def _ask_checkpoint(self) -> None:
        if self.run is not None and self.run.ours:
            self._checkpoints = self.run.checkpoints
            self._show_controls(self.run)
            self.checkpoint_requested.emit()

    def _show_header(self, run: OpenRun) -> None:
        state, tone = STATE_WORDS[run.state], _TONES.get(run.state, "neutral")
        if run.state == "new" and run.active:
            state = "starting"
        elif run.state == "paused":
            state = f"paused at step {run.step:,}"
        elif run.state == "stopped" and run.folder.checkpoint() is not None:
            state = "stopped, kept"
        self._badge.show_state(state, tone)
        self._show_controls(run)
        self._results.setVisible(not run.active and run.folder.predictions_path.exists())
        self._facts.show_run(run)

    def _show_controls(self, run: OpenRun) -> None:
        """What can be asked of a run at work, or of one that can go on."""
        pressed = QApplication.focusWidget()
        busy = _FINISHING if self._asked else ""
        for control, text, asked in ((self._pause, "Pause", "Pausing…"), (self._stop, "Stop and keep", "Stopping…")):
            control.setVisible(run.active)
            control.setText(asked if self._asked == asked else text)
            allow(control, busy if run.ours else _ELSEWHERE.format(text.split()[0].lower()))
        self._checkpoint.setVisible(run.active and run.ours)
        writing = self._checkpoints == run.checkpoints
        self._checkpoint.setText("Writing…" if writing else "Checkpoint now")
        allow(self._checkpoint, busy or (_FINISHING if writing else "" if run.step else "No step has been taken yet."))
        step = run.resumable_step
        self._resume.setVisible(step is not None)
        if step is not None:
            restyle(self._resume, "kind", "" if run.folder.predictions_path.exists() else "primary")
            self._resume.setToolTip(plain_tooltip(f"Go on with this run after step {step:,}, its newest checkpoint"))
        self._keep_keyboard(run, pressed)

    def _keep_keyboard(self, run: OpenRun, pressed: QWidget | None) -> None:
        """A button that goes out hands the keyboard to what undoes it, not to its neighbour, which the next Space would press.

        Until there is such a button, or until it can be pressed again itself, the keyboard waits in the log.
        """
        if pressed in (*self._controls(), self._retry):
            self._pressed = pressed
        elif not self._log.lines.hasFocus():
            self._pressed = None
        if self._pressed is None:
            return
        if run.active:
            heir = self._pause if self._pressed in (self._resume, self._retry) else self._pressed
        else:
            heir = self._resume if self._resume.isVisible() else self._results
        (heir if heir.isVisible() and heir.isEnabled() else self._log.lines).setFocus()

    def _controls(self) -> tuple[QWidget, ...]:
        return (self._checkpoint, self._pause, self._stop, self._resume, self._results)

    def _show_stage(self, run: OpenRun) -> None:
        self._progress.setVisible(run.active)
        if run.stage is not None:
            self._progress.hear(run.stage)
        elif run.total_steps and run.step:
            self._progress.show_stage("training", run.step, run.total_steps)
        else:
            self._progress.show_stage("starting")

    def _show_problem(self, run: OpenRun) -> None:
        """Each problem is shown once, so that details which were unfolded stay so."""
        shown = run if isinstance(run.final, Failed | Crashed) or run.state == "interrupted" else None
        if shown is self._problem_of:
            return
        self._problem_of = shown
        self._retry.show_run(run)
        if isinstance(run.final, Failed | Crashed):
            self._problem.show_problem(run.final)
        elif shown is not None:
            again = "Train again with the same settings; what is in the run folder stays as it is."
            step = run.resumable_step
            self._problem.show_error(
                "This run ended unexpectedly: the computer was switched off, or the app was closed by force.",
                again if step is None else f"Press Resume; it goes on after step {step:,}.",
            )
        else:
            self._problem.clear()
