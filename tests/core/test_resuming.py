"""Which runs can go on, from where, and what their records say in the end."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from studio.core.config import RunConfig
from studio.core.errors import StudioError
from studio.core.events import CheckpointSaved, Crashed, Evaluated, Event, Failed, Finished, LogLine, RunStarted, StepsCompleted
from studio.core.resuming import (
    TRAINING_FACTS,
    check_resumable,
    recorded_seconds,
    resumable_checkpoints,
    resumable_step,
    still_standing,
)
from studio.core.run_file import validate_run_config
from studio.core.runs import Home, RunFolder
from studio.core.wire import encode


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return Home.locate(tmp_path / "home").create_run(RunConfig())


def keep(run: RunFolder, step: int, *files: str) -> Path:
    folder = run.checkpoints / f"step-{step}"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"step": step, "best": False, "sha256": dict.fromkeys(files, "")}))
    return folder


def test_the_newest_is_first_by_its_step_and_weights_alone_are_not_enough(run: RunFolder) -> None:
    assert resumable_checkpoints(run) == []
    nine, ten = (keep(run, step, "adapter_model.safetensors", TRAINING_FACTS) for step in (9, 10))
    keep(run, 11, "adapter_model.safetensors")
    keep(run, 12, TRAINING_FACTS).joinpath("manifest.json").write_text('{"step": 12, "sha')
    keep(run, 13, TRAINING_FACTS).joinpath("manifest.json").unlink()
    (run.checkpoints / ".step-14.partial").mkdir()
    assert resumable_checkpoints(run) == [ten, nine]


FAILED = Failed(kind="disk_full", message="No room.", remedy="Free some.")
CRASHED = Crashed(exit_code=-9, signal="SIGKILL", log_tail="", likely_cause="", remedy="")


@pytest.mark.parametrize("final", [Finished(outcome="stopped"), Finished(outcome="paused"), FAILED, CRASHED, None])
def test_what_ended_early_can_go_on(run: RunFolder, final: Finished | Failed | Crashed | None) -> None:
    if final is not None:
        run.write_outcome(final)
    with pytest.raises(StudioError) as caught:
        check_resumable(run)
    assert caught.value.kind == "no_checkpoint"
    assert resumable_step(run) is None
    keep(run, 7, TRAINING_FACTS)
    check_resumable(run)
    assert resumable_step(run) == 7


def test_what_is_finished_cannot(run: RunFolder) -> None:
    keep(run, 7, TRAINING_FACTS)
    run.write_outcome(Finished(outcome="completed"))
    with pytest.raises(StudioError, match="finished") as caught:
        check_resumable(run)
    assert (caught.value.kind, resumable_step(run)) == ("finished", None)


def test_time_is_counted_on_from_the_last_whole_line(run: RunFolder) -> None:
    assert recorded_seconds(run) == 0
    run.events_path.write_bytes(b"")
    assert recorded_seconds(run) == 0
    lines = [encode(LogLine(level="info", text="ü", elapsed=elapsed)) for elapsed in (1.5, 2.5, 9.0)]
    run.events_path.write_bytes(b"".join(lines)[:-4])
    assert recorded_seconds(run) == 2.5
    run.events_path.write_bytes(b"no event\n")
    assert recorded_seconds(run) == 0


def steps(first: int, *losses: float) -> StepsCompleted:
    return StepsCompleted(
        first_step=first,
        losses=list(losses),
        seconds=[0.5] * len(losses),
        steps=20,
        epoch=1,
        learning_rate=1e-4,
        gradient_norm=1,
        tokens=100 * len(losses),
        memory_bytes=1,
    )


def evaluated(step: int, split: str) -> Evaluated:
    scores = {"loss": 1.0, "accuracy": 0.5, "macro_f1": 0.5, "outside_rate": 0.0, "rows": 3}
    return Evaluated.model_validate({"step": step, "split": split, **scores})


def begun(after: int | None) -> RunStarted:
    sizes = dict.fromkeys(("trainable_parameters", "total_parameters", "forecast_bytes"), 1)
    rows = dict.fromkeys(("train_rows", "validation_rows", "test_rows"), 1)
    return RunStarted(run="r", device="cpu", precision="fp32", total_steps=20, resumed_after=after, **sizes, **rows)


def test_what_a_resumed_run_did_again_stands_once() -> None:
    said: list[Event] = [
        begun(None),
        evaluated(0, "test"),
        steps(1, 5.0, 4.0, 3.0),
        steps(4, 2.0, 1.5, 1.0),
        evaluated(4, "validation"),
        evaluated(6, "validation"),
        CheckpointSaved(step=6, path="", best=True),
        evaluated(4, "test"),
        begun(5),
        steps(6, 1.1),
        begun(2),
        steps(3, 3.3),
    ]
    kept = still_standing(said)
    losses = {
        event.first_step + at: loss for event in kept if isinstance(event, StepsCompleted) for at, loss in enumerate(event.losses)
    }
    assert losses == {1: 5.0, 2: 4.0, 3: 3.3}
    cut = next(event for event in kept if isinstance(event, StepsCompleted))
    assert (cut.seconds, cut.tokens) == ([0.5, 0.5], 200)
    assert [(event.step, event.split) for event in kept if isinstance(event, Evaluated)] == [(0, "test")]
    assert not [event for event in kept if isinstance(event, CheckpointSaved)]
    assert still_standing(said[:8]) == said[:8]


@pytest.mark.parametrize(
    ("key", "value"),
    [("checkpoint_every", 0), ("checkpoint_every", "epoch"), ("keep_checkpoints", 0), ("early_stopping_patience", 0)],
)
def test_settings_that_would_keep_nothing_are_refused(key: str, value: object) -> None:
    with pytest.raises(StudioError, match=key):
        validate_run_config({"training": {key: value}})


def test_an_outcome_that_is_forgotten_leaves_the_settings_and_the_record(run: RunFolder) -> None:
    run.write_outcome(Finished(outcome="stopped", rows=3, accuracy=0.5))
    run.record_scores(Finished(outcome="completed", rows=3, accuracy=0.5))
    run.predictions_path.touch()
    run.events_path.touch()
    run.forget_end()
    run.forget_end()
    assert run.scores() is None
    assert math.isnan(Finished(outcome="paused").accuracy)
    assert sorted(path.name for path in run.path.iterdir() if path.suffix) == ["events.jsonl", "run.toml"]
