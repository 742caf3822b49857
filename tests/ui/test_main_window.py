"""The window: how a run goes through it, what it remembers, and that it survives errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QSettings, Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QApplication, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from studio.core.commands import InspectData
from studio.core.config import RunConfig
from studio.core.events import Heartbeat
from studio.core.runs import Home
from studio.supervise.gauges import MemorySample
from studio.ui import theme
from studio.ui.application import make_application, window_settings
from studio.ui.main_window import TABS, MainWindow
from studio.ui.models.runs_model import SUMMARY_ROLE
from studio.ui.widgets.window.about import AboutDialog
from tests.ui.conftest import GIB, FakeJobs
from tests.ui.sample_runs import finished, make_run
from tests.ui.staging import FAILS, TRAINS_TO_ITS_END, TRAINS_UNTIL_STOPPED


def test_a_first_start_says_what_to_do(window: MainWindow) -> None:
    assert window.current_tab == "Setup"
    assert window.sidebar.model.rowCount() == 0
    assert "Press Train" in window.sidebar._empty.text()
    assert window.minimumSize().width() == 1024


def test_no_part_ever_comes_up_as_a_window_of_its_own(make_window: Callable[[], MainWindow], light: QApplication) -> None:
    class Watch(QObject):
        def __init__(self) -> None:
            super().__init__()
            self.shown: list[str] = []

        def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
            if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
                self.shown.append(watched.objectName())
            return False

    watch = Watch()
    light.installEventFilter(watch)
    window = make_window()
    for tab in TABS:
        window.show_tab(tab)
    light.removeEventFilter(watch)
    assert watch.shown == ["mainWindow"]


def test_the_empty_pages_lead_to_setup(window: MainWindow) -> None:
    assert window.pages is not None
    for page in window.pages.all:
        window.show_tab("Export")
        page.setup_requested.emit()
        assert window.current_tab == "Setup"


def test_a_run_goes_from_train_to_results(
    window: MainWindow, answer_all: Callable[[], None], the_worker_is: Callable[[str], None], qtbot: QtBot
) -> None:
    the_worker_is(TRAINS_TO_ITS_END)
    answer_all()
    with qtbot.waitSignal(window.session.run_ended, timeout=20_000):
        qtbot.keyClick(window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
        assert window.current_tab == "Training"
        assert not window.setup.train_button.isEnabled()
        running = window.sidebar.model.index(0).data(SUMMARY_ROLE)
        assert (running.state, window.sidebar.chosen) == ("running", running.path)
    assert window.current_tab == "Results"
    assert window.open_run is not None
    assert window.open_run.step == 1
    ended = window.sidebar.model.index(0).data(SUMMARY_ROLE)
    assert (ended.state, ended.accuracy) == ("completed", 0.5)
    assert window.setup.train_button.isEnabled()


def test_the_bottom_bar_shows_step_and_forecast(window: MainWindow, the_worker_is: Callable[[str], None], qtbot: QtBot) -> None:
    the_worker_is(TRAINS_UNTIL_STOPPED)
    window.train(RunConfig())
    qtbot.waitUntil(lambda: window.bottom.step.text() == "step 1/10", timeout=20_000)
    assert window.bottom.eta.text() == "0:18 left"
    window.gauge.sampled.emit(MemorySample("RAM", 8 * GIB, GIB, 2 * GIB, 5 * GIB, 8 * GIB, 3 * GIB, GIB))
    assert window.bottom.memory.text() == "3.0 of 8.0 GB"
    assert "forecast peak of the run, 1.0 GB" in window.bottom.gauge.toolTip()
    with qtbot.waitSignal(window.session.run_ended, timeout=20_000):
        assert window.pages is not None
        window.pages.training.stop_requested.emit()
    assert window.bottom.step.text() == ""


def test_the_end_of_a_run_does_not_tear_away_who_types_on_setup(
    window: MainWindow, the_worker_is: Callable[[str], None], qtbot: QtBot
) -> None:
    the_worker_is(TRAINS_UNTIL_STOPPED)
    window.train(RunConfig())
    window.new_run()
    with qtbot.waitSignal(window.session.run_ended, timeout=20_000):
        window.session.stop()
    assert window.current_tab == "Setup"


def test_a_failure_is_told_wherever_one_is(window: MainWindow, the_worker_is: Callable[[str], None], qtbot: QtBot) -> None:
    the_worker_is(FAILS)
    window.train(RunConfig())
    window.show_tab("Chat")
    with qtbot.waitSignal(window.session.run_ended, timeout=20_000):
        pass
    assert window.error.message == "No room."
    assert window.sidebar.model.index(0).data(SUMMARY_ROLE).state == "failed"


def test_a_run_that_cannot_start_is_told(window: MainWindow, home: Home) -> None:
    home.runs.rmdir()
    home.runs.write_text("in the way")
    window.train(RunConfig())
    assert "No run folder" in window.error.message
    assert not window.session.active


def test_shortcuts_open_the_tabs(window: MainWindow, qtbot: QtBot) -> None:
    for number, tab in enumerate(("Setup", "Training", "Results", "Chat", "Export")):
        qtbot.keyClick(window, Qt.Key(Qt.Key.Key_1 + number), Qt.KeyboardModifier.ControlModifier)
        assert window.current_tab == tab
        assert window.stack.currentIndex() == number
    qtbot.keyClick(window, Qt.Key.Key_N, Qt.KeyboardModifier.ControlModifier)
    assert window.current_tab == "Setup"


def test_the_keyboard_goes_to_the_page_that_it_asked_for(window: MainWindow, home: Home, qtbot: QtBot) -> None:
    window.open_folder(make_run(home, intents=3, final=finished()))
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    for number in (4, 5, 1, 2, 3, 3):
        window.sidebar.view.setFocus()
        qtbot.keySequence(window, QKeySequence(f"Ctrl+{number}"))
        entered = window.focusWidget()
        assert window.stack.currentWidget().isAncestorOf(entered), window.current_tab
        assert entered.isVisible()
        assert entered.isEnabled()
        if number == 4:
            assert entered.objectName() == "chatInput"


def test_a_new_run_begins_with_naming_its_data(window: MainWindow, qtbot: QtBot) -> None:
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    window.show_tab("Results")
    qtbot.keySequence(window, QKeySequence("Ctrl+N"))
    typed = window.focusWidget()
    assert isinstance(typed, QLineEdit)
    assert typed.objectName() == "datasetPath"


def test_the_theme_is_remembered(window: MainWindow, home: Home) -> None:
    window.theme_actions["dark"].trigger()
    assert theme.current() is theme.DARK
    assert window_settings(home).value("theme") == "dark"
    window.theme_actions["light"].trigger()
    assert theme.current() is theme.LIGHT


def test_layout_and_data_are_remembered(
    make_window: Callable[[], MainWindow], home: Home, the_worker_is: Callable[[str], None], jobs: FakeJobs, qtbot: QtBot
) -> None:
    the_worker_is(FAILS)
    first = make_window()
    first.splitter.setSizes([320, 704])
    with qtbot.waitSignal(first.session.run_ended, timeout=20_000):
        first.train(RunConfig.model_validate({"dataset": {"source": "/data/mine.csv"}}))
    first.close()
    settings = QSettings(str(home.path / "window.ini"), QSettings.Format.IniFormat)
    assert settings.value("source") == "/data/mine.csv"
    jobs.asked.clear()
    second = make_window()
    assert second.pages is not None
    assert max(page.minimumSizeHint().width() for page in second.pages.all) <= 1024 - 320
    assert second.splitter.sizes() == first.splitter.sizes()
    assert first.splitter.sizes()[0] == 320
    asked = jobs.open(InspectData)[0].command
    assert isinstance(asked, InspectData)
    assert asked.dataset.source == "/data/mine.csv"


def test_the_model_being_read_counts_as_ours(window: MainWindow) -> None:
    window.setup.model.event_received.emit(Heartbeat(memory_bytes=GIB, host_bytes=GIB))
    assert window.gauge.take().ours_host > GIB


def test_the_application_keeps_the_decimal_point(home: Home, qapp: QApplication) -> None:
    assert make_application(home) is qapp
    assert qapp.applicationName() == "finetune-studio"
    assert not qapp.windowIcon().isNull()
    assert f"{float('1.5')}" == "1.5"


def test_the_window_loads_no_plotting_before_it_is_shown() -> None:
    look = "import sys, studio.ui.application; print(*sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert "studio.ui.main_window" in loaded
    assert loaded.isdisjoint({"pyqtgraph", "torch", "transformers", "pandas", "studio.engine", "studio.data", "studio.worker"})


def test_the_end_of_a_run_is_told_wherever_one_is(window: MainWindow, the_worker_is: Callable[[str], None], qtbot: QtBot) -> None:
    the_worker_is(TRAINS_UNTIL_STOPPED)
    window.train(RunConfig())
    window.new_run()
    with qtbot.waitSignal(window.session.run_ended, timeout=20_000):
        window.session.stop()
    stage = window.bottom.stage
    assert "sample-lora-1 has ended" in stage.text()
    QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
    margin = window.bottom.layout().contentsMargins().right()
    assert stage.geometry().right() == window.bottom.width() - margin - 1, "it ends at the margin"


def test_a_dialog_that_was_closed_leaves_nothing(window: MainWindow, qtbot: QtBot) -> None:
    (about,) = [action for action in window.findChildren(QAction) if action.text().startswith("&About")]
    about.trigger()
    dialog = window.findChild(AboutDialog)
    assert dialog is not None
    with qtbot.waitSignal(dialog.destroyed):
        qtbot.keyClick(dialog, Qt.Key.Key_Escape)
