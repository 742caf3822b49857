"""Models that come as GGUF, converted once into Hugging Face folders of the app's home."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from studio.core.files import write_json

SOURCE = "source.json"
"""What a folder was converted from. Written last, so a folder without it is no model."""


def convert_once(target: Path, write: Callable[[Path, Path], dict[str, object]]) -> Path:
    """``target`` as a Hugging Face folder, made now if it was not before.

    ``write`` gets a scratch folder and the folder to put the model in, and returns what ``source.json`` shall say.
    """
    if (target / SOURCE).is_file():
        return target
    with FileLock(target.with_name(f".{target.name}.lock")):
        if not (target / SOURCE).is_file():
            # A conversion that was ended half-way (another model was chosen meanwhile) leaves what it had written.
            for leftover in target.parent.glob(f"{_scratch_prefix(target)}*"):
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=_scratch_prefix(target)) as scratch:
                folder = Path(scratch) / "model"
                facts = write(Path(scratch), folder)
                write_json(folder / SOURCE, facts)
                if target.exists():
                    shutil.rmtree(target)
                folder.rename(target)
    return target


def save_as_hugging_face(gguf: Path, folder: Path, dtype: str) -> None:
    """Write the model in the file ``gguf`` and its tokenizer as transformers stores them, the weights as ``dtype``."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    safe: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **safe)
    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=dtype, **safe)
    # transformers marks a model read from GGUF as quantised, though its weights no longer are, and refuses to save it.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _scratch_prefix(target: Path) -> str:
    return f".{target.name}.partial-"
