"""The command line as a process: Ctrl-C, a closed pipe, a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

from studio.core.config import RunConfig
from studio.core.runs import Home
from tests.fake_workers import write_worker
from tests.terminal import FINISHED, STARTED, TRAINED

# Whoever runs the tests in the background has Ctrl-C ignored, which a child inherits; at a terminal it is not.
CODE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from studio import cli
from studio.supervise import process
process.WORKER_COMMAND = tuple(sys.argv[1:4])
sys.exit(cli.run(cli.parse(sys.argv[4:])))
"""


def command_line(folder: Path, body: str, *arguments: str) -> list[str]:
    """The command line in a process of its own, whose worker's program is ``body``."""
    return [sys.executable, "-c", CODE, *write_worker(folder, body), *arguments, "--home", str(folder / "home")]


class TestInterruption:
    """Ctrl-C while a worker is at work, in a process of its own."""

    STOPPING = """
command = json.loads(sys.stdin.readline())
say("stage_changed", stage="training")
heard = json.loads(sys.stdin.readline())
say("log_line", level="info", text=json.dumps(heard))
say("finished", outcome="stopped")
"""
    STUBBORN = STOPPING.replace('say("finished"', 'time.sleep(60); say("finished"')

    PREDICTING = """
command = json.loads(sys.stdin.readline())
say("stage_changed", stage="training")
heard = json.loads(sys.stdin.readline())
say("log_line", level="info", text="heard")
say("failed", kind="stopped", message="heard: " + heard["command"], remedy="Start it again.")
"""

    def interrupt(self, folder: Path, body: str, arguments: list[str], signals: int) -> tuple[int, str, str]:
        process = subprocess.Popen(
            command_line(folder, body, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        heard = ""
        for number in range(signals):
            awaited = "Training" if number == 0 else "pause"
            while awaited not in heard:
                heard += process.stdout.readline()
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        return process.returncode, heard + out, err

    def test_training_stops_keeps_and_exits_with_130(self, tmp_path: Path) -> None:
        code, out, err = self.interrupt(tmp_path, self.STOPPING, ["train", "sample"], 1)
        assert code == 130
        assert '"command": "pause"' in out
        assert "Stopped before anything was learnt" in out
        assert "Traceback" not in err
        assert Home.locate(tmp_path / "home").list_runs()[0].state() == "stopped"

    def test_a_demo_that_is_interrupted_is_one_document_too(self, tmp_path: Path) -> None:
        # Nothing is printed on the way that one could wait for.
        body = self.STOPPING.replace("heard =", "import os, signal; os.kill(os.getppid(), signal.SIGINT); heard =")
        done = subprocess.run(command_line(tmp_path, body, "demo", "--json"), capture_output=True, timeout=60, check=False)
        assert done.returncode == 130, done.stderr
        assert json.loads(done.stdout)["finished"]["outcome"] == "stopped"

    def test_a_second_ctrl_c_ends_it_at_once(self, tmp_path: Path) -> None:
        began = time.monotonic()
        code, _, err = self.interrupt(tmp_path, self.STUBBORN, ["train", "sample"], 2)
        assert code == 130
        assert time.monotonic() - began < 25
        assert "cancelled" in err
        assert "Traceback" not in err

    def test_a_file_that_is_predicted_is_stopped_in_good_order(self, tmp_path: Path) -> None:
        """So that its worker can keep what it has."""
        run = Home.locate(tmp_path / "home").create_run(RunConfig())
        arguments = ["predict", run.name, "--data", str(tmp_path / "in.csv"), "--out", str(tmp_path / "out.csv")]
        code, _, err = self.interrupt(tmp_path, self.PREDICTING, arguments, 1)
        assert code == 130
        assert "Stopping; what is predicted so far is kept. Press Ctrl-C again to end at once." in err
        assert "heard: stop" in err
        assert "Pausing" not in err
        assert "Traceback" not in err

    def test_other_commands_end_at_once(self, tmp_path: Path) -> None:
        run = Home.locate(tmp_path / "home").create_run(RunConfig())
        code, _, err = self.interrupt(tmp_path, self.STUBBORN, ["evaluate", run.name], 1)
        assert code == 130
        assert "Traceback" not in err


def test_a_closed_pipe_ends_it_without_a_traceback(tmp_path: Path) -> None:
    body = "for n in range(20000): say('log_line', level='info', text='x' * 100)\nfinish()"
    command = command_line(tmp_path, body, "train", "sample", "--json")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    problems = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 1
    assert problems == b""


def test_a_terminal_gets_a_bar(tmp_path: Path) -> None:
    body = STARTED + TRAINED + "time.sleep(0.4)\n" + FINISHED.replace("rows=4", "rows=0")
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "160"}
    command = command_line(tmp_path, body, "train", "sample")
    process = subprocess.Popen(command, stdout=slave, stderr=slave, stdin=slave, env=environment)
    os.close(slave)
    written = bytearray()
    try:
        while chunk := os.read(master, 65536):
            written += chunk
    except OSError:  # how Linux tells that the other side of a terminal is closed
        pass
    os.close(master)
    assert process.wait(30) == 0
    shown = written.decode()
    assert "4/4" in shown
    assert "loss 0.2500" in shown
    assert "━" in shown
