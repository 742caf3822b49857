"""The memory forecast beside the measured peak of twelve short trainings, each in a fresh process: `make bench-forecast`.

    python -m tests.benchmarks.forecast --starter FOLDER [--only NAME ...] [--json FILE]

The configurations are fixed here; ``qwen2`` took no part in finding any constant of the forecast. Nothing is asserted: peaks
depend on the processor and on the libraries' versions.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from studio.core.config import RunConfig
from studio.core.events import Failed, Finished
from studio.core.runs import Home
from studio.core.starter import STARTER
from studio.core.words import size
from studio.supervise.starting import start_training

Base = Literal["gemma", "llama", "qwen2"]
STEPS = 10


@dataclass(frozen=True)
class Case:
    """One configuration. ``base`` is the starter (Gemma 3 270M), or a random model of a real one's shapes."""

    base: Base
    method: str
    precision: str
    micro_batch: int
    checkpointing: bool = False

    @property
    def name(self) -> str:
        return f"{self.base}-{self.method}-{self.precision}-{self.micro_batch}" + "-checkpointing" * self.checkpointing


CASES = (
    Case("gemma", "lora", "bf16", 16),
    Case("gemma", "lora", "fp32", 16),
    Case("gemma", "lora", "fp32", 16, True),
    Case("gemma", "qlora", "bf16", 16),
    Case("gemma", "full", "fp32", 16),
    Case("gemma", "full", "bf16", 4),
    Case("llama", "lora", "bf16", 16),
    Case("llama", "lora", "fp32", 32, True),
    Case("llama", "full", "fp32", 16),
    Case("qwen2", "lora", "bf16", 16),
    Case("qwen2", "qlora", "fp32", 8),
    Case("qwen2", "full", "fp32", 4),
)

# SmolLM2-135M's shapes; and Qwen2.5-0.5B's with a third of its vocabulary and half its layers.
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9}
    | {"num_key_value_heads": 3, "vocab_size": 49_152, "tie_word_embeddings": True, "max_position_embeddings": 2048},
    "qwen2": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 12, "num_attention_heads": 14}
    | {"num_key_value_heads": 2, "vocab_size": 50_000, "tie_word_embeddings": True, "max_position_embeddings": 2048},
}
INTENTS = ("card_arrival", "exchange_rate", "top_up_failed", "transfer_pending", "lost_or_stolen_card", "cash_withdrawal_charge")
WORDS = ["my", "card", "money", "bank", "account", "why", "did", "arrive", "transfer", "top", "up", "failed", "pending", "rate"]


def write_messages(path: Path) -> Path:
    """160 messages of 4 to 16 words."""
    chance = random.Random(1)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for row in range(160):
            # The square makes short ones the most frequent.
            words = 4 + int(13 * chance.random() ** 2)
            writer.writerow([" ".join(chance.choices(WORDS, k=words)), INTENTS[row % len(INTENTS)]])
    return path


def make_model(folder: Path, kind: str) -> Path:
    """A random model of ``SHAPES``, in bf16 as models come, with a tokenizer of a few hundred of its words."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    from tests.tiny import byte_tokenizer

    tokenizer = byte_tokenizer()
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    torch.manual_seed(0)
    model: Any
    if kind == "llama":
        model = LlamaForCausalLM(LlamaConfig(**SHAPES[kind], **special))
    else:
        model = Qwen2ForCausalLM(Qwen2Config(**SHAPES[kind], **special))
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def config_of(case: Case, source: Path, base: str) -> RunConfig:
    return RunConfig.model_validate(
        {
            "dataset": {"source": str(source)},
            "model": {"base": base},
            "method": {"kind": case.method},
            "training": {
                "batch_size": max(16, case.micro_batch),
                "micro_batch": case.micro_batch,
                "max_steps": STEPS,
                "threads": 1,
                "precision": case.precision,
                "activation_checkpointing": case.checkpointing,
                "evaluate_base": False,
            },
            "device": {"kind": "cpu"},
        }
    )


def measure(case: Case, source: Path, base: str, home: Home) -> dict[str, Any]:
    """Train in a process of its own; what was forecast and what the system counted, in bytes."""
    _run, process = start_training(home, config_of(case, source, base))
    finished = None
    for event in process.events():
        if isinstance(event, Failed):
            raise SystemExit(f"{case.name}: {event.message}")
        if isinstance(event, Finished):
            finished = event
    process.close()
    process.wait(30)
    assert finished is not None
    ratio = finished.forecast_bytes / finished.peak_bytes
    return {"name": case.name, "forecast": finished.forecast_bytes, "peak": finished.peak_bytes, "ratio": round(ratio, 3)}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--starter", default=STARTER, help="a folder that holds the starter model, to convert it only once")
    parser.add_argument("--only", nargs="*", choices=[case.name for case in CASES], help="these configurations alone")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    asked = parser.parse_args(arguments)
    cases = [case for case in CASES if not asked.only or case.name in asked.only]
    found = []
    print(f"{'configuration':<34} {'forecast':>10} {'measured':>10} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as scratch:
        source = write_messages(Path(scratch, "messages.csv"))
        bases = {kind: str(make_model(Path(scratch, kind), kind)) for kind in SHAPES if any(case.base == kind for case in cases)}
        bases["gemma"] = asked.starter
        for case in cases:
            with tempfile.TemporaryDirectory() as home:
                Home(Path(home)).runs.mkdir()
                found.append(measure(case, source, bases[case.base], Home(Path(home))))
            row = found[-1]
            print(f"{row['name']:<34} {size(row['forecast']):>10} {size(row['peak']):>10} {row['ratio']:>7.2f}", flush=True)
            if asked.json:
                asked.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    worst = max(found, key=lambda row: abs(row["ratio"] - 1))
    within = sum(abs(row["ratio"] - 1) <= 0.1 for row in found)
    print(f"{within} of {len(found)} within 10 %; worst: {worst['name']}, {worst['ratio']:.2f} of the measured peak")


if __name__ == "__main__":
    main(sys.argv[1:])
