"""The window: tabs, the list of runs, the bottom bar, and what leads from one to the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from PySide6.QtCore import QEvent, QSettings, QTimer, SignalInstance
from PySide6.QtGui import QCloseEvent, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QApplication, QMainWindow

from studio.core.config import RunConfig
from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed, Finished
from studio.core.runs import Home, RunFolder
from studio.core.words import REPORT
from studio.supervise.gauges import MemoryGauge, MemorySample
from studio.supervise.threads import TrainingSession
from studio.ui.closing import Closing
from studio.ui.menus import Entry, add_themes, fill_menu_bar
from studio.ui.models.open_run import OpenRun
from studio.ui.opening import Opening
from studio.ui.overlays import Overlays
from studio.ui.pages.setup import SetupPage
from studio.ui.plotting import load_plots
from studio.ui.run_actions import Act, RunActions
from studio.ui.widgets.compare.compare_dialog import CompareDialog
from studio.ui.widgets.questions import Work
from studio.ui.widgets.setup.known_models import read_models, write_models
from studio.ui.widgets.window.about import AboutDialog
from studio.ui.widgets.window.bottom_bar import BottomBar
from studio.ui.widgets.window.run_page import RunPage
from studio.ui.widgets.window.runs_sidebar import RunsSidebar
from studio.ui.widgets.window.shell import Shell, restore_layout, save_layout
from studio.ui.widgets.window.shortcuts_dialog import ShortcutsDialog

if TYPE_CHECKING:
    from studio.ui.pages.chat import ChatPage
    from studio.ui.pages.export import ExportPage
    from studio.ui.pages.results import ResultsPage
    from studio.ui.pages.training import TrainingPage

Tab = Literal["Setup", "Training", "Results", "Chat", "Export"]
TABS: tuple[Tab, ...] = get_args(Tab)
_REFRESH_SECONDS = 60


class MainWindow(QMainWindow):
    """Holds the training session and the open run. The pages but Setup are made once the window has been painted."""

    def __init__(self, home: Home, settings: QSettings) -> None:
        super().__init__()
        self.setObjectName("mainWindow")
        self.setWindowTitle("Finetune Studio")
        self.setMinimumSize(1024, 700)
        self._home, self._settings = home, settings
        self._built = False
        self._live: OpenRun | None = None
        self.open_run: OpenRun | None = None
        """The run that the pages show."""
        self.training: TrainingPage | None = None
        self.results: ResultsPage | None = None
        self.chat: ChatPage | None = None
        self.export: ExportPage | None = None
        self.setup = SetupPage(home, settings)
        self.sidebar = RunsSidebar(home)
        self.bottom = BottomBar()
        self.session = TrainingSession(home, self)
        self.gauge = MemoryGauge(self)
        self._closing = Closing(self, self.session, self._work)
        self.actions_of_runs = RunActions(self, self.session)
        self.overlays = Overlays(self)
        self._shell = shell = Shell(TABS, self.sidebar, self.bottom)
        self.tabs, self.stack, self.splitter, self.error = shell.tabs, shell.stack, shell.splitter, shell.error
        self.stack.addWidget(self.setup)
        self.setCentralWidget(shell)
        self.setAcceptDrops(True)
        self.opening = Opening(self, shell, self.setup, shell.error)
        self.drops = self.opening.drops
        menus = fill_menu_bar(self.menuBar(), self._menus())
        self.theme_actions = add_themes(menus["&View"], settings)
        self._run_menu = menus["&Run"]
        self._run_menu.setEnabled(False)
        self._run_menu.aboutToShow.connect(self._offer_actions)
        self._connect()
        restore_layout(self, shell, settings)
        self.sidebar.refresh()
        last, self.setup.model.known.recent = read_models(str(settings.value("models", "")))
        self.setup.start(str(settings.value("source", "sample")), last)
        self.gauge.start()
        self.tabs.setFocus()

    # What leads where

    def show_tab(self, tab: Tab) -> None:
        self.tabs.setCurrentIndex(TABS.index(tab))

    def _enter_tab(self, tab: Tab) -> None:
        """Show a page, and let the keyboard go on in it: where it was there, else at its first control."""
        self.show_tab(tab)
        self._shell.enter_page()

    @property
    def current_tab(self) -> Tab:
        return TABS[self.tabs.currentIndex()]

    def new_run(self) -> None:
        """Set up another run."""
        self.sidebar.choose(None)
        self.show_tab("Setup")
        self.setup.begin()

    def show_fault(self, message: str, detail: str) -> None:
        """Show an error of the program itself."""
        self.error.show_error(message, f"You can go on. If it happens again: {REPORT}", detail)

    def open_folder(self, folder: RunFolder) -> None:
        """Open a run on its pages."""
        another = self.open_run is None or self.open_run.folder.path != folder.path
        if another and not self._closing.end_work("open the other run"):
            self.sidebar.choose(self.open_run.folder.path if self.open_run is not None else None)
            return
        self.error.clear()
        if self._live is not None and self._live.folder.path == folder.path:
            self._show_run(self._live)
        else:
            try:
                run = OpenRun(folder, self)
            except (StudioError, OSError) as error:
                self._tell_unreadable(folder, error)
                return
            run.ended.connect(self.sidebar.refresh)
            self._show_run(run)
        if self.current_tab == "Setup":
            has_results = self.open_run is not None and self.open_run.folder.predictions_path.exists()
            self.show_tab("Results" if has_results else "Training")

    def _tell_unreadable(self, folder: RunFolder, error: StudioError | OSError) -> None:
        """Say why a run cannot be opened; the list shows what is there, and marks the run that stays open."""
        name = folder.name
        if not folder.path.exists():
            self._tell_gone(folder)
        elif isinstance(error, StudioError):
            self.error.show_problem(error)
        else:
            self.error.show_error(f"The run {name} cannot be read: {error}.", "Check the permissions of its folder.")
        self.sidebar.refresh()
        self.sidebar.choose(self.open_run.folder.path if self.open_run is not None else None)

    def train(self, config: RunConfig) -> None:
        """Start a run, and remember with what for the next time."""
        if not self._start_worker(partial(self.session.start, config)):
            return
        self._settings.setValue("source", config.dataset.source)
        self.setup.model.known.remember(config.model)
        self._settings.setValue("models", write_models(config.model, self.setup.model.known.recent))

    def resume(self, folder: RunFolder) -> None:
        """Go on with a run that was paused, stopped or cut off."""
        self._start_worker(partial(self.session.resume, folder))

    def _start_worker(self, start: Callable[[], object]) -> bool:
        """Whether a worker trains now; what else holds memory gives it back first."""
        if not self._closing.end_work("train"):
            return False
        self.error.clear()
        if self.chat is not None:
            self.chat.unload()
        self.setup.prompt.tokens.release()
        try:
            start()
        except StudioError as error:
            self.error.show_problem(error)
            self.sidebar.refresh()
            return False
        return True

    def _run_started(self, folder: RunFolder) -> None:
        self.sidebar.model.running = folder.path
        self._live = OpenRun(folder, self, ours=True)
        self.sidebar.refresh()
        self._show_run(self._live)
        self.overlays.begin(folder)
        self.setup.show_running(folder.name)
        self.show_tab("Training")

    def _event_received(self, event: Event) -> None:
        self.gauge.watch(event, "training")
        self.overlays.hear(event)
        if self._live is not None:
            self._live.add(event)
            self.bottom.show_run(self._live)

    def _run_ended(self, folder: RunFolder, final: Event) -> None:
        live, self._live = self._live, None
        self.sidebar.model.running = None
        if live is not None:
            live.add(final)
        self.bottom.show_run(None)
        self.bottom.show_end(folder.name, final)
        QApplication.alert(self)
        self.sidebar.refresh()
        self.overlays.end(folder)
        self.setup.show_running(None)
        if live is not None and live is not self.open_run:
            live.deleteLater()
        if self._closing.under_way:
            self.close()
        elif isinstance(final, Failed | Crashed):
            if self.current_tab != "Training" or self.open_run is not live:
                self.error.show_problem(final)
        elif isinstance(final, Finished) and final.rows and self.open_run is live and self.current_tab not in ("Setup", "Chat"):
            # Somebody who is typing on Setup or Chat is not torn away.
            self.show_tab("Results")

    def _ask_live_run(self, wish: Callable[[], None]) -> None:
        if self.open_run is not None and self.open_run is self._live:
            wish()

    def _resume_open_run(self) -> None:
        if self.open_run is not None:
            self.resume(self.open_run.folder)

    def _offer_actions(self) -> None:
        if self.open_run is not None:
            self.actions_of_runs.offer(self._run_menu, self.open_run.folder)

    def _show_run(self, run: OpenRun | None) -> None:
        previous, self.open_run = self.open_run, run
        self._run_menu.setEnabled(run is not None)
        for page in self._run_pages():
            page.show_run(run)
        if previous is not None and previous is not run and previous is not self._live:
            previous.deleteLater()
        self.sidebar.choose(run.folder.path if run is not None else None)

    def _act_on_open_run(self, act: Act) -> None:
        if self.open_run is not None:
            act(self.open_run.folder)

    def _repeat(self, config: RunConfig) -> None:
        self.sidebar.choose(None)
        self.show_tab("Setup")
        self.setup.show_config(config)

    def _overlay(self, paths: list[Path | None]) -> None:
        """Show what is laid over, for which a run must be open."""
        self.overlays.show_runs(paths)
        self.sidebar.model.overlay(overlay.run.folder.path for overlay in self.overlays.shown)
        if self.overlays.shown and self.open_run is None:
            self.open_folder(self.overlays.shown[0].run.folder)
        if self.overlays.shown:
            self.show_tab("Training")

    def _compare(self, run: RunFolder) -> None:
        """Hold the runs that are laid over against one, or the newest other run."""
        runs = self.sidebar.model.runs()
        laid = [overlay.run.folder for overlay in self.overlays.shown if overlay.run.folder != run]
        others = laid or [folder for _name, folder in runs if folder != run][:1]
        CompareDialog(runs, [run, *others], self).show()

    def _forget(self, folder: RunFolder) -> None:
        if self.open_run is not None and self.open_run.folder.path == folder.path:
            self._show_run(None)
        self.sidebar.refresh()

    def _look_again(self) -> None:
        """Read the run folders again, and let go of the open one if it is gone."""
        self.sidebar.refresh()
        run = self.open_run
        if run is None or run is self._live or run.folder.path.is_dir():
            return
        if any(work is not None and work.working for work in self._work().values()):
            return
        self._forget(run.folder)
        self._tell_gone(run.folder)

    def _tell_gone(self, folder: RunFolder) -> None:
        self.error.show_error(
            f"The run {folder.name} is gone: its folder was moved or deleted.",
            f"It was {folder.path}. If it was moved, drop its new folder on the window to open it.",
        )

    def _run_pages(self) -> list[RunPage]:
        return [page for page in (self.training, self.results, self.chat, self.export) if page is not None]

    def _ask_chat(self, text: str) -> None:
        if self.chat is not None:
            self.show_tab("Chat")
            self.chat.ask(text)

    def _tell_chat(self, training: bool) -> None:
        if self.chat is not None:
            self.chat.show_training(training)

    def _sampled(self, sample: MemorySample) -> None:
        started = self._live.started if self._live is not None else None
        self.bottom.show_sample(sample, started.forecast_bytes if started is not None else 0)
        self.setup.show_machine(sample)

    # Building

    def _build_pages(self) -> None:
        """Make the other pages; they load plotting, which takes longer than the window itself."""
        if self._built:
            return
        self._built = True  # whatever comes of it: a fault in here is told once, not at each paint
        from studio.ui.pages.chat import ChatPage
        from studio.ui.pages.export import ExportPage
        from studio.ui.pages.results import ResultsPage
        from studio.ui.pages.training import TrainingPage

        self.training, self.results = TrainingPage(), ResultsPage(self._home)
        self.chat, self.export = ChatPage(self._home), ExportPage(self._home)
        for page in self._run_pages():
            self.stack.addWidget(page)
            page.setup_requested.connect(lambda: self.show_tab("Setup"))
            page.training_requested.connect(lambda: self.show_tab("Training"))
            page.show_run(self.open_run)
        self.stack.setCurrentIndex(self.tabs.currentIndex())
        self.overlays.changed.connect(self.training.show_overlays)
        self.training.show_overlays(self.overlays.shown)
        self.training.stop_requested.connect(partial(self._ask_live_run, self.session.stop))
        self.training.pause_requested.connect(partial(self._ask_live_run, self.session.pause))
        self.training.checkpoint_requested.connect(partial(self._ask_live_run, self.session.checkpoint))
        self.training.resume_requested.connect(self._resume_open_run)
        self.training.results_requested.connect(lambda: self.show_tab("Results"))
        self.training.failed.connect(self.error.show_problem)
        self.results.message_chosen.connect(self._ask_chat)
        self.opening.results = self.results
        self.chat.show_training(self.session.active)
        self.session.run_started.connect(lambda _run: self._tell_chat(True))
        self.session.run_ended.connect(lambda _run, _final: self._tell_chat(False))
        self.results.evaluation.evaluated.connect(lambda _file: self.sidebar.refresh())
        self._watch("evaluation", self.results.evaluation.event_received, self.results.evaluation.worker_ended)
        self._watch("chat", self.chat.session.event_received, self.chat.session.unloaded)
        self._watch("export", self.export.event_received, self.export.worker_ended)
        load_plots()  # ready before they are wanted

    def _menus(self) -> dict[str, list[Entry | None]]:
        return {
            "&File": [
                ("&New run", self.new_run, "Ctrl+N"),
                ("&Open data…", self.opening.browse_data, "Ctrl+O"),
                ("Open &settings…", self.opening.browse_settings, "Ctrl+Shift+O"),
                None,
                ("&Train", self._train_from_menu, "Ctrl+Return"),
                None,
                ("&Quit", self.close, "Ctrl+Q"),
            ],
            "&Run": [(text, partial(self._act_on_open_run, act), "") for text, act in self.actions_of_runs.entries],
            "&View": [(f"&{tab}", partial(self._enter_tab, tab), f"Ctrl+{number}") for number, tab in enumerate(TABS, 1)],
            "&Help": [
                ("&Help on this", self._shell.toggle_help, "F1"),
                ("&Glossary", partial(self._shell.show_help, "glossary"), ""),
                ("All &settings", partial(self._shell.show_help, "settings"), ""),
                ("&Keyboard shortcuts", lambda: ShortcutsDialog(self).open(), "Ctrl+/"),
                None,
                ("&About Finetune Studio", lambda: AboutDialog(self._home, self).open(), ""),
            ],
        }

    def _connect(self) -> None:
        self.tabs.currentChanged.connect(self._tab_changed)
        self.sidebar.run_chosen.connect(self.open_folder)
        self.sidebar.new_run_requested.connect(self.new_run)
        self.sidebar.overlays_changed.connect(self._overlay)
        self.overlays.failed.connect(self.error.show_problem)
        self.actions_of_runs.compare_requested.connect(self._compare)
        self.actions_of_runs.overlay_toggled.connect(lambda run: self.sidebar.toggle_overlay(run.path))
        self.sidebar.menu_requested.connect(self.actions_of_runs.show_menu)
        self.actions_of_runs.notes_changed.connect(self.sidebar.refresh)
        self.actions_of_runs.resume_requested.connect(self.resume)
        self.actions_of_runs.repeat_requested.connect(self._repeat)
        self.actions_of_runs.deleted.connect(self._forget)
        self.actions_of_runs.failed.connect(self.error.show_problem)
        self.setup.train_requested.connect(self.train)
        self.opening.setup_requested.connect(lambda: self.show_tab("Setup"))
        self.opening.new_run_requested.connect(self.new_run)
        self.opening.run_chosen.connect(self.open_folder)
        self._watch("model", self.setup.model.event_received)
        self._watch("data", self.setup.dataset.event_received)
        tokens = self.setup.prompt.tokens.session
        self._watch("tokens", tokens.event_received, tokens.released)
        self.session.run_started.connect(self._run_started)
        self.session.event_received.connect(self._event_received)
        self.session.run_ended.connect(self._run_ended)
        self.gauge.sampled.connect(self._sampled)
        # Ages grow, runs of the command line appear, and folders are moved by other programs.
        self._refresh_timer = QTimer(self, interval=_REFRESH_SECONDS * 1000)
        self._refresh_timer.timeout.connect(self._look_again)
        self._refresh_timer.start()

    def _watch(self, worker: str, event_received: SignalInstance, ended: SignalInstance | None = None) -> None:
        """Count what a worker takes as ours."""
        event_received.connect(lambda event: self.gauge.watch(event, worker))
        if ended is not None:
            ended.connect(lambda: self.gauge.forget(worker))

    def _tab_changed(self, number: int) -> None:
        if number > 0:
            self._build_pages()
        self.stack.setCurrentIndex(number)

    def _train_from_menu(self) -> None:
        self.show_tab("Setup")
        self.setup.request_training()

    # The window itself

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        super().paintEvent(event)
        if not self._built:
            QTimer.singleShot(0, self, self._build_pages)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        super().showEvent(event)
        self.drops.watch(self.windowHandle())

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        super().changeEvent(event)
        if event.type() == QEvent.Type.ActivationChange and self.isActiveWindow():
            self._look_again()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        if not self._closing.may_close():
            event.ignore()
            return
        self.gauge.stop()
        self._refresh_timer.stop()
        if self.chat is not None:
            self.chat.unload()
        self.setup.prompt.tokens.release()
        save_layout(self, self._shell, self._settings)
        event.accept()

    def _work(self) -> dict[str, Work | None]:
        return {"export": self.export, "evaluation": self.results.evaluation if self.results is not None else None}
