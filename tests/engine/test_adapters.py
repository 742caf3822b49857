"""Adapters that are added in place learn and answer as peft's own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import Qwen2Config, Qwen2ForCausalLM

from studio.core.config import DeviceConfig, MethodConfig
from studio.engine.adapters import InPlace
from studio.engine.devices import Compute, choose_compute
from studio.engine.methods import checkpoint_activations, trainable_model
from tests.engine.conftest import relative

IDS = torch.tensor([[3, 5, 6, 7, 8, 9, 20, 1], [4, 4, 7, 30, 31, 9, 21, 2]])


def as_peft_does(model: torch.nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.lora_variant.clear()
            module.cast_input_dtype_enabled = True


def answers(model: torch.nn.Module, compute: Compute) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Scores, and gradients of their cross entropy by parameter; the same tokens are dropped each time."""
    torch.manual_seed(3)
    model.zero_grad()
    with compute.accelerator.autocast():
        scores = model(input_ids=IDS).logits
    torch.nn.functional.cross_entropy(scores.float().flatten(0, 1), IDS.roll(-1).flatten()).backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    return scores.detach().float(), {name: gradient.clone() for name, gradient in found.items()}


def adapted(folder: Path, compute: Compute, kind: Literal["lora", "qlora"] = "lora", dropout: float = 0.0) -> torch.nn.Module:
    """A model whose adapters are no longer at zero."""
    method = MethodConfig(kind=kind, rank=4, alpha=12, dropout=dropout)
    model = compute.prepare_model(trainable_model(folder, method, compute, 1), training=True).train()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return model


def agree(model: torch.nn.Module, compute: Compute, tolerance: float) -> None:
    scores, gradients = answers(model, compute)
    as_peft_does(model)
    expected, of_peft = answers(model, compute)
    assert relative(scores - expected, expected) < tolerance
    assert gradients.keys() == of_peft.keys()
    assert {name.split("lora_")[1][0] for name in gradients} == {"A", "B"}
    for name, gradient in of_peft.items():
        assert gradients[name].dtype == torch.float32
        assert relative(gradients[name] - gradient, gradient) < tolerance, name


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("checkpointed", [False, True])
def test_scores_and_gradients_are_those_of_peft(folder: Path, cpu: Compute, dropout: float, checkpointed: bool) -> None:
    model = adapted(folder, cpu, dropout=dropout)
    if checkpointed:
        checkpoint_activations(model)
    agree(model, cpu, 1e-5)


def test_layers_with_a_bias_too(tmp_path: Path, cpu: Compute) -> None:
    config = Qwen2Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    Qwen2ForCausalLM(config).save_pretrained(tmp_path)
    agree(adapted(tmp_path, cpu), cpu, 1e-5)


@pytest.mark.parametrize("kind", ["lora", "qlora"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_in_every_type(tiny_model_folder: Path, kind: Literal["lora", "qlora"], precision: Literal["fp32", "bf16"]) -> None:
    compute = choose_compute(DeviceConfig(kind="cpu"), precision)
    agree(adapted(tiny_model_folder, compute, kind), compute, 1e-5 if precision == "fp32" else 1e-1)


def test_a_layer_that_answers_in_fp32_within_autocast(tiny_model_folder: Path) -> None:
    """As one in 4 bits does after a norm that CUDA's autocast keeps in fp32."""
    compute = choose_compute(DeviceConfig(kind="cpu"), "bf16")
    layers = [layer for layer in adapted(tiny_model_folder, compute, "qlora").modules() if isinstance(layer, LoraLayer)]
    for layer in layers[:7]:
        found = []
        for _ in range(2):
            read = torch.ones(1, 3, layer.in_features, requires_grad=True)
            with torch.autocast("cpu", torch.bfloat16):
                written = layer(read)
            assert written.dtype == torch.float32
            written.sum().backward()
            assert read.grad is not None
            found += [written.detach(), read.grad]
            as_peft_does(layer)
        written, towards, of_peft, towards_of_peft = found
        assert relative(written - of_peft, of_peft) < 5e-2
        assert relative(towards - towards_of_peft, towards_of_peft) < 5e-2


def test_an_adapter_that_is_switched_off_adds_nothing(folder: Path, cpu: Compute) -> None:
    model = adapted(folder, cpu).eval()
    assert isinstance(model, PeftModel)
    with torch.no_grad():
        on = model(input_ids=IDS).logits
        with model.disable_adapter():
            off = model(input_ids=IDS).logits
        assert not torch.allclose(on, off)
        base = model.get_base_model()
        for module in base.modules():
            if isinstance(module, LoraLayer):
                for wide in module.lora_B.values():
                    wide.weight.zero_()
        assert torch.equal(model(input_ids=IDS).logits, off)


def test_every_adapter_of_a_linear_layer_is_added_so(folder: Path, cpu: Compute) -> None:
    layers = [module for module in adapted(folder, cpu).modules() if isinstance(module, LoraLayer)]
    assert layers
    for layer in layers:
        assert {name: type(variant) for name, variant in layer.lora_variant.items()} == {"default": InPlace}
