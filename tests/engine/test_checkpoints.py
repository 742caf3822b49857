"""Checkpoints: complete or absent, noticed when damaged, and restored to the last bit."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from studio.core.config import MethodConfig, RunConfig
from studio.core.errors import StudioError
from studio.core.resuming import TRAINING_FACTS, TRAINING_TENSORS
from studio.core.runs import Home, RunFolder
from studio.engine import checkpoints
from studio.engine.checkpoints import restore_weights, save_checkpoint, verify_checkpoint
from studio.engine.devices import Compute
from studio.engine.methods import trainable_model, trained_model
from studio.engine.training_state import is_training_file
from tests.tiny import save_tiny

METHODS = [MethodConfig(kind="full"), MethodConfig(kind="lora", rank=4, dropout=0.0)]
QLORA = MethodConfig(kind="qlora", rank=4, dropout=0.0)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return Home.locate(tmp_path / "home").create_run(RunConfig())


def disturb(model: torch.nn.Module, seed: int) -> None:
    """Change every trained weight, as training does."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator))


def state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if isinstance(tensor, torch.Tensor)}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def check_round_trip(run: RunFolder, folder: Path, method: MethodConfig, cpu: Compute) -> torch.nn.Module:
    model = trainable_model(folder, method, cpu, seed=1)
    disturb(model, 1)
    saved = state(model)
    checkpoint = save_checkpoint(run, model, 3, {}, best=True)
    disturb(model, 2)
    assert not same(state(model), saved)
    restore_weights(model, checkpoint)
    assert same(state(model), saved)
    another = trained_model(folder, checkpoint, method, cpu)
    assert same(state(another), saved), "loading the run again gives the same weights"
    return model


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.kind)
def test_restored_weights_are_the_saved_ones(run: RunFolder, folder: Path, family: str, method: MethodConfig, cpu: Compute) -> None:
    model: Any = check_round_trip(run, folder, method, cpu)
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert (embedding is head) == (family != "llama"), "tied weights are still tied"


def test_weights_that_are_renamed_when_saved_come_back(run: RunFolder, tmp_path: Path, cpu: Compute) -> None:
    folder = save_tiny(tmp_path / "base", "gpt_neox")
    model = check_round_trip(run, folder, METHODS[0], cpu)
    checkpoint = run.checkpoint()
    assert checkpoint is not None
    assert set(load_file(checkpoint / "model.safetensors")) != {name for name, _ in model.named_parameters()}


def test_files_are_flushed_as_every_system_allows_it(
    run: RunFolder, tiny_model_folder: Path, cpu: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows refuses to flush a file that was opened only for reading."""
    modes = []

    def fsync(descriptor: int) -> None:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):  # only where the system lets a folder be flushed
            modes.append(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE)

    monkeypatch.setattr("os.fsync", fsync)
    save_checkpoint(run, trainable_model(tiny_model_folder, METHODS[1], cpu, seed=1), 1, {}, best=True)
    assert modes
    assert os.O_RDONLY not in modes


def test_restored_adapter_on_a_quantised_base(run: RunFolder, tiny_model_folder: Path, cpu: Compute) -> None:
    check_round_trip(run, tiny_model_folder, QLORA, cpu)


def test_only_what_was_trained_is_stored(run: RunFolder, folder: Path, cpu: Compute) -> None:
    full, adapter = (trainable_model(folder, method, cpu, seed=1) for method in METHODS)
    whole = save_checkpoint(run, full, 1, {}, best=True) / "model.safetensors"
    assert sum(tensor.numel() for tensor in load_file(whole).values()) == sum(p.numel() for p in full.parameters())
    small = save_checkpoint(run, adapter, 2, {}, best=True) / "adapter_model.safetensors"
    tensors = load_file(small)
    assert all("lora_" in name for name in tensors)
    assert sum(tensor.numel() for tensor in tensors.values()) == sum(p.numel() for p in adapter.parameters() if p.requires_grad)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}


@pytest.fixture
def model(tiny_model_folder: Path, cpu: Compute) -> torch.nn.Module:
    return trainable_model(tiny_model_folder, METHODS[0], cpu, seed=1)


def names(run: RunFolder) -> list[str]:
    return sorted(path.name for path in run.checkpoints.iterdir())


def test_the_best_is_kept_and_the_newest(run: RunFolder, model: torch.nn.Module) -> None:
    for step, best, kept, stands in (
        (1, True, ["step-1"], 1),
        (9, True, ["step-9"], 9),
        (10, False, ["step-10", "step-9"], 9),
        (11, False, ["step-11", "step-9"], 9),
        (12, True, ["step-12"], 12),
    ):
        save_checkpoint(run, model, step, {}, best)
        assert names(run) == kept
        assert run.checkpoint() == run.checkpoints / f"step-{stands}"


def test_a_step_may_be_saved_again(run: RunFolder, model: torch.nn.Module) -> None:
    save_checkpoint(run, model, 4, {"validation_loss": 2.0}, best=True)
    disturb(model, 1)
    folder = save_checkpoint(run, model, 4, {"validation_loss": 1.0}, best=True)
    assert verify_checkpoint(folder)["validation_loss"] == 1.0
    assert torch.equal(load_file(folder / "model.safetensors")["lm_head.weight"], model.state_dict()["lm_head.weight"])


def test_the_manifest_names_every_file(run: RunFolder, model: torch.nn.Module) -> None:
    folder = save_checkpoint(run, model, 4, {"validation_accuracy": 0.5}, best=True)
    manifest = verify_checkpoint(folder)
    assert set(manifest["sha256"]) == {path.name for path in folder.iterdir()} - {"manifest.json"}
    assert {"model.safetensors", "config.json"} <= set(manifest["sha256"])
    assert (manifest["step"], manifest["best"], manifest["validation_accuracy"]) == (4, True, 0.5)


def test_what_has_no_manifest_is_no_checkpoint(run: RunFolder, model: torch.nn.Module) -> None:
    assert run.checkpoint() is None
    folder = save_checkpoint(run, model, 4, {}, best=False)
    for name in ("step-9", ".step-11.partial", "step-12-copy", "step-"):
        shutil.copytree(folder, run.checkpoints / name)
    (run.checkpoints / "step-9" / "manifest.json").unlink()
    assert run.checkpoint() == folder


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@contextmanager
def small_files_only() -> Iterator[None]:
    """Writing more than 64 KiB into a file fails, in native code too."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def no_manifest() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "write_json", full_disk)
        yield


@contextmanager
def no_name() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", full_disk)
        yield


FAILURES = [pytest.param(small_files_only, marks=pytest.mark.skipif(sys.platform == "win32", reason="a limit of Unix"))]


@pytest.mark.parametrize("failing", [*FAILURES, no_manifest, no_name])
def test_a_failing_write_leaves_the_checkpoint_before_it(
    run: RunFolder, model: torch.nn.Module, failing: Callable[[], Any]
) -> None:
    before = save_checkpoint(run, model, 4, {}, best=True)
    saved = state(model)
    disturb(model, 1)
    with failing(), pytest.raises(StudioError, match="step 5 cannot be written") as caught:
        save_checkpoint(run, model, 5, {}, best=True)
    assert caught.value.kind == "disk_full"
    assert "Checkpoints written before are untouched" in caught.value.remedy
    assert names(run) == ["step-4"]
    assert run.checkpoint() == before
    verify_checkpoint(before)
    restore_weights(model, before)
    assert same(state(model), saved)


def flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def cut_off(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-1])


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        cut_off,
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "config.json").write_text("{}"),
        lambda folder: (folder / "adapter_model.bin").write_bytes(b"a pickle"),
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text('{"step": 4, "sha'),
        lambda folder: (folder / "manifest.json").write_text("[1]"),
        lambda folder: (folder / "manifest.json").write_text('{"sha256": 3}'),
        lambda folder: (folder / "manifest.json").write_bytes(b"\xff\xfe"),
    ],
)
def test_damage_is_told(run: RunFolder, model: torch.nn.Module, damage: Callable[[Path], object]) -> None:
    folder = save_checkpoint(run, model, 4, {}, best=True)
    verify_checkpoint(folder)
    damage(folder)
    with pytest.raises(StudioError, match="step-4 is damaged") as caught:
        verify_checkpoint(folder)
    assert caught.value.kind == "damaged_run"
    assert caught.value.remedy


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.kind)
def test_weights_of_another_model_are_refused(run: RunFolder, tiny_model_folder: Path, cpu: Compute, method: MethodConfig) -> None:
    model = trainable_model(tiny_model_folder, method, cpu, seed=1)
    folder = save_checkpoint(run, model, 4, {}, best=True)
    (path,) = folder.glob("*.safetensors")
    tensors = load_file(path)
    first = next(name for name in tensors if ".layers.0." in name)
    save_file({name: tensor for name, tensor in tensors.items() if name != first}, path, metadata={"format": "pt"})
    with pytest.raises(StudioError, match=r"belongs to another model|1 of its weights are not in its files"):
        restore_weights(model, folder)


def test_an_adapter_for_more_layers_is_refused(run: RunFolder, tiny_model_folder: Path, cpu: Compute) -> None:
    model = trainable_model(tiny_model_folder, METHODS[1], cpu, seed=1)
    folder = save_checkpoint(run, model, 4, {}, best=True)
    (path,) = folder.glob("*.safetensors")
    tensors = load_file(path)
    first = next(name for name in tensors if ".layers.0." in name)
    save_file({**tensors, first.replace(".0.", ".7."): tensors[first].clone()}, path, metadata={"format": "pt"})
    with pytest.raises(StudioError, match="belongs to another model") as caught:
        restore_weights(model, folder)
    assert caught.value.kind == "damaged_run"


def test_facts_survive_as_json(run: RunFolder, model: torch.nn.Module) -> None:
    folder = save_checkpoint(run, model, 4, {"validation_loss": 0.1 + 0.2}, best=True)
    assert json.loads((folder / "manifest.json").read_text("utf-8"))["validation_loss"] == 0.1 + 0.2


_KILLED = """
import os, signal, sys
from pathlib import Path
from studio.core.runs import RunFolder
from studio.engine.checkpoints import save_checkpoint

class Model:
    def save_pretrained(self, folder):
        (folder / "model.safetensors").write_bytes(b"weights")

run, rename = RunFolder(Path(sys.argv[1])), Path.rename
save_checkpoint(run, Model(), 3, {"seen": "first"}, best=False)

def killed(path, target):
    if path.name.endswith(".partial"):
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(path, target)

Path.rename = killed
save_checkpoint(run, Model(), 3, {"seen": "second"}, best=True)
"""


def test_a_step_that_is_written_again_is_not_lost_when_the_process_is_killed_in_between(run: RunFolder, tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", _KILLED, str(run.path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert {path.name for path in run.checkpoints.iterdir()} == {".step-3.replaced", ".step-3.partial"}
    assert run.checkpoint() is None
    found = Home.locate(tmp_path / "home").find_run(run.name)
    assert found.checkpoint() == run.checkpoints / "step-3"
    assert verify_checkpoint(run.checkpoints / "step-3")["seen"] == "first"


def test_what_the_window_leaves_out_of_the_weights_is_what_training_alone_needs() -> None:
    assert is_training_file(TRAINING_TENSORS)
    assert is_training_file(TRAINING_FACTS)
