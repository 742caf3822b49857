"""A base model in a .gguf file: looked at, refused in words where it cannot be trained, and converted once."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from gguf import GGMLQuantizationType, GGUFReader
from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

from studio.core.bases import GGUF_SUFFIX
from studio.core.errors import StudioError
from studio.core.failures import is_out_of_memory
from studio.core.files import write_json
from studio.data.progress import Progress
from studio.engine.conversion import SOURCE, convert_once, save_as_hugging_face

# Entries of that table that are no architecture, and those whose models are no causal language models with a cache.
_NO_LANGUAGE_MODELS = {"general", "tokenizer", "t5", "umt5", "mamba"}
# Of these a conversion to bf16 would round away what the file has. Anything else is bf16 itself or holds far less.
_FINER_THAN_BF16 = {GGMLQuantizationType.F32, GGMLQuantizationType.F16, GGMLQuantizationType.F64}


def gguf_folder(path: Path, models: Path, progress: Progress) -> Path:
    """The model in ``path`` as a Hugging Face folder under ``models``, converted now if it was not before.

    Raises StudioError when the file is damaged or of a kind that transformers cannot read.
    """
    if (known := _converted_before(path, models)) is not None:
        return known
    if not path.is_file():
        raise StudioError(f"The model file {path} does not exist.", "Choose a .gguf file that holds a whole language model.")
    dtype = _examine(path)
    progress("reading the model file", 0, 0)
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    facts = {"path": str(path), "sha256": digest, **_stamp(path)}
    target = models / f"gguf-{re.sub(r'[^A-Za-z0-9_.-]+', '-', path.name[: -len(GGUF_SUFFIX)])[:60]}-{digest[:12]}"

    def write(_scratch: Path, folder: Path) -> dict[str, object]:
        progress(f"converting {path.name}", 0, 0)
        try:
            save_as_hugging_face(path, folder, dtype)
        except Exception as error:  # a library of another's making, on a file of another's making
            if is_out_of_memory(error) or isinstance(error, OSError):
                raise
            raise StudioError(
                f"{path.name} cannot be converted: transformers does not read it.",
                "Choose another file of this model, or the model in the Hugging Face format.",
                detail=f"{type(error).__name__}: {error}",
                kind="bad_model",
            ) from error
        return facts

    folder = convert_once(target, write)
    write_json(folder / SOURCE, facts)  # the same content under another name, or copied anew
    return folder


def _converted_before(path: Path, models: Path) -> Path | None:
    """The conversion of this very file, without reading it; also when the file itself is gone since."""
    for source in sorted(models.glob(f"gguf-*/{SOURCE}")):
        try:
            facts: dict[str, Any] = dict(json.loads(source.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            continue
        if facts.get("path") == str(path) and (not path.exists() or all(facts.get(k) == v for k, v in _stamp(path).items())):
            return source.parent
    return None


def _stamp(path: Path) -> dict[str, object]:
    state = path.stat()
    return {"bytes": state.st_size, "modified": state.st_mtime_ns}


def _examine(path: Path) -> str:
    """The type that the weights keep when they are converted. Raises StudioError for a file that cannot become a base."""
    damaged = StudioError(f"{path.name} is damaged, or no GGUF file.", "Download or copy it again.", kind="bad_model")
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise damaged
        reader = GGUFReader(path)
        fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("tokenizer.ggml.")}
        with_tokenizer = "tokenizer.ggml.tokens" in reader.fields
    except StudioError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        damaged.detail = f"{type(error).__name__}: {error}"
        raise damaged from error
    if int(fields.get("split.count") or 1) > 1:
        raise StudioError(
            f"{path.name} is one of {fields['split.count']} parts of a model.",
            "Join them with llama.cpp's `llama-gguf-split --merge`, then choose the joined file.",
            kind="unsupported_model",
        )
    architecture = str(fields.get("general.architecture") or "")
    supported = sorted(set(GGUF_SUPPORTED_ARCHITECTURES) - _NO_LANGUAGE_MODELS)
    if str(fields.get("general.type") or "model") != "model" or architecture.replace("-", "_") not in {
        *supported,
        *(name.replace("_", "") for name in supported),
    }:
        raise StudioError(
            f"{path.name} holds {architecture or 'something'!r}, which cannot be trained from a GGUF file.",
            f"Choose the model in the Hugging Face format, or a GGUF file of one of these: {', '.join(supported)}.",
            kind="unsupported_model",
        )
    if not with_tokenizer or not reader.tensors:
        lacking = "weights" if with_tokenizer else "tokenizer"
        raise StudioError(f"{path.name} holds no {lacking}.", "Choose a file with the whole model.", kind="bad_model")
    matrices = {tensor.tensor_type for tensor in reader.tensors if len(tensor.shape) > 1}
    return "float32" if matrices & _FINER_THAN_BF16 else "bfloat16"
