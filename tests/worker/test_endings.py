"""How training runs end before their last step, or never begin."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from studio.core.answers import Exported
from studio.core.commands import Evaluate, Export, Stop, Train
from studio.core.config import RunConfig
from studio.core.events import (
    CheckpointSaved,
    Crashed,
    Evaluated,
    Event,
    Failed,
    Finished,
    Hello,
    ProtocolError,
    RunStarted,
    StageChanged,
    StepsCompleted,
)
from studio.core.exports import export_kinds
from studio.core.runs import Home
from studio.data.splits import read_split
from studio.engine.checkpoints import verify_checkpoint
from studio.supervise.process import WorkerProcess
from tests.worker.jobs import Trained, config_for, train_to_the_end, two_at_a_time, work_here

pytestmark = pytest.mark.timeout(300)  # the first test waits for all the runs
Act = Callable[[WorkerProcess, Event], object]


def after_step(step: int, do: Callable[[WorkerProcess], object]) -> Act:
    """``do`` at the first event that tells of ``step``."""

    def act(process: WorkerProcess, event: Event) -> None:
        if isinstance(event, StepsCompleted) and event.first_step == step:
            do(process)

    return act


@pytest.fixture(scope="module")
def endless(base: Path, messages: Path) -> RunConfig:
    return config_for(messages, base, "lora", "bf16", epochs=3000, evaluate_every=100_000)


@pytest.fixture(scope="module")
def cut_short(home: Home, endless: RunConfig) -> dict[str, Trained]:
    """Long runs that were ended in the middle, each in another way."""
    ways: dict[str, tuple[RunConfig, Callable[[WorkerProcess], object]]] = {
        "stop": (endless, WorkerProcess.stop),
        "pause": (endless, WorkerProcess.pause),
        "stdin": (endless.with_training(evaluate_every=2, keep_checkpoints=1), WorkerProcess.close),
    }
    jobs = [partial(train_to_the_end, home, config, after_step(3, do)) for config, do in ways.values()]
    return dict(zip(ways, two_at_a_time(jobs), strict=True))


def test_a_stop_keeps_what_was_learnt_and_tests_it(cut_short: dict[str, Trained]) -> None:
    run = cut_short["stop"]
    finished = run.events[-1]
    assert isinstance(finished, Finished)
    taken = run.all(StepsCompleted)[-1].first_step
    assert (finished.outcome, finished.best_step, finished.rows) == ("stopped", taken, len(read_split(run.run, "test")))
    assert [(event.step, event.split) for event in run.all(Evaluated)] == [(0, "test"), (taken, "validation"), (taken, "test")]
    assert run.run.checkpoint() == run.run.checkpoints / f"step-{taken}"
    assert run.run.predictions_path.exists()
    assert run.run.state() == "stopped"


@pytest.mark.parametrize("way", ["pause", "stdin"])
def test_a_pause_keeps_what_was_learnt_and_ends_at_once(cut_short: dict[str, Trained], way: str) -> None:
    run = cut_short[way]
    finished = run.events[-1]
    assert isinstance(finished, Finished)
    assert (finished.outcome, finished.rows) == ("paused", 0)
    assert [event.step for event in run.all(Evaluated) if event.split == "test"] == [0]
    assert not run.run.predictions_path.exists()
    asked = next(event.elapsed for event in run.all(StepsCompleted) if event.first_step == 3)
    assert finished.elapsed - asked < 5
    assert run.run.state() == "paused"

    saved = run.all(CheckpointSaved)
    assert saved[-1].step == run.all(StepsCompleted)[-1].first_step, "the last step's weights are kept"
    assert finished.best_step == [event.step for event in saved if event.best][-1]
    assert run.run.checkpoint() == run.run.checkpoints / f"step-{finished.best_step}"
    verify_checkpoint(run.run.checkpoints / f"step-{saved[-1].step}")


def test_a_validated_checkpoint_is_not_given_up_for_one_that_is_not(cut_short: dict[str, Trained]) -> None:
    run = cut_short["stdin"]
    validated = [event.step for event in run.all(Evaluated) if event.split == "validation"]
    finished, last = run.one(Finished), run.all(CheckpointSaved)[-1]
    assert finished.best_step in validated
    assert not last.best
    assert {path.name for path in run.run.checkpoints.iterdir()} == {f"step-{finished.best_step}", f"step-{last.step}"}


def test_a_paused_run_can_be_evaluated_meanwhile(cut_short: dict[str, Trained], tmp_path: Path) -> None:
    run = cut_short["pause"]
    events = work_here(Evaluate(run=str(run.run.path), home=run.home_name, out=str(tmp_path / "later.parquet")))
    assert isinstance(events[-1], Finished)
    assert events[-1].rows == 12


def test_an_export_leaves_out_what_only_resuming_needs(cut_short: dict[str, Trained], tmp_path: Path) -> None:
    run = cut_short["pause"]
    (kind, *_) = export_kinds(run.run.config().method.kind)
    events = work_here(Export(run=str(run.run.path), home=run.home_name, folder=str(tmp_path / "export"), kind=kind))
    exported, checkpoint = events[-1], run.run.checkpoint()
    assert isinstance(exported, Exported), exported
    assert checkpoint is not None
    state = {path.name for path in checkpoint.iterdir() if path.name.startswith("training.")}
    assert len(state) == 2
    assert not state & set(exported.files)
    written = [event for event in events if isinstance(event, StageChanged) and event.unit == "bytes"]
    assert written[0].total < sum(path.stat().st_size for path in checkpoint.iterdir())


def test_two_processes_cannot_train_one_run_and_a_killed_one_is_told_as_crashed(home: Home, endless: RunConfig) -> None:
    said_to_the_second: list[Event] = []
    states: list[str] = []

    def interfere_then_kill(process: WorkerProcess, event: Event) -> None:
        if isinstance(event, RunStarted):
            run = home.find_run(event.run)
            said_to_the_second.extend(work_here(Train(run=str(run.path), home=str(home.path))))
            states.append(run.state())
            process.kill()

    first = train_to_the_end(home, endless, interfere_then_kill)
    run = first.run
    refused = said_to_the_second[-1]
    assert isinstance(refused, Failed)
    assert refused.kind == "busy"
    assert run.name in refused.message
    assert states == ["running"], "the second process must not write how the first one's run ended"

    crashed = first.events[-1]
    assert isinstance(crashed, Crashed)
    assert crashed.signal == "SIGKILL"
    assert crashed.likely_cause
    assert crashed.remedy
    outcome = run.outcome()
    assert outcome is not None
    assert outcome.final == crashed
    assert not run.is_running()
    assert {entry.name: entry.summary().state for entry in home.list_runs()}[run.name] == "crashed"
    recorded = [event for event in run.events() if not isinstance(event, ProtocolError)]
    assert {Hello, RunStarted, StepsCompleted} <= {type(event) for event in recorded}
    assert not [event for event in recorded if isinstance(event, Failed)]


def test_a_stop_before_the_first_step_is_a_good_end(home: Home, base: Path, messages: Path) -> None:
    run = home.create_run(config_for(messages, base, "full"))
    events = work_here(Train(run=str(run.path), home=str(home.path)), Stop())
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert (finished.outcome, finished.best_step, finished.rows) == ("stopped", None, 0)
    assert run.checkpoint() is None
    assert run.state() == "stopped"


def test_a_run_whose_data_is_gone_fails_in_words(home: Home, base: Path, tmp_path: Path) -> None:
    run = home.create_run(config_for(tmp_path / "gone.csv", base, "lora"))
    events = work_here(Train(run=str(run.path), home=str(home.path)))
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert "gone.csv" in failed.message
    assert failed.kind != "bug"
    outcome = run.outcome()
    assert outcome is not None
    assert outcome.state == run.state() == "failed"
    assert not run.is_running()
    last = list(run.events())[-1]
    assert isinstance(last, Failed)
