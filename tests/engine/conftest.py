"""What the engine's tests share: a data set of labelled messages, a device, tiny models ready to classify."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch
from accelerate.state import AcceleratorState

from studio.core.config import DeviceConfig, PromptConfig
from studio.data.prompts import Encoded, PromptEncoder
from studio.data.sources import Example
from studio.engine.devices import Compute, choose_compute
from studio.engine.models import load_tokenizer
from studio.engine.objective import Objective, PaddedObjective, TreeObjective, choose_objective
from tests.tiny import save_tiny

LABELS = [
    "card_arrival",
    "card_linking",
    "card_lost",
    "card_lost_abroad",
    "exchange_rate",
    "top_up",
    "top_up_failed",
    "überweisung",
]
MESSAGES = [
    "where is my card",
    "my card has not come and i have waited for two weeks now, please help me with this",
    "lost it!",
    "what is the exchange rate",
    "top up failed again",
    "the transfer is still pending after a week, why",
    "wo bleibt die Überweisung",
    "card",
]
EXAMPLES = [Example(text, label) for text, label in zip(MESSAGES, LABELS, strict=True)]


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """accelerate keeps one state for the whole process; each test chooses its own. Tiny models need one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def cpu() -> Compute:
    return choose_compute(DeviceConfig(kind="cpu"), "fp32")


@pytest.fixture(scope="session", params=["llama", "gemma3", "gpt2"])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp(family), family)


@pytest.fixture
def encoder(folder: Path) -> PromptEncoder:
    return PromptEncoder(load_tokenizer(folder), PromptConfig(max_length=128))


Way = Literal["tree", "padded"]


def objective_of(model: torch.nn.Module, compute: Compute, way: Way) -> Objective:
    """The loss of the eight examples' kind by the way that is asked for, which the model must be fit for."""
    encoded = [Encoded([5, 6, 7], [False, False, True], False), Encoded([5, 8] + [9] * 126, [False] * 127 + [True], False)]
    chosen = choose_objective(model, compute, encoded, pytest.fail)
    assert isinstance(chosen, TreeObjective)
    return chosen if way == "tree" else PaddedObjective(model, compute.device, 128)


def relative(difference: torch.Tensor, reference: torch.Tensor) -> float:
    """Size of a difference relative to what it is compared with."""
    return float(difference.norm() / reference.norm().clamp(min=1e-30))
