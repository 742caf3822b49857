"""The forecast's arithmetic against what torch really keeps, and the largest micro-batch against all of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from tqdm import tqdm
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from studio.core.config import DeviceConfig, MethodConfig, RunConfig
from studio.core.memory import Lengths, saved_activations
from studio.data.prompts import Encoded
from studio.engine.batches import cut_batch, shuffled_batches
from studio.engine.devices import Compute, choose_compute
from studio.engine.loop import total_steps
from studio.engine.methods import trainable_model
from studio.engine.models import describe
from studio.engine.objective import TreeObjective
from studio.engine.sizes import largest_micro_batch
from studio.engine.token_tree import TokenTree

HEADS, KEY_VALUE_HEADS = 4, 2
SHARED: dict[str, Any] = {"vocab_size": 128, "hidden_size": 96, "intermediate_size": 320, "num_attention_heads": HEADS}
SHARED |= {"num_key_value_heads": KEY_VALUE_HEADS, "max_position_embeddings": 512, "tie_word_embeddings": True}


def make_model(family: str, layers: int) -> Any:
    if family == "llama":
        return LlamaForCausalLM(LlamaConfig(**SHARED, num_hidden_layers=layers))
    if family == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**SHARED, num_hidden_layers=layers))
    if family == "phi3":  # one layer for queries, keys and values, and one for both of what the MLP reads
        return Phi3ForCausalLM(Phi3Config(**SHARED, num_hidden_layers=layers, pad_token_id=0))
    kinds = ["sliding_attention"] * layers
    options = {"head_dim": 40, "query_pre_attn_scalar": 40, "layer_types": kinds, "num_hidden_layers": layers}
    return Gemma3ForCausalLM(Gemma3TextConfig(**SHARED, **options))


def rows(count: int, length: int, beginning: int = 16, seed: int = 0) -> list[Encoded]:
    """Messages that share how they begin; two tokens of each are graded."""
    chance = random.Random(seed)
    return [
        Encoded(
            [*range(beginning), *(chance.randrange(128) for _ in range(length - beginning))],
            [False] * (length - 2) + [True] * 2,
            False,
        )
        for _ in range(count)
    ]


@pytest.fixture(autouse=True)
def no_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first progress bar of transformers would start a thread that never ends."""
    monkeypatch.setattr(tqdm, "monitor_interval", 0)


@pytest.fixture
def compute(request: pytest.FixtureRequest) -> Iterator[Compute]:
    threads = torch.get_num_threads()
    yield choose_compute(DeviceConfig(kind="cpu"), request.param, 1)
    torch.set_num_threads(threads)
    AcceleratorState._reset_state(reset_partial_state=True)


def kept_bytes(model: torch.nn.Module, compute: Compute, examples: list[Encoded]) -> int:
    """What the way forward keeps for the way back, each storage once, and no parameter or copy of one."""
    prepared = compute.prepare_model(model, training=True).train()
    objective = TreeObjective(prepared, compute)
    shapes = {tuple(parameter.shape) for parameter in prepared.parameters()}
    shapes |= {shape[::-1] for shape in shapes}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tuple(tensor.shape) not in shapes:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        objective(examples)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("family", ["llama", "gemma3", "qwen2", "phi3"])
@pytest.mark.parametrize(("kind", "dropout"), [("full", 0.0), ("lora", 0.05), ("lora", 0.0)])
@pytest.mark.parametrize("compute", ["fp32", "bf16"], indirect=True)
def test_what_a_layer_keeps_is_known_to_the_byte_or_nearly(
    tmp_path: Any, family: str, kind: str, dropout: float, compute: Compute
) -> None:
    method = MethodConfig.model_validate({"kind": kind, "dropout": dropout})
    examples = rows(8, 49)
    tree = TokenTree.of(examples, torch.device("cpu"))
    lengths = Lengths(len(examples), 48, tree.nodes, 16, shared=16, most_supervised=2)
    measured, expected = [], []
    for layers in (2, 3):
        folder = tmp_path / str(layers)
        make_model(family, layers).save_pretrained(folder)
        measured.append(kept_bytes(trainable_model(folder, method, compute, 0), compute, examples))
        expected.append(saved_activations(describe(folder, "b"), method, lengths, compute.precision, "cpu", layers))
    # The difference is one layer, without what the embedding and the head keep.
    assert expected[1] - expected[0] == pytest.approx(measured[1] - measured[0], rel=0.04)


@pytest.mark.parametrize("micro_batch", [3, 8])
def test_the_largest_micro_batch_is_that_of_the_runs_own_order(micro_batch: int) -> None:
    examples = [row for length in range(20, 60) for row in rows(2, length, beginning=length % 7 + 4, seed=length)]
    config = RunConfig().with_training(batch_size=8, micro_batch=micro_batch, epochs=2)
    steps = total_steps(len(examples), config.training)
    order = shuffled_batches(examples, 8, config.training.seed)
    groups = [group for _ in range(steps) for group in cut_batch(next(order), micro_batch)]
    found = largest_micro_batch(config, "cpu", examples, 9)
    assert found.nodes == max(TokenTree.of(group, torch.device("cpu")).nodes for group in groups)
    assert found._replace(nodes=0) == Lengths(micro_batch, 58, 0, 2 * micro_batch, shared=4, most_supervised=2, predicted=9)
    for other in range(1, 9):
        largest = largest_micro_batch(config.with_training(micro_batch=other), "cpu", examples, 9)
        bound = found.of(other)
        assert (largest.nodes, largest.supervised) <= (bound.nodes, bound.supervised)
        assert largest.supervised <= bound.supervised
