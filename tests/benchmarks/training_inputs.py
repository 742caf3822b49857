"""What all contenders of the training benchmark share: messages over all lengths, initial weights, the other library."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from transformers import LlamaConfig, LlamaForCausalLM

from studio.core.config import DatasetConfig, DeviceConfig, MethodConfig, ModelConfig, PromptConfig, RunConfig
from studio.core.runs import Home
from studio.core.starter import STARTER
from studio.data.prompts import PromptEncoder
from studio.data.splits import load_splits
from studio.engine.devices import choose_compute
from studio.engine.methods import trainable_model
from studio.engine.models import base_folder, load_tokenizer, within_context
from tests.benchmarks.training_job import Row

LLAMA = "llama-135m"
TRL_VERSION = "1.16.0"
SEED = 42


@dataclass(frozen=True)
class Base:
    """A model of the benchmark: its weights, the tokenizer for its messages, and how many different ids it knows."""

    name: str
    folder: Path
    tokenizer: Path
    vocabulary: int


def find_base(name: str, starter: Path | None, home: str | None, work: Path) -> Base:
    """``name`` is "starter", "llama-135m" or a folder."""
    if name not in (STARTER, LLAMA):
        return _base(Path(name).name, Path(name), Path(name))
    folder = starter or base_folder(ModelConfig(base=STARTER), Home.locate(home), lambda *_arguments: None)
    if name == STARTER:
        return _base(STARTER, folder, folder)
    # Messages are tokenised by the starter: a trained tokenizer of a similar size cuts English like it. Its ids are folded into
    # the smaller vocabulary, which changes neither lengths nor what messages share.
    return _base(LLAMA, random_llama(work / LLAMA), folder)


def _base(name: str, folder: Path, tokenizer: Path) -> Base:
    settings = json.loads((folder / "config.json").read_text("utf-8"))
    return Base(name, folder, tokenizer, int(settings["vocab_size"]))


def random_llama(folder: Path) -> Path:
    """A Llama of SmolLM2-135M's shape with random weights, written once: what a step costs does not depend on what it learnt."""
    if not (folder / "config.json").exists():
        config = LlamaConfig(
            vocab_size=49_152,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=30,
            num_attention_heads=9,
            num_key_value_heads=3,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            bos_token_id=2,
            eos_token_id=1,
            pad_token_id=0,
        )
        torch.manual_seed(SEED)
        # Rounded once, so that runs in fp32 and in bf16 begin with the same numbers.
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def tokenised(base: Base, source: str, count: int) -> list[Row]:
    """``count`` training messages of a data set: one, drawn by a seed, from each of as many groups of like length."""
    splits = load_splits(DatasetConfig(source=source))
    encoder = PromptEncoder(load_tokenizer(base.tokenizer), within_context(PromptConfig(), base.folder))
    encoder.label_set(splits.labels)
    encoded = sorted((encoder.encode(example) for example in splits.train), key=lambda row: len(row.ids))
    if count > len(encoded):
        raise SystemExit(f"{source} has {len(encoded)} training messages, fewer than the {count} that are asked for.")
    draw = torch.rand(count, generator=torch.Generator().manual_seed(SEED)).tolist()
    chosen = [encoded[int((group + share) * len(encoded) / count)] for group, share in enumerate(draw)]
    return [Row(ids=[id % base.vocabulary for id in row.ids], supervised=row.supervised) for row in chosen]


def write_rows(rows: list[Row], path: Path) -> Path:
    path.write_text(json.dumps([row.model_dump() for row in rows]), "utf-8")
    return path


def initial_adapter(base: Base, method: MethodConfig, folder: Path, seed: int = SEED) -> Path:
    """The adapter that everybody starts from. QLoRA's is LoRA's: the shapes are the same."""
    compute = choose_compute(DeviceConfig(kind="cpu"), "fp32")
    model = trainable_model(base.folder, method.model_copy(update={"kind": "lora"}), compute, seed)
    assert isinstance(model, PeftModel)
    model.save_pretrained(str(folder))
    return folder


def run_config(method: MethodConfig, precision: str, batch_size: int, threads: int) -> RunConfig:
    """One epoch of the app's own settings, validated and saved at its end only."""
    config = RunConfig(method=method, device=DeviceConfig(kind="cpu"))
    return config.with_training(precision=precision, epochs=1, batch_size=batch_size, threads=threads, seed=SEED)


def trl_folder(work: Path) -> Path | None:
    """TRL in a folder of its own, beside the app's libraries and never among them; installed now. None where that fails."""
    folder = work / f"trl-{TRL_VERSION}"
    if not (folder / "trl").is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), f"trl=={TRL_VERSION}"]
        if subprocess.run(pip, check=False).returncode:
            return None
    return folder
