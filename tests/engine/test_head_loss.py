"""The head's loss and gradient in half precision, beside those of fp32."""

from __future__ import annotations

import pytest
import torch

from studio.engine.head_loss import HeadLoss
from tests.engine.conftest import relative

WORDS, HIDDEN, SCALE = 4096, 128, 2.0**16
"""``SCALE`` is the GradScaler's first."""


def gradients(dtype: torch.dtype, states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> list[torch.Tensor]:
    """Of states and weight, of the mean loss times ``SCALE``."""
    states, trained = states.clone().requires_grad_(), torch.nn.Parameter(weight.clone())
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        loss = HeadLoss(trained)(states, targets) / len(targets)
    (loss * SCALE).backward()
    assert states.grad is not None
    assert trained.grad is not None
    return [states.grad, trained.grad]


@pytest.fixture
def weight() -> torch.Tensor:
    return torch.randn(WORDS, HIDDEN, generator=torch.Generator().manual_seed(1)).half().float()


def test_what_is_nearly_known_is_still_learnt_in_fp16(weight: torch.Tensor) -> None:
    """Each of the others has a probability that fp16 cannot hold, and what is missing to the target's is hardly one."""
    targets = torch.arange(7)
    states = (24 * weight[targets] / weight[targets].square().sum(1, keepdim=True)).half().float()
    missing = 1 - (states @ weight.T).softmax(1).double()[targets, targets]
    assert bool((missing > 1e-7).all() and (missing < 1e-3).all())
    for found, expected in zip(
        *(gradients(dtype, states, weight, targets) for dtype in (torch.float16, torch.float32)), strict=True
    ):
        assert relative(found - expected, expected) < 1e-2


@pytest.mark.parametrize("positions", [77, 150])
def test_bf16_makes_the_gradient_neither_longer_nor_shorter(weight: torch.Tensor, positions: int) -> None:
    targets = torch.arange(positions)
    states = torch.randn(positions, HIDDEN, generator=torch.Generator().manual_seed(2))
    for found, expected in zip(
        *(gradients(dtype, states, weight, targets) for dtype in (torch.bfloat16, torch.float32)), strict=True
    ):
        along = float((found * expected).sum() / expected.square().sum())
        assert along == pytest.approx(1, abs=6e-4)
