"""What goes wrong outside the program: told in words with a remedy, and nothing is lost."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QFileDialog, QMessageBox, QPushButton
from pytestqt.qtbot import QtBot

from studio import __main__ as door
from studio.core.commands import DescribeModel, InspectData, WriteReport
from studio.core.config import RunConfig
from studio.core.errors import StudioError
from studio.core.events import Failed
from studio.core.failures import explain
from studio.core.report import report_html
from studio.core.resuming import TRAINING_FACTS
from studio.core.run_file import validate_run_config
from studio.core.runs import Home, RunFolder
from studio.ui.main_window import TABS, MainWindow
from studio.ui.models.runs_model import SUMMARY_ROLE
from tests.ui.conftest import FakeJobs
from tests.ui.sample_runs import finished, make_run
from tests.ui.staging import STARTED, TRAINS_UNTIL_STOPPED

NO_MEMORY = (
    "sys.stdin.readline()\n"
    + STARTED
    + "say('failed', kind='out_of_memory', message='The job needed more memory than there was.', remedy='Choose LoRA.', elapsed=3)"
)
KILLED = "sys.stdin.readline()\n" + STARTED + "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture
def run(home: Home) -> RunFolder:
    return make_run(home, intents=3, final=finished())


class TestTwoWindowsOnOneHome:
    def test_a_run_of_one_is_seen_as_running_by_the_other_and_kept_from_the_trash(
        self, make_window: Callable[[], MainWindow], home: Home
    ) -> None:
        other = make_window()
        run = make_run(home, checkpoint=False)
        with run.lock():  # as the worker of another window holds it
            other.sidebar.refresh()
            summary = other.sidebar.model.index(0).data(SUMMARY_ROLE)
            assert (summary.path, summary.state) == (run.path, "running")
            other.open_folder(run)
            assert other.open_run is not None
            assert not other.open_run.ours
            other.actions_of_runs.delete(run)
            assert "is being trained" in other.error.message
        assert run.path.is_dir()

    def test_both_train_in_folders_of_their_own(
        self, make_window: Callable[[], MainWindow], home: Home, the_worker_is: Callable[[str], None], qtbot: QtBot
    ) -> None:
        the_worker_is(TRAINS_UNTIL_STOPPED)
        windows = (make_window(), make_window())
        for window in windows:
            window.train(RunConfig())
        qtbot.waitUntil(lambda: all(window.bottom.step.text() == "step 1/10" for window in windows), timeout=20_000)
        assert len({window.session.run for window in windows}) == 2
        for window in windows:
            with qtbot.waitSignal(window.session.run_ended, timeout=20_000):
                window.session.stop()
        assert [run.state() for run in home.list_runs()] == ["stopped", "stopped"]

    def test_one_that_is_gone_is_told_and_leaves_the_list(
        self, make_window: Callable[[], MainWindow], home: Home, run: RunFolder
    ) -> None:
        window, gone = make_window(), make_run(home, final=finished())
        window.sidebar.refresh()
        window.open_folder(run)
        shutil.rmtree(gone.path)
        window.sidebar.choose(gone.path)
        window.open_folder(gone)
        assert "its folder was moved or deleted" in window.error.message
        assert window.sidebar.model.rowCount() == 1
        assert window.sidebar.chosen == run.path, "what is marked is what the pages show"

    def test_a_run_that_the_other_deleted_is_let_go(self, make_window: Callable[[], MainWindow], run: RunFolder) -> None:
        window = make_window()
        window.open_folder(run)
        shutil.rmtree(run.path)
        window.sidebar.refresh()
        assert window.sidebar.model.rowCount() == 0
        for tab in TABS:
            window.show_tab(tab)


class TestARunFolderIsDeletedWhileItIsOpen:
    @pytest.fixture
    def opened(self, window: MainWindow, run: RunFolder) -> MainWindow:
        window.open_folder(run)
        shutil.rmtree(run.path)
        return window

    def test_every_page_can_still_be_looked_at(self, opened: MainWindow) -> None:
        for tab in TABS:
            opened.show_tab(tab)
        assert opened.pages is not None
        for page in opened.pages.all:
            page.refresh(True)

    def test_each_action_says_that_it_is_gone(self, opened: MainWindow, run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("studio.ui.run_actions.may_delete", lambda *_arguments: True)
        for act in (opened.actions_of_runs.repeat, opened.actions_of_runs.delete):
            opened.error.clear()
            act(run)
            assert run.name in opened.error.message
        assert not run.path.exists()

    def test_it_is_let_go_and_told_once_the_folders_are_read_again(self, opened: MainWindow, run: RunFolder) -> None:
        opened.show_tab("Chat")
        opened._refresh_timer.timeout.emit()
        assert opened.open_run is None
        assert f"The run {run.name} is gone" in opened.error.message
        opened.error.clear()
        opened._refresh_timer.timeout.emit()
        assert opened.error.message == ""

    def test_opening_it_again_is_told(self, opened: MainWindow, run: RunFolder) -> None:
        opened.new_run()
        opened.runs.forget(run)
        opened.open_folder(run)
        assert "is gone" in opened.error.message

    def test_its_report_is_refused_in_words(
        self, opened: MainWindow, jobs: FakeJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_arguments: (str(tmp_path / "report.html"), ""))
        opened.show_tab("Results")
        assert opened.pages is not None
        for action in opened.pages.results._save._menu.actions():
            if "Report" in action.text():
                action.trigger()
        (job,) = jobs.open(WriteReport)
        assert isinstance(job.command, WriteReport)
        with pytest.raises(StudioError, match="cannot be read") as refused:
            report_html(RunFolder(Path(job.command.run)))
        job.answer(explain(refused.value), failed=True)
        assert "cannot be read" in opened.pages.results._problem.message
        assert not (tmp_path / "report.html").exists()

    def test_training_goes_on_to_its_end_in_words(
        self, window: MainWindow, the_worker_is: Callable[[str], None], qtbot: QtBot
    ) -> None:
        the_worker_is(TRAINS_UNTIL_STOPPED)
        window.train(RunConfig())
        qtbot.waitUntil(lambda: window.bottom.step.text() == "step 1/10", timeout=20_000)
        assert window.session.run is not None
        shutil.rmtree(window.session.run.path)
        window.sidebar.refresh()
        with qtbot.waitSignal(window.session.run_ended, timeout=20_000):
            window.session.stop()
        assert not window.session.active


class TestARunFromAnotherComputer:
    @pytest.fixture
    def foreign(self, run: RunFolder, tmp_path: Path) -> RunFolder:
        """Copied to a stick; its base and data lie where nothing is on this computer."""
        run.write_config(validate_run_config({"dataset": {"source": "/elsewhere/rows.csv"}, "model": {"base": "/elsewhere/model"}}))
        folder = tmp_path / "stick" / run.name
        shutil.copytree(run.path, folder)
        shutil.rmtree(run.path)
        return RunFolder(folder)

    def test_its_results_are_shown(self, window: MainWindow, foreign: RunFolder) -> None:
        window.open_folder(foreign)
        assert window.current_tab == "Results"
        for tab in TABS:
            window.show_tab(tab)
        assert not window.error.isVisible()

    def test_repeating_it_names_what_is_missing(self, window: MainWindow, foreign: RunFolder, jobs: FakeJobs, qtbot: QtBot) -> None:
        window.open_folder(foreign)
        jobs.asked.clear()
        window.actions_of_runs.repeat(foreign)
        assert window.setup.dataset.source == "/elsewhere/rows.csv"
        assert window.setup.config().model.base == "/elsewhere/model"
        qtbot.waitUntil(lambda: bool(jobs.open(InspectData) and jobs.open(DescribeModel)))
        missing = Failed(kind="bad_input", message="The model folder /elsewhere/model does not exist.", remedy="Choose another.")
        jobs.open(DescribeModel)[0].answer(missing, failed=True)
        assert window.setup.model.error.message == missing.message
        assert not window.setup.train_button.isEnabled()


@pytest.mark.parametrize(("worker", "words"), [(NO_MEMORY, "more memory than there was"), (KILLED, "memory")])
def test_too_little_memory_is_told_and_the_history_kept(
    window: MainWindow, the_worker_is: Callable[[str], None], qtbot: QtBot, worker: str, words: str
) -> None:
    the_worker_is(worker)
    window.train(RunConfig())
    with qtbot.waitSignal(window.session.run_ended, timeout=20_000):
        pass
    assert window.pages is not None
    window.show_tab("Training")
    assert words in window.pages.training._problem.message
    assert window.pages.training._problem._remedy.text()
    assert window.open_run is not None
    assert window.open_run.step == 1


@pytest.mark.parametrize("worker", [NO_MEMORY, KILLED])
def test_one_click_tries_again_with_half_the_micro_batch(
    window: MainWindow, home: Home, the_worker_is: Callable[[str], None], qtbot: QtBot, worker: str
) -> None:
    the_worker_is(worker)
    with qtbot.waitSignal(window.session.run_ended, timeout=20_000):
        window.train(RunConfig().with_training(batch_size=16, micro_batch=6))
    assert window.pages is not None
    window.show_tab("Training")
    retry = window.pages.training.findChild(QPushButton, "retryButton")
    assert retry is not None
    qtbot.waitUntil(retry.isVisible)
    assert retry.text() == "Retry with a micro-batch of 3"
    retry.setFocus()
    qtbot.keyClick(retry, Qt.Key.Key_Tab)
    assert window.focusWidget().objectName() in ("trainingErrorToggle", "trainingErrorCopy")
    with qtbot.waitSignal(window.session.run_ended, timeout=20_000):
        qtbot.mouseClick(retry, Qt.MouseButton.LeftButton)
    newest, *_ = sorted(home.list_runs(), key=lambda run: run.name, reverse=True)
    assert len(home.list_runs()) == 2, "nothing was kept, so it starts again"
    assert (newest.config().training.micro_batch, newest.config().training.batch_size) == (3, 16)
    assert retry.isVisible()
    # What was kept is gone on from, in the same run.
    keep(newest, 7)
    window.pages.training.refresh()
    checked = "asked = sys.stdin.readline()\nassert '\"micro_batch\":1' in asked, asked\n"
    the_worker_is(TRAINS_UNTIL_STOPPED.replace("sys.stdin.readline()\n", checked, 1))
    qtbot.mouseClick(retry, Qt.MouseButton.LeftButton)
    assert window.session.run == newest
    assert not retry.isVisible()
    with qtbot.waitSignal(window.session.run_ended, timeout=20_000):
        window.session.stop()


def test_a_single_message_cannot_be_halved(window: MainWindow, the_worker_is: Callable[[str], None], qtbot: QtBot) -> None:
    the_worker_is(NO_MEMORY)
    with qtbot.waitSignal(window.session.run_ended, timeout=20_000):
        window.train(RunConfig().with_training(micro_batch=1))
    assert window.pages is not None
    window.show_tab("Training")
    retry = window.pages.training.findChild(QPushButton, "retryButton")
    assert retry is not None
    assert not retry.isVisible()


def keep(run: RunFolder, step: int) -> None:
    """Leave what a run can go on from."""
    folder = run.checkpoints / f"step-{step}"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"sha256": {TRAINING_FACTS: ""}}))


class TestTheHomeCannotBeWritten:
    def refuse(self, *_arguments: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def test_a_new_run_is_refused_in_words(self, window: MainWindow, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("studio.core.runs.write_atomically", self.refuse)
        window.train(RunConfig())
        assert "No space left on device" in window.error.message
        assert not window.session.active
        assert list(home.runs.iterdir()) == []

    def test_a_home_that_is_gone_shows_no_runs_and_says_so_when_training(
        self, window: MainWindow, home: Home, run: RunFolder
    ) -> None:
        window.sidebar.refresh()
        assert window.sidebar.model.row_of(run.path).isValid()
        shutil.rmtree(home.path)
        window.sidebar.refresh()
        assert window.sidebar.model.rowCount() == 0
        window.train(RunConfig())
        assert "No run folder can be made" in window.error.message

    def test_a_start_is_refused_in_a_window(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], qapp: QApplication
    ) -> None:
        assert qapp is not None
        told: list[str] = []

        def read(box: QMessageBox) -> int:
            told.append(f"{box.text()}\n{box.informativeText()}")
            return 0

        monkeypatch.setattr(QMessageBox, "exec", read)
        (tmp_path / "file").touch()
        assert door._open_window(str(tmp_path / "file" / "home")) == 1
        assert len(told) == 1
        assert "cannot be written" in told[0]
        assert "--home DIR" in told[0]
        assert "cannot be written" in capsys.readouterr().err
