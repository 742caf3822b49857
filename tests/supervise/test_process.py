"""The parent's end of the wire, against real child processes that behave well and badly."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from studio.core.commands import Export, InspectData
from studio.core.config import DatasetConfig
from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed, Finished, Heartbeat, LogLine, ProtocolError, StageChanged
from studio.supervise.process import WorkerProcess
from studio.supervise.starting import start_job

FakeWorker = Callable[..., WorkerProcess]

SLEEP_FOR_EVER = "while True: time.sleep(1)"
BEAT_UNTIL_CLOSED = """
import threading
def beat():
    while True:
        say("heartbeat", memory_bytes=1)
        time.sleep(0.05)
threading.Thread(target=beat, daemon=True).start()
"""


def read(process: WorkerProcess) -> list[Event]:
    return list(process.events())


def test_events_arrive_in_order_and_the_last_one_is_kept(fake_worker: FakeWorker) -> None:
    process = fake_worker("for n in range(500): say('log_line', level='info', text=str(n))\nfinish()")
    *lines, last = read(process)
    assert [line.text for line in lines if isinstance(line, LogLine)] == [str(n) for n in range(500)]
    assert isinstance(last, Finished)
    assert process.last_word == last
    assert not process.running


def test_a_line_of_a_megabyte_cut_within_characters_arrives_whole(fake_worker: FakeWorker) -> None:
    body = """
    line = json.dumps({"event": "log_line", "level": "info", "text": "ü€😀" * 100_000}, ensure_ascii=False).encode() + b"\\n"
    for start in range(0, len(line), 33_331):
        os.write(1, line[start:start + 33_331])
    finish()
    """
    first, last = read(fake_worker(body))
    assert isinstance(first, LogLine)
    assert first.text == "ü€😀" * 100_000
    assert isinstance(last, Finished)


def test_junk_is_a_protocol_error_each_and_the_rest_still_arrives(fake_worker: FakeWorker) -> None:
    body = """
    os.write(1, b"Downloading: 100%\\n\\xff\\xfe\\n{}\\n")
    finish()
    """
    *junk, last = read(fake_worker(body))
    assert [type(event) for event in junk] == [ProtocolError] * 3
    assert isinstance(junk[0], ProtocolError)
    assert junk[0].line == "Downloading: 100%"
    assert isinstance(last, Finished)


def test_a_last_line_without_newline_is_no_event_but_is_told(fake_worker: FakeWorker) -> None:
    torn, crashed = read(fake_worker("""os.write(1, b'{"event": "finished", "outc')"""))
    assert isinstance(torn, ProtocolError)
    assert isinstance(crashed, Crashed)


def test_a_grandchild_that_holds_the_pipe_does_not_hold_the_run(fake_worker: FakeWorker) -> None:
    body = """
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    say("log_line", level="info", text=str(child.pid))
    finish()
    """
    began = time.monotonic()
    first, last = read(fake_worker(body))
    assert time.monotonic() - began < 20
    assert isinstance(first, LogLine)
    assert isinstance(last, Finished)
    psutil.Process(int(first.text)).kill()


@pytest.mark.parametrize(
    ("body", "signal_name", "cause"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL", "memory"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV", "native library"),
        ("os.kill(os.getpid(), signal.SIGABRT)", "SIGABRT", "native library"),
        ("import no_such_library", None, "not installed"),
        ("raise OSError(28, 'No space left on device')", None, "disk is full"),
        ("raise ValueError('odd')", None, "unexpected"),
        ("pass", None, "no answer"),
    ],
)
def test_a_crash_is_explained(fake_worker: FakeWorker, body: str, signal_name: str | None, cause: str) -> None:
    process = fake_worker(body)
    (crashed,) = read(process)
    assert isinstance(crashed, Crashed)
    assert crashed.signal == signal_name
    assert cause in crashed.likely_cause
    assert crashed.remedy
    assert process.last_word == crashed


def test_a_crash_shows_the_end_of_the_log(fake_worker: FakeWorker, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    body = """
    for n in range(1000): print("line", n, "of the library's words", file=sys.stderr)
    sys.stderr.buffer.write(b"caf\\xe9\\n"); sys.stderr.flush()
    sys.exit(3)
    """
    (crashed,) = read(fake_worker(body, log_path=log))
    assert isinstance(crashed, Crashed)
    assert crashed.exit_code == 3
    tail = crashed.log_tail.splitlines()
    assert len(tail) == 40
    assert tail[-2] == "line 999 of the library's words"
    assert log.read_bytes().startswith(b"line 0 ")


def test_a_crash_after_the_last_word_is_no_crash(fake_worker: FakeWorker) -> None:
    process = fake_worker("finish(); os.kill(os.getpid(), signal.SIGSEGV)")
    (last,) = read(process)
    assert isinstance(last, Finished)


def test_an_answer_that_leaves_more_to_come_is_enough_only_at_a_good_end(fake_worker: FakeWorker) -> None:
    loaded = "say('model_loaded', run='r', device='cpu', labels=[])"
    process = fake_worker(loaded)
    (only,) = read(process)
    assert process.last_word == only
    assert isinstance(read(fake_worker(f"{loaded}; os.kill(os.getpid(), signal.SIGKILL)"))[-1], Crashed)


@pytest.mark.parametrize("wish", ["stop", "pause", "checkpoint"])
def test_a_wish_reaches_a_worker_that_answers(fake_worker: FakeWorker, wish: str) -> None:
    body = """
    command = json.loads(sys.stdin.readline())
    say("finished", outcome="stopped", output=json.dumps(command))
    """
    process = fake_worker(body)
    getattr(process, wish)()
    (last,) = read(process)
    assert isinstance(last, Finished)
    assert json.loads(last.output) == {"command": wish}


def test_closing_stdin_ends_a_worker(fake_worker: FakeWorker) -> None:
    process = fake_worker("sys.stdin.read(); finish()")
    process.close()
    assert isinstance(read(process)[-1], Finished)


def test_a_silent_worker_is_terminated_after_stop(fake_worker: FakeWorker) -> None:
    process = fake_worker(SLEEP_FOR_EVER)
    process.stop()
    (crashed,) = read(process)
    assert isinstance(crashed, Crashed)
    assert crashed.signal == "SIGTERM"
    assert "no sign of life for 0.4 seconds" in crashed.likely_cause


def test_a_silent_worker_that_ignores_sigterm_is_killed(fake_worker: FakeWorker) -> None:
    process = fake_worker(f"signal.signal(signal.SIGTERM, signal.SIG_IGN); say('hello', protocol=1, pid=1)\n{SLEEP_FOR_EVER}")
    events = process.events()
    next(events)
    process.stop()
    crashed = list(events)[-1]
    assert isinstance(crashed, Crashed)
    assert crashed.signal == "SIGKILL"


def test_a_worker_with_a_heartbeat_is_given_all_the_time_it_needs(fake_worker: FakeWorker) -> None:
    process = fake_worker(BEAT_UNTIL_CLOSED + "sys.stdin.readline(); time.sleep(1.5); finish()")
    process.stop()
    events = read(process)
    assert isinstance(events[-1], Finished)
    assert any(isinstance(event, Heartbeat) for event in events)


def test_a_silent_worker_that_nobody_stops_is_left_alone(fake_worker: FakeWorker) -> None:
    assert isinstance(read(fake_worker("time.sleep(1.2); finish()"))[-1], Finished)


def test_cancel_ends_a_worker_and_what_it_started(fake_worker: FakeWorker) -> None:
    body = f"""
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    say("log_line", level="info", text=str(child.pid))
    {SLEEP_FOR_EVER}
    """
    process = fake_worker(body)
    events = process.events()
    first = next(events)
    process.cancel()
    last = list(events)[-1]
    assert isinstance(last, Failed)
    assert last.kind == "cancelled"
    assert isinstance(first, LogLine)
    assert _ends(int(first.text))


def test_a_stubborn_worker_is_killed_when_cancelled(fake_worker: FakeWorker) -> None:
    process = fake_worker(f"signal.signal(signal.SIGTERM, signal.SIG_IGN); say('hello', protocol=1, pid=1)\n{SLEEP_FOR_EVER}")
    events = process.events()
    next(events)
    process.cancel()
    assert isinstance(list(events)[-1], Failed)


def test_detach_stops_listening_while_the_worker_saves(fake_worker: FakeWorker, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    ends: list[Event] = []
    process = fake_worker(f"sys.stdin.read(); time.sleep(0.3); open({str(saved)!r}, 'w').close()", on_end=ends.append)
    threading.Timer(0.2, process.detach).start()
    assert read(process) == []
    assert process.last_word is None
    assert process.running
    assert process.wait(20)
    assert saved.exists()
    assert ends == []
    process.detach()  # once more changes nothing


def test_on_end_is_called_once_the_process_is_gone(fake_worker: FakeWorker) -> None:
    seen: list[tuple[Event, bool]] = []
    process = fake_worker("finish(); time.sleep(0.2)", on_end=lambda event: seen.append((event, process.running)))
    last = read(process)[-1]
    assert seen == [(last, False)]


def test_what_is_sent_to_a_dead_worker_is_dropped(fake_worker: FakeWorker) -> None:
    process = fake_worker("finish()")
    read(process)
    process.send(InspectData(dataset=DatasetConfig()))
    process.stop()
    process.close()
    process.cancel()
    process.kill()
    assert isinstance(process.last_word, Finished)


def test_a_program_that_cannot_start_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="could not be started"):
        WorkerProcess(command=(str(tmp_path / "nothing"),))


def test_an_unwritable_log_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="log of the background process cannot be written"):
        WorkerProcess(tmp_path / "no folder" / "worker.log")


def test_what_a_killed_export_leaves_half_written_is_cleared_away(the_worker_is: Callable[[str], None], tmp_path: Path) -> None:
    half = tmp_path / ".mine.partial"
    the_worker_is(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "folder = json.loads(sys.stdin.readline())['folder']\n"
        f"os.mkdir({str(half)!r}); open({str(half / 'model.safetensors')!r}, 'w').close()\n"
        "say('stage_changed', stage='writing the export')\n" + SLEEP_FOR_EVER
    )
    process = start_job(Export(run="r", home="h", folder=str(tmp_path / "mine"), kind="merged"))
    for event in process.events():
        if isinstance(event, StageChanged):
            assert half.is_dir()
            process.kill()  # no chance to tidy up
    assert isinstance(process.last_word, Crashed)
    assert not half.exists()
    assert tmp_path.is_dir()


def test_ctrl_c_in_the_terminal_does_not_reach_a_worker(fake_worker: FakeWorker) -> None:
    process = fake_worker("sys.stdin.read(); finish()")
    assert os.getpgid(process.pid) != os.getpgid(0)
    process.close()
    read(process)


def _ends(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False
