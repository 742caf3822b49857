"""Closing the window: what is at work is asked about, and a run is paused, to be resumed some other day."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QMainWindow

from studio.core.events import Event, StepsCompleted
from studio.core.resuming import resumable_checkpoints
from studio.core.runs import RunFolder
from studio.supervise.threads import SHUT_DOWN_SECONDS, TrainingSession
from studio.ui.widgets.questions import Work, end_work, may_pause
from studio.ui.widgets.window.notice import Notice


class Closing(QObject):
    """Decides whether ``window`` may close, and closes it once its run has saved what it learnt."""

    def __init__(self, window: QMainWindow, session: TrainingSession, work: Callable[[], Mapping[str, Work]]) -> None:
        """``work`` names what else may be at work: exports and evaluations."""
        super().__init__(window)
        self._window, self._session, self._work = window, session, work
        self.under_way = False
        """A run is being paused so that the window can close."""
        self.notice: Notice | None = None
        """Says so meanwhile."""
        self._learnt = False
        """The run in training has taken a step, now or before it was resumed, so there is something to go on from."""
        session.run_started.connect(self._begin)
        session.event_received.connect(self._hear)

    @property
    def working(self) -> bool:
        """Something is being exported or evaluated."""
        return any(work.working for work in self._work().values())

    def may_close(self) -> bool:
        """Whether nothing would be lost. While a run is paused for it, the window closes by itself later."""
        if not self._session.active:
            return self.end_work("close")
        if self.under_way or not may_pause(self._window, learnt=self._learnt) or not self.end_work("close"):
            return False
        if not self._session.active:  # it ended while the question stood
            return True
        self._pause_first()
        return False

    def end_work(self, then: str) -> bool:
        """Whether nothing, or nothing any more, is being exported or evaluated; ``then`` is what is to follow."""
        return end_work(self._window, self._work(), then)

    def _begin(self, run: RunFolder) -> None:
        self._learnt = bool(resumable_checkpoints(run))

    def _hear(self, event: Event) -> None:
        self._learnt |= isinstance(event, StepsCompleted)

    def _pause_first(self) -> None:
        self.under_way = True
        self._window.setWindowTitle(f"Finetune Studio: {'saving what was learnt' if self._learnt else 'ending the run'}…")
        for part in (self._window.centralWidget(), self._window.menuBar()):
            if part is not None:
                part.setEnabled(False)
        if (page := self._window.centralWidget()) is not None:
            # Beside what is disabled, not in it: it is to be read.
            self.notice = Notice(page, "closingNotice", "Why the window waits", self._window)
            if self._learnt:
                self.notice.show_notice(
                    "Saving what was learnt…",
                    "The run ends as soon as it can, and a checkpoint keeps what it learnt. Then the window closes by itself. "
                    "Resume on the Training page goes on from there.",
                )
            else:
                self.notice.show_notice("Ending the run…", "Nothing has been learnt yet. Then the window closes by itself.")
        self._session.pause()
        # A worker that is slower than this saves by itself after the window is gone.
        QTimer.singleShot(round(SHUT_DOWN_SECONDS * 1000), self, self._close_without_waiting)

    def _close_without_waiting(self) -> None:
        self._session.shut_down(0)
        self._window.close()
