"""What a run can leave behind, and where it may be written."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from studio.core.config import MethodKind
from studio.core.errors import StudioError
from studio.core.paths import as_typed

ExportKind = Literal["adapter", "merged", "model"]
KIND_TITLES: dict[ExportKind, str] = {"adapter": "Adapter", "merged": "Merged model", "model": "Full model"}
FP32_BYTES = 4
"""Bytes of a weight in a merged export."""
TOLERANCE = 1e-4
"""Largest difference of a probability that still counts as the same model.

An adapter and a full model compute the same sums as the run on the same device. A merged weight is one rounded sum where the run
added two products, so that kind is compared on the CPU, in fp32: on Gemma 3 270M the largest difference was 4e-6, after LoRA over
182 messages and after QLoRA over 40. What is wrong moves more: an embedding scale rounded to bf16, for one, by 5e-3.
"""


def export_kinds(method: MethodKind) -> tuple[ExportKind, ...]:
    """What a run of this method can leave to be exported, the usual kind first."""
    return ("model",) if method == "full" else ("adapter", "merged")


def check_export_kind(kind: ExportKind, method: MethodKind) -> None:
    """Raises StudioError when a run of this method has nothing of that kind."""
    fitting = export_kinds(method)
    if kind not in fitting:
        why = "left the base as it was"
        if method == "full":
            why = "changed every weight, so there is no adapter" + (" to merge" if kind == "merged" else "")
        raise StudioError(
            f"A {KIND_TITLES[kind].lower()} cannot be exported from this run: {method} training {why}.",
            f"Export it as {' or '.join(fitting)} (--as {fitting[0]}).",
            kind="wrong_export",
        )


def merged_into(method: MethodKind, precision: str) -> str:
    """Which weights a merged export adds the adapter to, in a sentence for the page and the card."""
    if method == "qlora":
        return (
            "The adapter is added, in fp32, to the base as QLoRA held it while training: rounded to 4 bits (NF4) and back. "
            "So it answers as the run does; merged into the unrounded base it would answer otherwise."
        )
    # fp16 is for CUDA; a merged model is made on the CPU, where such a run is used in fp32.
    rounded = " as it was held while training, in bf16" if precision == "bf16" else " in fp32"
    return f"The adapter is added, in fp32, to the base{rounded}."


def export_folder(typed: str | Path) -> Path:
    """The folder that was asked for, as an absolute path."""
    return as_typed(typed).resolve()


def partial_folder(folder: Path) -> Path:
    """Where an export lies while it is being written: beside its folder, so that the last step is a rename."""
    return folder.with_name(f".{folder.name}.partial")


def target_problem(folder: Path, runs: Sequence[Path] = ()) -> tuple[str, str] | None:
    """Why nothing can be exported to ``folder``, and what to do; None when it can. Not inside one of ``runs``."""
    absolute = folder.absolute()
    try:
        if folder.is_dir() and any(folder.iterdir()):
            return "This folder is not empty.", "Choose a new or an empty one, so that nothing is overwritten."
        if folder.exists() and not folder.is_dir():
            return "This is a file.", "Choose a folder."
        if any(absolute.resolve().is_relative_to(run.resolve()) for run in runs):
            return "This folder lies among the runs, where it would be deleted with one.", "Choose a folder elsewhere."
        above = next(parent for parent in absolute.parents if parent.exists())
    except OSError as error:
        return f"This folder cannot be read: {error.strerror or error}.", "Choose another one."
    if not above.is_dir():
        return f"{above} is a file, so there can be no folder in it.", "Choose another folder."
    return None


def free_bytes(folder: Path) -> int | None:
    """Room on the disk of the nearest folder that exists; None when that cannot be told."""
    for path in (folder, *folder.parents):
        try:
            return shutil.disk_usage(path).free
        except OSError:
            continue
    return None
