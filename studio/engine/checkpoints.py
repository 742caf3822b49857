"""Checkpoints: safetensors and JSON, complete or absent."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file

from studio.core.errors import StudioError
from studio.core.files import write_json
from studio.core.resuming import resumable_checkpoints
from studio.core.runs import RunFolder
from studio.engine.models import load_saved
from studio.engine.training_state import TrainingState, is_training_file

MANIFEST = "manifest.json"
# peft takes adapter_model.bin where there is no adapter_model.safetensors.
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def save_checkpoint(
    run: RunFolder,
    model: torch.nn.Module,
    step: int,
    facts: dict[str, Any],
    best: bool,
    state: TrainingState | None = None,
    standing: dict[str, Any] | None = None,
    keep: int = 1,
) -> Path:
    """Write what was learnt after ``step``, with ``facts`` in the manifest, and with ``state`` what resuming needs.

    The newest ``keep`` stay to be resumed from, and of a better one its weights. The folder appears under its name only
    when every file in it is on the disk; the manifest with their hashes comes last. Raises StudioError when it cannot be
    written, and leaves the older ones as they were.
    """
    folder = run.checkpoints / f"step-{step}"
    scratch = run.checkpoints / f".step-{step}.partial"
    for leftover in run.checkpoints.glob(".step-*"):  # of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        scratch.mkdir(parents=True)
        write_weights(model, scratch)
        if state is not None:
            state.write(scratch, step, standing or {})
        files = {path.name: _sha256(path) for path in sorted(scratch.iterdir())}
        for name in files:
            _flush_to_disk(scratch / name)
        write_json(scratch / MANIFEST, {"step": step, "best": best, **facts, "sha256": files})
        if folder.exists():
            folder.rename(run.checkpoints / f".step-{step}.replaced")
        scratch.rename(folder)
        _flush_names(run.checkpoints)  # before older ones go
    # safetensors tells a full disk as an error of its own.
    except (OSError, SafetensorError) as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise StudioError(
            f"The checkpoint of step {step} cannot be written: {getattr(error, 'strerror', None) or error}.",
            f"Free some space where {run.path} lies. Checkpoints written before are untouched.",
            kind="disk_full",
        ) from error
    _rotate(run, folder, keep)
    return folder


def newest_whole_checkpoint(run: RunFolder) -> Path:
    """The newest undamaged checkpoint that can be resumed from. Raises StudioError for the newest one when none is."""
    problem: StudioError | None = None
    for folder in resumable_checkpoints(run):
        try:
            verify_checkpoint(folder)
        except StudioError as error:
            problem = problem or error
        else:
            return folder
    raise problem or StudioError(f"The run {run.name} has no checkpoint to resume from.", "Train again.", kind="no_checkpoint")


def forget_later_checkpoints(run: RunFolder, step: int) -> None:
    """Those after ``step`` are damaged when a run resumes from it, and their steps will be taken again."""
    for folder in run.checkpoints.glob("step-*"):
        number = folder.name.removeprefix("step-")
        if number.isdecimal() and int(number) > step:
            _delete(folder)


def forget_training(run: RunFolder) -> None:
    """Of a run that has taken its last step keep only the weights that stand for it."""
    for folder in resumable_checkpoints(run):
        _forget(run, folder)


def _rotate(run: RunFolder, newest: Path, keep: int) -> None:
    kept = [newest, *(folder for folder in resumable_checkpoints(run) if folder != newest)][:keep]
    for old in run.checkpoints.glob("step-*"):
        if old not in kept:
            _forget(run, old)
    for leftover in run.checkpoints.glob(".step-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _forget(run: RunFolder, folder: Path) -> None:
    """Delete a checkpoint, but of the one that stands for the run only what is of use to training alone."""
    if folder != run.checkpoint():
        _delete(folder)
        return
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    hashes = {name: value for name, value in manifest["sha256"].items() if not is_training_file(name)}
    if len(hashes) < len(manifest["sha256"]):
        write_json(folder / MANIFEST, {**manifest, "sha256": hashes})
        for path in folder.iterdir():
            if is_training_file(path.name):
                path.unlink()


def _delete(folder: Path) -> None:
    # Its manifest first: what is half deleted must not pass for a checkpoint.
    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def verify_checkpoint(folder: Path) -> dict[str, Any]:
    """The manifest of an undamaged checkpoint.

    Raises StudioError when a file is missing or its hash is another, and for one with pickles in it.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
        hashes = dict(manifest["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudioError(
            f"The checkpoint {folder.name} is damaged: its manifest cannot be read.",
            "Train again, or restore the run folder from a backup.",
            detail=str(error),
            kind="damaged_run",
        ) from error
    if odd := sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES):
        raise StudioError(
            f"The checkpoint {folder.name} is damaged: {odd[0]} is no file of this app, and could run code when opened.",
            "Train again, or restore the run folder from a backup.",
            kind="damaged_run",
        )
    for name, expected in hashes.items():
        path = folder / name
        if not path.is_file() or _sha256(path) != expected:
            raise StudioError(
                f"The checkpoint {folder.name} is damaged: {name} is not what was written.",
                "Train again, or restore the run folder from a backup.",
                kind="damaged_run",
            )
    return manifest


def write_weights(model: torch.nn.Module, folder: Path) -> None:
    """The adapter in peft's layout, or the whole model in transformers', as safetensors, in the type it was trained in."""
    saver: Any = model
    if hasattr(model, "peft_config"):
        saver.save_pretrained(folder, save_embedding_layers=False)
        # peft leaves a card to fill in beside the adapter; an export writes its own.
        (folder / "README.md").unlink(missing_ok=True)
    else:
        saver.save_pretrained(folder)


def _flush_to_disk(path: Path) -> None:
    with path.open("r+b") as file:  # Windows flushes only what was opened for writing
        os.fsync(file.fileno())


def _flush_names(folder: Path) -> None:
    """Make what was renamed in ``folder`` survive a power loss, where the system lets a folder be flushed."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def restore_weights(model: torch.nn.Module, checkpoint: Path) -> None:
    """Put a checkpoint's weights into the model that it was saved from. Raises StudioError when it is from another."""
    if hasattr(model, "peft_config"):
        files = sorted(path for path in checkpoint.glob("*.safetensors") if not is_training_file(path.name))
        state = {name: tensor for path in files for name, tensor in load_file(path).items()}
        loaded: Any = set_peft_model_state_dict(model, state)
    else:
        # Not the file's own names: transformers renames the weights of some architectures when it saves them.
        saved = load_saved(checkpoint, torch.float32)
        loaded = model.load_state_dict(saved.state_dict(), strict=False)
    # Tied weights are stored once, and named_parameters lists them once; every other trained weight has to be there.
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    missing = sorted(trained.intersection(loaded.missing_keys))
    if missing or loaded.unexpected_keys:
        raise StudioError(
            f"The checkpoint {checkpoint.name} belongs to another model.",
            "Train again.",
            detail=f"missing {missing[:5]}, unexpected {loaded.unexpected_keys[:5]}",
            kind="damaged_run",
        )
