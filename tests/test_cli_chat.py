"""``finetune-studio chat``: from a pipe, on a terminal, interrupted."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio import cli
from studio.core.config import RunConfig
from studio.core.runs import Home
from tests.terminal import FAILURE, Terminal
from tests.test_cli_signals import command_line

PROMPT = "> "
WORKER = """
loaded = json.loads(sys.stdin.readline())
assert loaded["command"] == "load_model"
say("stage_changed", stage="loading the model")
say("model_loaded", run="r", device="cpu", labels=["card_lost", "transfer"])
say("heartbeat", memory_bytes=1)
for line in sys.stdin:
    asked = json.loads(line)
    if asked["command"] == "cancel":
        continue
    request, who = asked["request"], asked["speaker"]
    if "crash" in asked["text"]:
        sys.exit("the driver is gone")
    elif "refuse" in asked["text"]:
        say("no_answer", request=request, kind="out_of_memory", message="Too big.", remedy="Close others.")
    elif asked["command"] == "ask":
        first = "card_lost" if who == "tuned" else "transfer"
        top = [dict(label=first, probability=0.75), dict(label="\\x1b[2Jother", probability=0.25)]
        row = dict(text=asked["text"], predicted=first, probability=0.75, top=top, left_set=False, outside_mass=0.0)
        say("predicted", request=request, prediction=row, seconds=0.5, cut="long" in asked["text"])
    else:
        settings = asked["settings"]
        for piece in (" ", " Once", " upon\\n", "\\ta", "\\x1b[2J time"):
            say("token_generated", request=request, text=piece)
        reason = "end_token"
        if "endless" in asked["text"]:
            assert json.loads(sys.stdin.readline()) == dict(command="cancel", request=request)
            reason = "stopped"
        end = dict(reason=reason, prompt_tokens=3, tokens=4, seconds=2.0)
        say("token_generated", request=request, text=f" by {who} {settings['seed']} {settings['temperature']}.", end=end)
"""


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal(tmp_path, capsys, monkeypatch)
    terminal.worker_is(WORKER)
    return terminal


class Pipe:
    """Standard input as a pipe with these lines."""

    def __init__(self, *lines: str) -> None:
        self._lines = iter([f"{line}\n" for line in lines])

    def isatty(self) -> bool:
        return False

    def __iter__(self) -> Iterator[str]:
        return self._lines

    def __next__(self) -> str:
        return next(self._lines)


def chat(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, lines: list[str], *options: str) -> int:
    monkeypatch.setattr(sys, "stdin", Pipe(*lines))
    return terminal.run("chat", terminal.a_run().name, *options)


def test_a_pipe_is_answered_line_by_line(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chat(terminal, monkeypatch, ["one", "", "  ", "a long one"]) == 0
    assert terminal.out.count("  75.0 %  card_lost\n  25.0 %  \N{REPLACEMENT CHARACTER}[2Jother\n") == 2
    assert terminal.err.count("its end was left out") == 1
    assert "Ctrl-D" not in terminal.out


def test_the_base_answers_too(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chat(terminal, monkeypatch, ["one"], "--base") == 0
    assert "This run:\n  75.0 %  card_lost\n" in terminal.out
    assert "The base:\n  75.0 %  transfer\n" in terminal.out


def test_free_text_is_written_without_what_could_move_the_cursor(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chat(terminal, monkeypatch, ["Tell me"], "--free", "--seed", "5", "--temperature", "0.5") == 0
    assert "Once upon\n    a\N{REPLACEMENT CHARACTER}[2J time by tuned 5 0.5.\n" in terminal.out
    assert "\n  Once" not in terminal.out


def test_json_is_one_document_a_line(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chat(terminal, monkeypatch, ["one", "refuse"], "--json", "--base") == 1
    found = [json.loads(line) for line in terminal.out.splitlines()]
    assert [(row["message"], row["speaker"]) for row in found] == [
        (text, who) for text in ("one", "refuse") for who in ("tuned", "base")
    ]
    assert found[0]["prediction"]["top"][0] == {"label": "card_lost", "probability": 0.75}
    assert found[2]["problem"] == {"kind": "out_of_memory", "message": "Too big.", "remedy": "Close others."}
    assert chat(terminal, monkeypatch, ["one", "two"], "--json", "--free") == 0
    one, two = (json.loads(line) for line in terminal.out.splitlines())
    assert one["text"] == f"  Once upon\n\ta\x1b[2J time by tuned {one['settings']['seed']} 0.7."
    assert one["end"]["reason"] == "end_token"
    assert one["settings"]["seed"] != two["settings"]["seed"]


def test_a_message_that_cannot_be_answered_does_not_end_it(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chat(terminal, monkeypatch, ["refuse", "one"]) == 1
    assert "Too big. Close others." in terminal.err
    assert "card_lost" in terminal.out


def test_bytes_that_are_no_text_are_sent_as_a_mark(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chat(terminal, monkeypatch, ["caf\udce9"], "--json") == 0
    assert json.loads(terminal.out)["prediction"]["text"] == "caf\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_crash_is_told(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    assert chat(terminal, monkeypatch, ["crash", "one"], *options) == 1
    assert "ended unexpectedly" in terminal.err
    if options:
        assert json.loads(terminal.out)["event"] == "crashed"


def test_a_model_that_cannot_be_loaded_is_told(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.worker_is(FAILURE)
    assert chat(terminal, monkeypatch, ["one"]) == 1
    assert "The file has no rows." in terminal.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--seed", "5"], "--seed is for --free"),
        (["--raw"], "--raw is for --free"),
        (["--free", "--top-p", "2"], "--top-p: Input should be less than or equal to 1"),
        (["--free", "--max-tokens", "0"], "--max-tokens: Input should be greater than or equal to 1"),
        (["--free", "--temperature", "hot"], "invalid float value"),
    ],
)
def test_wrong_usage_exits_with_2(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        cli.parse(["chat", "run", *options])
    assert exit_info.value.code == 2
    assert words in capsys.readouterr().err


class TestTerminal:
    """In a process of its own, whose input and output is a terminal."""

    def talk(self, folder: Path, steps: list[tuple[str, str | int]], *options: str) -> tuple[int, str]:
        """Wait for the words of each step, then type or send its signal; what was shown, and the exit code."""
        run = Home.locate(folder / "home").create_run(RunConfig())
        master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
        command = command_line(folder, WORKER, "chat", run.name, *options)
        process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True)
        os.close(slave)
        shown = bytearray()
        seen = 0
        again = 0
        try:
            for words, act in steps:
                silent = 0
                while (found := shown.find(words.encode(), seen)) < 0:
                    if select.select([master], [], [], 5)[0]:
                        shown += os.read(master, 65536)
                        continue
                    silent += 1
                    if again:
                        process.send_signal(again)
                    if silent > 10:
                        process.kill()
                        pytest.fail(f"{words!r} did not come after {shown.decode(errors='replace')!r}")
                seen = found + len(words)
                # Python misses a Ctrl-C that comes between what it writes and its wait for a key or an event.
                again = act if isinstance(act, int) else 0
                if isinstance(act, str):
                    os.write(master, act.encode())
                else:
                    process.send_signal(act)
            while chunk := os.read(master, 65536):
                shown += chunk
        except OSError:  # how Linux tells that the other side of a terminal is closed
            pass
        finally:
            os.close(master)
        return process.wait(30), shown.decode().replace("\r\n", "\n")

    def test_it_asks_and_ctrl_d_leaves(self, tmp_path: Path) -> None:
        code, shown = self.talk(tmp_path, [(PROMPT, "my card\n"), ("25.0 %", ""), (PROMPT, "\x04")])
        assert code == 0
        assert "Loaded on cpu. Ctrl-C stops an answer, Ctrl-D leaves." in shown
        assert "  75.0 %  card_lost\n" in shown
        assert "Traceback" not in shown

    def test_ctrl_c_stops_the_answer_and_the_next_one_is_asked(self, tmp_path: Path) -> None:
        steps: list[tuple[str, str | int]] = [
            (PROMPT, "endless\n"),
            ("time", signal.SIGINT),
            ("stopped by you", ""),
            (PROMPT, "more\n"),
            ("wrote its end token", ""),
            (PROMPT, signal.SIGINT),
            ("Ctrl-D leaves.", ""),
            (PROMPT, "\x04"),
        ]
        code, shown = self.talk(tmp_path, steps, "--free", "--base", "--seed", "3")
        assert code == 0
        assert shown.count("by base 3") == 1, "after Ctrl-C the base is not asked"
        assert "4 tokens · 2.0 tokens/s · stopped by you · temperature 0.7, top-p 0.95, seed 3" in shown
        assert "Traceback" not in shown


def test_ctrl_c_in_a_pipe_stops_and_leaves(tmp_path: Path) -> None:
    run = Home.locate(tmp_path / "home").create_run(RunConfig())
    command = command_line(tmp_path, WORKER, "chat", run.name, "--free")
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("endless\nnext\n")
    process.stdin.flush()
    heard = ""
    while "time" not in heard:
        heard += process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out.count("by tuned") == 1
    assert "Traceback" not in err


def test_bytes_that_are_no_text_do_not_end_a_pipe(tmp_path: Path) -> None:
    run = Home.locate(tmp_path / "home").create_run(RunConfig())
    command = command_line(tmp_path, WORKER, "chat", run.name, "--json")
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, input=b"caf\xe9\nnext\n", capture_output=True, timeout=60, env=strict, check=False)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["message"] for line in done.stdout.splitlines()] == ["caf\ufffd", "next"]
