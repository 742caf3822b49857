"""Training runs in worker processes: what they say and what they leave behind."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from pathlib import Path

import pytest

from studio.core.commands import Evaluate, Forecast, Train
from studio.core.config import RunConfig
from studio.core.events import (
    CheckpointSaved,
    Evaluated,
    Failed,
    Finished,
    Heartbeat,
    Hello,
    LogLine,
    RunStarted,
    StepsCompleted,
)
from studio.core.metrics import accuracy, macro_f1, wilson_interval
from studio.core.predictions import read_predictions
from studio.core.run_file import parse_run_config
from studio.core.runs import Home
from studio.core.wire import decode_event, encode
from studio.data.splits import load_splits, read_split
from tests.worker.jobs import RUNS, Trained, config_for, work_here

pytestmark = pytest.mark.timeout(300)  # the first test waits for all the runs
every_run = pytest.mark.parametrize("name", RUNS)


@every_run
def test_events_come_in_order(trained: dict[str, Trained], name: str) -> None:
    run = trained[name]
    told = [event for event in run.events if isinstance(event, Hello | RunStarted | Evaluated | StepsCompleted | Finished)]
    assert isinstance(told[0], Hello)
    started = told[1]
    assert isinstance(started, RunStarted)
    assert (started.run, started.precision) == (run.run.name, name.split("-")[1])
    assert 0 < started.trainable_parameters <= started.total_parameters
    assert (started.trainable_parameters == started.total_parameters) == name.startswith("full")
    based, tested, finished = told[2], told[-2], told[-1]
    assert isinstance(based, Evaluated)
    assert isinstance(tested, Evaluated)
    assert isinstance(finished, Finished)
    assert (based.step, based.split, tested.step, tested.split) == (0, "test", finished.best_step, "test")
    steps = run.all(StepsCompleted)
    assert [step.first_step for step in steps] == list(range(1, started.total_steps + 1))
    assert all(math.isfinite(loss) for step in steps for loss in step.losses)
    validated = [(event.step, event.rows) for event in run.all(Evaluated) if event.split == "validation"]
    # 38 rows in batches of 8 are 5 steps an epoch, which is how often the others validate.
    assert validated == [(step, started.validation_rows) for step in range(5, started.total_steps + 1, 5)]
    said = [event.text for event in run.events if isinstance(event, LogLine)]
    assert not any("padded" in text for text in said), "the fast way is taken, though the untrained base was asked before"
    assert any(text.startswith("The largest batch was tried") for text in said)
    times = [event.elapsed for event in run.events]
    assert times == sorted(times)


@every_run
def test_a_checkpoint_follows_the_validation_that_it_is_kept_for(trained: dict[str, Trained], name: str) -> None:
    run = trained[name]
    best: tuple[float, float] = (-1, 0)
    bests, validated = [], [event for event in run.all(Evaluated) if event.split == "validation"]
    for event in validated:
        if (event.accuracy, -event.loss) > best:
            best = (event.accuracy, -event.loss)
            bests.append(event.step)
    saved = run.all(CheckpointSaved)
    assert [event.step for event in saved] == [event.step for event in validated]
    assert [event.step for event in saved if event.best] == bests
    assert run.one(Finished).best_step == bests[-1]
    said = [event for event in run.events if isinstance(event, Evaluated | CheckpointSaved)]
    for before, after in itertools.pairwise(said):
        if isinstance(after, CheckpointSaved):
            assert isinstance(before, Evaluated)
            assert (before.step, before.split) == (after.step, "validation")


@every_run
def test_the_record_holds_what_was_said(trained: dict[str, Trained], name: str) -> None:
    run = trained[name]
    recorded = run.run.events_path.read_bytes().splitlines(keepends=True)
    # On a machine that is slow to start there are heartbeats too, which the events of a process of its own leave out.
    assert [line for line in recorded if not isinstance(decode_event(line), Heartbeat)] == [
        encode(event) for event in run.events if not isinstance(event, Heartbeat)
    ]


@every_run
def test_the_run_file_has_nothing_left_open(trained: dict[str, Trained], name: str, base: Path, messages: Path) -> None:
    run = trained[name].run
    kind, precision = name.split("-")
    config = parse_run_config((run.path / "run.toml").read_text("utf-8"), run.path)
    assert config == run.config()
    training = config.training
    assert isinstance(training.micro_batch, int)
    assert (training.threads, training.precision, config.device.kind) == (1, precision, "cpu")
    assert training.learning_rate == config.learning_rate
    asked = config_for(messages, base, kind, precision)
    asked = asked.model_copy(update={"prompt": asked.prompt.model_copy(update={"use_chat_template": True})})
    assert config == asked.with_training(micro_batch=training.micro_batch), "the rest is as it was asked for"


def test_the_run_file_names_what_was_left_open(home: Home, base: Path, messages: Path) -> None:
    run = home.create_run(
        RunConfig.model_validate(
            {
                "dataset": {"source": str(messages)},
                "model": {"base": str(base)},
                "training": {"max_steps": 1, "evaluate_base": False, "batch_size": 4},
            }
        )
    )
    events = work_here(Train(run=str(run.path), home=str(home.path)))
    assert isinstance(events[-1], Finished)
    assert events[-1].base_accuracy is None
    config = run.config()
    assert config.training.learning_rate == 2e-4
    assert config.training.precision in ("fp32", "bf16")
    assert isinstance(config.training.micro_batch, int)
    assert isinstance(config.training.threads, int)
    assert config.device.kind in ("cpu", "cuda", "mps")
    assert not run.base_predictions_path.exists()


@pytest.mark.parametrize("misspelled", ["v_porj", "lm_head", "embed_tokens"])
def test_a_layer_that_takes_no_adapter_is_told_and_nothing_is_trained(
    home: Home, base: Path, messages: Path, misspelled: str
) -> None:
    """Also where others of those named are there: peft would take these, and say nothing."""
    config = config_for(messages, base, "lora", "fp32")
    config = config.model_copy(update={"method": config.method.model_copy(update={"target_modules": ["q_proj", misspelled]})})
    run = home.create_run(config)
    for command in (Train(run=str(run.path), home=str(home.path)), Forecast(config=config, home=str(home.path))):
        failed = work_here(command)[-1]
        assert isinstance(failed, Failed)
        assert misspelled in failed.message
        assert "q_proj" in failed.message, "it says which there are"


def test_figures_of_an_evaluation_meanwhile_give_way_to_those_of_the_end(home: Home, base: Path, messages: Path) -> None:
    run = home.create_run(config_for(messages, base, "lora", "bf16", epochs=1, evaluate_base=False))
    run.record_scores(Finished(outcome="completed", rows=1, accuracy=1.0))
    final = work_here(Train(run=str(run.path), home=str(home.path)))[-1]
    assert isinstance(final, Finished)
    assert final.rows > 1
    assert run.scores() == run.outcome().final  # type: ignore[union-attr]


@every_run
def test_the_folder_tells_what_was_trained_on_what(trained: dict[str, Trained], name: str) -> None:
    run = trained[name]
    environment = json.loads((run.run.path / "environment.json").read_text("utf-8"))
    assert environment["packages"]["torch"]
    assert environment["device"] == run.one(RunStarted).device == "CPU, 1 threads"
    assert environment["memory_bytes"] > 0
    splits = load_splits(run.run.config().dataset)
    assert read_split(run.run, "train") == splits.train
    assert read_split(run.run, "validation") == splits.validation
    assert read_split(run.run, "test") == splits.test
    outcome = run.run.outcome()
    assert outcome is not None
    final = run.one(Finished)
    assert outcome.final == final.model_copy(update={"time": 0.0, "elapsed": 0.0})
    assert run.run.state() == "completed"


@every_run
def test_figures_are_those_of_the_predictions(trained: dict[str, Trained], name: str) -> None:
    run = trained[name]
    finished = run.one(Finished)
    table = read_predictions(run.run.predictions_path)
    rows = read_split(run.run, "test")
    assert [(row.text, row.label) for row in table.predictions] == [(row.text, row.label) for row in rows]
    counts = table.confusion()
    assert finished.rows == len(rows)
    assert finished.accuracy == accuracy(counts)
    assert (finished.accuracy_low, finished.accuracy_high) == wilson_interval(int(counts.trace()), len(rows))
    assert finished.macro_f1 == macro_f1(counts)
    assert finished.outside_rate == sum(row.left_set for row in table.predictions) / len(rows)
    tested = run.all(Evaluated)[-1]
    assert (tested.accuracy, tested.macro_f1, tested.rows) == (finished.accuracy, finished.macro_f1, finished.rows)
    base = read_predictions(run.run.base_predictions_path)
    assert accuracy(base.confusion()) == finished.base_accuracy == run.all(Evaluated)[0].accuracy
    assert base.predictions != table.predictions
    assert finished.peak_bytes > 0
    assert finished.forecast_bytes == run.one(RunStarted).forecast_bytes > 0


@every_run
def test_one_checkpoint_is_kept_and_whole(trained: dict[str, Trained], name: str) -> None:
    run = trained[name]
    (folder,) = run.run.checkpoints.iterdir()
    assert folder.name == f"step-{run.one(Finished).best_step}"
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name != "manifest.json"}
    assert manifest["sha256"] == files
    weights = "model.safetensors" if name.startswith("full") else "adapter_model.safetensors"
    assert weights in files
    (best,) = (e for e in run.all(Evaluated) if e.split == "validation" and e.step == run.one(Finished).best_step)
    assert (manifest["validation_accuracy"], manifest["validation_loss"]) == (best.accuracy, best.loss)


@every_run
def test_nothing_in_the_folder_could_run(trained: dict[str, Trained], name: str) -> None:
    files = [path for path in trained[name].run.path.rglob("*") if path.is_file()]
    known = {".toml", ".json", ".jsonl", ".parquet", ".safetensors", ".log", ""}
    assert {path.suffix for path in files} <= known
    assert [path.name for path in files if not path.suffix] in ([], [".lock"])
    # A pickle of torch is a zip file; a bare one begins with its protocol.
    assert not [path for path in files if path.read_bytes()[:2] in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05")]


@every_run
def test_the_test_split_was_predicted_by_the_weights_that_are_kept(trained: dict[str, Trained], name: str, tmp_path: Path) -> None:
    """In fp32 the last step is far from the best: had its weights answered, the difference would be plain.

    A finished LoRA run's adapter is merged into its base, which rounds otherwise than the two beside each other.
    """
    run = trained[name]
    if name.endswith("fp32"):
        assert run.one(Finished).best_step != run.one(RunStarted).total_steps
    events = work_here(Evaluate(run=str(run.run.path), home=run.home_name, out=str(tmp_path / "again.parquet")))
    again = events[-1]
    assert isinstance(again, Finished)
    assert (again.rows, again.accuracy, again.macro_f1) == (
        (before := run.one(Finished)).rows,
        before.accuracy,
        before.macro_f1,
    )
    near = 1e-4 if name.startswith("lora") else 1e-6
    first, second = read_predictions(run.run.predictions_path), read_predictions(tmp_path / "again.parquet")
    assert first.labels == second.labels
    for ours, theirs in zip(first.predictions, second.predictions, strict=True):
        assert (ours.text, ours.label, ours.predicted, ours.left_set) == (
            theirs.text,
            theirs.label,
            theirs.predicted,
            theirs.left_set,
        )
        assert ours.probability == pytest.approx(theirs.probability, abs=near)
        assert ours.label_probability == pytest.approx(theirs.label_probability, abs=near)
