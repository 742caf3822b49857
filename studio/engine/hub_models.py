"""Base models of the Hugging Face hub: which of their files are used, and which lie in the cache."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from huggingface_hub import constants, scan_cache_dir
from huggingface_hub.errors import CacheNotFound
from safetensors import SafetensorError, safe_open
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from studio.core.answers import CachedModel
from studio.core.bases import COMMIT, HUB_PREFIX, hub_id
from studio.core.config import ModelConfig
from studio.core.errors import StudioError
from studio.data.hub import Repository, cached_snapshot, look_up, read_file
from studio.engine.conversion import SOURCE

CONFIG = "config.json"
# The tokenizer's settings say whether there is a chat template.
SETTINGS = (CONFIG, "tokenizer_config.json", "chat_template.jinja")
_SETTINGS_BYTES = 2**24
INDEX = "model.safetensors.index.json"
WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
_TOKENIZER = re.compile(r"tokenizer\.(json|model)|vocab\.(json|txt)|merges\.txt|spiece\.model|sentencepiece\.bpe\.model")
_BESIDE = re.compile(
    r"(tokenizer_config|special_tokens_map|added_tokens|generation_config|chat_template)\.json|chat_template\.jinja"
    r"|README\.md|(LICEN[SC]E|NOTICE|USE_POLICY)[\w.-]*",
    re.IGNORECASE,
)
_ELSEWHERE = "Choose a model that is published as safetensors; most are."


def look_up_model(model: ModelConfig) -> Repository:
    """What a download of a hub model would bring. Raises StudioError when the hub has nothing that can be trained."""
    id = _id(model)
    repository = look_up(id, "model", model.revision)
    names = [file.name for file in repository.files]
    check_names(names, id)
    wanted = [name for name in names if name in (CONFIG, INDEX) or any(p.fullmatch(name) for p in (WEIGHTS, _TOKENIZER, _BESIDE))]
    return repository.choose(wanted)


def settings_alone(repository: Repository) -> tempfile.TemporaryDirectory[str]:
    """A folder that holds nothing but the settings of a model on the hub, to describe it from."""
    scratch = tempfile.TemporaryDirectory(prefix="finetune-studio-")
    try:
        for file in repository.files:
            if file.name in SETTINGS and file.size <= _SETTINGS_BYTES:
                (Path(scratch.name) / file.name).write_bytes(read_file(repository, file.name))
    except BaseException:
        scratch.cleanup()
        raise
    return scratch


def cached_base(model: ModelConfig) -> Path:
    """The folder in the hub's cache that holds a hub model, whole. Raises StudioError; asks nothing of the network."""
    id = _id(model)
    folder = cached_snapshot(id, CONFIG, revision=model.revision)
    named = id if model.revision is None else f"{id} in revision {model.revision}"
    get = f"Download it on the Setup page, or with `finetune-studio download {model.base}"
    get += f" --revision {model.revision}`." if model.revision is not None else "`."
    if folder is None:
        raise StudioError(f"The model {named} is not on this computer yet.", get, kind="not_downloaded")
    if not is_whole(folder):
        raise StudioError(
            f"The model {named} is only partly on this computer: its download was cancelled or broke off.",
            f"{get} What is there already is not fetched again.",
            kind="not_downloaded",
        )
    return folder


def is_whole(folder: Path) -> bool:
    """Whether weights and tokenizer are there, none of their files missing."""
    names = {path.name for path in folder.iterdir() if path.is_file()}
    # Without the index nothing tells how many shards there are.
    weights = "model.safetensors" in names or (INDEX in names and any(map(WEIGHTS.fullmatch, names)))
    return weights and not missing_shards(folder) and any(map(_TOKENIZER.fullmatch, names))


def missing_shards(folder: Path) -> list[str]:
    """Files that the index of the weights names and that are not there. Raises StudioError for an index that is damaged."""
    index = folder / INDEX
    if (folder / "model.safetensors").is_file() or not index.is_file():
        return []
    try:
        shards = {str(name) for name in json.loads(index.read_text("utf-8"))["weight_map"].values()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise StudioError(
            f"{index} is damaged.", "Copy or download the model again.", detail=f"{type(error).__name__}: {error}", kind="bad_model"
        ) from error
    return sorted(name for name in shards if not (folder / name).is_file())


def check_weights(folder: Path) -> None:
    """Raises StudioError for weights that are cut short, as half a download leaves them.

    Their headers tell where the last tensor ends, and opening a file holds that against its size: no weights are read.
    """
    for path in sorted(path for path in folder.glob("*.safetensors") if WEIGHTS.fullmatch(path.name)):
        try:
            with safe_open(path, framework="numpy"):
                pass
        except OSError as error:
            raise StudioError(f"{path} cannot be read: {error.strerror or error}.", "Check the file's permissions.") from error
        except SafetensorError as error:
            converted = (folder / SOURCE).exists()
            raise StudioError(
                f"{path} is not whole: its download or copy has probably broken off.",
                f"Delete {folder}: it is then converted anew." if converted else "Copy or download the model again.",
                detail=str(error),
                kind="bad_model",
            ) from error


def list_cached() -> list[CachedModel]:
    """The models in the hub's cache that could be trained, by name; those that are not whole too, to be fetched in full."""
    found = []
    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return []
    for repository in repositories:
        if repository.repo_type != "model":
            continue
        for state in repository.revisions:
            if not _is_usable(state.snapshot_path):
                continue
            name = "main" if "main" in state.refs else min(state.refs, default=state.commit_hash)
            found.append(
                CachedModel(
                    base=HUB_PREFIX + repository.repo_id,
                    revision=None if name == "main" else name,
                    disk_bytes=state.size_on_disk,
                    whole=is_whole(state.snapshot_path),
                )
            )
    return sorted(found, key=lambda model: (model.base.casefold(), model.revision or ""))


def check_names(names: Iterable[str], told_as: str) -> None:
    """Raises StudioError when the files of a folder or a repository are not those of a whole model in safetensors."""
    names = set(names)
    if "adapter_config.json" in names and CONFIG not in names:
        raise StudioError(
            f"{told_as} holds an adapter, not a model.",
            "Choose the base model that the adapter was made for.",
            kind="unsupported_model",
        )
    if CONFIG not in names:
        only_gguf = any(name.endswith(".gguf") for name in names)
        raise StudioError(
            f"{told_as} is no Hugging Face model: it has no config.json.",
            "It has .gguf files; save one of them on this computer and choose that file."
            if only_gguf
            else "Choose one that holds config.json, the tokenizer and the .safetensors files.",
        )
    if not any(name.endswith(".safetensors") for name in names):
        pickled = any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in names)
        raise StudioError(
            f"{told_as} holds no .safetensors weights"
            + (", only pickled ones, which could run code when opened." if pickled else "."),
            _ELSEWHERE,
            kind="unsupported_model",
        )
    if "adapter_config.json" in names:
        raise StudioError(
            f"{told_as} holds an adapter beside the model, which would be put on it unasked.",
            "Choose a folder with the model alone, or move adapter_config.json and the adapter's weights out of this one.",
            kind="unsupported_model",
        )


def check_settings(folder: Path, told_as: str) -> None:
    """Raises StudioError when config.json describes no causal language model with weights that can be trained."""
    config = folder / CONFIG
    try:
        settings: dict[str, Any] = dict(json.loads(config.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise StudioError(f"The config.json of {told_as} cannot be read: {error}.", "Copy or download the model again.") from error
    if settings.get("quantization_config"):
        raise StudioError(
            f"{told_as} holds weights that are quantised already, which cannot be trained here.",
            "Choose the unquantised model; QLoRA quantises it while loading.",
            kind="unsupported_model",
        )
    if not _is_causal(settings):
        raise StudioError(
            f"{told_as} is no causal language model that transformers knows (model_type {settings.get('model_type')!r}).",
            "Choose a model that writes text, such as Gemma, Llama, Qwen or GPT-2.",
            kind="unsupported_model",
        )


def _is_causal(settings: dict[str, Any]) -> bool:
    kind, architectures = settings.get("model_type"), settings.get("architectures")
    # BERT and its like are in the table too, as they can be made into decoders; saved for filling gaps they are none.
    fills_gaps = isinstance(architectures, list) and any(str(name).endswith("ForMaskedLM") for name in architectures)
    return isinstance(kind, str) and kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not fills_gaps


def _is_usable(snapshot: Path) -> bool:
    try:
        check_settings(snapshot, snapshot.name)
    except StudioError:
        return False
    return not (snapshot / "adapter_config.json").exists()


def resolved(model: ModelConfig, folder: Path) -> ModelConfig:
    """The model with the commit that ``folder`` of the hub's cache holds, so that a later load gives the same weights."""
    if hub_id(model.base) is None or COMMIT.fullmatch(folder.name) is None:
        return model
    return model.model_copy(update={"revision": folder.name})


def _id(model: ModelConfig) -> str:
    id = hub_id(model.base)
    assert id is not None, "asked of a hub model only"
    return id
