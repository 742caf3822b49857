"""What the command line says when something goes wrong: in words, in JSON, and never in a terminal's control codes."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest

from tests.terminal import FAILURE, FINISHED, STARTED, Terminal


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(tmp_path, capsys, monkeypatch)


def test_a_failed_run_exits_with_1_and_says_why(terminal: Terminal) -> None:
    terminal.worker_is(STARTED + FAILURE)
    assert terminal.run("train", "sample") == 1
    assert "The file has no rows.\nAdd some.\n" in terminal.err
    assert "Traceback" not in terminal.err + terminal.out
    assert "worker.log" in terminal.err


def test_a_failure_in_json_is_the_last_line_and_is_not_repeated(terminal: Terminal) -> None:
    terminal.worker_is(STARTED + FAILURE)
    assert terminal.run("train", "sample", "--json") == 1
    assert [json.loads(line)["event"] for line in terminal.out.splitlines()].count("failed") == 1


def test_an_early_failure_of_training_is_one_line_of_json(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.supervise.process.WORKER_COMMAND", (str(terminal.folder / "nothing"),))
    assert terminal.run("train", "sample", "--json") == 1
    (line,) = terminal.out.splitlines()
    assert json.loads(line)["kind"] == "worker_missing"
    assert terminal.home.list_runs()[0].state() == "failed"


def test_what_data_says_never_steers_the_terminal(terminal: Terminal) -> None:
    steering = FAILURE.replace("no rows", "\\x1b[2J").replace("Add", "\\x9b2J").replace("bad_input", "bug")
    terminal.worker_is(STARTED + steering.replace("Traceback", "\\x1b]0;x\\x07"))
    assert terminal.run("train", "sample") == 1
    assert not {"\x1b", "\x9b", "\x07"} & set(terminal.err)
    assert "The file has \N{REPLACEMENT CHARACTER}[2J" in terminal.err


def test_scores_that_are_no_numbers_stay_valid_json(terminal: Terminal) -> None:
    run = terminal.a_run()
    terminal.worker_is(
        "command = json.loads(sys.stdin.readline())\n" + terminal.copy_predictions() + "say('finished', outcome='completed')"
    )
    assert terminal.run("evaluate", run.name, "--json") == 0
    assert json.loads(terminal.out, parse_constant=pytest.fail)["accuracy"] == "NaN"


def test_a_problem_before_the_worker_is_a_failed_object_in_json(terminal: Terminal) -> None:
    assert terminal.run("evaluate", "no-such-run", "--json") == 1
    assert json.loads(terminal.out)["event"] == "failed"
    assert "no-such-run" in terminal.err


def test_a_crash_is_explained_with_the_end_of_the_log(terminal: Terminal) -> None:
    terminal.worker_is(
        STARTED + "print('a driver\\x1b[31m died', file=sys.stderr, flush=True); os.kill(os.getpid(), signal.SIGSEGV)"
    )
    assert terminal.run("train", "sample") == 1
    assert "(SIGSEGV). A native library" in terminal.err
    assert "a driver\N{REPLACEMENT CHARACTER}[31m died" in terminal.err
    assert terminal.home.list_runs()[0].state() == "crashed"


@pytest.mark.parametrize(
    ("source", "words"), [("~no-such-user/x.csv", "There is no file"), ("a\\u0000b.csv", "NUL character")], ids=["home", "zero"]
)
def test_a_name_that_is_no_path_is_told(terminal: Terminal, source: str, words: str) -> None:
    path = terminal.folder / "run.toml"
    path.write_text(f'[dataset]\nsource = "{source}"\n', "utf-8")
    assert terminal.run("train", str(path)) == 1
    assert words in terminal.err
    assert "Traceback" not in terminal.err


def test_a_message_that_is_no_text_is_told(terminal: Terminal) -> None:
    assert terminal.run("predict", terminal.a_run().name, "caf\udce9") == 1
    assert "no UTF-8" in terminal.err
    assert "Traceback" not in terminal.err


def test_a_full_disk_after_the_work_is_told(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "confusion.csv")

    monkeypatch.setattr("studio.cli_commands.write_confusion", fail)
    terminal.worker_is("command = json.loads(sys.stdin.readline())\n" + terminal.copy_predictions() + FINISHED)
    assert terminal.run("evaluate", terminal.a_run().name) == 1
    assert "No space left on device (confusion.csv)" in terminal.err
    assert "Traceback" not in terminal.err


def test_a_full_disk_refuses_a_new_run_in_words(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("studio.core.runs.write_atomically", refuse)
    assert terminal.run("train", "sample") == 1
    assert "No space left on device" in terminal.err
    assert "Traceback" not in terminal.err
    assert list(terminal.home.runs.iterdir()) == []


def test_a_run_that_was_deleted_meanwhile_is_named(terminal: Terminal) -> None:
    run = terminal.a_run()
    shutil.rmtree(run.path)
    assert terminal.run("evaluate", run.name) == 1
    assert "There is no run" in terminal.err
    assert not run.path.exists()
