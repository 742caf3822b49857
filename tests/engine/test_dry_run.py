"""The largest batch is tried before the first step, and nothing is different afterwards."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch

from studio.core.config import MethodConfig, Optimizer
from studio.core.errors import StudioError
from studio.data.prompts import Encoded, PromptEncoder
from studio.engine.batches import shuffled_batches, steps_per_epoch
from studio.engine.devices import Compute
from studio.engine.dry_run import Groups, try_largest_batch
from studio.engine.loop import backward
from studio.engine.methods import trainable_model
from studio.engine.objective import PaddedObjective
from studio.engine.optimizers import make_optimizer
from tests.engine.conftest import EXAMPLES, LABELS


@pytest.fixture
def rows(encoder: PromptEncoder) -> list[Encoded]:
    encoder.label_set(LABELS)
    return [encoder.encode(example) for example in EXAMPLES]


@pytest.mark.parametrize(("kind", "bits"), [("full", "adamw"), ("lora", "adamw"), ("full", "adamw8bit")])
def test_weights_states_and_random_numbers_stay(
    folder: Path, rows: list[Encoded], cpu: Compute, kind: str, bits: Optimizer
) -> None:
    model = trainable_model(folder, MethodConfig(kind=kind, dropout=0.3), cpu, 1)  # type: ignore[arg-type]  # parametrised
    model.train()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = make_optimizer(model, 0.1, 0.1, bits)
    objective = PaddedObjective(model, cpu.device, 128)
    held = []

    def tried(groups: Groups) -> None:
        backward(objective, groups)
        held.append(len(optimizer.state))

    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    try_largest_batch(optimizer, [rows[:4], rows[4:]], 2, tried)
    assert torch.equal(torch.rand(3), expected)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert held == [0, len(trained)], "tried as the first step is, and as every other"
    assert not optimizer.state
    assert [group["lr"] for group in optimizer.param_groups] == [0.1] * len(optimizer.param_groups)
    for name, parameter in model.named_parameters():
        assert parameter.grad is None
        assert torch.equal(parameter, before[name]), name
    first = "exp_avg" if bits == "adamw" else "state1"
    # A state that is there, of a resumed run, is left as it is.
    backward(objective, [rows[:4]])
    optimizer.step()
    moments = {index: state[first].clone() for index, state in enumerate(optimizer.state.values())}
    try_largest_batch(optimizer, [rows], 8, tried)
    assert all(torch.equal(state[first], moments[index]) for index, state in enumerate(optimizer.state.values()))


def test_it_is_the_largest_and_its_size_is_told_where_it_does_not_fit(folder: Path, rows: list[Encoded], cpu: Compute) -> None:
    model = trainable_model(folder, MethodConfig(kind="lora"), cpu, 1)
    optimizer = make_optimizer(model, 0.1, 0.0)
    batches = list(islice(shuffled_batches(rows, 4, seed=1), steps_per_epoch(len(rows), 4)))
    longest = max(rows, key=lambda row: len(row.ids))
    asked: list[Groups] = []

    def full(groups: Groups) -> None:
        asked.append(groups)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    with pytest.raises(StudioError, match="largest batch") as caught:
        try_largest_batch(optimizer, batches, 1, full)
    assert caught.value.kind == "out_of_memory"
    assert f"1 messages at once with {len(longest.ids):,} tokens" in caught.value.message
    assert asked[0][-1] == [longest]
    assert not optimizer.state
