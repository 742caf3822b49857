"""`finetune-studio resume`, and how the command line says that a run can be resumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.core.events import Finished
from studio.core.resuming import TRAINING_FACTS
from studio.core.runs import RunFolder
from tests.terminal import FINISHED, STARTED, TRAINED, Terminal


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(tmp_path, capsys, monkeypatch)


def with_checkpoint(run: RunFolder) -> RunFolder:
    folder = run.checkpoints / "step-2"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"sha256": {TRAINING_FACTS: ""}}))
    return run


# Keeps a checkpoint in the run's folder, whichever it is.
KEEP = f"""
import pathlib
folder = pathlib.Path(command["run"]) / "checkpoints" / "step-2"
folder.mkdir(parents=True, exist_ok=True)
(folder / "manifest.json").write_text(json.dumps({{"sha256": {{"{TRAINING_FACTS}": ""}}}}))
"""
PAUSE = "say('finished', outcome='paused', seconds=9)"


def test_it_goes_on_and_shows_the_result_like_train(terminal: Terminal) -> None:
    run = with_checkpoint(terminal.a_run())
    run.write_outcome(Finished(outcome="paused"))
    terminal.worker_is(STARTED + TRAINED + terminal.copy_predictions() + FINISHED)
    assert terminal.run("resume", run.name) == 0
    for words in (f"Run {run.name}", "step 4/4", "Accuracy: 75.0 %", "Confusion matrix"):
        assert words in terminal.out
    assert len(terminal.home.list_runs()) == 1


def test_a_smaller_micro_batch_is_asked_for(terminal: Terminal) -> None:
    run = with_checkpoint(terminal.a_run())
    run.write_outcome(Finished(outcome="paused"))
    terminal.worker_is(STARTED + "\nassert command['micro_batch'] == 2\n" + TRAINED + terminal.copy_predictions() + FINISHED)
    assert terminal.run("resume", run.name, "--micro-batch", "2") == 0
    with pytest.raises(SystemExit):
        terminal.run("resume", run.name, "--micro-batch", "0")


def test_with_json_it_writes_one_event_a_line(terminal: Terminal) -> None:
    run = with_checkpoint(terminal.a_run())
    terminal.worker_is(STARTED + TRAINED + terminal.copy_predictions() + FINISHED)
    assert terminal.run("resume", str(run.path), "--json") == 0
    events = [json.loads(line)["event"] for line in terminal.out.splitlines()]
    assert events[0] == "hello"
    assert events[-1] == "finished"


def test_what_cannot_go_on_says_why_and_exits_with_1(terminal: Terminal) -> None:
    run = terminal.a_run()
    assert terminal.run("resume", run.name) == 1
    assert "before a checkpoint was written" in terminal.err
    with_checkpoint(run).write_outcome(Finished(outcome="completed"))
    assert terminal.run("resume", run.name, "--json") == 1
    assert "is finished" in terminal.err
    assert json.loads(terminal.out)["kind"] == "finished"
    assert terminal.run("resume", "none") == 1


def test_a_paused_run_says_how_to_go_on(terminal: Terminal) -> None:
    terminal.worker_is(STARTED + KEEP + PAUSE)
    assert terminal.run("train", "sample") == 0
    (run,) = terminal.home.list_runs()
    assert "Paused; what was learnt is kept" in terminal.out
    assert "predicted" not in terminal.out, "the test waits for the end"
    assert f"finetune-studio resume {run.name} --home" in terminal.out
    assert terminal.run("runs") == 0
    assert "paused" in terminal.out


def test_a_run_that_failed_says_how_to_go_on(terminal: Terminal) -> None:
    terminal.worker_is(STARTED + KEEP + "say('failed', kind='disk_full', message='The disk is full.', remedy='Free some space.')")
    assert terminal.run("train", "sample") == 1
    (run,) = terminal.home.list_runs()
    assert f"can be resumed after step 2: finetune-studio resume {run.name}" in terminal.err


def test_a_run_that_kept_nothing_promises_nothing(terminal: Terminal) -> None:
    terminal.worker_is(STARTED + "say('failed', kind='disk_full', message='The disk is full.', remedy='Free some space.')")
    assert terminal.run("train", "sample") == 1
    assert "resume" not in terminal.out + terminal.err
