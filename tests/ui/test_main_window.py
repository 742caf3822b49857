"""The window: how a run goes through it, what it remembers, and that it survives errors."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QObject, QSettings, Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QMessageBox, QWidget
from pytestqt.qtbot import QtBot

from studio.core.commands import InspectData
from studio.core.config import RunConfig
from studio.core.events import Failed, Heartbeat
from studio.core.runs import Home
from studio.supervise.gauges import MemorySample
from studio.supervise.threads import WorkerThread
from studio.ui import theme
from studio.ui.application import FaultReporter, make_application, window_settings
from studio.ui.main_window import TABS, MainWindow
from studio.ui.models.runs_model import SUMMARY_ROLE
from studio.ui.widgets.questions import may_stop
from tests.fake_workers import write_worker
from tests.ui.conftest import GIB, FakeJobs
from tests.ui.sample_runs import finished, make_run

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
        "say('finished', outcome='stopped', output='closing' if asked['closing'] else '', elapsed=3)"
    )
)
FAILS = "sys.stdin.readline()\nsay('failed', kind='bad_input', message='No room.', remedy='Free some.', elapsed=1)"


@pytest.fixture
def the_worker_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """From now on runs are trained by the program ``body``."""

    def replace(body: str) -> None:
        monkeypatch.setattr("studio.supervise.process.WORKER", write_worker(tmp_path, body))

    return replace


@pytest.fixture
def make_window(home: Home, jobs: FakeJobs, light: QApplication, qtbot: QtBot) -> Iterator[Callable[[], MainWindow]]:
    assert light.styleSheet()

    def make() -> MainWindow:
        window = MainWindow(home, window_settings(home))
        qtbot.addWidget(window, before_close_func=_stop)
        window.show()
        window.activateWindow()
        qtbot.waitUntil(window.isActiveWindow)
        qtbot.waitUntil(lambda: window.export is not None)
        qtbot.waitUntil(lambda: bool(jobs.open(InspectData)))
        return window

    yield make
    qtbot.waitUntil(lambda: not WorkerThread._running, timeout=20_000)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def _stop(window: MainWindow) -> None:
    window.session.cancel()
    window.session.shut_down(0)


@pytest.fixture
def window(make_window: Callable[[], MainWindow]) -> MainWindow:
    return make_window()


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
    for page in window._run_pages():
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
    assert window.bottom.eta.text() == "ETA 0:18"
    window.gauge.sampled.emit(MemorySample("RAM", 8 * GIB, GIB, 2 * GIB, 5 * GIB, 8 * GIB, 3 * GIB, GIB))
    assert window.bottom.memory.text() == "3.0 of 8.0 GB"
    assert "forecast peak of the run, 1.0 GB" in window.bottom.gauge.toolTip()
    with qtbot.waitSignal(window.session.run_ended, timeout=20_000):
        assert window.training is not None
        window.training.stop_requested.emit()
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


class TestClosing:
    def test_staying_keeps_the_run(
        self, window: MainWindow, the_worker_is: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        the_worker_is(TRAINS_UNTIL_STOPPED)
        window.train(RunConfig())
        monkeypatch.setattr("studio.ui.main_window.may_stop", lambda _parent: False)
        assert not window.close()
        assert window.session.active
        assert window.isVisible()

    def test_leaving_keeps_what_was_learnt(
        self, window: MainWindow, home: Home, the_worker_is: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
    ) -> None:
        the_worker_is(TRAINS_UNTIL_STOPPED)
        window.train(RunConfig())
        monkeypatch.setattr("studio.ui.main_window.may_stop", lambda _parent: True)
        window.close()
        qtbot.waitUntil(lambda: not window.isVisible(), timeout=20_000)
        outcome = home.list_runs()[0].outcome()
        assert outcome is not None
        assert outcome.final.event == "finished"
        assert outcome.final.output == "closing"

    @pytest.mark.parametrize(("key", "answer"), [(Qt.Key.Key_Escape, False), (Qt.Key.Key_Return, False), (Qt.Key.Key_S, True)])
    def test_the_question_stays_unless_told_to_stop(self, key: Qt.Key, answer: bool, qtbot: QtBot) -> None:
        parent = QWidget()
        qtbot.addWidget(parent)

        def press() -> None:
            box = parent.findChild(QMessageBox)
            assert box is not None
            if key == Qt.Key.Key_S:
                next(button for button in box.buttons() if button.text().startswith("Stop")).click()
            else:
                qtbot.keyClick(box, key)

        QTimer.singleShot(50, press)
        assert may_stop(parent) is answer

    def test_without_a_run_nothing_is_asked(self, window: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("studio.ui.main_window.may_stop", lambda _parent: pytest.fail("asked"))
        assert window.close()


class TestRuns:
    def test_they_survive_a_restart_and_open_on_their_pages(
        self, make_window: Callable[[], MainWindow], home: Home, qtbot: QtBot
    ) -> None:
        run = make_run(home, intents=3, final=finished())
        make_run(home, method="full", final=Failed(kind="bug", message="Broken.", remedy="Report it."))
        window = make_window()
        model, view = window.sidebar.model, window.sidebar.view
        assert {model.index(row).data(SUMMARY_ROLE).state for row in range(2)} == {"completed", "failed"}
        qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(model.row_of(run.path)).center())
        assert window.open_run is not None
        assert window.open_run.folder == run
        assert window.current_tab == "Results"
        window.new_run()
        failed = next(folder for folder in home.list_runs() if folder != run)
        window.open_folder(failed)
        assert window.current_tab == "Training"

    def test_the_keyboard_opens_one(self, make_window: Callable[[], MainWindow], home: Home, qtbot: QtBot) -> None:
        run = make_run(home, final=finished())
        window = make_window()
        window.sidebar.choose(run.path)
        with qtbot.waitSignal(window.sidebar.run_chosen):
            qtbot.keyClick(window.sidebar.view, Qt.Key.Key_Return)

    def test_a_damaged_one_is_listed_and_told(self, make_window: Callable[[], MainWindow], home: Home) -> None:
        run = make_run(home, final=finished())
        (run.path / "run.toml").write_text("no toml [")
        window = make_window()
        assert window.sidebar.model.rowCount() == 1
        window.open_folder(run)
        assert "TOML" in window.error.message

    def test_a_removed_one_disappears(self, make_window: Callable[[], MainWindow], home: Home) -> None:
        run = make_run(home, final=finished())
        window = make_window()
        (run.path / "run.toml").unlink()
        window.sidebar.refresh()
        assert window.sidebar.model.rowCount() == 0


def test_shortcuts_open_the_tabs(window: MainWindow, qtbot: QtBot) -> None:
    for number, tab in enumerate(("Setup", "Training", "Results", "Chat", "Export")):
        qtbot.keyClick(window, Qt.Key(Qt.Key.Key_1 + number), Qt.KeyboardModifier.ControlModifier)
        assert window.current_tab == tab
        assert window.stack.currentIndex() == number
    qtbot.keyClick(window, Qt.Key.Key_N, Qt.KeyboardModifier.ControlModifier)
    assert window.current_tab == "Setup"


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
    assert second.splitter.sizes() == first.splitter.sizes()
    assert first.splitter.sizes()[0] == 320
    asked = jobs.open(InspectData)[0].command
    assert isinstance(asked, InspectData)
    assert asked.dataset.source == "/data/mine.csv"


def test_the_model_being_read_counts_as_ours(window: MainWindow) -> None:
    window.setup.model.event_received.emit(Heartbeat(memory_bytes=GIB, host_bytes=GIB))
    assert window.gauge.take().ours_host > GIB


class TestFaults:
    @pytest.fixture
    def reporter(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultReporter:
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        monkeypatch.setattr(threading, "excepthook", threading.excepthook)
        reporter = FaultReporter(tmp_path / "app.log")
        reporter.install()
        return reporter

    def test_one_in_a_slot_is_shown_and_logged(self, window: MainWindow, reporter: FaultReporter, tmp_path: Path) -> None:
        reporter.reported.connect(window.show_fault)
        error = ValueError("<img src=x>")
        sys.excepthook(ValueError, error, None)
        assert window.error.message == "Something in the window went wrong: ValueError: <img src=x>"
        assert window.error.isVisible()
        assert "ValueError: <img src=x>" in (tmp_path / "app.log").read_text()
        window.error._copy()
        assert "ValueError" in QGuiApplication.clipboard().text()

    def test_one_in_a_thread_reaches_the_window(self, window: MainWindow, reporter: FaultReporter, qtbot: QtBot) -> None:
        reporter.reported.connect(window.show_fault)
        thread = threading.Thread(target=lambda: 1 / 0)
        with qtbot.waitSignal(reporter.reported):
            thread.start()
            thread.join()
        assert "ZeroDivisionError" in window.error.message


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
