"""Base models: where they are, what they are made of, and how they are loaded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PretrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from studio.core.bases import hub_id, is_gguf
from studio.core.config import ModelConfig, PromptConfig
from studio.core.errors import StudioError
from studio.core.failures import is_out_of_memory
from studio.core.model_description import LinearShape, ModelDescription
from studio.core.paths import as_typed
from studio.core.runs import Home
from studio.core.starter import STARTER, STARTER_LICENCE, base_name
from studio.core.words import listed
from studio.data.progress import Progress
from studio.engine.classify import predicting
from studio.engine.devices import Compute
from studio.engine.gguf_models import gguf_folder
from studio.engine.hub_models import cached_base, check_names, check_settings, check_weights, missing_shards, resolved
from studio.engine.padded_scoring import SUPPORTED, check_cache
from studio.engine.starter import starter_folder


def base_folder(model: ModelConfig, home: Home, progress: Progress) -> Path:
    """The folder of a base, from this computer alone; the starter and .gguf files are converted into ``home`` once.

    Raises StudioError when it is no Hugging Face causal language model, or a hub model that was not downloaded.
    """
    if model.base == STARTER:
        return starter_folder(home.models, progress)
    if hub_id(model.base) is not None:
        folder = cached_base(model)
    elif is_gguf(model.base):
        folder = gguf_folder(as_typed(model.base), home.models, progress)
    else:
        folder = as_typed(model.base)
    if folder.is_file():
        raise StudioError(
            f"{folder} is a file, but no .gguf file.", "Choose a folder that holds a Hugging Face model, or a .gguf file."
        )
    if not folder.is_dir():
        raise StudioError(
            f"The model folder {folder} does not exist.",
            "Choose a folder that holds a Hugging Face model. For a run that came from another computer, put its model there, "
            "or write where it is as `base` into the run's run.toml.",
        )
    told_as = hub_id(model.base) or str(folder)
    check_names((path.name for path in folder.iterdir() if path.is_file()), told_as)
    check_settings(folder, told_as)
    if missing := missing_shards(folder):
        raise StudioError(
            f"{folder} holds only a part of the model: {listed(missing)} is missing.", "Copy the model again.", kind="bad_model"
        )
    check_weights(folder)
    return folder


def load_tokenizer(folder: Path) -> Any:
    """The fast tokenizer in a model folder. Raises StudioError."""
    with _told(f"The tokenizer in {folder} cannot be loaded.", "Copy the model with its tokenizer files again."):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_base(folder: Path, compute: Compute, *, trained: bool, quantised: bool) -> PreTrainedModel:
    """Load a base on the device: fp32 when its weights are ``trained``, else in the compute type, 4-bit when ``quantised``."""
    options: dict[str, Any] = {}
    if quantised:
        options = {"quantization_config": quantization(compute.dtype), "device_map": {"": compute.device}}
    model = load_saved(folder, torch.float32 if trained else compute.dtype, **options)
    if not quantised:
        model.to(compute.device)  # type: ignore[arg-type]  # transformers decorates Module.to, which hides its overloads
    model.config.use_cache = False
    return model


def load_saved(folder: Path, dtype: torch.dtype, **options: Any) -> PreTrainedModel:
    """A model as transformers saved it, every weight of it from its files. Raises StudioError."""
    remedy = "Copy the model again; a download may be incomplete."
    safe = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    with _told(f"The model in {folder} cannot be loaded.", remedy):
        loaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, output_loading_info=True, **safe, **options)
    model: PreTrainedModel = loaded[0]
    if missing := sorted(loaded[1]["missing_keys"]):
        # transformers fills them with random numbers and only logs it.
        raise StudioError(
            f"The model in {folder} cannot be loaded: {len(missing)} of its weights are not in its files.",
            remedy,
            detail=", ".join(missing[:20]),
            kind="bad_model",
        )
    return model


def quantization(compute_dtype: torch.dtype) -> BitsAndBytesConfig:
    """NF4 with double quantisation (Dettmers et al., "QLoRA", 2023)."""
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute_dtype
    )


def describe_base(model: ModelConfig, home: Home, progress: Progress) -> ModelDescription:
    """What a base on this computer is made of. Raises StudioError as ``base_folder`` and ``describe`` do."""
    folder = base_folder(model, home, progress)
    return describe(folder, model.base).model_copy(update={"revision": resolved(model, folder).revision})


def describe(folder: Path, base: str) -> ModelDescription:
    """Shapes and counts, read from the meta device: no weights are loaded. Raises StudioError."""
    with _told(f"The settings in {folder} describe no model that can be used.", SUPPORTED):
        return _describe(folder, base)


def within_context(prompt: PromptConfig, folder: Path) -> PromptConfig:
    """The prompt with ``max_length`` no longer than the model in ``folder`` can read. Raises StudioError."""
    with _told(f"The settings in {folder} describe no model that can be used.", SUPPORTED):
        context = context_length(AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False))
    return prompt.model_copy(update={"max_length": min(prompt.max_length, context or prompt.max_length)})


def context_length(config: PretrainedConfig) -> int:
    """Tokens that a model of these settings can read; 0 when they do not say."""
    return getattr(config.get_text_config(), "max_position_embeddings", 0) or 0


def _describe(folder: Path, base: str) -> ModelDescription:
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    model.tie_weights()
    text = config.get_text_config()
    embedding = model.get_input_embeddings().weight
    head = model.get_output_embeddings()
    shapes = Counter(
        (name.rsplit(".", 1)[-1], *_in_out(module))
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head
    )
    return ModelDescription(
        base=base,
        name=base_name(base),
        architecture=type(model).__name__,
        licence=STARTER_LICENCE if base == STARTER else _licence(folder),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        linears=[
            LinearShape(name=name, inputs=inputs, outputs=outputs, count=count)
            for (name, inputs, outputs), count in sorted(shapes.items())
        ],
        hidden=text.hidden_size,
        intermediate=getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None) or 4 * text.hidden_size,
        layers=text.num_hidden_layers,
        heads=text.num_attention_heads,
        vocabulary=embedding.shape[0],
        disk_bytes=sum(path.stat().st_size for path in folder.glob("*.safetensors")),
        context_length=context_length(config),
        key_value_width=_key_value_width(text),
        norm_width=_norm_width(model, text),
        tied=head is not None and head.weight is embedding,
        chat_template=_has_chat_template(folder),
    )


def _key_value_width(text: Any) -> int:
    heads: int = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    size: int = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return 2 * heads * size


def _norm_width(model: PreTrainedModel, text: Any) -> int:
    """Numbers that all norms together take in for one token. One of queries or keys serves every head."""
    width = 0
    for name, module in model.named_modules():
        if not type(module).__name__.endswith("Norm"):
            continue
        size = sum(parameter.numel() for parameter in module.parameters() if parameter.ndim == 1)
        if name.rpartition(".")[2] in ("q_norm", "k_norm") and size < text.hidden_size:
            heads = text.num_attention_heads
            size *= heads if name.endswith("q_norm") else getattr(text, "num_key_value_heads", None) or heads
        width += size
    return width


def check_causal(model: torch.nn.Module, device: torch.device) -> None:
    """Raises StudioError for a model that cannot be trained and asked the way this engine does it.

    It has to score only the positions asked for, keep keys and values, and never look right: one that did would see the
    label that it is to write, and seem perfect.
    """
    ids = torch.tensor([[5, 6, 7, 8], [5, 6, 7, 9]], device=device)
    asked = torch.zeros_like(ids, dtype=torch.bool)
    asked[:, :3] = True
    with predicting(model), _told("This model cannot be used: a first try with four tokens failed.", SUPPORTED):
        outputs = model(input_ids=ids, logits_to_keep=asked, use_cache=True)
        scores = outputs.logits.float()
        check_cache(outputs.past_key_values)
        if scores.shape[:-1] != (6,):
            raise StudioError("This model scores every position, asked or not.", SUPPORTED, kind="unsupported_model")
        if not torch.allclose(scores[:3], scores[3:], atol=1e-2, rtol=1e-2):
            raise StudioError("This model reads to the right of a word too, so it could not learn to write.", SUPPORTED)


@contextmanager
def _told(message: str, remedy: str) -> Iterator[None]:
    """What a library says of a bad model folder as a StudioError. It may raise anything; memory is another matter."""
    try:
        yield
    except StudioError:
        raise
    except ImportError as error:
        raise StudioError(
            f"{message} A library that it needs is not installed: {error.name or error}.",
            "Run `finetune-studio doctor`; it says what is missing and how to install it.",
            detail=str(error),
            kind="broken_install",
        ) from error
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise StudioError(message, remedy, detail=f"{type(error).__name__}: {error}", kind="bad_model") from error


def _in_out(module: torch.nn.Linear | Conv1D) -> tuple[int, int]:
    if isinstance(module, Conv1D):
        return int(module.weight.shape[0]), int(module.weight.shape[1])
    return module.in_features, module.out_features


def _has_chat_template(folder: Path) -> bool:
    """Where transformers looks for one: a file of its own, a folder of named ones, or the tokenizer's settings."""
    if (folder / "chat_template.jinja").is_file() or (folder / "additional_chat_templates").is_dir():
        return True
    settings = folder / "tokenizer_config.json"
    return settings.is_file() and bool(json.loads(settings.read_text("utf-8")).get("chat_template"))


def stated_licence(folder: Path) -> str | None:
    """The licence that the model card in a folder names."""
    card = folder / "README.md"
    if card.is_file():
        for line in card.read_text("utf-8", "replace").splitlines()[:60]:
            if line.startswith("license:"):
                return line.removeprefix("license:").strip().strip("'\"") or None
    return None


def _licence(folder: Path) -> str:
    """The licence as the window shows it, or which file to read."""
    files = sorted(path.name for path in folder.glob("LICEN[SC]E*"))
    return stated_licence(folder) or (f"see {files[0]}" if files else "not stated")
