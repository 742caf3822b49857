"""The model card of an export: what was trained on what, how good it is, and a program that uses it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.core.bases import hub_id
from studio.core.config import SLOT, PromptConfig, RunConfig
from studio.core.exports import ExportKind, merged_into
from studio.core.labels import LabelSet
from studio.core.runs import RunFolder
from studio.core.starter import STARTER, STARTER_ORIGIN, TERMS
from studio.data.prompts import PromptEncoder
from studio.engine.models import stated_licence

LABELS = "labels.json"
PROMPT = "prompt.json"
_OTHER_PROGRAMS = (
    "This folder is a whole model in transformers' layout: programs that serve such folders take it as it is, and llama.cpp's",
    f"`convert_hf_to_gguf.py` makes a GGUF file of it. Whatever asks it has to write the prompt as `{PROMPT}` says.",
    "",
)


def published_base(config: RunConfig) -> str | None:
    """What the base is called on the hub; None for one that only this computer is known to have."""
    return STARTER_ORIGIN if config.model.base == STARTER else hub_id(config.model.base)


def base_title(config: RunConfig, base: Path) -> str:
    """What others know the base by: its published name, or the name of its folder or file."""
    return published_base(config) or Path(config.model.base).name or base.name


def model_card(run: RunFolder, kind: ExportKind, labels: LabelSet, base: Path, program: str) -> str:
    """README.md of an export: what it is, how good, on which base, and the ``program`` that uses it."""
    config = run.config()
    final = run.scores()
    measured = "The run has no test figures."
    if final is not None:
        measured = (
            f"Accuracy on {final.rows} test messages: {final.accuracy:.1%} "
            f"(95 % interval {final.accuracy_low:.1%} to {final.accuracy_high:.1%}), macro-F1 {final.macro_f1:.3f}."
        )
        if final.base_accuracy is not None:
            measured += f" The untrained base: {final.base_accuracy:.1%}."
    method, training, adapter = config.method, config.training, kind == "adapter"
    front = {"library_name": "peft" if adapter else "transformers", "pipeline_tag": "text-generation"}
    front |= {"base_model": base_title(config, base)}
    if (terms := "gemma" if config.model.base == STARTER else stated_licence(base)) is not None:
        front |= {"license": terms}
    settings = f"{method.kind}, learning rate {training.learning_rate:g}, {training.epochs:g} epochs, batch {training.batch_size}"
    if method.kind != "full":
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
        f"- Base: {base_title(config, base)}" + _base_note(config),
        *([f"- Merged: {merged_into(method.kind, training.precision)}"] if kind == "merged" else []),
        f"- Intents: `{LABELS}`. Prompt: `{PROMPT}`; the text that replaces `{{text}}` is the message.",
        "",
        "## Use",
        "",
        "```python",
        program,
        "```",
        "",
        *(_OTHER_PROGRAMS if kind != "adapter" else ()),
    ]
    return "\n".join(lines)


def _base_note(config: RunConfig) -> str:
    if config.model.base != STARTER:
        return f", revision {config.model.revision}." if config.model.revision is not None else "."
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


def card_program(config: RunConfig, kind: ExportKind, base: Path, prompt: Sequence[str]) -> str:
    """Python that runs as it stands once THIS_FOLDER is filled in, and for an adapter on a local base BASE_FOLDER.

    ``prompt`` are the lines that make ``inputs`` of a message.
    """
    # The starter is a quantised copy, so what was verified on it is not run on the original weights, nor without a network.
    published, revision = hub_id(config.model.base), config.model.revision
    classes = ["AutoModelForCausalLM", "AutoTokenizer", "GenerationConfig"]
    if kind != "adapter":
        load = ["model = AutoModelForCausalLM.from_pretrained(folder)"]
    else:
        options = f", revision={json.dumps(revision)}" if revision is not None else ""
        options += ", quantization_config=nf4" if config.method.kind == "qlora" else ""
        load = [
            f"base = AutoModelForCausalLM.from_pretrained({json.dumps(published) if published else 'base_folder'}{options})",
            "model = PeftModel.from_pretrained(base, folder)",
        ]
    if kind == "adapter" and config.method.kind == "qlora":
        classes.append("BitsAndBytesConfig")
        load.insert(0, 'nf4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)')
    if kind == "adapter" and not published:
        # Quoted: a folder may have a line break in its name, and what follows one would be code.
        there = f"the model in {base_title(config, base)!r}, as it was before training"
        if config.model.base == STARTER:
            there = f"Finetune Studio's starter; where it is not at hand, {STARTER_ORIGIN}, with slightly other numbers"
        load.insert(0, f'base_folder = "BASE_FOLDER"  # {there}')
    lines = [
        *(["from peft import PeftModel"] if kind == "adapter" else []),
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
    ]
    return "\n".join(lines)
