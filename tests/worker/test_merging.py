"""Merged exports: the base with what an adapter learnt in its weights, which answers as the run does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from studio.core.answers import Exported, Prediction
from studio.core.commands import Export, Predict, VerifyExport
from studio.core.config import DeviceConfig, MethodConfig
from studio.core.events import Failed, StageChanged
from studio.core.runs import Home, RunFolder
from studio.engine import exactness, methods
from studio.engine.devices import choose_compute
from studio.engine.exports import load_export
from studio.engine.predictor import load_run
from studio.worker import exporting
from tests.tiny import save_tiny
from tests.worker.jobs import WORDS, Trained, config_for, train_here, work_here

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def checked_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second process only costs seconds of importing here; test_exporting.py has it."""

    def check(command: VerifyExport, _channel: object) -> list[Prediction]:
        predictor = load_export(Path(command.folder), Path(command.base), choose_compute(command.device, command.precision))
        return [row.prediction for row in predictor.classify(command.texts)]

    monkeypatch.setattr(exporting, "_in_clean_process", check)


def merged(run: Trained, folder: Path) -> Exported:
    events = work_here(Export(run=str(run.run.path), home=run.home_name, folder=str(folder), kind="merged"))
    assert isinstance(events[-1], Exported), events[-1]
    return events[-1]


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Gemma 3 in bf16, as the real ones are published."""
    folder = save_tiny(tmp_path_factory.mktemp("bases") / "gemma", "gemma3")
    weights = load_file(folder / "model.safetensors")
    save_file({name: weight.bfloat16() for name, weight in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def adapters(home: Home, gemma: Path, messages: Path) -> dict[str, Trained]:
    """Runs in bf16 on the tiny Gemma."""
    return {kind: train_here(home, config_for(messages, gemma, kind, "bf16", evaluate_base=False)) for kind in ("lora", "qlora")}


@pytest.mark.parametrize("kind", ["lora", "qlora"])
def test_a_gemma_merged_in_fp32_answers_as_its_run_in_bf16(adapters: dict[str, Trained], tmp_path: Path, kind: str) -> None:
    exported = merged(adapters[kind], tmp_path / kind)
    assert (exported.compared, exported.agreeing) == (12, 12)
    assert exported.largest_difference <= 1e-4
    assert exported.verified
    card = (tmp_path / kind / "README.md").read_text("utf-8")
    assert ("rounded to 4 bits (NF4) and back" in card) == (kind == "qlora")


def test_with_the_rounded_scale_it_would_not(adapters: dict[str, Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the comparison is there to find: predictions of the run with the 6.3125 that bf16 makes of the square root of 40."""
    monkeypatch.setattr(exactness, "_exact_buffers", lambda _model: [])
    exported = merged(adapters["lora"], tmp_path / "out")
    assert exported.largest_difference > 1e-4
    assert not exported.verified


def test_merged_into_the_base_as_it_was_before_4_bits_it_would_not(
    adapters: dict[str, Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = methods.load_method_base
    in_whole = MethodConfig(kind="lora")

    def load(folder: Path, _method: MethodConfig, compute: object) -> torch.nn.Module:
        return plain(folder, in_whole, compute)  # type: ignore[arg-type]  # handed through

    real = methods.merged_model

    def merge(folder: Path, checkpoint: Path, _method: MethodConfig, compute: object) -> torch.nn.Module:
        monkeypatch.setattr(methods, "load_method_base", load)
        return real(folder, checkpoint, in_whole, compute)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr("studio.engine.exports.merged_model", merge)
    assert not merged(adapters["qlora"], tmp_path / "out").verified


@pytest.mark.parametrize("name", ["lora-fp32", "lora-bf16", "qlora-fp32", "qlora-bf16"])
def test_a_merged_model_is_whole(trained: dict[str, Trained], tmp_path: Path, name: str) -> None:
    folder = tmp_path / "merged"
    exported = merged(trained[name], folder)
    assert (exported.verified, exported.agreeing) == (True, 12), exported.largest_difference
    assert not list(folder.glob("adapter*"))
    assert {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()} == {torch.float32}
    assert "quantization_config" not in (folder / "config.json").read_text("utf-8")
    assert GenerationConfig.from_pretrained(folder).eos_token_id == AutoTokenizer.from_pretrained(folder).eos_token_id
    assert AutoModelForCausalLM.from_pretrained(folder).config.use_cache is True
    card = (folder / "README.md").read_text("utf-8")
    assert "peft" not in card
    assert "rank 8" in card
    assert "convert_hf_to_gguf.py" in card
    assert "peft" not in exported.program
    assert str(folder) in exported.program


@pytest.mark.parametrize("name", ["lora-fp32", "lora-bf16"])
def test_predictions_with_a_merged_adapter_are_those_beside_it(trained: dict[str, Trained], name: str) -> None:
    run, home = trained[name].run, trained[name].home
    found = []
    for merged_first in (False, True):
        found.append(load_run(run, home, lambda *_: None, merged=merged_first).classify(list(WORDS.values())))
        AcceleratorState._reset_state(reset_partial_state=True)
    for beside, within in zip(*found, strict=True):
        assert within.prediction.predicted == beside.prediction.predicted
        assert within.prediction.probability == pytest.approx(beside.prediction.probability, abs=1e-4)
    assert found[0] != found[1], "both were computed alike"


def test_an_adapter_of_numbers_that_are_none_is_told_as_with_any_run(trained: dict[str, Trained], own_run: RunFolder) -> None:
    checkpoint = own_run.checkpoint()
    assert checkpoint is not None
    adapter, told = checkpoint / "adapter_model.safetensors", checkpoint / "manifest.json"
    save_file({name: weight * torch.nan for name, weight in load_file(adapter).items()}, adapter, {"format": "pt"})
    manifest = json.loads(told.read_text("utf-8"))
    manifest["sha256"][adapter.name] = hashlib.sha256(adapter.read_bytes()).hexdigest()
    told.write_text(json.dumps(manifest), "utf-8")
    failed = work_here(Predict(run=str(own_run.path), home=trained["lora-bf16"].home_name, texts=["Where is my card?"]))[-1]
    assert isinstance(failed, Failed)
    assert "not finite" in failed.message


def test_bytes_are_told_while_it_writes(trained: dict[str, Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_SIZE_SECONDS", 0.001)
    run = trained["lora-fp32"]
    events = work_here(Export(run=str(run.run.path), home=run.home_name, folder=str(tmp_path / "out"), kind="merged"))
    exported = events[-1]
    assert isinstance(exported, Exported), exported
    told = [event for event in events if isinstance(event, StageChanged) and event.stage == "writing the export"]
    assert {event.unit for event in told} == {"bytes"}
    assert [event.done for event in told] == sorted(event.done for event in told)
    assert 0 < told[-1].done <= told[-1].total
    assert told[-1].total == pytest.approx(sum(exported.files.values()), rel=0.2)


def test_a_run_in_fp16_is_merged_on_the_cpu(own_run: RunFolder, trained: dict[str, Trained], tmp_path: Path) -> None:
    """It was trained on a card that this computer need not have."""
    config = own_run.config().with_training(precision="fp16")
    own_run.write_config(config.model_copy(update={"device": DeviceConfig(kind="cuda")}))
    exported = merged(Trained(trained["lora-bf16"].home, own_run, []), tmp_path / "out")
    assert exported.verified
