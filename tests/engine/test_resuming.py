"""A run that was interrupted and resumed is, to the last bit, the run that never was."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from studio.core.config import DeviceConfig, MethodConfig, RunConfig, TrainingConfig
from studio.core.errors import StudioError
from studio.core.events import StepsCompleted
from studio.core.resuming import resumable_checkpoints
from studio.core.runs import Home, RunFolder
from studio.data.prompts import Encoded, PromptEncoder
from studio.engine.checkpoints import (
    forget_later_checkpoints,
    forget_training,
    newest_whole_checkpoint,
    restore_weights,
    save_checkpoint,
    verify_checkpoint,
)
from studio.engine.devices import Compute, PeakMemory, choose_compute
from studio.engine.loop import TrainingHooks, Verdict, Wish, train
from studio.engine.methods import checkpoint_activations, trainable_model
from studio.engine.models import load_tokenizer
from studio.engine.objective import Objective, PaddedObjective, choose_objective
from studio.engine.training_state import TrainingState, read_facts
from tests.engine.conftest import EXAMPLES, LABELS
from tests.tiny import save_tiny

DROPOUT = 0.2
METHODS = [MethodConfig(kind="full"), *(MethodConfig(kind=kind, rank=4, dropout=DROPOUT) for kind in ("lora", "qlora"))]
# Three steps an epoch, each in two or three micro-batches; what is resumed lies within an epoch.
TRAINING = TrainingConfig(batch_size=3, epochs=4, warmup_ratio=0.2, evaluate_every=100, seed=3)
STEPS, PAUSED = 12, 5
DAMAGES = [
    lambda folder: (folder / "training.safetensors").write_bytes(b"half"),
    lambda folder: (folder / "training.json").write_text("{}"),
    lambda folder: (folder / "manifest.json").unlink(),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that itself drops out, so that a full run does too."""
    folder = save_tiny(tmp_path_factory.mktemp("dropping"), "gpt2")
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"resid_pdrop": DROPOUT, "embd_pdrop": DROPOUT}
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return Home.locate(tmp_path / "home").create_run(RunConfig())


@pytest.fixture
def examples(base: Path) -> list[Encoded]:
    encoder = PromptEncoder(load_tokenizer(base), RunConfig().prompt)
    encoder.label_set(LABELS)
    return [encoder.encode(example) for example in EXAMPLES]


def fp16(cpu: Compute) -> Compute:
    """Stands in for a CUDA device: torch scales losses and computes in fp16 on a CPU too, only no faster."""
    return replace(cpu, precision="fp16")


@dataclass
class Learner:
    """One process's part of a run: a fresh model, trained with some wishes."""

    folder: Path
    method: MethodConfig
    compute: Compute
    examples: list[Encoded]
    training: TrainingConfig = TRAINING
    wishes: dict[int, Wish] = field(default_factory=dict)
    reports: list[StepsCompleted] = field(default_factory=list)
    saved: list[int] = field(default_factory=list)
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    validated: list[int] = field(default_factory=list)

    def learn(self, run: RunFolder, resumed: Path | None = None) -> int:
        # A new process begins with other random states.
        for seeding in (random.seed, np.random.seed, torch.manual_seed):
            seeding(99 if resumed else 98)
        self.model = trainable_model(self.folder, self.method, self.compute, seed=1)
        if self.training.activation_checkpointing:
            checkpoint_activations(self.model)
        if self.compute.precision == "fp16":
            self.model.forward = torch.autocast("cpu", torch.float16)(self.model.forward)  # type: ignore[method-assign]
        if resumed is not None:
            restore_weights(self.model, resumed)
        hooks = TrainingHooks(
            report=self.reports.append, evaluate=self.evaluate, save=lambda step, state: self.save(run, step, state), wish=self.wish
        )
        objective: Objective = PaddedObjective(self.model, self.compute.device, 128)
        if self.compute.precision != "fp16":
            objective = choose_objective(self.model, self.compute, self.examples, pytest.fail)
        memory = PeakMemory(self.compute)
        return train(self.model, objective, self.examples, self.training, 5e-3, 2, self.compute, memory, hooks, resumed)

    def evaluate(self, step: int) -> Verdict:
        self.validated.append(step)
        # Whatever validation does with random numbers must not matter when it is done again.
        return self.verdicts.get(step, "go on")

    def save(self, run: RunFolder, step: int, state: TrainingState) -> None:
        self.saved.append(step)
        save_checkpoint(run, self.model, step, {}, False, state, {"number": step}, keep=self.training.keep_checkpoints)

    def wish(self) -> Wish:
        return self.wishes.get(self.reports[-1].first_step + len(self.reports[-1].losses) if self.reports else 1, "go on")

    @property
    def losses(self) -> dict[int, float]:
        return {report.first_step + at: loss for report in self.reports for at, loss in enumerate(report.losses)}

    @property
    def rates(self) -> dict[int, float]:
        return {report.first_step: report.learning_rate for report in self.reports}

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.model.named_parameters()}


def check_same(whole: Learner, first: Learner, second: Learner) -> None:
    assert first.losses | second.losses == whole.losses
    assert not first.losses.keys() & second.losses.keys()
    assert first.rates | second.rates == whole.rates
    for name, weight in whole.weights.items():
        assert torch.equal(second.weights[name], weight), name


@pytest.fixture(scope="module")
def wholes() -> dict[str, Learner]:
    """Runs that were never interrupted, by method."""
    return {}


@pytest.mark.parametrize("activation_checkpointing", [False, True])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.kind)
def test_neither_a_pause_nor_activation_checkpointing_changes_anything(
    base: Path,
    run: RunFolder,
    examples: list[Encoded],
    cpu: Compute,
    method: MethodConfig,
    activation_checkpointing: bool,
    wholes: dict[str, Learner],
) -> None:
    if method.kind not in wholes:
        wholes[method.kind] = Learner(base, method, cpu, examples)
        assert wholes[method.kind].learn(run) == STEPS
        shutil.rmtree(run.checkpoints)
    training = TRAINING.model_copy(update={"activation_checkpointing": activation_checkpointing})
    first, second = (
        Learner(base, method, cpu, examples, training, {PAUSED: "pause"}),
        Learner(base, method, cpu, examples, training),
    )
    assert first.learn(run) == PAUSED
    assert second.learn(run, newest_whole_checkpoint(run)) == STEPS
    assert sorted(second.losses) == list(range(PAUSED + 1, STEPS + 1))
    check_same(wholes[method.kind], first, second)
    assert len(set(wholes[method.kind].losses.values())) == STEPS, "something was learnt at each step"


def test_a_full_run_in_bf16_goes_on_too(base: Path, run: RunFolder, examples: list[Encoded], tmp_path: Path) -> None:
    bf16 = choose_compute(DeviceConfig(kind="cpu"), "bf16")
    whole, first, second = (Learner(base, METHODS[0], bf16, examples) for _ in range(3))
    whole.learn(Home.locate(tmp_path / "other").create_run(RunConfig()))
    first.wishes = {PAUSED: "pause"}
    first.learn(run)
    second.learn(run, newest_whole_checkpoint(run))
    check_same(whole, first, second)


def test_averages_in_8_bits_go_on_too(base: Path, run: RunFolder, examples: list[Encoded], cpu: Compute) -> None:
    training = TRAINING.model_copy(update={"optimizer": "adamw8bit"})
    method = MethodConfig(kind="full")
    whole = Learner(base, method, cpu, examples, training)
    assert whole.learn(run) == STEPS
    shutil.rmtree(run.checkpoints)
    first = Learner(base, method, cpu, examples, training, {PAUSED: "pause"})
    second = Learner(base, method, cpu, examples, training)
    assert first.learn(run) == PAUSED
    assert second.learn(run, newest_whole_checkpoint(run)) == STEPS
    check_same(whole, first, second)


def test_fp16_with_its_loss_scale_goes_on_too(
    base: Path, run: RunFolder, examples: list[Encoded], cpu: Compute, tmp_path: Path
) -> None:
    whole, first, second = (Learner(base, METHODS[1], fp16(cpu), examples) for _ in range(3))
    whole.learn(Home.locate(tmp_path / "other").create_run(RunConfig()))
    first.wishes = {PAUSED: "pause"}
    first.learn(run)
    checkpoint = newest_whole_checkpoint(run)
    assert read_facts(checkpoint)["scaler"]["scale"] >= 1
    second.learn(run, checkpoint)
    check_same(whole, first, second)
    losses = list(whole.losses.values())
    assert losses[-1] < losses[0]
    assert {weight.dtype for name, weight in whole.weights.items() if "lora" in name} == {torch.float32}


def test_a_gradient_that_overflows_in_fp16_is_left_out_and_scaled_less(
    base: Path, run: RunFolder, examples: list[Encoded], cpu: Compute
) -> None:
    learner = Learner(base, METHODS[1], fp16(cpu), examples, wishes=dict.fromkeys(range(1, 13), "checkpoint"))
    learner.training = TRAINING.model_copy(update={"keep_checkpoints": STEPS})
    backward, calls = torch.Tensor.backward, itertools.count()
    with pytest.MonkeyPatch.context() as patch:

        def once(tensor: torch.Tensor) -> None:
            # The first four are the largest batch, tried twice before the first step; each batch comes in two parts.
            backward(tensor * float("inf") if next(calls) == 6 else tensor)

        patch.setattr(torch.Tensor, "backward", once)
        assert learner.learn(run) == STEPS
    scales = [read_facts(run.checkpoints / f"step-{step}")["scaler"]["scale"] for step in range(1, STEPS + 1)]
    assert scales[0] == 65536
    assert scales[1:] == [32768] * (STEPS - 1)
    assert all(np.isfinite(list(learner.losses.values())))
    assert all(bool(torch.isfinite(weight).all()) for weight in learner.weights.values())


def test_a_loss_that_no_scale_can_mend_ends_the_run(base: Path, run: RunFolder, examples: list[Encoded], cpu: Compute) -> None:
    learner = Learner(base, METHODS[1], fp16(cpu), examples, TRAINING.model_copy(update={"epochs": 40}))
    backward = torch.Tensor.backward
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "backward", lambda tensor: backward(tensor * float("inf")))
        with pytest.raises(StudioError, match="became unstable"):
            learner.learn(run)
    assert len(learner.losses) > 5, "the first overflows are no fault"


def test_checkpoints_come_at_their_interval_and_when_wished_for(
    base: Path, run: RunFolder, examples: list[Encoded], cpu: Compute
) -> None:
    training = TRAINING.model_copy(update={"checkpoint_every": 5, "evaluate_every": 4, "log_every": 7})
    learner = Learner(base, METHODS[1], cpu, examples, training, verdicts={4: "better"})
    assert learner.learn(run) == STEPS
    assert learner.saved == [4, 5, 10, 12]
    assert learner.validated == [4, 8, 12]
    assert [report.first_step for report in learner.reports] == [1, 5, 6, 8, 9, 11], "told before it is kept"
    assert [path.name for path in resumable_checkpoints(run)] == ["step-12", "step-10"]

    wishing = Learner(base, METHODS[1], cpu, examples, TRAINING, wishes={3: "checkpoint", 7: "stop"})
    assert wishing.learn(run) == 7
    assert (wishing.saved, wishing.validated) == ([3, 7], [7])


def test_at_each_validation_by_default(base: Path, run: RunFolder, examples: list[Encoded], cpu: Compute) -> None:
    training = TrainingConfig(batch_size=3, epochs=3)
    learner = Learner(base, METHODS[1], cpu, examples, training, verdicts={6: "enough"})
    assert learner.learn(run) == 6
    assert learner.saved == learner.validated == [3, 6]


def test_a_validation_that_a_pause_cut_short_is_made_up_for(
    base: Path, run: RunFolder, examples: list[Encoded], cpu: Compute
) -> None:
    training = TRAINING.model_copy(update={"evaluate_every": 4})
    first = Learner(base, METHODS[1], cpu, examples, training, verdicts={4: "cut short"})
    assert first.learn(run) == 4
    second = Learner(base, METHODS[1], cpu, examples, training, verdicts={4: "better"})
    assert second.learn(run, newest_whole_checkpoint(run)) == STEPS
    assert second.validated == [4, 8, 12]
    assert second.saved[0] == 4, "it is the best by now"
    third = Learner(base, METHODS[1], cpu, examples, training, verdicts={12: "enough"})
    assert third.learn(run, newest_whole_checkpoint(run)) == STEPS
    assert (third.reports, third.saved) == ([], [])


# What is on the disk


@pytest.fixture
def state(base: Path, cpu: Compute, examples: list[Encoded], run: RunFolder) -> TrainingState:
    kept: list[TrainingState] = []
    learner = Learner(base, METHODS[1], cpu, examples, wishes={1: "pause"})
    learner.save = lambda _run, _step, state: kept.append(state)  # type: ignore[method-assign]
    learner.learn(run)
    return kept[0]


def save(run: RunFolder, state: TrainingState, step: int, best: bool = False, keep: int = 2) -> Path:
    return save_checkpoint(run, state.model, step, {}, best, state, {"number": step}, keep)


def names(run: RunFolder) -> list[str]:
    return sorted(path.name for path in run.checkpoints.iterdir())


def test_old_ones_go_by_their_step_and_the_best_keeps_its_weights(run: RunFolder, state: TrainingState) -> None:
    for step, best, kept in (
        (2, False, ["step-2"]),
        (9, True, ["step-2", "step-9"]),
        (10, False, ["step-10", "step-9"]),
        (11, False, ["step-10", "step-11", "step-9"]),
        (12, True, ["step-11", "step-12"]),
    ):
        folder = save(run, state, step, best)
        # A clock that was set back must not make the newest look old.
        for path in (folder, folder / "manifest.json"):
            os.utime(path, (1e9 - step, 1e9 - step))
        assert names(run) == kept
        if step == 11:
            assert run.checkpoint() == run.checkpoints / "step-9"
            verify_checkpoint(run.checkpoints / "step-9")
            assert not (run.checkpoints / "step-9" / "training.safetensors").exists()
            assert [path.name for path in resumable_checkpoints(run)] == ["step-11", "step-10"]
    assert run.checkpoint() == run.checkpoints / "step-12"


def test_a_finished_run_keeps_only_the_weights_that_stand_for_it(run: RunFolder, state: TrainingState) -> None:
    save(run, state, 1, best=True)
    save(run, state, 2)
    save(run, state, 3)
    forget_training(run)
    assert names(run) == ["step-1"]
    verify_checkpoint(run.checkpoints / "step-1")
    assert {path.name for path in (run.checkpoints / "step-1").iterdir()} >= {"adapter_model.safetensors", "manifest.json"}
    assert resumable_checkpoints(run) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_one_falls_back_to_the_one_before(
    run: RunFolder, state: TrainingState, damage: Callable[[Path], object]
) -> None:
    older, newest = save(run, state, 9), save(run, state, 10)
    assert newest_whole_checkpoint(run) == newest
    damage(newest)
    assert newest_whole_checkpoint(run) == older
    forget_later_checkpoints(run, 9)
    assert names(run) == ["step-9"]
    damage(older)
    with pytest.raises(StudioError, match=r"damaged|no checkpoint to resume from"):
        newest_whole_checkpoint(run)


def test_what_a_killed_process_left_behind_is_no_checkpoint_and_goes(run: RunFolder, state: TrainingState) -> None:
    older = save(run, state, 3)
    shutil.copytree(older, run.checkpoints / ".step-4.partial")
    shutil.copytree(older, run.checkpoints / ".step-3.replaced")
    assert newest_whole_checkpoint(run) == older
    save(run, state, 4)
    assert names(run) == ["step-3", "step-4"]


def test_nothing_in_it_is_a_pickle(run: RunFolder, state: TrainingState) -> None:
    folder = save(run, state, 3)
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    assert set(verify_checkpoint(folder)["sha256"]) >= {"training.json", "training.safetensors"}
