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

from studio.core.config import SLOT, ExportKind, MethodConfig, MethodKind, PromptConfig, RunConfig, check_export_kind
from studio.core.errors import StudioError
from studio.core.files import write_atomically, write_json
from studio.core.labels import LabelSet
from studio.core.runs import RunFolder
from studio.core.starter import STARTER, STARTER_ORIGIN, TERMS
from studio.data.prompts import PromptEncoder
from studio.engine.devices import Compute
from studio.engine.exactness import prepare_for_prediction
from studio.engine.models import load_tokenizer, quantization
from studio.engine.predictor import Predictor

LABELS = "labels.json"
PROMPT = "prompt.json"
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


def write_export(run: RunFolder, base: Path, labels: LabelSet, encoder: PromptEncoder, scratch: Path) -> None:
    """Write the run's checkpoint as an export into the new folder ``scratch``. ``encoder`` is the run's own."""
    checkpoint = run.checkpoint()
    assert checkpoint is not None, "the run was loaded, so it has a checkpoint"
    config = run.config()
    scratch.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(checkpoint, scratch, ignore=shutil.ignore_patterns("manifest.json"))
    tokenizer = load_tokenizer(base)
    tokenizer.save_pretrained(scratch)
    write_json(scratch / LABELS, list(labels.names))
    write_json(scratch / PROMPT, _prompt_facts(config, encoder, tokenizer))
    write_atomically(scratch / "README.md", _card(run, config, labels, base, prompt_program(tokenizer, encoder, config.prompt)))
    _set_end_token(base, scratch, encoder.end_token_id)
    if config.method.kind != "full":
        _name_base(scratch, config, base)


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
    if method.kind == "full":
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


def _prompt_facts(config: RunConfig, encoder: PromptEncoder, tokenizer: Any) -> dict[str, object]:
    return {
        **config.prompt.model_dump(),
        "use_chat_template": encoder.chat,
        "prompt": encoder.prompt_text,
        "separator": encoder.separator,
        "end_token": tokenizer.convert_ids_to_tokens(encoder.end_token_id),
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
    adapter["base_model_name_or_path"] = _base_name(config, base)
    write_json(path, adapter)


def _base_name(config: RunConfig, base: Path) -> str:
    return STARTER_ORIGIN if config.model.base == STARTER else base.name


def _card(run: RunFolder, config: RunConfig, labels: LabelSet, base: Path, prompt: list[str]) -> str:
    final = run.scores()
    measured = "The run has no test figures."
    if final is not None:
        measured = (
            f"Accuracy on {final.rows} test messages: {final.accuracy:.1%} "
            f"(95 % interval {final.accuracy_low:.1%} to {final.accuracy_high:.1%}), macro-F1 {final.macro_f1:.3f}."
        )
        if final.base_accuracy is not None:
            measured += f" The untrained base: {final.base_accuracy:.1%}."
    method, training, adapter = config.method, config.training, config.method.kind != "full"
    front = {"library_name": "peft" if adapter else "transformers", "pipeline_tag": "text-generation"}
    front |= {"base_model": _base_name(config, base)}
    if config.model.base == STARTER:
        front |= {"license": "gemma"}
    settings = f"{method.kind}, learning rate {training.learning_rate:g}, {training.epochs:g} epochs, batch {training.batch_size}"
    if adapter:
        settings += f", rank {method.rank}, alpha {method.alpha:g}, dropout {method.dropout:g}"
    lines = [
        "---",
        *(f"{key}: {json.dumps(value)}" for key, value in front.items()),
        "---",
        "",
        f"# {run.name}",
        "",
        f"This {'adapter' if adapter else 'model'} reads a message and writes the name of its intent, one of {len(labels.names)}.",
        "It was trained with Finetune Studio; only the label's tokens and the end token were graded.",
        "",
        f"- Settings: {settings}, {training.precision}.",
        f"- {measured}",
        f"- Base: {_base_name(config, base)}" + _starter_note(config),
        f"- Intents: `{LABELS}`. Prompt: `{PROMPT}`; the text that replaces `{{text}}` is the message.",
        "",
        "## Use",
        "",
        *_usage(config, base, prompt),
        "",
    ]
    return "\n".join(lines)


def _starter_note(config: RunConfig) -> str:
    if config.model.base != STARTER:
        return "."
    return f", from its Q4_K_M quantised copy; on the original weights expect slightly other numbers. {TERMS}"


def prompt_program(tokenizer: Any, encoder: PromptEncoder, prompt: PromptConfig) -> list[str]:
    """Lines of Python that make ``inputs`` of a message: the first way of those that people know which gives our own ids."""
    text = "the message"
    wanted = encoder.prompt_ids(text)
    turns = [{"role": "user", "content": prompt.template.rstrip().replace(SLOT, text)}]
    if encoder.chat:
        for options in ({}, {"enable_thinking": False}):  # the second: for models that think unless told otherwise
            try:
                found = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True, **options)["input_ids"]
            except Exception:  # a template may raise whatever it likes, and this one has written a whole conversation already
                continue
            if found == wanted:
                said = "".join(f", {name}={value}" for name, value in options.items())
                return [
                    f"content = {prompt.template.rstrip()!r}.replace('{SLOT}', 'the message')",
                    "turns = [{'role': 'user', 'content': content}]",
                    "inputs = tokenizer.apply_chat_template(",
                    f"    turns, add_generation_prompt=True{said}, return_dict=True, return_tensors='pt'",
                    ").to(model.device)",
                ]
    whole = tokenizer(encoder.prompt_text.replace(SLOT, text))["input_ids"]
    added = "" if whole == wanted else ", add_special_tokens=False"
    return [
        f"prompt = {encoder.prompt_text!r}.replace('{SLOT}', 'the message')",
        f"inputs = tokenizer(prompt{added}, return_tensors='pt').to(model.device)",
    ]


def _usage(config: RunConfig, base: Path, prompt: list[str]) -> list[str]:
    """A program that runs as it stands once THIS_FOLDER is filled in, and for an adapter on a local base BASE_FOLDER."""
    published = config.model.base == STARTER
    classes = ["AutoModelForCausalLM", "AutoTokenizer", "GenerationConfig"]
    if config.method.kind == "full":
        load = ["model = AutoModelForCausalLM.from_pretrained(folder)"]
    else:
        quantised = ", quantization_config=nf4" if config.method.kind == "qlora" else ""
        load = [
            f"base = AutoModelForCausalLM.from_pretrained({json.dumps(STARTER_ORIGIN) if published else 'base_folder'}{quantised})",
            "model = PeftModel.from_pretrained(base, folder)",
        ]
    if config.method.kind == "qlora":
        classes.append("BitsAndBytesConfig")
        load.insert(0, 'nf4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)')
    if config.method.kind != "full" and not published:
        load.insert(0, f'base_folder = "BASE_FOLDER"  # the model in {base.name}, as it was before training')
    return [
        "```python",
        *(["from peft import PeftModel"] if config.method.kind != "full" else []),
        f"from transformers import {', '.join(classes)}",
        "",
        'folder = "THIS_FOLDER"',
        *load,
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        *prompt,
        # An adapter is put on its base, whose own settings would let generation run on past a label's end.
        "ending = GenerationConfig.from_pretrained(folder, max_new_tokens=32, do_sample=False)",
        "written = model.generate(**inputs, generation_config=ending)",
        "print(tokenizer.decode(written[0, inputs['input_ids'].shape[1]:], skip_special_tokens=True).strip())",
        "```",
    ]
