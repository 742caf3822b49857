"""The training loop, compared with plain transformers on the same batches."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from studio.core.config import DEFAULT_LEARNING_RATES, MethodConfig, TrainingConfig
from studio.core.errors import StudioError
from studio.core.events import StepsCompleted
from studio.data.prompts import Encoded, PromptEncoder
from studio.data.sources import Example
from studio.engine.batches import cut_batch, padded_batch, shuffled_batches, steps_per_epoch
from studio.engine.devices import Compute, PeakMemory
from studio.engine.loop import TrainingHooks, backward, make_schedule, total_steps, train
from studio.engine.methods import parameter_counts, trainable_model
from studio.engine.objective import PaddedObjective, TreeObjective
from studio.engine.optimizers import make_optimizer
from tests.engine.conftest import EXAMPLES, LABELS, MESSAGES, Way, objective_of, relative

METHODS = [MethodConfig(kind="full"), MethodConfig(kind="lora", dropout=0.0)]


def rows(encoder: PromptEncoder) -> list[Encoded]:
    encoder.label_set(LABELS)
    return [encoder.encode(Example(text, label)) for text, label in itertools.product(MESSAGES, LABELS)]


def plain_loss(model: torch.nn.Module, batch: list[Encoded]) -> torch.Tensor:
    """The way a script does it: pad, mask with -100, and let transformers shift, score every position and average."""
    length = max(len(row.ids) for row in batch)
    ids = torch.tensor([row.ids + [0] * (length - len(row.ids)) for row in batch])
    attention = torch.tensor([[1] * len(row.ids) + [0] * (length - len(row.ids)) for row in batch])
    marked = [[token if graded else -100 for token, graded in zip(row.ids, row.supervised, strict=True)] for row in batch]
    targets = torch.tensor([line + [-100] * (length - len(line)) for line in marked])
    loss: torch.Tensor = model(input_ids=ids, attention_mask=attention, labels=targets).loss
    return loss


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("way", ["tree", "padded"])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.kind)
def test_first_twenty_steps_equal_plain_transformers(
    folder: Path, encoder: PromptEncoder, cpu: Compute, method: MethodConfig, way: Way
) -> None:
    """Losses and gradients of 20 steps, each side following its own updates, fp32 and dropout 0."""
    training = TrainingConfig(batch_size=6)
    rate = DEFAULT_LEARNING_RATES[method.kind]
    examples = rows(encoder)
    ours, plain = (trainable_model(folder, method, cpu, seed=1) for _ in range(2))
    optimizers = [
        make_optimizer(ours, rate, 0.0),
        torch.optim.AdamW([p for p in plain.parameters() if p.requires_grad], rate, weight_decay=0),
    ]
    schedules = [make_schedule(optimizer, training, 20) for optimizer in optimizers]
    objective = objective_of(ours, cpu, way)
    for batch in itertools.islice(shuffled_batches(examples, 6, seed=3), 20):
        our_loss = backward(objective, cut_batch(batch, 4))
        their_loss = plain_loss(plain, batch)
        their_loss.backward()
        assert float(our_loss) == pytest.approx(their_loss.item(), rel=1e-5)
        expected = gradients(plain)
        found = gradients(ours)
        assert found.keys() == expected.keys()
        whole = torch.cat([gradient.flatten() for gradient in expected.values()])
        assert relative(torch.cat([found[name].flatten() for name in expected]) - whole, whole) < 1e-5
        for model, optimizer, schedule in zip((ours, plain), optimizers, schedules, strict=True):
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_the_head_in_half_precision_is_that_of_each_step(
    folder: Path, encoder: PromptEncoder, cpu: Compute, precision: Any
) -> None:
    """What is kept of the head from step to step must not be its weights of the first one."""
    half = replace(cpu, precision=precision)
    model = trainable_model(folder, METHODS[0], half, seed=1)
    examples = rows(encoder)
    optimizer = make_optimizer(model, 1e-2, 0.0)
    kept = TreeObjective(model, half)
    for batch in itertools.islice(shuffled_batches(examples, 6, seed=3), 3):
        with torch.autocast("cpu", half.dtype):
            loss, fresh = kept(batch), TreeObjective(model, half)(batch)
        assert torch.equal(loss, fresh)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("way", ["tree", "padded"])
@pytest.mark.parametrize("micro_batch", [1, 2, 5, 16])
def test_the_cut_changes_nothing(folder: Path, encoder: PromptEncoder, cpu: Compute, micro_batch: int, way: Way) -> None:
    model = trainable_model(folder, METHODS[0], cpu, seed=1)
    batch = rows(encoder)[::4]
    objective = objective_of(model, cpu, way)
    expected_loss = backward(objective, [batch])
    expected = gradients(model)
    model.zero_grad()
    loss = backward(objective, cut_batch(batch, micro_batch))
    assert float(loss) == pytest.approx(float(expected_loss), rel=1e-5)
    for name, gradient in gradients(model).items():
        assert relative(gradient - expected[name], expected[name]) < 1e-5, name


class Traced(torch.autograd.Function):
    """Nothing, but a mark on its node in the graph."""

    nodes: ClassVar[list[weakref.ref[object]]] = []

    @staticmethod
    def forward(ctx: Any, loss: torch.Tensor) -> torch.Tensor:
        ctx.mark = Mark()
        Traced.nodes.append(weakref.ref(ctx.mark))
        return loss.clone()

    @staticmethod
    def backward(_ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


class Mark:
    """Something that is gone when nobody holds it."""


def test_nothing_of_a_part_is_left_when_the_next_is_computed() -> None:
    weight = torch.nn.Parameter(torch.ones(()))
    left: list[int] = []

    def objective(_group: Sequence[Encoded]) -> torch.Tensor:
        left.append(sum(node() is not None for node in Traced.nodes))
        loss: torch.Tensor = Traced.apply(2 * weight)  # type: ignore[no-untyped-call]  # torch leaves it so
        return loss

    row = Encoded([1, 2, 3], [False, False, True], False)
    backward(objective, [[row], [row, row], [row]])
    assert left == [0, 0, 0]


def test_only_label_and_end_are_graded(encoder: PromptEncoder, cpu: Compute) -> None:
    encoder.label_set(LABELS)
    example = encoder.encode(EXAMPLES[0])
    micro = padded_batch([example], cpu.device, 128)
    assert micro.targets.tolist() == encoder.label_ids(EXAMPLES[0].label)
    prompt = len(example.ids) - len(micro.targets)
    assert micro.graded[0].nonzero().flatten().tolist() == list(range(prompt - 1, len(example.ids) - 1))


@pytest.mark.parametrize(("longest", "lengths"), [(128, {8, 16, 24}), (21, {8, 16, 21})])
def test_few_lengths_occur_and_none_above_the_longest_row(cpu: Compute, longest: int, lengths: set[int]) -> None:
    """Each new length costs memory on a CPU, and a model may be unable to read more than its longest row."""
    examples = [Encoded([5] * size, [False] * (size - 2) + [True] * 2, False) for size in range(3, 22)]
    cut = [padded_batch(group, cpu.device, longest) for group in cut_batch(examples, 2)]
    assert {micro.ids.shape[1] for micro in cut} == lengths
    for micro in cut:
        assert micro.graded.sum() == len(micro.targets) == 2 * len(micro.ids)
        assert micro.targets.eq(5).all()


def test_every_epoch_sees_every_row_once(encoder: PromptEncoder) -> None:
    examples = rows(encoder)
    per_epoch = steps_per_epoch(len(examples), 6)
    batches = list(itertools.islice(shuffled_batches(examples, 6, seed=5), 2 * per_epoch))
    first, second = batches[:per_epoch], batches[per_epoch:]
    for epoch in (first, second):
        assert sorted(map(id, itertools.chain(*epoch))) == sorted(map(id, examples))
    assert list(map(id, itertools.chain(*first))) != list(map(id, itertools.chain(*second)))
    again = list(itertools.islice(shuffled_batches(examples, 6, seed=5), per_epoch))
    assert [list(map(id, batch)) for batch in again] == [list(map(id, batch)) for batch in first]


def run(
    model: torch.nn.Module, examples: list[Encoded], training: TrainingConfig, cpu: Compute, **hooks: object
) -> list[StepsCompleted]:
    reports: list[StepsCompleted] = []
    values = {"report": reports.append, "evaluate": lambda _step: "go on", "save": lambda _step, _state: None, **hooks}
    objective = PaddedObjective(model, cpu.device, 128)
    train(model, objective, examples, training, 5e-3, 4, cpu, PeakMemory(cpu), TrainingHooks(**values))  # type: ignore[arg-type]  # built from a dict
    return reports


def test_the_loop_learns_and_reports_every_step(folder: Path, encoder: PromptEncoder, cpu: Compute) -> None:
    encoder.label_set(LABELS)
    examples = [encoder.encode(example) for example in EXAMPLES]
    training = TrainingConfig(batch_size=4, epochs=30, scheduler="linear", warmup_ratio=0.1)
    validated: list[int] = []

    def validate(step: int) -> str:
        validated.append(step)
        return "go on"

    reports = run(trainable_model(folder, METHODS[0], cpu, 1), examples, training, cpu, evaluate=validate)
    losses = [loss for report in reports for loss in report.losses]
    assert len(losses) == total_steps(len(examples), training) == 60
    assert [report.first_step for report in reports] == list(range(1, 61))
    assert losses[-1] < 0.3 * losses[0]
    assert validated == list(range(2, 61, 2))
    assert reports[0].learning_rate == 0
    assert max(report.learning_rate for report in reports) == pytest.approx(5e-3)
    assert all(report.tokens > 0 and report.memory_bytes > 0 for report in reports)


def test_log_interval_groups_steps(folder: Path, encoder: PromptEncoder, cpu: Compute) -> None:
    encoder.label_set(LABELS)
    examples = [encoder.encode(example) for example in EXAMPLES]
    training = TrainingConfig(batch_size=4, max_steps=8, epochs=99, log_every=3, evaluate_every=100)
    reports = run(trainable_model(folder, METHODS[1], cpu, 1), examples, training, cpu)
    assert [(report.first_step, len(report.losses)) for report in reports] == [(1, 3), (4, 3), (7, 2)]


def test_stop_finishes_the_step_and_validates(folder: Path, encoder: PromptEncoder, cpu: Compute) -> None:
    encoder.label_set(LABELS)
    examples = [encoder.encode(example) for example in EXAMPLES]
    validated: list[int] = []
    wishes = iter(["go on", "go on", "stop"])
    training = TrainingConfig(batch_size=2, epochs=50)
    reports = run(
        trainable_model(folder, METHODS[1], cpu, 1),
        examples,
        training,
        cpu,
        evaluate=lambda step: validated.append(step) or "go on",  # type: ignore[func-returns-value]  # None is what it is for
        wish=lambda: next(wishes),
    )
    assert reports[-1].first_step == 3
    assert validated == [3]


def test_a_non_finite_gradient_changes_no_weight_and_ends_the_run(folder: Path, encoder: PromptEncoder, cpu: Compute) -> None:
    encoder.label_set(LABELS)
    examples = [encoder.encode(example) for example in EXAMPLES]
    model = trainable_model(folder, METHODS[0], cpu, 1)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    next(model.parameters()).register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(StudioError, match="unstable: at step 1") as caught:
        run(model, examples, TrainingConfig(batch_size=4, epochs=1), cpu)
    assert "not applied" in caught.value.remedy
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]), name


def test_parameter_counts(folder: Path, cpu: Compute) -> None:
    trainable, total = parameter_counts(trainable_model(folder, METHODS[0], cpu, 1))
    assert trainable == total
    trainable, total = parameter_counts(trainable_model(folder, METHODS[1], cpu, 1))
    assert 0 < trainable < total
