"""Whether the fast training step learns what the plain one learns: test accuracy of both, over several seeds, on a CPU.

    python -m tests.benchmarks.accuracy TRAIN.csv TEST.csv --starter FOLDER [--method full] [--seeds 1 2 3] [--json FILE]

For each seed the same messages in the same order, from the same weights: transformers' Trainer in fp32, and the app's step in
fp32 and in bf16, with LoRA or, with ``--method full``, all weights. Each trains in a fresh process; all are tested by the app's
classification. `make bench-accuracy`.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil
import torch

from studio.core.config import DatasetConfig, DeviceConfig, MethodConfig, PromptConfig
from studio.core.metrics import wilson_interval
from studio.core.starter import STARTER
from studio.data.prompts import PromptEncoder
from studio.data.sources import Example
from studio.data.splits import Splits, load_splits
from studio.engine.devices import choose_compute
from studio.engine.exactness import prepare_for_prediction
from studio.engine.methods import trained_model
from studio.engine.models import load_tokenizer
from studio.engine.predictor import Predictor
from tests.benchmarks.training import measure
from tests.benchmarks.training_inputs import Base, find_base, initial_adapter, run_config, write_rows
from tests.benchmarks.training_job import Contender, Job, Row, precision_of

PATHS: dict[str, Contender] = {"Trainer, fp32": "trainer", "ours, fp32": "ours", "ours, bf16": "ours-bf16"}


def frequent(train: Path, test: Path, intents: int) -> Splits:
    """The split of two files, of which the most frequent ``intents`` are kept."""
    splits = load_splits(DatasetConfig(source=str(train), test=str(test)))
    counts = collections.Counter(example.label for example in splits.train)
    kept = {label for label, _count in counts.most_common(intents)}

    def of(examples: Sequence[Example]) -> list[Example]:
        return [example for example in examples if example.label in kept]

    return dataclasses.replace(splits, train=of(splits.train), test=of(splits.test), labels=sorted(kept))


def tested(base: Base, adapter: Path, method: MethodConfig, splits: Splits, prompt: PromptConfig) -> float:
    """Accuracy of ``adapter`` on the test split."""
    compute = choose_compute(DeviceConfig(kind="cpu"), "fp32")
    encoder = PromptEncoder(load_tokenizer(base.tokenizer), prompt)
    labels = encoder.label_set(splits.labels)
    model = prepare_for_prediction(trained_model(base.folder, adapter, method, compute), compute)
    scored = Predictor(model, encoder, labels, compute).classify([example.text for example in splits.test])
    right = sum(row.prediction.predicted == example.label for row, example in zip(scored, splits.test, strict=True))
    compute.release_models()
    return right / len(splits.test)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--starter", type=Path, help="a folder with the converted starter; else it is converted into --home")
    parser.add_argument("--home", help="the app's data folder, where it keeps the starter")
    parser.add_argument("--intents", type=int, default=10, help="the most frequent ones that are kept (10)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--method", choices=("lora", "full"), default="lora")
    parser.add_argument("--paths", nargs="+", choices=tuple(PATHS), default=list(PATHS), help="which of them (all)")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False) or 1)
    parser.add_argument("--json", type=Path, help="the accuracies; what this file has already is not trained again")
    chosen = parser.parse_args(arguments)
    splits, method = frequent(chosen.train, chosen.test, chosen.intents), MethodConfig(kind=chosen.method)
    found: dict[str, dict[str, float]] = {name: {} for name in PATHS}
    settings = {name: str(getattr(chosen, name)) for name in ("train", "test", "intents", "method", "epochs")}
    if chosen.json and chosen.json.exists():
        before = json.loads(chosen.json.read_text("utf-8"))
        if before["settings"] != settings:
            sys.exit(f"{chosen.json} has figures of other settings: {before['settings']}. Name another file.")
        found = before["accuracy"]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        base = find_base(STARTER, chosen.starter, chosen.home, scratch)
        config = run_config(method, "fp32", 16, chosen.threads)
        encoder = PromptEncoder(load_tokenizer(base.tokenizer), config.prompt)
        encoder.label_set(splits.labels)
        encoded = [encoder.encode(example) for example in splits.train]
        rows = write_rows([Row(ids=row.ids, supervised=row.supervised) for row in encoded], scratch / "rows.json")
        print(f"{len(splits.labels)} intents, {len(encoded)} messages to train on, {len(splits.test)} to test", flush=True)
        for seed in chosen.seeds:
            adapter = initial_adapter(base, method, scratch / f"adapter-{seed}", seed)
            for name in chosen.paths:
                contender = PATHS[name]
                if str(seed) in found[name]:
                    continue
                kept = scratch / f"{contender}-{seed}"
                job = Job(
                    contender=contender,
                    folder=str(base.folder),
                    tokenizer=str(base.tokenizer),
                    adapter=None if chosen.method == "full" else str(adapter),
                    rows=str(rows),
                    config=config.with_training(precision=precision_of(contender), seed=seed, epochs=chosen.epochs),
                    keep=str(kept),
                )
                record, failure, _seconds = measure(job, scratch, None)
                if record is None:
                    sys.exit(f"{name}, seed {seed}: {failure}")
                torch.set_num_threads(chosen.threads)
                found[name][str(seed)] = right = tested(base, kept, method, splits, config.prompt)
                step = statistics.median(record.seconds)
                low, high = wilson_interval(round(right * len(splits.test)), len(splits.test))
                print(
                    f"seed {seed}  {name:<14} {right:7.1%} ({low:.1%} to {high:.1%})  {step:.2f} s a step, "
                    f"loss of the last tenth {statistics.fmean(record.losses[-math.ceil(len(record.losses) / 10) :]):.4f}",
                    flush=True,
                )
                if chosen.json:
                    chosen.json.write_text(json.dumps({"settings": settings, "accuracy": found}, indent=2) + "\n", "utf-8")
    for name in chosen.paths:
        accuracies = [found[name][str(seed)] for seed in chosen.seeds]
        print(f"{name:<14} mean {statistics.fmean(accuracies):.1%}, from {min(accuracies):.1%} to {max(accuracies):.1%}")


if __name__ == "__main__":
    main()
