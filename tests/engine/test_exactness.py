"""A model that trains in bf16 answers the same whatever else is asked with it, and trains on as if nothing had been asked."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file, save_file

from studio.core.config import DeviceConfig, MethodConfig, PromptConfig
from studio.data.prompts import PromptEncoder
from studio.engine.batches import cut_batch
from studio.engine.devices import Compute, choose_compute
from studio.engine.exactness import in_fp32, prepare_for_prediction
from studio.engine.loop import backward
from studio.engine.methods import load_method_base, trainable_model
from studio.engine.models import load_saved, load_tokenizer
from studio.engine.predictor import Predictor
from tests.engine.conftest import EXAMPLES, LABELS, MESSAGES, objective_of
from tests.tiny import save_tiny


@pytest.fixture
def bf16() -> Compute:
    return choose_compute(DeviceConfig(kind="cpu"), "bf16")


def predictor(folder: Path, model: torch.nn.Module, compute: Compute) -> Predictor:
    encoder = PromptEncoder(load_tokenizer(folder), PromptConfig(max_length=128))
    return Predictor(model, encoder, encoder.label_set(LABELS), compute)


@pytest.mark.parametrize("kind", ["full", "lora", "qlora"])
def test_a_message_is_answered_the_same_alone_and_among_others(tiny_model_folder: Path, bf16: Compute, kind: str) -> None:
    method = MethodConfig(kind=kind)  # type: ignore[arg-type]  # parametrised
    trained = bf16.prepare_model(trainable_model(tiny_model_folder, method, bf16, seed=1), training=True)
    asked = predictor(tiny_model_folder, trained, bf16)
    together = asked.classify(MESSAGES)
    for text, expected in zip(MESSAGES, together, strict=True):
        (alone,) = asked.classify([text])
        assert alone.prediction.predicted == expected.prediction.predicted
        assert alone.prediction.probability == pytest.approx(expected.prediction.probability, abs=1e-5)


@pytest.mark.parametrize("kind", ["full", "lora", "qlora"])
def test_a_model_loaded_to_be_asked_answers_as_the_one_in_training(tiny_model_folder: Path, bf16: Compute, kind: str) -> None:
    method = MethodConfig(kind=kind)  # type: ignore[arg-type]  # parametrised
    # A fresh adapter changes nothing, so the base alone has to answer like the model in training.
    training = bf16.prepare_model(trainable_model(tiny_model_folder, method, bf16, seed=1), training=True)
    loaded = prepare_for_prediction(load_method_base(tiny_model_folder, method, bf16), bf16)
    expected = predictor(tiny_model_folder, training, bf16).classify(MESSAGES)
    found = predictor(tiny_model_folder, loaded, bf16).classify(MESSAGES)
    for left, right in zip(expected, found, strict=True):
        assert left.prediction.probability == pytest.approx(right.prediction.probability, abs=1e-5)


@pytest.mark.parametrize("kind", ["full", "lora", "qlora"])
def test_training_goes_on_as_if_nothing_had_been_asked(tiny_model_folder: Path, bf16: Compute, kind: str) -> None:
    method = MethodConfig(kind=kind, dropout=0.0)  # type: ignore[arg-type]  # parametrised
    model = bf16.prepare_model(trainable_model(tiny_model_folder, method, bf16, seed=1), training=True)
    asked = predictor(tiny_model_folder, model, bf16)
    batch = cut_batch([asked.encoder.encode(example) for example in EXAMPLES], 4)
    types = [parameter.dtype for parameter in model.parameters()]
    objective = objective_of(model, bf16, "tree")
    model.train()
    loss = backward(objective, batch)
    asked.classify(MESSAGES)
    assert [parameter.dtype for parameter in model.parameters()] == types
    assert torch.equal(backward(objective, batch), loss)


def test_it_comes_back_after_an_error(tiny_model_folder: Path, bf16: Compute) -> None:
    model = bf16.prepare_model(trainable_model(tiny_model_folder, MethodConfig(kind="lora"), bf16, seed=1), training=True)
    wrapped = model.forward
    types = [parameter.dtype for parameter in model.parameters()]

    def fail_inside() -> None:
        with in_fp32(model, bf16):
            assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_inside()
    assert model.forward is wrapped
    assert [parameter.dtype for parameter in model.parameters()] == types


@pytest.mark.parametrize("target_modules", ["all-linear", ["embed_tokens", "q_proj"]])
def test_what_loading_in_bf16_rounds_comes_back_exact(
    bf16: Compute, tmp_path: Path, target_modules: Literal["all-linear"] | list[str]
) -> None:
    """Gemma's embeddings are multiplied by a number that bf16 cannot hold: asked in fp32 they have to be as in an fp32 model."""
    gemma = save_tiny(tmp_path / "gemma", "gemma3")
    stored = load_file(gemma / "model.safetensors")
    save_file({name: weight.bfloat16() for name, weight in stored.items()}, gemma / "model.safetensors", {"format": "pt"})
    method = MethodConfig(kind="lora", target_modules=target_modules)
    model = bf16.prepare_model(trainable_model(gemma, method, bf16, seed=1), training=True)
    (scale,) = (buffer for name, buffer in model.named_buffers() if name.endswith("embed_scale"))
    assert (scale.dtype, float(scale)) == (torch.bfloat16, 6.3125)
    fp32 = predictor(gemma, load_saved(gemma, torch.float32), bf16)
    for left, right in zip(predictor(gemma, model, bf16).classify(MESSAGES), fp32.classify(MESSAGES), strict=True):
        assert left.prediction.predicted == right.prediction.predicted
        assert left.prediction.probability == pytest.approx(right.prediction.probability, abs=1e-5)
    (after,) = (buffer for name, buffer in model.named_buffers() if name.endswith("embed_scale"))
    assert after is scale, "training goes on with what it began with"
