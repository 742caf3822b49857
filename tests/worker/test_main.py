"""The worker as a process: ``python -m studio --worker``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from studio.core.answers import DataInspected, ReportWritten, RunsCompared
from studio.core.commands import Command, CompareRuns, InspectData, Stop, Train, WriteReport
from studio.core.config import DatasetConfig, RunConfig
from studio.core.events import Event, Failed, Heartbeat, Hello, LogLine
from studio.core.failures import explain, is_out_of_memory
from studio.core.predictions import write_predictions
from studio.core.runs import Home, RunFolder
from studio.core.wire import decode_command, decode_event, encode

COMMAND = [sys.executable, "-m", "studio", "--worker"]


def converse(*commands: Command) -> tuple[list[Event], subprocess.CompletedProcess[bytes]]:
    """Send the commands, close stdin and read everything."""
    ended = subprocess.run(COMMAND, input=b"".join(map(encode, commands)), capture_output=True, timeout=60)
    events = map(decode_event, ended.stdout.splitlines())
    return [event for event in events if not isinstance(event, Heartbeat)], ended  # one may still come after the last word


def test_a_job_answers_and_the_process_ends(tmp_path: Path) -> None:
    source = tmp_path / "messages.csv"
    source.write_text("text,intent\n" + "".join(f"message {n},{'ab'[n % 2]}\n" for n in range(20)))
    events, ended = converse(InspectData(dataset=DatasetConfig(source=str(source))))
    assert isinstance(events[0], Hello)
    assert isinstance(events[-1], DataInspected)
    assert ended.returncode == 0
    assert ended.stderr == b""


def test_runs_are_put_side_by_side(tmp_path: Path) -> None:
    home = Home.locate(tmp_path)
    runs = [home.create_run(RunConfig()), home.create_run(RunConfig().with_training(learning_rate=1e-3))]
    events, _ended = converse(CompareRuns(runs=[str(run.path) for run in runs]))
    assert isinstance(events[-1], RunsCompared)
    comparison = events[-1].comparison
    assert [run.name for run in comparison.runs] == [run.name for run in runs]
    assert [setting.key for setting in comparison.settings if setting.differs] == ["training.learning_rate"]


def test_a_report_is_written(tmp_path: Path) -> None:
    run = Home.locate(tmp_path).create_run(RunConfig())
    write_predictions(run.predictions_path, ["card"], [])
    page = tmp_path / "page.html"
    events, _ended = converse(WriteReport(run=str(run.path), out=str(page)))
    assert events[-1] == ReportWritten(path=str(page), time=events[-1].time, elapsed=events[-1].elapsed)
    assert run.name in page.read_text("utf-8")
    nowhere, _ended = converse(WriteReport(run=str(run.path), out=str(tmp_path / "missing" / "page.html")))
    assert isinstance(nowhere[-1], Failed)
    assert "cannot be written" in nowhere[-1].message


def test_a_problem_in_a_file_is_a_failed_with_a_remedy(tmp_path: Path) -> None:
    events, ended = converse(InspectData(dataset=DatasetConfig(source=str(tmp_path / "nothing.csv"))))
    assert isinstance(events[-1], Failed)
    assert events[-1].remedy
    assert ended.returncode == 0


def test_no_command_is_a_good_end() -> None:
    events, ended = converse()
    assert [event.event for event in events] == ["hello"]
    assert ended.returncode == 0


def test_a_command_that_is_no_job_is_refused() -> None:
    # Stop is no job either, but it never reaches the queue.
    events, _ = converse(Stop(), decode_command(b'{"command": "ask", "request": 1, "text": "hi"}'))
    assert isinstance(events[-1], Failed)
    assert events[-1].kind == "protocol"


def test_ctrl_c_does_not_end_a_worker() -> None:
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert isinstance(decode_event(process.stdout.readline()), Hello)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert process.poll() is None
    _, problems = process.communicate(timeout=20)
    assert process.returncode == 0
    assert problems == b""


def in_worker(body: str, *commands: Command) -> tuple[list[Event], subprocess.CompletedProcess[bytes]]:
    """A worker whose inspect_data job is the function ``job(command, channel)`` of ``body``."""
    program = (
        f"import sys\nfrom studio.worker import main as worker\n{body}\nworker._find = lambda name: job\nsys.exit(worker.main())"
    )
    sent = b"".join(map(encode, commands or (InspectData(dataset=DatasetConfig()),)))
    ended = subprocess.run([sys.executable, "-c", program], input=sent, capture_output=True, timeout=60)
    events = map(decode_event, ended.stdout.splitlines())
    return [event for event in events if not isinstance(event, Heartbeat)], ended  # one may still come after the last word


def test_what_libraries_print_never_reaches_the_wire() -> None:
    body = """
import os, subprocess
def job(command, channel):
    print("a library's banner")
    os.write(1, b"native words\\n")
    subprocess.run(["echo", "a child's words"])
    assert sys.stdin.read() == "" and os.read(0, 10) == b""
    channel.log("heard")
"""
    events, ended = in_worker(body)
    assert [event.event for event in events] == ["hello", "log_line"]
    for words in (b"a library's banner", b"native words", b"a child's words"):
        assert words in ended.stderr


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        ("StudioError('No rows.', 'Add some.', kind='bad_input')", "bad_input", "No rows."),
        ("MemoryError()", "out_of_memory", "needed more memory than there was."),
        (
            "RuntimeError('[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can\\'t allocate memory')",
            "out_of_memory",
            "memory",
        ),
        ("RuntimeError('MPS backend out of memory (MPS allocated: 1 GB)')", "out_of_memory", "memory"),
        ("RuntimeError('shapes do not match')", "bug", "shapes do not match"),
        ("ValueError()", "bug", "ValueError"),
    ],
)
def test_every_exception_becomes_a_last_word(raised: str, kind: str, words: str) -> None:
    events, ended = in_worker(f"from studio.core.errors import StudioError\ndef job(command, channel): raise {raised}")
    last = events[-1]
    assert isinstance(last, Failed)
    assert last.kind == kind
    assert words in last.message
    assert last.remedy
    assert ended.returncode == 0
    assert b"Traceback" in ended.stderr
    assert ("Traceback" in last.detail) is (kind != "bad_input")


def test_a_lost_graphics_card_is_told_apart_from_a_bug() -> None:
    lost = explain(RuntimeError("CUDA error: the GPU is lost. Reboot the system to recover this GPU"))
    assert (lost.kind, "cable" in lost.remedy) == ("device_lost", True)
    assert explain(RuntimeError("shapes do not fit")).kind == "bug"


def test_torchs_own_memory_error_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    class OutOfMemoryError(RuntimeError):
        pass

    torch = type(sys)("torch")
    torch.OutOfMemoryError = OutOfMemoryError  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert is_out_of_memory(OutOfMemoryError("CUDA error"))
    assert not is_out_of_memory(RuntimeError("CUDA error"))


def test_a_native_crash_leaves_the_python_stack_in_the_log() -> None:
    _, ended = in_worker("import ctypes\ndef job(command, channel): ctypes.string_at(0)")
    assert ended.returncode == -signal.SIGSEGV
    assert b"in job" in ended.stderr


def test_the_environment_of_a_job() -> None:
    body = """
import json, os
def job(command, channel):
    try:
        import kernels
        fetched = True
    except ImportError:
        fetched = False
    channel.log(json.dumps([fetched, os.environ["TOKENIZERS_PARALLELISM"], os.environ["HF_HUB_DISABLE_TELEMETRY"]]))
"""
    events, _ = in_worker(body)
    assert isinstance(events[-1], LogLine)
    assert json.loads(events[-1].text) == [False, "false", "1"]


def test_a_failed_training_leaves_its_outcome(tmp_path: Path) -> None:
    run = Home.locate(tmp_path).create_run(RunConfig())
    body = "from studio.core.errors import StudioError\ndef job(command, channel): raise StudioError('No.', 'Do.')"
    events, _ = in_worker(body, Train(run=str(run.path), home=str(tmp_path)))
    assert run.state() == "failed"
    outcome = RunFolder(run.path).outcome()
    assert outcome is not None
    assert isinstance(outcome.final, Failed)
    assert outcome.final.message == getattr(events[-1], "message", None)


def test_a_job_hears_that_its_app_is_gone() -> None:
    body = """
import time
def job(command, channel):
    while not channel.stop.requested: time.sleep(0.01)
    channel.log(str(channel.stop.pausing))
"""
    events, ended = in_worker(body)
    assert isinstance(events[-1], LogLine)
    assert events[-1].text == "True"
    assert ended.returncode == 0


def test_every_job_in_the_table_exists() -> None:
    code = "from studio.worker.main import JOBS, _find; print([name for name in JOBS if not callable(_find(name))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_inspecting_data_loads_no_torch(tmp_path: Path) -> None:
    body = """
from studio.worker.inspection import inspect_data
def job(command, channel):
    inspect_data(command, channel)
    channel.log(str([name for name in ("torch", "transformers", "pandas", "PySide6") if name in sys.modules]))
"""
    source = tmp_path / "messages.csv"
    source.write_text("text,intent\n" + "".join(f"message {n},{'ab'[n % 2]}\n" for n in range(20)))
    events, _ = in_worker(body, InspectData(dataset=DatasetConfig(source=str(source))))
    assert isinstance(events[-1], LogLine)
    assert events[-1].text == "[]"
