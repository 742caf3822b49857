"""What a run leaves behind for other programs: an adapter or a model, its labels, its prompt and a card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, GenerationConfig

from studio.core.config import ExportKind, MethodConfig, MethodKind, PromptConfig, RunConfig, check_export_kind
from studio.core.errors import StudioError
from studio.core.files import write_atomically, write_json
from studio.core.runs import RunFolder
from studio.data.prompts import PromptEncoder
from studio.engine.cards import LABELS, PROMPT, base_title, model_card
from studio.engine.devices import Compute
from studio.engine.exactness import prepare_for_prediction
from studio.engine.models import load_tokenizer, quantization
from studio.engine.predictor import Predictor

VERIFICATION = "verification.json"


@contextmanager
def scratch_beside(folder: Path) -> Iterator[Path]:
    """A folder to write the export in before it gets its name, so that nobody takes half of one for the whole."""
    scratch = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        yield scratch
    except (OSError, SafetensorError) as error:
        raise StudioError(
            f"The export cannot be written to {folder}: {error}.",
            "Choose a folder that is empty or new, on a disk with enough space.",
            kind="unwritable_export",
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def publish(scratch: Path, folder: Path, verification: Mapping[str, object]) -> dict[str, int]:
    """Give the export its name, with the result of its check beside it; returns bytes by file name."""
    write_json(scratch / VERIFICATION, verification)
    if folder.exists():
        folder.rmdir()
    scratch.rename(folder)
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


def write_export(run: RunFolder, kind: ExportKind, base: Path, predictor: Predictor, scratch: Path) -> None:
    """Write what the run learnt into the new folder ``scratch``. A merged export leaves ``predictor`` without its adapter."""
    checkpoint = run.checkpoint()
    assert checkpoint is not None, "the run was loaded, so it has a checkpoint"
    config = run.config()
    scratch.parent.mkdir(parents=True, exist_ok=True)
    if kind == "merged":
        merged_model(predictor).save_pretrained(scratch)
    else:
        shutil.copytree(checkpoint, scratch, ignore=shutil.ignore_patterns("manifest.json"))
    load_tokenizer(base).save_pretrained(scratch)
    write_json(scratch / LABELS, list(predictor.labels.names))
    write_json(scratch / PROMPT, _prompt_facts(config, kind))
    write_atomically(scratch / "README.md", model_card(run, kind, predictor.labels, base))
    if kind == "adapter":
        _name_base(scratch, config, base)
    else:
        _set_end_token(base, scratch, predictor.encoder.end_token_id)


def merged_model(predictor: Predictor) -> Any:
    """The base with the adapter's update added to its weights, all in fp32, which is how predictions were made."""
    model: Any = predictor.model
    merged = model.merge_and_unload().float()
    merged.config.use_cache = True
    return merged


def check_target(folder: Path, kind: ExportKind, method: MethodKind) -> None:
    """Raises StudioError when the kind does not fit the run's method or the folder holds something already."""
    check_export_kind(kind, method)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StudioError(
            f"The folder {folder} is not empty.", "Choose a new or empty folder, so that nothing is overwritten.", kind="not_empty"
        )


def load_export(folder: Path, base: Path, compute: Compute) -> Predictor:
    """An export the way another program would load it: plain transformers and peft, nothing of the run."""
    facts: dict[str, Any] = json.loads((folder / PROMPT).read_text("utf-8"))
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    method = MethodConfig(kind=facts["method"])
    if facts["export"] != "adapter":
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="float32", **options)
        model.to(compute.device)
    else:
        if method.kind == "qlora":
            options |= {"quantization_config": quantization(compute.dtype), "device_map": {"": compute.device}}
        model = AutoModelForCausalLM.from_pretrained(base, dtype=compute.dtype, **options)
        if method.kind == "lora":
            model.to(compute.device)
        model = PeftModel.from_pretrained(model, folder)
    prompt = PromptConfig(template=facts["template"], max_length=facts["max_length"])
    encoder = PromptEncoder(load_tokenizer(folder), prompt)
    labels: Sequence[str] = json.loads((folder / LABELS).read_text("utf-8"))
    return Predictor(prepare_for_prediction(model, compute), encoder, encoder.label_set(labels), compute)


def _prompt_facts(config: RunConfig, kind: ExportKind) -> dict[str, object]:
    return {
        "export": kind,
        "template": config.prompt.template,
        "max_length": config.prompt.max_length,
        "method": config.method.kind,
        "precision": config.training.precision,
        "quantization": "nf4, double quantisation" if config.method.kind == "qlora" else None,
        "rule": "p(label | message) = P(label tokens, end token | prompt) / the sum of the same over labels.json",
    }


def _set_end_token(base: Path, folder: Path, end_token_id: int) -> None:
    """The end token that training graded is the one that generation has to stop at."""
    source = base if (base / "generation_config.json").is_file() else folder
    try:
        generation = GenerationConfig.from_pretrained(source, local_files_only=True)
    except OSError:
        generation = GenerationConfig()
    generation.eos_token_id = end_token_id
    try:
        generation.save_pretrained(folder)
    except ValueError:
        # The base's own settings contradict one another (a temperature without sampling, for one), which transformers
        # reads but does not write. Its token ids are all that greedy generation needs.
        ids = {name: getattr(generation, name) for name in ("bos_token_id", "pad_token_id", "eos_token_id")}
        GenerationConfig(**ids).save_pretrained(folder)


def _name_base(folder: Path, config: RunConfig, base: Path) -> None:
    """A path on the machine that trained says nothing to others: name the published base where it is known."""
    path = folder / "adapter_config.json"
    adapter = json.loads(path.read_text("utf-8"))
    adapter["base_model_name_or_path"] = base_title(config, base)
    write_json(path, adapter)
