"""Runs that were paused, stopped or killed go on as if nothing had happened; what cannot go on says why."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from studio.core.commands import Pause, Resume, Stop, Train
from studio.core.config import RunConfig
from studio.core.events import (
    Crashed,
    Evaluated,
    Event,
    Failed,
    Finished,
    LogLine,
    ProtocolError,
    RunStarted,
    StepsCompleted,
)
from studio.core.resuming import resumable_step, still_standing
from studio.core.runs import Home, RunFolder
from studio.worker.channel import Channel
from tests.worker.jobs import Trained, config_for, train_here, train_to_the_end, work_here

pytestmark = pytest.mark.timeout(300)  # the first test waits for all the runs
Until = Callable[[Event], bool]


@pytest.fixture
def ask_when(monkeypatch: pytest.MonkeyPatch) -> Callable[[Until, str], None]:
    """Make the next job hear a wish right after it said something."""

    def when(said: Until, wish: str) -> None:
        emit = Channel.emit

        def heard(channel: Channel, event: Event) -> None:
            emit(channel, event)
            if said(event):
                monkeypatch.setattr(Channel, "emit", emit)
                channel.stop.pausing = wish == "pause"
                channel.stop.requested = wish in ("pause", "stop")
                channel.stop.checkpoint = wish == "checkpoint"

        monkeypatch.setattr(Channel, "emit", heard)

    return when


def after_step(step: int) -> Until:
    return lambda event: isinstance(event, StepsCompleted) and event.first_step == step


def resume(home: Home, run: RunFolder, *more: Any) -> list[Event]:
    return work_here(Resume(run=str(run.path), home=str(home.path)), *more)


def stands(run: RunFolder) -> dict[int, float]:
    return {event.first_step: event.losses[0] for event in still_standing(run.events()) if isinstance(event, StepsCompleted)}


def scores(run: RunFolder) -> list[tuple[int, str, float, float]]:
    told = [event for event in still_standing(run.events()) if isinstance(event, Evaluated)]
    return [(event.step, event.split, event.accuracy, pytest.approx(event.loss, rel=1e-6)) for event in told]


def check_like_never_interrupted(run: RunFolder, events: list[Event], whole: Trained) -> None:
    """The figures, the weights that are kept and the record are those of ``whole``."""
    finished, expected = events[-1], whole.one(Finished)
    assert isinstance(finished, Finished)
    same = ("outcome", "best_step", "rows", "accuracy", "macro_f1", "base_accuracy")
    assert [getattr(finished, name) for name in same] == [getattr(expected, name) for name in same]
    assert stands(run) == pytest.approx(stands(whole.run), rel=1e-6)
    assert scores(run) == scores(whole.run)
    ours, theirs = run.checkpoint(), whole.run.checkpoint()
    assert ours is not None
    assert theirs is not None
    assert [path.name for path in run.checkpoints.iterdir()] == [ours.name] == [theirs.name]
    kept, expected_weights = (load_file(next(folder.glob("*.safetensors"))) for folder in (ours, theirs))
    assert kept.keys() == expected_weights.keys()
    for name, weight in kept.items():
        assert weight.allclose(expected_weights[name], rtol=1e-6, atol=1e-7), name
    assert run.state() == "completed"
    times = [event.elapsed for event in run.events()]
    assert times == sorted(times)
    assert not [event for event in run.events() if isinstance(event, ProtocolError)]


@pytest.mark.parametrize("kind", ["full", "qlora"])
def test_a_paused_run_goes_on_as_if_it_never_had_been(
    home: Home, trained: dict[str, Trained], ask_when: Callable[[Until, str], None], kind: str
) -> None:
    whole = trained[f"{kind}-fp32"]
    ask_when(after_step(12), "pause")
    paused = train_here(home, whole.run.config())
    run, settings = paused.run, (paused.run.path / "run.toml").read_bytes()
    environment = (run.path / "environment.json").read_bytes()
    finished = paused.one(Finished)
    assert (finished.outcome, finished.rows) == ("paused", 0)
    assert (run.state(), resumable_step(run)) == ("paused", 13)

    ask_when(after_step(21), "pause")
    middle = resume(home, run)[-1]
    assert isinstance(middle, Finished)
    assert (middle.outcome, resumable_step(run)) == ("paused", 22)

    events = resume(home, run)
    check_like_never_interrupted(run, events, whole)
    assert [event.resumed_after for event in run.events() if isinstance(event, RunStarted)] == [None, 13, 22]
    assert (run.path / "run.toml").read_bytes() == settings
    assert (run.path / "environment.json").read_bytes() == environment


# Dies with SIGKILL in the middle of writing the checkpoint of a step, when its weights are on the disk already.
DEADLY = """
import os, signal, sys
from studio.engine import training_state
from studio.worker.main import main
write = training_state.TrainingState.write
def die(state, folder, step, standing):
    if step == 15:
        (folder / "training.safetensors").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    write(state, folder, step, standing)
training_state.TrainingState.write = die
main()
"""


def test_a_run_that_was_killed_while_it_wrote_a_checkpoint_loses_nothing(
    home: Home, trained: dict[str, Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained["lora-fp32"]
    monkeypatch.setattr("studio.supervise.process.WORKER_COMMAND", (sys.executable, "-P", "-c", DEADLY))
    killed = train_to_the_end(home, whole.run.config())
    run = killed.run
    crashed = killed.events[-1]
    assert isinstance(crashed, Crashed)
    assert crashed.signal == signal.SIGKILL.name
    assert (run.state(), resumable_step(run)) == ("crashed", 10)
    assert (run.checkpoints / ".step-15.partial").exists()
    with run.events_path.open("ab") as record:
        record.write(b'{"event": "heartb')

    events = resume(home, run)
    check_like_never_interrupted(run, events, whole)
    taken = [event.first_step for event in run.events() if isinstance(event, StepsCompleted)]
    assert taken == [*range(1, 16), *range(11, 51)], "both times stay in the record"


def test_a_stopped_run_goes_on_and_is_tested_anew(
    home: Home, trained: dict[str, Trained], ask_when: Callable[[Until, str], None]
) -> None:
    whole = trained["lora-fp32"]
    ask_when(after_step(8), "stop")
    stopped = train_here(home, whole.run.config())
    run = stopped.run
    assert stopped.one(Finished).outcome == "stopped"
    assert stopped.one(Finished).rows == 12
    # Damaged: it goes on from step 5, and what came after that is taken back.
    newest = run.checkpoints / "step-9"
    (newest / "training.json").write_text("{}")
    ask_when(after_step(6), "pause")
    events = resume(home, run)
    assert any(isinstance(event, LogLine) and "damaged" in event.text for event in run.events())
    assert not newest.exists()
    assert not run.predictions_path.exists(), "they were those of another model"
    last = events[-1]
    assert isinstance(last, Finished)
    assert (last.outcome, last.base_accuracy) == ("paused", whole.one(Finished).base_accuracy)
    assert [path.name for path in sorted(run.checkpoints.iterdir())] == ["step-5", "step-7"]
    check_like_never_interrupted(run, resume(home, run), whole)


def test_a_run_that_is_paused_before_it_is_tested_is_tested_when_resumed(
    home: Home, trained: dict[str, Trained], ask_when: Callable[[Until, str], None]
) -> None:
    whole = trained["lora-fp32"]
    ask_when(lambda event: isinstance(event, Evaluated) and event.step == 50, "pause")  # its last validation
    paused = train_here(home, whole.run.config())
    assert (paused.one(Finished).outcome, resumable_step(paused.run)) == ("paused", 50)
    events = resume(home, paused.run)
    assert not [event for event in events if isinstance(event, StepsCompleted)]
    check_like_never_interrupted(paused.run, events, whole)


@pytest.fixture
def short(base: Path, messages: Path, tmp_path: Path) -> RunConfig:
    own = Path(shutil.copytree(base, tmp_path / "own-base"))
    return config_for(messages, own, "lora", max_steps=6, evaluate_every=5, evaluate_base=False)


@pytest.fixture
def paused(home: Home, short: RunConfig, ask_when: Callable[[Until, str], None]) -> RunFolder:
    ask_when(after_step(3), "pause")
    run = train_here(home, short).run
    assert resumable_step(run) == 4
    return run


def content(run: RunFolder) -> dict[str, bytes]:
    return {
        str(path.relative_to(run.path)): path.read_bytes()
        for path in run.path.rglob("*.*")
        if path.is_file() and path.name != ".lock"
    }


def refused(home: Home, run: RunFolder, kind: str) -> Failed:
    """Resuming is refused for the reason ``kind``, and nothing in the folder is another than before."""
    before = content(run)
    failed = resume(home, run)[-1]
    assert isinstance(failed, Failed)
    assert failed.kind == kind
    assert failed.remedy
    assert content(run) == before
    return failed


def test_a_base_that_has_changed_is_refused_until_it_is_put_back(home: Home, paused: RunFolder) -> None:
    weights = Path(paused.config().model.base) / "model.safetensors"
    original = weights.read_bytes()
    changed = bytearray(original)
    changed[-1000] ^= 1
    weights.write_bytes(changed)
    assert "have changed" in refused(home, paused, "changed_base").message
    assert paused.state() == "paused"
    weights.write_bytes(original)
    finished = resume(home, paused)[-1]
    assert isinstance(finished, Finished)
    assert finished.outcome == "completed"
    assert "finished" in refused(home, paused, "finished").message


def test_a_run_that_is_being_trained_is_not_resumed(home: Home, paused: RunFolder) -> None:
    with paused.lock():
        assert paused.name in refused(home, paused, "busy").message


def test_a_run_without_a_checkpoint_is_not_resumed(home: Home, short: RunConfig) -> None:
    run = home.create_run(short)
    refused(home, run, "no_checkpoint")
    finished = work_here(Train(run=str(run.path), home=str(home.path)), Pause())[-1]
    assert isinstance(finished, Finished)
    assert finished.outcome == "stopped", "there is nothing to go on from"
    refused(home, run, "no_checkpoint")


def test_a_device_that_is_gone_is_told(home: Home, paused: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    text = (paused.path / "run.toml").read_text("utf-8")
    (paused.path / "run.toml").write_text(text.replace('kind = "cpu"', 'kind = "cuda"'), "utf-8")
    assert "repeat the run" in refused(home, paused, "no_device").remedy


def test_damaged_rows_are_told_and_change_nothing(home: Home, paused: RunFolder) -> None:
    paused.split_path("train").write_bytes(b"PAR1")
    refused(home, paused, "damaged_run")


@pytest.mark.parametrize("wish", [Pause(), Stop()])
def test_a_wish_to_end_while_it_is_loading_leaves_it_resumable(home: Home, paused: RunFolder, wish: Pause | Stop) -> None:
    finished = resume(home, paused, wish)[-1]
    assert isinstance(finished, Finished)
    assert finished.outcome == {"pause": "paused", "stop": "stopped"}[wish.command]
    assert resumable_step(paused) == 4


def test_the_data_file_may_be_gone(home: Home, base: Path, messages: Path, tmp_path: Path, ask_when: Callable[..., None]) -> None:
    source = Path(shutil.copy(messages, tmp_path / "messages.csv"))
    ask_when(after_step(1), "pause")
    run = train_here(home, config_for(source, base, "lora", max_steps=4, evaluate_base=False)).run
    source.unlink()
    finished = resume(home, run)[-1]
    assert isinstance(finished, Finished)
    assert finished.outcome == "completed"


def test_a_checkpoint_is_written_when_wished_for(home: Home, short: RunConfig, ask_when: Callable[[Until, str], None]) -> None:
    ask_when(after_step(3), "checkpoint")
    events = train_here(home, short).events
    assert [event.step for event in events if event.event == "checkpoint_saved"] == [4, 5, 6]
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.outcome == "completed"


def test_patience_ends_a_run_that_learns_no_more(home: Home, base: Path, messages: Path) -> None:
    # Its learning rate rises until it destroys what was learnt.
    run = train_here(home, config_for(messages, base, "lora", early_stopping_patience=2))
    finished, started = run.one(Finished), run.one(RunStarted)
    validated = [event.step for event in run.all(Evaluated) if event.split == "validation"]
    assert finished.outcome == "completed"
    assert validated[-1] < started.total_steps
    assert validated[-3] == finished.best_step
    assert finished.rows == started.test_rows
    assert any("ends early" in event.text for event in run.all(LogLine))


def test_patience_is_counted_on_when_resumed(
    home: Home, base: Path, messages: Path, ask_when: Callable[[Until, str], None]
) -> None:
    config = config_for(messages, base, "lora", early_stopping_patience=2)
    whole = train_here(home, config)
    best = whole.one(Finished).best_step
    assert best is not None
    ask_when(after_step(best + 6), "pause")  # one validation was no better by then
    run = train_here(home, config).run
    assert json.loads((run.checkpoints / f"step-{best + 7}" / "training.json").read_text())["standing"]["without_better"] == 1
    check_like_never_interrupted(run, resume(home, run), whole)
