"""The window: tabs, the list of runs, the bottom bar, and what leads from one to the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from PySide6.QtCore import QEvent, QSettings, QTimer
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
from studio.ui.current_runs import CurrentRuns
from studio.ui.menus import Entry, add_themes, fill_menu_bar
from studio.ui.models.open_run import OpenRun
from studio.ui.opening import Opening
from studio.ui.overlays import Overlays
from studio.ui.pages.setup import SetupPage
from studio.ui.run_actions import Act, RunActions
from studio.ui.widgets.compare.compare_dialog import CompareDialog
from studio.ui.widgets.setup.known_models import read_models, write_models
from studio.ui.widgets.window.about import AboutDialog
from studio.ui.widgets.window.bottom_bar import BottomBar
from studio.ui.widgets.window.runs_sidebar import RunsSidebar
from studio.ui.widgets.window.shell import Shell, restore_layout, save_layout
from studio.ui.widgets.window.shortcuts_dialog import ShortcutsDialog

if TYPE_CHECKING:
    from studio.ui.run_pages import RunPages

Tab = Literal["Setup", "Training", "Results", "Chat", "Export"]
TABS: tuple[Tab, ...] = get_args(Tab)
_REFRESH_SECONDS = 60


class MainWindow(QMainWindow):
    """Holds the parts and leads from one to the other. The pages but Setup are made once it has been painted."""

    def __init__(self, home: Home, settings: QSettings) -> None:
        super().__init__()
        self.setObjectName("mainWindow")
        self.setWindowTitle("Finetune Studio")
        self.setMinimumSize(1024, 700)
        self._home, self._settings = home, settings
        self._built = False
        self.pages: RunPages | None = None
        """Those of the open run."""
        self.setup = SetupPage(home, settings)
        self.sidebar = RunsSidebar(home)
        self.bottom = BottomBar()
        self.session = TrainingSession(home, self)
        self.gauge = MemoryGauge(self)
        self._closing = Closing(self, self.session, lambda: self.pages.work if self.pages is not None else {})
        self.actions_of_runs = RunActions(self, self.session)
        self.overlays = Overlays(self)
        self._shell = shell = Shell(TABS, self.sidebar, self.bottom)
        self.tabs, self.stack, self.splitter, self.error = shell.tabs, shell.stack, shell.splitter, shell.error
        self.stack.addWidget(self.setup)
        self.runs = CurrentRuns(self, self.sidebar, shell.error, self._closing)
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

    @property
    def open_run(self) -> OpenRun | None:
        """The run that the pages show."""
        return self.runs.open

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
        if self.runs.open_folder(folder) and self.current_tab == "Setup":
            self.show_tab("Results" if folder.predictions_path.exists() else "Training")

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
        if self.pages is not None:
            self.pages.chat.unload()
        self.setup.prompt.tokens.release()
        try:
            start()
        except StudioError as error:
            self.error.show_problem(error)
            self.sidebar.refresh()
            return False
        return True

    def _run_started(self, folder: RunFolder) -> None:
        self.runs.begin(folder)
        self.overlays.begin(folder)
        self.setup.show_running(folder.name)
        self.show_tab("Training")

    def _event_received(self, event: Event) -> None:
        self.overlays.hear(event)
        if self.runs.live is not None:
            self.runs.live.add(event)
            self.bottom.show_run(self.runs.live)

    def _run_ended(self, folder: RunFolder, final: Event) -> None:
        was_open = self.runs.end(final)
        self.bottom.show_run(None)
        self.bottom.show_end(folder.name, final)
        QApplication.alert(self)
        self.overlays.end(folder)
        self.setup.show_running(None)
        if self._closing.under_way:
            self.close()
        elif isinstance(final, Failed | Crashed):
            if self.current_tab != "Training" or not was_open:
                self.error.show_problem(final)
        elif isinstance(final, Finished) and final.rows and was_open and self.current_tab not in ("Setup", "Chat"):
            # Somebody who is typing on Setup or Chat is not torn away.
            self.show_tab("Results")

    def _offer_actions(self) -> None:
        if self.runs.open is not None:
            self.actions_of_runs.offer(self._run_menu, self.runs.open.folder)

    def _act_on_open_run(self, act: Act) -> None:
        if self.runs.open is not None:
            act(self.runs.open.folder)

    def _repeat(self, config: RunConfig) -> None:
        self.sidebar.choose(None)
        self.show_tab("Setup")
        self.setup.show_config(config)

    def _overlay(self, paths: list[Path | None]) -> None:
        """Show what is laid over, for which a run must be open."""
        self.overlays.show_runs(paths)
        self.sidebar.model.overlay(overlay.run.folder.path for overlay in self.overlays.shown)
        if self.overlays.shown and self.runs.open is None:
            self.open_folder(self.overlays.shown[0].run.folder)
        if self.overlays.shown:
            self.show_tab("Training")

    def _compare(self, run: RunFolder) -> None:
        """Hold the runs that are laid over against one, or the newest other run."""
        runs = self.sidebar.model.runs()
        laid = [overlay.run.folder for overlay in self.overlays.shown if overlay.run.folder != run]
        others = laid or [folder for _name, folder in runs if folder != run][:1]
        CompareDialog(runs, [run, *others], self).show()

    def _sampled(self, sample: MemorySample) -> None:
        started = self.runs.live.started if self.runs.live is not None else None
        self.bottom.show_sample(sample, started.forecast_bytes if started is not None else 0)
        self.setup.show_machine(sample)

    # Building

    def _build_pages(self) -> None:
        """Make the other pages, for which the window itself does not wait."""
        if self._built:
            return
        self._built = True  # whatever comes of it: a fault in here is told once, not at each paint
        from studio.ui.run_pages import RunPages

        self.pages = pages = RunPages(self._home, self.runs, self.session, self.overlays, self.gauge, self)
        for page in pages.all:
            self.stack.addWidget(page)
        self.stack.setCurrentIndex(self.tabs.currentIndex())
        self.opening.results = pages.results
        pages.tab_requested.connect(self.show_tab)
        pages.resume_requested.connect(self.resume)
        pages.retry_requested.connect(lambda *retry: self._start_worker(partial(self.session.retry, *retry)))
        pages.evaluated.connect(self.sidebar.refresh)
        pages.failed.connect(self.error.show_problem)

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
        self.actions_of_runs.deleted.connect(self.runs.forget)
        self.actions_of_runs.failed.connect(self.error.show_problem)
        self.setup.train_requested.connect(self.train)
        self.opening.setup_requested.connect(lambda: self.show_tab("Setup"))
        self.opening.new_run_requested.connect(self.new_run)
        self.opening.run_chosen.connect(self.open_folder)
        self.runs.shown.connect(lambda run: self._run_menu.setEnabled(run is not None))
        self.gauge.follow("training", self.session.event_received)
        self.gauge.follow("model", self.setup.model.event_received)
        self.gauge.follow("data", self.setup.dataset.event_received)
        tokens = self.setup.prompt.tokens.session
        self.gauge.follow("tokens", tokens.event_received, tokens.released)
        self.session.run_started.connect(self._run_started)
        self.session.event_received.connect(self._event_received)
        self.session.run_ended.connect(self._run_ended)
        self.gauge.sampled.connect(self._sampled)
        # Ages grow, runs of the command line appear, and folders are moved by other programs.
        self._refresh_timer = QTimer(self, interval=_REFRESH_SECONDS * 1000)
        self._refresh_timer.timeout.connect(self.runs.look_again)
        self._refresh_timer.start()

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
            self.runs.look_again()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        if not self._closing.may_close():
            event.ignore()
            return
        self.gauge.stop()
        self._refresh_timer.stop()
        if self.pages is not None:
            self.pages.chat.unload()
        self.setup.prompt.tokens.release()
        save_layout(self, self._shell, self._settings)
        event.accept()
