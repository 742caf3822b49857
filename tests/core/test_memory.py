"""The forecast's arithmetic, checked by hand on a model of 1,000 parameters."""

from __future__ import annotations

from typing import Any

import pytest

from studio.core.config import MethodConfig, RunConfig
from studio.core.memory import (
    FRAMEWORK_BYTES,
    LinearShape,
    MemoryForecast,
    ModelDescription,
    adapter_parameters,
    estimate_lengths,
    forecast,
    micro_batch_for,
    verdict,
)
from studio.core.run_file import validate_run_config

MODEL = ModelDescription(
    base="b",
    name="n",
    architecture="a",
    licence="l",
    parameters=1_000,
    linears=[LinearShape(name="q_proj", inputs=4, outputs=6, count=2), LinearShape(name="up_proj", inputs=4, outputs=8, count=3)],
    hidden=4,
    intermediate=8,
    layers=2,
    heads=2,
    vocabulary=200,
    disk_bytes=2_000,
    context_length=64,
)


def predict(kind: str, **changes: Any) -> MemoryForecast:
    settings: dict[str, Any] = {"micro_batch": 2, "tokens": 10, "supervised": 6, "precision": "fp32", "device": "cpu"}
    return forecast(MODEL, MethodConfig.model_validate({"kind": kind, "rank": 2}), **(settings | changes))


def test_linear_parameters() -> None:
    assert MODEL.linear_parameters == 2 * 4 * 6 + 3 * 4 * 8 == 144


@pytest.mark.parametrize(
    ("rank", "modules", "expected"),
    [
        (1, "all-linear", 2 * 10 + 3 * 12),
        (16, "all-linear", 16 * 56),
        (16, ["q_proj"], 16 * 20),
        (16, ["q_proj", "up_proj"], 16 * 56),
        (16, ["none"], 0),
    ],
)
def test_adapter_parameters(rank: int, modules: Any, expected: int) -> None:
    assert adapter_parameters(MODEL, MethodConfig(rank=rank, target_modules=modules)) == expected


def test_adapter_of_a_known_model() -> None:
    # Gemma 3 270M: 18 layers, hidden 640, 4 heads and 1 key-value head of 256, MLP 2048. Rank 16 on all linear layers.
    shapes = [("q_proj", 640, 1024), ("k_proj", 640, 256), ("v_proj", 640, 256), ("o_proj", 1024, 640)]
    shapes += [("gate_proj", 640, 2048), ("up_proj", 640, 2048), ("down_proj", 2048, 640)]
    linears = [LinearShape(name=name, inputs=inputs, outputs=outputs, count=18) for name, inputs, outputs in shapes]
    model = MODEL.model_copy(update={"linears": linears})
    assert adapter_parameters(model, MethodConfig(rank=16)) == 3_796_992


def test_full_pays_for_every_weight() -> None:
    whole = predict("full")
    assert whole.trainable_parameters == 1_000
    assert (whole.weights, whole.adapter, whole.gradients, whole.optimizer) == (4_000, 0, 4_000, 8_000)
    assert whole.output_bytes == 4_000
    # Trainable weights stay in fp32 whatever the arithmetic; autocast adds a copy in the compute type.
    assert predict("full", precision="bf16").weights == 4_000 + 2_000


def test_lora_pays_for_the_adapter_alone() -> None:
    lora = predict("lora")
    assert lora.trainable_parameters == 112
    assert (lora.weights, lora.adapter, lora.gradients, lora.optimizer) == (4_000, 448, 448, 896)
    assert lora.output_bytes == 448
    assert predict("lora", precision="bf16").weights == 2_000


def test_qlora_shrinks_the_linear_layers() -> None:
    # 144 weights of 4.127 bits, the other 856 in the arithmetic's type.
    assert predict("qlora").weights == round(144 * 4.127 / 8) + 856 * 4
    assert predict("qlora", precision="bf16").weights == round(144 * 4.127 / 8) + 856 * 2


@pytest.mark.parametrize("kind", ["full", "lora", "qlora"])
@pytest.mark.parametrize("device", ["cpu", "mps", "cuda"])
def test_parts_add_up(kind: str, device: Any) -> None:
    result = predict(kind, device=device)
    fixed = {"full": 4_000 + 4_000 + 8_000, "lora": 4_000 + 448 + 448 + 896, "qlora": 74 + 856 * 4 + 448 + 448 + 896}[kind]
    assert result.total == fixed + result.activations + result.logits + FRAMEWORK_BYTES[device]


def test_predicting_in_fp32_counts_where_training_needs_less() -> None:
    model = MODEL.model_copy(update={"parameters": 1_000_000})

    def beyond(kind: str, device: Any = "cpu", **changes: Any) -> int:
        settings: dict[str, Any] = {"micro_batch": 2, "tokens": 10, "supervised": 6, "precision": "bf16"} | changes
        made = forecast(model, MethodConfig.model_validate({"kind": kind, "rank": 2}), device=device, **settings)
        return made.predictions

    step = predict("lora", precision="bf16")
    assert beyond("lora") == 2 * 1_000_000 - step.activations - step.logits
    assert beyond("lora", "mps") == beyond("lora")
    assert beyond("qlora") == beyond("lora") - 2 * model.linear_parameters
    assert beyond("lora", "cuda") == beyond("full") == beyond("lora", precision="fp32") == 0
    assert beyond("lora", supervised=100_000) == 0, "by then the scores of a training step are gone"


def test_longer_messages_are_more_tokens_up_to_the_bound() -> None:
    short, long, longest = (estimate_lengths("x" * size, "label", RunConfig(), "cpu").tokens for size in (40, 400, 40_000))
    assert short < long < longest == RunConfig().prompt.max_length


def test_logits_follow_the_graded_tokens_alone() -> None:
    base = predict("lora")
    assert base.logits == 6 * 200 * (4 + 4 + 4 + 4)
    assert predict("lora", supervised=12).logits == 2 * base.logits
    assert predict("lora", tokens=20).logits == base.logits


def test_checkpointed_activations_are_one_layer_and_every_layers_input() -> None:
    whole, kept = predict("lora"), predict("lora", activation_checkpointing=True)
    # Two messages of 10 tokens, two layers 4 wide, fp32.
    assert kept.activations == whole.activations // 2 + 2 * (2 * 10 * 4 * 4)
    assert kept.activations < whole.activations
    assert kept.total - kept.activations == whole.total - whole.activations


def test_activations_follow_the_micro_batch() -> None:
    base = predict("lora")
    assert predict("lora", micro_batch=4).activations == 2 * base.activations
    assert predict("lora", tokens=20).activations > 2 * base.activations
    assert predict("lora", precision="bf16").activations * 2 == base.activations


@pytest.mark.parametrize("device", ["cpu", "mps", "cuda"])
def test_micro_batch_is_the_given_one_or_fits_the_batch(device: Any) -> None:
    assert micro_batch_for(RunConfig().with_training(batch_size=12, micro_batch=7), device) == 7
    assert micro_batch_for(RunConfig().with_training(batch_size=2), device) == 2
    assert 1 <= micro_batch_for(RunConfig(), device) <= RunConfig().training.batch_size


def test_lengths_are_guessed_from_characters() -> None:
    config = validate_run_config({"prompt": {"template": "{text}" + "x" * 20, "max_length": 64}, "training": {"micro_batch": 3}})
    lengths = estimate_lengths("m" * 70, "label" * 2, config, "cpu")
    assert (lengths.micro_batch, lengths.tokens) == (3, 100 // 4 + 2)
    assert lengths.supervised % 3 == 0
    assert estimate_lengths("m" * 10_000, "label", config, "cpu").tokens == 64


@pytest.mark.parametrize(("needed", "words"), [(80, "fits"), (85, "fits"), (86, "tight"), (100, "tight"), (101, "too big")])
def test_verdict(needed: int, words: str) -> None:
    assert verdict(needed, 100) == words
