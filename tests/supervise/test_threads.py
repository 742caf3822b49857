"""Workers under Qt: signals in the window's thread, safe ends, nothing after a cancel."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QObject, QTimer
from pytestqt.qtbot import QtBot

from studio.core.answers import DataInspected, ModelLoaded, Predicted
from studio.core.commands import InspectData
from studio.core.config import DatasetConfig, MethodConfig, RunConfig
from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed, Finished, LogLine
from studio.core.generation import GenerationSettings
from studio.core.runs import Home, RunFolder
from studio.supervise.jobs import ChatSession, run_job
from studio.supervise.process import WorkerProcess
from studio.supervise.threads import SLICE_SECONDS, TrainingSession, WorkerThread

TheWorkerIs = Callable[[str], None]
FakeWorker = Callable[..., WorkerProcess]
INSPECTED = (
    "say('data_inspected', guess=dict(columns=['text'], text_column='text', label_column='intent'), preview=[],"
    " train_counts={}, validation_counts={}, test_counts={}, longest_text='')\n"
)
CHAT = """
json.loads(sys.stdin.readline())
say("stage_changed", stage="Loading")
say("model_loaded", run="r", device="cpu", labels=["a", "b"])
for line in sys.stdin:
    ask = json.loads(line)
    row = dict(text=ask["text"], predicted="a", probability=1.0, top=[], left_set=False, outside_mass=0.0)
    say("predicted", request=ask["request"], prediction=row)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.locate(tmp_path / "home")


def settle(qtbot: QtBot) -> None:
    """Let finished threads and deleteLater() take effect."""
    qtbot.waitUntil(lambda: not WorkerThread._running, timeout=20_000)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def test_events_and_the_end_come_in_order_in_the_main_thread(qtbot: QtBot, fake_worker: FakeWorker) -> None:
    class Listener(QObject):
        def __init__(self) -> None:
            super().__init__()
            self.heard: list[object] = []
            self.threads: set[int] = set()

        def hear(self, event: object) -> None:
            self.heard.append(event)
            self.threads.add(threading.get_ident())

    listener = Listener()
    thread = WorkerThread(fake_worker("for n in range(200): say('log_line', level='info', text=str(n))\nfinish()"))
    thread.event_received.connect(listener.hear)
    thread.ended.connect(listener.hear)
    with qtbot.waitSignal(thread.ended, timeout=20_000):
        thread.start()
    *lines, finished, final = listener.heard
    assert [line.text for line in lines if isinstance(line, LogLine)] == [str(n) for n in range(200)]
    assert isinstance(final, Finished)
    assert finished == final
    assert listener.threads == {threading.get_ident()}
    settle(qtbot)


def test_the_window_lives_between_what_a_busy_worker_says(qtbot: QtBot, fake_worker: FakeWorker) -> None:
    """What came while the main thread was at work is not handed over in one go."""
    thread = WorkerThread(fake_worker("for n in range(500): say('log_line', level='info', text=str(n))\nfinish()"))
    heard: list[Event] = []
    turns: set[int] = set()
    turn = 0

    def hear(event: Event) -> None:
        heard.append(event)
        turns.add(turn)
        time.sleep(SLICE_SECONDS / 10)

    def count() -> None:
        nonlocal turn
        turn += 1

    thread.event_received.connect(hear)
    beat = QTimer(interval=0)
    beat.timeout.connect(count)
    with qtbot.waitSignal(thread.ended, timeout=20_000):
        thread.start()
        assert thread.wait(20_000)  # all of it is there before any of it is delivered
        beat.start()
    beat.stop()
    assert [event.text for event in heard if isinstance(event, LogLine)] == [str(n) for n in range(500)]
    assert len(turns) >= 20
    settle(qtbot)


def test_what_waits_for_a_window_at_work_stays_bounded(
    qtbot: QtBot, fake_worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.supervise.threads.CROWDED", 100)
    monkeypatch.setattr("studio.supervise.threads._SLOWLY_SECONDS", 0.01)
    thread = WorkerThread(fake_worker("for n in range(2000): say('log_line', level='info', text=str(n))\nfinish()"))
    heard: list[Event] = []
    thread.event_received.connect(heard.append)
    with qtbot.waitSignal(thread.ended, timeout=60_000):
        thread.start()
        while len(thread._waiting) <= 100:
            time.sleep(0.01)
        began = time.monotonic()
        time.sleep(0.3)
        assert len(thread._waiting) <= 102 + (time.monotonic() - began) / 0.01
    assert [event.text for event in heard if isinstance(event, LogLine)] == [str(n) for n in range(2000)]
    settle(qtbot)


def test_cancel_all_waits_for_every_thread(qtbot: QtBot, fake_worker: FakeWorker) -> None:
    processes = [fake_worker("time.sleep(60)") for _ in range(3)]
    for process in processes:
        WorkerThread(process).start()
    qtbot.waitUntil(lambda: all(thread.isRunning() for thread in WorkerThread._running))
    WorkerThread.cancel_all()
    assert not any(process.running for process in processes)


def test_the_interpreter_can_end_while_a_thread_reads(tmp_path: Path) -> None:
    code = f"""
import sys
from PySide6.QtCore import QCoreApplication
from studio.supervise.process import WorkerProcess
from studio.supervise.threads import WorkerThread
application = QCoreApplication([])
command = (sys.executable, "-S", "-c", "import sys, time; sys.stdin.read(); open({str(tmp_path / "saved")!r}, 'w').close()")
for saves in (True, False):
    WorkerThread(WorkerProcess(command=command if saves else ("sleep", "60")), saves=saves).start()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0
    assert ended.stderr == ""
    deadline = time.monotonic() + 10
    while not (tmp_path / "saved").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (tmp_path / "saved").exists()


def test_a_session_tells_a_run_from_start_to_end(qtbot: QtBot, home: Home, the_worker_is: TheWorkerIs) -> None:
    the_worker_is("json.loads(sys.stdin.readline()); say('log_line', level='info', text='hello'); finish()")
    session = TrainingSession(home)
    started: list[RunFolder] = []
    heard: list[Event] = []
    session.run_started.connect(started.append)
    session.event_received.connect(heard.append)
    with qtbot.waitSignal(session.run_ended, timeout=20_000) as ended:
        run = session.start(RunConfig())
        assert session.active
        assert session.run == run
    assert started == [run]
    assert [event.event for event in heard] == ["log_line", "finished"]
    assert ended.args == [run, heard[-1]]
    assert not session.active
    assert run.state() == "completed"
    settle(qtbot)


def test_a_second_run_is_refused_while_one_is_active(qtbot: QtBot, home: Home, the_worker_is: TheWorkerIs) -> None:
    the_worker_is("sys.stdin.readline(); sys.stdin.readline(); say('finished', outcome='stopped')")
    session = TrainingSession(home)
    session.start(RunConfig())
    with pytest.raises(StudioError, match="in progress"):
        session.start(RunConfig())
    with qtbot.waitSignal(session.run_ended, timeout=20_000) as ended:
        session.stop()
    assert ended.args[1].outcome == "stopped"
    assert len(home.list_runs()) == 1
    settle(qtbot)


def test_shut_down_waits_for_a_run_that_saves(qtbot: QtBot, home: Home, the_worker_is: TheWorkerIs) -> None:
    the_worker_is("sys.stdin.readline(); sys.stdin.readline(); time.sleep(0.3); say('finished', outcome='stopped')")
    session = TrainingSession(home)
    run = session.start(RunConfig())
    session.shut_down()
    assert not session.active
    assert run.state() == "stopped"
    settle(qtbot)


def test_shut_down_leaves_a_slow_worker_to_save_by_itself(
    qtbot: QtBot, home: Home, the_worker_is: TheWorkerIs, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    the_worker_is(f"sys.stdin.read(); time.sleep(1.5); open({str(saved)!r}, 'w').close()")
    session = TrainingSession(home)
    session.start(RunConfig())
    began = time.monotonic()
    session.shut_down(seconds=0.1)
    assert time.monotonic() - began < 1.3
    WorkerThread.cancel_all()  # as at the end of the program: must not end the one that saves
    qtbot.waitUntil(saved.exists, timeout=20_000)


def test_a_job_answers(qtbot: QtBot, the_worker_is: TheWorkerIs) -> None:
    the_worker_is("sys.stdin.readline(); say('stage_changed', stage='Reading')\n" + INSPECTED)
    good: list[Event] = []
    progress: list[Event] = []
    parent = QObject()
    job = run_job(parent, InspectData(dataset=DatasetConfig()), good.append, lambda _: pytest.fail("failed"), progress.append)
    qtbot.waitUntil(lambda: bool(good), timeout=20_000)
    assert isinstance(good[0], DataInspected)
    assert progress[0].event == "stage_changed"
    assert not job.active
    job.cancel()  # too late: changes nothing
    settle(qtbot)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("say('failed', kind='bad_input', message='No.', remedy='Do.')", Failed),
        ("os.kill(os.getpid(), signal.SIGKILL)", Crashed),
    ],
)
def test_a_job_fails_in_words(qtbot: QtBot, the_worker_is: TheWorkerIs, body: str, expected: type[Event]) -> None:
    the_worker_is(body)
    bad: list[Event] = []
    parent = QObject()
    run_job(parent, InspectData(dataset=DatasetConfig()), lambda _: pytest.fail("succeeded"), bad.append)
    qtbot.waitUntil(lambda: bool(bad), timeout=20_000)
    assert isinstance(bad[0], expected)
    settle(qtbot)


def test_a_cancelled_job_calls_nobody(qtbot: QtBot, the_worker_is: TheWorkerIs) -> None:
    the_worker_is("say('stage_changed', stage='Reading')\ntime.sleep(60)")
    called: list[Event] = []
    parent = QObject()
    job = run_job(parent, InspectData(dataset=DatasetConfig()), called.append, called.append)
    job.cancel()
    assert not job.active
    settle(qtbot)
    assert called == []


def test_a_job_ends_with_its_parent(qtbot: QtBot, the_worker_is: TheWorkerIs) -> None:
    the_worker_is("time.sleep(60)")
    called: list[Event] = []
    parent = QObject()
    run_job(parent, InspectData(dataset=DatasetConfig()), called.append, called.append)
    parent.deleteLater()
    QCoreApplication.sendPostedEvents(parent, QEvent.Type.DeferredDelete)
    settle(qtbot)
    assert called == []


def test_chat_loads_answers_and_unloads(qtbot: QtBot, home: Home, the_worker_is: TheWorkerIs) -> None:
    the_worker_is(CHAT)
    run = home.create_run(RunConfig())
    chat = ChatSession(home)
    with qtbot.waitSignals([chat.loading, chat.loaded], timeout=20_000):
        chat.load(run)
    assert isinstance(chat.model, ModelLoaded)
    for text in ("one", "two"):
        with qtbot.waitSignal(chat.answered, timeout=20_000) as answered:
            number = chat.ask(text)
        answer = answered.args[0]
        assert isinstance(answer, Predicted)
        assert (answer.request, answer.prediction.text) == (number, text)
    with qtbot.waitSignal(chat.unloaded):
        chat.unload()
    assert not chat.active
    assert chat.model is None
    settle(qtbot)


SWITCHING = """
for line in sys.stdin:
    command = json.loads(line)
    if command["command"] == "load_model":
        say("model_loaded", run=os.path.basename(command["run"]), device=str(os.getpid()), labels=["a", "b"])
    elif command["command"] == "generate":
        waiting = command["request"]
        say("token_generated", request=waiting, text=command["settings"]["seed"] * "x")
    elif command["command"] == "cancel":
        end = dict(reason="stopped", prompt_tokens=1, tokens=1, seconds=1.0)
        say("token_generated", request=waiting, text="", end=end)
"""


def test_a_run_on_the_same_base_is_loaded_by_the_same_worker(qtbot: QtBot, home: Home, the_worker_is: TheWorkerIs) -> None:
    the_worker_is(SWITCHING)
    one, two, other = (home.create_run(RunConfig(method=MethodConfig(kind=kind))) for kind in ("lora", "lora", "qlora"))
    chat = ChatSession(home)
    workers = []
    for run in (one, two, other):
        assert chat.carries(run.config()) == (run is two)
        with qtbot.waitSignal(chat.loaded, timeout=20_000) as loaded:
            chat.load(run)
        workers.append(loaded.args[0].device)
        assert chat.model is not None
        assert chat.model.run == run.name
    assert workers[0] == workers[1] != workers[2]
    chat.unload()
    assert not chat.carries(other.config())
    settle(qtbot)


def test_free_text_comes_in_pieces_and_is_given_up(qtbot: QtBot, home: Home, the_worker_is: TheWorkerIs) -> None:
    the_worker_is(SWITCHING)
    chat = ChatSession(home)
    chat.cancel()
    chat.load(home.create_run(RunConfig()))
    with qtbot.waitSignal(chat.answered, timeout=20_000) as told:
        number = chat.generate("Once", GenerationSettings(seed=3))
    assert (told.args[0].request, told.args[0].text, told.args[0].end) == (number, "xxx", None)
    with qtbot.waitSignal(chat.answered, timeout=20_000) as told:
        chat.cancel()
    assert told.args[0].end.reason == "stopped"
    chat.unload()
    settle(qtbot)


def test_loading_a_run_on_another_base_ends_the_first_worker(qtbot: QtBot, home: Home, the_worker_is: TheWorkerIs) -> None:
    the_worker_is(CHAT)
    chat = ChatSession(home)
    with qtbot.waitSignal(chat.loaded, timeout=20_000):
        chat.load(home.create_run(RunConfig()))
    with qtbot.waitSignal(chat.loaded, timeout=20_000):
        chat.load(home.create_run(RunConfig(method=MethodConfig(kind="full"))))
    qtbot.waitUntil(lambda: len(WorkerThread._running) == 1, timeout=20_000)
    chat.unload()
    settle(qtbot)


def test_a_chat_worker_that_dies_is_told(qtbot: QtBot, home: Home, the_worker_is: TheWorkerIs) -> None:
    the_worker_is(CHAT.replace("ask = json.loads(line)", "os.kill(os.getpid(), signal.SIGKILL)"))
    chat = ChatSession(home)
    with qtbot.waitSignal(chat.loaded, timeout=20_000):
        chat.load(home.create_run(RunConfig()))
    with qtbot.waitSignals([chat.failed, chat.unloaded], timeout=20_000):
        chat.ask("anything")
    with pytest.raises(RuntimeError):
        chat.ask("more")
    settle(qtbot)


def test_what_a_worker_said_before_it_was_let_go_is_not_heard(qtbot: QtBot, home: Home, the_worker_is: TheWorkerIs) -> None:
    """A signal that is queued already comes in spite of its disconnection."""
    the_worker_is("time.sleep(60)")
    chat = ChatSession(home)
    heard: list[Event] = []
    chat.event_received.connect(heard.append)
    chat.load(home.create_run(RunConfig()))
    let_go = chat._thread
    assert let_go is not None
    said = ModelLoaded(run="r", device="cpu", labels=["a"])
    for signal, event in ((let_go.event_received, said), (let_go.ended, Crashed.model_construct())):
        speaker = threading.Thread(target=signal.emit, args=(event,))
        speaker.start()
        speaker.join()
    chat.unload()
    chat.load(home.create_run(RunConfig()))
    qtbot.wait(50)
    assert heard == []
    assert chat.model is None
    assert chat.active
    chat.unload()
    settle(qtbot)
