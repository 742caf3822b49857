"""The faster dropout does what torch's does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from studio.core.config import MethodConfig
from studio.engine.devices import Compute
from studio.engine.dropout import Dropout
from studio.engine.methods import trainable_model


@pytest.mark.parametrize("p", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_share_is_dropped_and_the_rest_scaled(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    ones = torch.ones(401, 499, dtype=dtype, requires_grad=True)
    found = Dropout(p)(ones)
    assert found.dtype == dtype
    dropped = float((found == 0).float().mean())
    assert dropped == pytest.approx(p, abs=4 * (p * (1 - p) / ones.numel()) ** 0.5 + 1e-5)
    scale = 1 / (1 - round(p * 2**16) / 2**16) if p < 1 else 0.0
    assert set(found.flatten().tolist()) <= {0.0, float(torch.tensor(scale, dtype=dtype))}
    assert float(found.float().mean()) == pytest.approx(1 - (p == 1), abs=0.01)
    found.sum().backward()
    assert ones.grad is not None
    assert torch.equal(ones.grad, found), "the gradient passes where the value did, scaled as it was"


def test_rows_and_neighbours_are_independent() -> None:
    torch.manual_seed(1)
    kept = (Dropout(0.25)(torch.ones(1000, 1000)) > 0).float()
    for step in (1, 2, 3, 4, 1000):
        both = (kept.flatten()[:-step] * kept.flatten()[step:]).mean()
        assert float(both) == pytest.approx(0.75**2, abs=0.003)
    assert not torch.equal(kept, (Dropout(0.25)(torch.ones(1000, 1000)) > 0).float())


def test_it_follows_the_seed_and_rests_in_evaluation() -> None:
    drop, ones = Dropout(0.3), torch.ones(33, 7)
    torch.manual_seed(2)
    first = drop(ones)
    torch.manual_seed(2)
    assert torch.equal(drop(ones), first)
    assert torch.equal(drop.eval()(ones), ones)
    assert torch.equal(Dropout(0.0)(ones), ones)


def test_adapters_have_it(folder: Path, cpu: Compute) -> None:
    model = trainable_model(folder, MethodConfig(kind="lora", dropout=0.1), cpu, 1)
    found = [module for module in model.modules() if isinstance(module, torch.nn.Dropout) and module.p == 0.1]
    assert found
    assert all(type(module) is Dropout for module in found)
