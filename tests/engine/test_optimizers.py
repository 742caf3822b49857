"""AdamW in 32 and in 8 bits, and where each can be had."""

from __future__ import annotations

import pytest
import torch

from studio.core.config import Optimizer
from studio.core.errors import StudioError
from studio.core.machine import DeviceName
from studio.engine.optimizers import make_optimizer, optimizer_for, page_averages

STEPS = 20


def learnt(kind: Optimizer) -> tuple[torch.nn.Linear, torch.optim.Optimizer]:
    """A layer large enough for averages in 8 bits (4,096 weights), after some steps of the same gradients."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(128, 64)
    optimizer = make_optimizer(layer, 1e-2, 0.1, kind)
    for _ in range(STEPS):
        for parameter in layer.parameters():
            parameter.grad = torch.randn_like(parameter) + 0.5
        optimizer.step()
    return layer, optimizer


def test_eight_bits_move_weights_as_32_do() -> None:
    (exact, whole), (rounded, narrow) = learnt("adamw"), learnt("adamw8bit")
    moved = STEPS * 1e-2
    assert (exact.weight - rounded.weight).abs().mean() < 0.02 * moved
    assert torch.allclose(exact.bias, rounded.bias, atol=1e-6), "vectors keep 32 bits, and neither decays"
    sizes = [
        sum(value.nbytes for value in optimizer.state[layer.weight].values() if isinstance(value, torch.Tensor))
        for layer, optimizer in ((exact, whole), (rounded, narrow))
    ]
    assert sizes[1] < 0.4 * sizes[0]


@pytest.mark.parametrize("kind", ["adamw", "adamw8bit"])
def test_a_step_is_counted_as_a_change_of_every_weight(kind: Optimizer) -> None:
    layer, optimizer = learnt(kind)
    before = [parameter._version for parameter in layer.parameters()]
    optimizer.step()
    assert all(parameter._version > version for parameter, version in zip(layer.parameters(), before, strict=True))


def test_averages_of_an_embedding_keep_32_bits() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(128, 64), torch.nn.Linear(64, 128))
    optimizer = make_optimizer(model, 1e-2, 0.0, "adamw8bit")
    model(torch.arange(128)).square().mean().backward()
    optimizer.step()
    types = [optimizer.state[layer.weight]["state1"].dtype for layer in model]
    assert types == [torch.float32, torch.uint8]


class Paged(torch.optim.Optimizer):
    """Tells what it was asked to page."""

    is_paged = True

    def __init__(self, parameter: torch.nn.Parameter) -> None:
        super().__init__([parameter], {})
        self.buffers: list[torch.Tensor] = []

    def get_state_buffer(self, parameter: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        self.buffers.append(torch.zeros_like(parameter, dtype=dtype))
        return self.buffers[-1]


def test_averages_that_were_loaded_go_back_to_their_pages() -> None:
    parameter = torch.nn.Parameter(torch.ones(8))
    optimizer = Paged(parameter)
    first, second = torch.arange(8, dtype=torch.uint8), torch.arange(8, 16, dtype=torch.uint8)
    optimizer.state[parameter] = {"step": 3, "state1": first, "state2": second, "absmax1": torch.ones(1)}
    page_averages(optimizer)
    state = optimizer.state[parameter]
    assert {id(state["state1"]), id(state["state2"])} == set(map(id, optimizer.buffers))
    assert torch.equal(state["state1"], first)
    assert torch.equal(state["state2"], second)
    assert state["step"] == 3


@pytest.mark.parametrize(
    ("kind", "device", "comes_to", "said"),
    [
        ("adamw", "cpu", "adamw", None),
        ("adamw", "mps", "adamw", None),
        ("adamw8bit", "cuda", "adamw8bit", None),
        ("paged_adamw8bit", "cuda", "paged_adamw8bit", None),
        ("adamw8bit", "cpu", "adamw8bit", "tens of times as long"),
        ("paged_adamw8bit", "cpu", "adamw8bit", "nothing to page"),
    ],
)
def test_what_a_device_has(kind: Optimizer, device: DeviceName, comes_to: Optimizer, said: str | None) -> None:
    found, note = optimizer_for(kind, device)
    assert found == comes_to
    assert (said is None) == (note is None)
    assert said is None or (note is not None and said in note)


@pytest.mark.parametrize("kind", ["adamw8bit", "paged_adamw8bit"])
def test_an_apple_gpu_has_neither(kind: Optimizer) -> None:
    with pytest.raises(StudioError, match="Apple GPU"):
        optimizer_for(kind, "mps")
