"""What each method trains, in which types, and that evaluating a quantised model does not spoil its training."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from peft.tuners.lora import LoraLayer

from studio.core.config import DeviceConfig, MethodConfig, PromptConfig
from studio.core.errors import StudioError
from studio.core.model_description import adapter_parameters
from studio.data.prompts import PromptEncoder
from studio.engine.batches import cut_batch
from studio.engine.classify import classify
from studio.engine.devices import choose_compute
from studio.engine.label_search import Query
from studio.engine.loop import backward
from studio.engine.methods import checkpoint_activations, load_method_base, parameter_counts, trainable_model
from studio.engine.models import describe, load_tokenizer
from tests.engine.conftest import EXAMPLES, LABELS, Way, objective_of

QLORA = MethodConfig(kind="qlora", dropout=0.0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["full", "lora", "qlora"])
def test_trainable_is_fp32_and_frozen_is_the_compute_type(tiny_model_folder: Path, kind: str, precision: str) -> None:
    compute = choose_compute(DeviceConfig(kind="cpu"), precision)  # type: ignore[arg-type]  # parametrised
    model = trainable_model(tiny_model_folder, MethodConfig(kind=kind), compute, seed=1)  # type: ignore[arg-type]
    trained = {parameter.dtype for parameter in model.parameters() if parameter.requires_grad}
    frozen = {parameter.dtype for parameter in model.parameters() if not parameter.requires_grad}
    assert trained == {torch.float32}
    if kind == "full":
        assert not frozen
    elif kind == "lora":
        assert frozen == {compute.dtype}
    else:
        assert frozen == {compute.dtype, torch.uint8}


@pytest.mark.parametrize("kind", ["lora", "qlora"])
def test_adapter_is_on_all_seven_projections(tiny_model_folder: Path, kind: str) -> None:
    method = MethodConfig(kind=kind, rank=4)  # type: ignore[arg-type]  # parametrised
    model = trainable_model(tiny_model_folder, method, choose_compute(DeviceConfig(kind="cpu"), "fp32"), seed=1)
    adapted = {
        name.split(".lora_")[0].rsplit(".", 1)[-1] for name, parameter in model.named_parameters() if parameter.requires_grad
    }
    assert adapted == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    description = describe(tiny_model_folder, str(tiny_model_folder))
    trainable, total = parameter_counts(model)
    assert trainable == adapter_parameters(description, method)
    assert total == description.parameters + trainable


def test_description_counts(folder: Path, family: str) -> None:
    """Shapes from the meta device equal those of the loaded model, for GPT-2's transposed layers too."""
    compute = choose_compute(DeviceConfig(kind="cpu"), "fp32")
    model = load_method_base(folder, MethodConfig(kind="full"), compute)
    description = describe(folder, str(folder))
    assert description.parameters == sum(parameter.numel() for parameter in model.parameters())
    lora = trainable_model(folder, MethodConfig(kind="lora", rank=2), compute, seed=0)
    assert parameter_counts(lora)[0] == adapter_parameters(description, MethodConfig(kind="lora", rank=2))
    assert description.disk_bytes > 0
    assert {"llama": "LlamaForCausalLM", "gemma3": "Gemma3ForCausalLM", "gpt2": "GPT2LMHeadModel"}[
        family
    ] == description.architecture


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_qlora_gradients_are_the_same_before_and_after_an_evaluation(tiny_model_folder: Path, precision: str) -> None:
    """With AVX512-BF16, bitsandbytes repacks a 4-bit layer in evaluation mode and drops its gradient ever after."""
    compute = choose_compute(DeviceConfig(kind="cpu"), precision)  # type: ignore[arg-type]  # parametrised
    encoder = _encoder(tiny_model_folder)
    labels = encoder.label_set(LABELS)
    model = compute.prepare_model(trainable_model(tiny_model_folder, QLORA, compute, seed=1), training=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                # A fresh adapter's B is zero, and then A has no gradient whose loss could be noticed.
                parameter.normal_(0, 0.1)
    model.train()
    batch = cut_batch([encoder.encode(example) for example in EXAMPLES], 4)
    objective = objective_of(model, compute, "tree")
    backward(objective, batch)
    before = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    classify(model, labels, [Query(row.text, encoder.prompt_ids(row.text)) for row in EXAMPLES], compute)
    model.train()
    backward(objective, batch)
    after = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(bool(gradient.abs().sum() > 0) for gradient in before.values())


@pytest.mark.parametrize("way", ["tree", "padded"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_layers_that_are_computed_again_give_the_same_gradient(folder: Path, precision: str, way: Way) -> None:
    """With dropout, in autocast, and for Gemma's sliding layers: see also test_resuming.py."""
    compute = choose_compute(DeviceConfig(kind="cpu"), precision)  # type: ignore[arg-type]  # parametrised
    encoder = _encoder(folder)
    encoder.label_set(LABELS)
    batch = cut_batch([encoder.encode(example) for example in EXAMPLES], 4)
    found = []
    for again in (False, True):
        bare = trainable_model(folder, MethodConfig(kind="lora", dropout=0.2), compute, seed=1)
        if again:
            checkpoint_activations(bare)
        model = compute.prepare_model(bare, training=True)
        objective = objective_of(model, compute, way)
        calls: list[int] = []
        for module in model.modules():
            if isinstance(module, LoraLayer):
                module.register_forward_hook(partial(_count, calls))
        model.train()
        torch.manual_seed(7)
        loss = backward(objective, batch)
        gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
        found.append((len(calls), float(loss), gradients))
    (once, loss, expected), (twice, same, gradients) = found
    assert twice > 1.5 * once, "layers are computed twice"
    assert same == loss
    assert gradients.keys() == expected.keys()
    assert all(torch.equal(gradient, expected[name]) for name, gradient in gradients.items())


def test_a_model_whose_layers_cannot_be_computed_again_says_so(tiny_model_folder: Path) -> None:
    model = trainable_model(tiny_model_folder, QLORA, choose_compute(DeviceConfig(kind="cpu"), "fp32"), seed=1)
    model.get_base_model().supports_gradient_checkpointing = False  # type: ignore[operator, union-attr]  # peft's own
    with pytest.raises(StudioError, match="cannot be checkpointed") as caught:
        checkpoint_activations(model)
    assert "activation_checkpointing" in caught.value.remedy


def test_unknown_target_modules_are_told(tiny_model_folder: Path) -> None:
    compute = choose_compute(DeviceConfig(kind="cpu"), "fp32")
    with pytest.raises(StudioError, match="No adapter can be put") as caught:
        trainable_model(tiny_model_folder, MethodConfig(kind="lora", target_modules=["nonsense"]), compute, seed=1)
    assert "all-linear" in caught.value.remedy


def _count(calls: list[int], *_: object) -> None:
    calls.append(1)


def _encoder(folder: Path) -> PromptEncoder:
    return PromptEncoder(load_tokenizer(folder), PromptConfig(max_length=128))
