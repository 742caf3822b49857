"""What a run leaves behind for other programs: an adapter or a model, its labels, its prompt and a card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, GenerationConfig

from studio.core.config import MethodConfig, PromptConfig, RunConfig
from studio.core.errors import StudioError
from studio.core.exports import FP32_BYTES, ExportKind, free_bytes, partial_folder, target_problem
from studio.core.files import write_atomically, write_json
from studio.core.labels import LabelSet
from studio.core.runs import RunFolder
from studio.core.words import size
from studio.data.prompts import PromptEncoder
from studio.engine.cards import LABELS, PROMPT, base_title, card_program, model_card, prompt_program
from studio.engine.checkpoints import MANIFEST
from studio.engine.devices import Compute
from studio.engine.exactness import prepare_for_prediction
from studio.engine.methods import merged_model
from studio.engine.models import describe, load_tokenizer, quantization
from studio.engine.predictor import Predictor, kept_checkpoint
from studio.engine.training_state import is_training_file

VERIFICATION = "verification.json"


def check_target(folder: Path, runs: Sequence[Path]) -> None:
    """Raises StudioError when nothing can be exported to ``folder``: it holds something, or lies inside one of ``runs``."""
    if problem := target_problem(folder, runs):
        raise StudioError(f"Nothing can be exported to {folder}. {problem[0]}", problem[1], kind="bad_target")


def check_room(folder: Path, needed: int) -> None:
    """Raises StudioError when the disk of ``folder`` has less than ``needed`` bytes left."""
    free = free_bytes(folder)
    if free is not None and free < needed:
        raise StudioError(
            f"The export takes {size(needed)}, and the disk of {folder} has {size(free)} left.",
            "Free some space, or choose a folder on another disk.",
            kind="disk_full",
        )


def export_bytes(run: RunFolder, kind: ExportKind, base: Path) -> int:
    """How large an export will be, give or take a few small files. Raises StudioError."""
    if kind == "merged":
        weights = describe(base, run.config().model.base).parameters * FP32_BYTES
    else:
        weights = sum(path.stat().st_size for path in _exported_files(kept_checkpoint(run)))
    return weights + sum(path.stat().st_size for path in base.glob("tokenizer*"))


@contextmanager
def scratch_beside(folder: Path) -> Iterator[Path]:
    """A new folder to write the export in before it gets its name, so that nobody takes half of one for the whole.

    Whatever goes wrong, it is taken away again, with the folders above it that were not there before. Raises StudioError.
    """
    scratch = partial_folder(folder)
    made: list[Path] = []
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        made = [parent for parent in folder.parents if not parent.exists()]
        scratch.mkdir(parents=True)
        yield scratch
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise StudioError(
            f"The export cannot be written to {folder}: {reason}.",
            "Choose another folder, one that you may write in, on a disk with enough space. Nothing is left there.",
            kind="unwritable_export",
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if not folder.exists():
            with suppress(OSError):  # somebody else has put something there meanwhile
                for parent in made:
                    parent.rmdir()


def publish(scratch: Path, folder: Path, verification: Mapping[str, object]) -> dict[str, int]:
    """Give the export its name, with the result of its check beside it; returns bytes by file name."""
    write_json(scratch / VERIFICATION, verification)
    if folder.exists():
        folder.rmdir()
    scratch.rename(folder)
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


def write_export(
    run: RunFolder, kind: ExportKind, base: Path, labels: LabelSet, encoder: PromptEncoder, compute: Compute, scratch: Path
) -> str:
    """Write what the run learnt into the folder ``scratch``; ``encoder`` is the run's own. Returns the program of the card."""
    checkpoint, config = kept_checkpoint(run), run.config()
    if kind == "merged":
        merged_model(base, checkpoint, config.method, compute).save_pretrained(scratch)
    else:
        for path in _exported_files(checkpoint):
            shutil.copy(path, scratch)
    tokenizer = load_tokenizer(base)
    tokenizer.save_pretrained(scratch)
    write_json(scratch / LABELS, list(labels.names))
    write_json(scratch / PROMPT, _prompt_facts(config, kind, encoder, tokenizer))
    program = card_program(config, kind, base, prompt_program(tokenizer, encoder, config.prompt))
    write_atomically(scratch / "README.md", model_card(run, kind, labels, base, program))
    _set_end_token(base, scratch, encoder.end_token_id)
    if kind == "adapter":
        _name_base(scratch, config, base)
    return program


def _exported_files(checkpoint: Path) -> list[Path]:
    """What of a checkpoint is of use to others: a run that can be resumed keeps the optimizer's state beside the weights."""
    return [path for path in checkpoint.iterdir() if path.name != MANIFEST and not is_training_file(path.name)]


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
    prompt = PromptConfig(**{name: facts[name] for name in PromptConfig.model_fields})
    encoder = PromptEncoder(load_tokenizer(folder), prompt)
    labels: Sequence[str] = json.loads((folder / LABELS).read_text("utf-8"))
    return Predictor(prepare_for_prediction(model, compute), encoder, encoder.label_set(labels), compute)


def _prompt_facts(config: RunConfig, kind: ExportKind, encoder: PromptEncoder, tokenizer: Any) -> dict[str, object]:
    return {
        "export": kind,
        **config.prompt.model_dump(),
        "use_chat_template": encoder.chat,
        "prompt": encoder.prompt_text,
        "separator": encoder.separator,
        "end_token": tokenizer.convert_ids_to_tokens(encoder.end_token_id),
        "method": config.method.kind,
        "precision": config.training.precision,
        "quantization": "nf4, double quantisation" if config.method.kind == "qlora" and kind == "adapter" else None,
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
    adapter["revision"] = config.model.revision
    write_json(path, adapter)
