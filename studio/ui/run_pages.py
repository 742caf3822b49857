"""The pages about the open run: Training, Results, Chat and Export, and what leads from one to another.

They load plotting, which takes longer than the window itself: import this after the window shows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QObject, Signal

from studio.core.config import RunConfig
from studio.core.runs import Home
from studio.supervise.gauges import MemoryGauge
from studio.supervise.threads import TrainingSession
from studio.ui.current_runs import CurrentRuns
from studio.ui.models.open_run import OpenRun
from studio.ui.overlays import Overlays
from studio.ui.pages.chat import ChatPage
from studio.ui.pages.export import ExportPage
from studio.ui.pages.results import ResultsPage
from studio.ui.pages.training import TrainingPage
from studio.ui.plotting import load_plots
from studio.ui.widgets.questions import Work
from studio.ui.widgets.window.run_page import RunPage


class RunPages(QObject):
    """Shows ``runs.open`` on each page, and gives what is wished of its training to ``session``."""

    tab_requested = Signal(str)
    """Another page is to be seen."""
    retry_requested = Signal(object, object)
    """Emitted with a RunFolder and the RunConfig with which its training is to be tried again."""
    resume_requested = Signal(object)
    """Emitted with the RunFolder that is to be trained further."""
    evaluated = Signal()
    """The open run has other scores now."""
    failed = Signal(object)
    """Emitted with a StudioError that has nothing to do with how the run ended."""

    def __init__(
        self, home: Home, runs: CurrentRuns, session: TrainingSession, overlays: Overlays, gauge: MemoryGauge, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._runs = runs
        self.training, self.results = TrainingPage(), ResultsPage(home)
        self.chat, self.export = ChatPage(home), ExportPage(home)
        self.all: tuple[RunPage, ...] = (self.training, self.results, self.chat, self.export)
        """In the order of their tabs."""
        for page in self.all:
            page.setup_requested.connect(partial(self.tab_requested.emit, "Setup"))
            page.training_requested.connect(partial(self.tab_requested.emit, "Training"))
        self._show_run(runs.open)
        runs.shown.connect(self._show_run)
        self._connect_training(session, overlays)
        self.results.message_chosen.connect(self._ask_chat)
        self.results.evaluation.evaluated.connect(lambda _file: self.evaluated.emit())
        self.chat.show_training(session.active)
        session.run_started.connect(lambda _run: self.chat.show_training(True))
        session.run_ended.connect(lambda _run, _final: self.chat.show_training(False))
        gauge.follow("evaluation", self.results.evaluation.event_received, self.results.evaluation.worker_ended)
        gauge.follow("chat", self.chat.session.event_received, self.chat.session.unloaded)
        gauge.follow("export", self.export.event_received, self.export.worker_ended)
        load_plots()  # ready before they are wanted

    @property
    def work(self) -> dict[str, Work]:
        """What would be lost if another run was opened, or the window closed."""
        return {"export": self.export, "evaluation": self.results.evaluation}

    def _show_run(self, run: OpenRun | None) -> None:
        for page in self.all:
            page.show_run(run)

    def _connect_training(self, session: TrainingSession, overlays: Overlays) -> None:
        self.training.stop_requested.connect(partial(self._ask_live_run, session.stop))
        self.training.pause_requested.connect(partial(self._ask_live_run, session.pause))
        self.training.checkpoint_requested.connect(partial(self._ask_live_run, session.checkpoint))
        self.training.resume_requested.connect(self._resume)
        self.training.retry_requested.connect(self._retry)
        self.training.results_requested.connect(partial(self.tab_requested.emit, "Results"))
        self.training.failed.connect(self.failed)
        overlays.changed.connect(self.training.show_overlays)
        self.training.show_overlays(overlays.shown)

    def _ask_live_run(self, wish: Callable[[], None]) -> None:
        if self._runs.open_is_live:
            wish()

    def _resume(self) -> None:
        if self._runs.open is not None:
            self.resume_requested.emit(self._runs.open.folder)

    def _retry(self, config: RunConfig) -> None:
        if self._runs.open is not None:
            self.retry_requested.emit(self._runs.open.folder, config)

    def _ask_chat(self, text: str) -> None:
        self.tab_requested.emit("Chat")
        self.chat.ask(text)
