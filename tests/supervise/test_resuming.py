"""Going on with a run from the parent's side: what it refuses itself, and what a worker's end leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from studio.core.config import RunConfig
from studio.core.errors import StudioError
from studio.core.events import Crashed, Failed, Finished
from studio.core.resuming import TRAINING_FACTS
from studio.core.runs import Home, RunFolder
from studio.supervise.starting import resume_training
from studio.supervise.threads import TrainingSession, WorkerThread

PAUSED = Finished(outcome="paused")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.locate(tmp_path / "home")


@pytest.fixture
def run(home: Home) -> RunFolder:
    run = home.create_run(RunConfig())
    folder = run.checkpoints / "step-7"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"sha256": {TRAINING_FACTS: ""}}))
    return run


def test_the_worker_is_told_to_resume(home: Home, run: RunFolder, the_worker_is: Callable[[str], None]) -> None:
    the_worker_is("say('finished', outcome='completed', output=sys.stdin.readline())")
    (last,) = resume_training(home, run).events()
    assert isinstance(last, Finished)
    assert json.loads(last.output) == {"command": "resume", "run": str(run.path), "home": str(home.path), "micro_batch": None}


def test_a_refusal_leaves_the_outcome_and_a_crash_in_training_becomes_it(
    home: Home, run: RunFolder, the_worker_is: Callable[[str], None]
) -> None:
    refuse = "sys.stdin.readline(); say('failed', kind='changed_base', message='Changed.', remedy='Put it back.')"
    die = "sys.stdin.readline(); os.kill(os.getpid(), signal.SIGKILL)"
    for body, expected in ((refuse, Failed), (die, Crashed)):
        the_worker_is(body)
        run.write_outcome(PAUSED)
        assert isinstance(list(resume_training(home, run).events())[-1], expected)
        assert run.state() == "paused", "it had not gone on yet"
    the_worker_is(refuse)
    run.forget_end()
    list(resume_training(home, run).events())
    assert run.outcome() is None
    the_worker_is(die)
    list(resume_training(home, run).events())
    assert run.state() == "crashed"


def test_no_process_is_started_for_what_cannot_go_on(home: Home, run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.supervise.starting.WorkerProcess", lambda *_, **__: pytest.fail("started"))
    with run.lock(), pytest.raises(StudioError) as busy:
        resume_training(home, run)
    run.write_outcome(Finished(outcome="completed"))
    with pytest.raises(StudioError) as over:
        resume_training(home, run)
    with pytest.raises(StudioError) as nothing:
        resume_training(home, home.create_run(RunConfig()))
    assert [caught.value.kind for caught in (busy, over, nothing)] == ["busy", "finished", "no_checkpoint"]


def test_a_session_pauses_and_resumes(qtbot: QtBot, home: Home, run: RunFolder, the_worker_is: Callable[[str], None]) -> None:
    the_worker_is(
        "first = json.loads(sys.stdin.readline())\n"
        "heard = [json.loads(sys.stdin.readline())['command'] for _ in range(2)]\n"
        "say('finished', outcome='paused', output=' '.join([first['command'], *heard]))"
    )
    session = TrainingSession(home)
    started: list[RunFolder] = []
    session.run_started.connect(started.append)
    session.pause()  # nothing is there to be paused
    with qtbot.waitSignal(session.run_ended, timeout=20_000) as ended:
        session.resume(run)
        assert session.run == run
        with pytest.raises(StudioError, match="in progress"):
            session.resume(run)
        session.checkpoint()
        session.pause()
    assert ended.args[0] == run
    assert ended.args[1].output == "resume checkpoint pause"
    assert started == [run]
    qtbot.waitUntil(lambda: not WorkerThread._running, timeout=20_000)
