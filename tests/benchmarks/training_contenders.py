"""One contender of the training benchmark, in a process of its own: JOB.json in, RECORD.json out.

Ours is the app's own code, as its worker calls it. The others are set up as their documentation says, with the same
messages, the same initial weights and the same recipe.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from studio.worker.main import prepare_environment
from tests.benchmarks.training_job import SAME_BATCHES, Contender, Job, Record, Row, is_ours

LIBRARIES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "trl")


class Meter:
    """Clock, CPU time and peak memory of the steps; made just before the first. The same for everybody."""

    def __init__(self) -> None:
        from studio.engine.devices import Compute, PeakMemory

        # No accelerator: it belongs to the contender, and the memory of a CPU's process is counted without one.
        self.memory = PeakMemory(Compute(cast(Any, None), "cpu", 0, "fp32"))
        self.before = self.memory.sample()
        self.losses: list[float] = []
        self.graded: list[int] = []
        self.notes: list[str] = []
        self._clock, self._cpu = [time.perf_counter()], [time.process_time()]

    def end_step(self) -> None:
        self._clock.append(time.perf_counter())
        self._cpu.append(time.process_time())

    def record(self) -> Record:
        return Record(
            seconds=[end - start for start, end in itertools.pairwise(self._clock)],
            cpu_seconds=[end - start for start, end in itertools.pairwise(self._cpu)],
            losses=self.losses,
            graded=self.graded,
            peak_bytes=self.memory.peak_bytes(),
            before_bytes=self.before,
            notes=self.notes,
            versions=versions(),
        )


def versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def batches_of(job: Job, rows: list[Row]) -> list[list[int]]:
    """The app's batches of the first epoch, as places in ``rows``."""
    from studio.engine.batches import shuffled_batches, steps_per_epoch

    size = job.config.training.batch_size
    order: Any = shuffled_batches(cast(Any, range(len(rows))), size, job.config.training.seed)
    return list(itertools.islice(order, steps_per_epoch(len(rows), size)))


def run_ours(job: Job, rows: list[Row]) -> Record:
    from studio.data.prompts import Encoded
    from studio.engine.checkpoints import restore_weights
    from studio.engine.devices import choose_compute
    from studio.engine.loop import TrainingHooks, train
    from studio.engine.methods import trainable_model
    from studio.engine.objective import choose_objective
    from studio.worker.snapshot import resolved_config

    compute = choose_compute(job.config.device, job.config.training.precision, job.config.training.threads)
    config = resolved_config(job.config, compute)
    examples = [Encoded(row.ids, row.supervised, False) for row in rows]
    bare = trainable_model(Path(job.folder), config.method, compute, config.training.seed)
    if job.adapter is not None:
        restore_weights(bare, Path(job.adapter))
    model = compute.prepare_model(bare, training=True)
    meter = Meter()
    meter.graded = [sum(sum(rows[place].supervised) for place in batch) for batch in batches_of(job, rows)]

    def report(event: Any) -> None:
        meter.losses += event.losses
        meter.end_step()

    train(
        model,
        choose_objective(model, compute, examples, meter.notes.append),
        examples,
        config.training,
        config.learning_rate,
        int(config.training.micro_batch),
        compute,
        meter.memory,
        TrainingHooks(report=report, evaluate=lambda _step: "go on", save=lambda _step, _state: None),
    )
    keep(bare, job)
    return meter.record()


def run_trainer(job: Job, rows: list[Row]) -> Record:
    """transformers' Trainer with labels of -100 on the prompt; messages padded to the longest of a batch."""
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    model, tokenizer = ordinary_model(job)
    strategy = "group_by_length" if job.contender == "trainer-grouped" else "random"
    with tempfile.TemporaryDirectory() as scratch:
        trainer = metered(Trainer, job, rows)(
            model=model,
            args=TrainingArguments(
                **recipe(job, scratch), bf16=job.config.training.precision == "bf16", train_sampling_strategy=strategy
            ),
            train_dataset=labelled(rows),
            data_collator=DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=-100),
            processing_class=tokenizer,
        )
        record = trained(trainer)
    keep(model, job)
    return record


def run_trl(job: Job, rows: list[Row]) -> Record:
    """TRL's SFTTrainer, loss on the completions alone. Number type and checkpointing are its defaults, or those of (A)."""
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = ordinary_model(job)
    plain = {"bf16": False, "gradient_checkpointing": False}
    with tempfile.TemporaryDirectory() as scratch:
        trainer = metered(SFTTrainer, job, rows)(
            model=model,
            args=SFTConfig(**recipe(job, scratch), **(plain if job.contender == "trl-plain" else {})),
            train_dataset=labelled(rows),
            processing_class=tokenizer,
        )
        return trained(trainer)


RUNNERS: dict[Contender, Callable[[Job, list[Row]], Record]] = {
    "ours": run_ours,
    "ours-bf16": run_ours,
    "trainer": run_trainer,
    "trainer-grouped": run_trainer,
    "trainer-bf16": run_trainer,
    "trl": run_trl,
    "trl-plain": run_trl,
}


def recipe(job: Job, scratch: str) -> dict[str, Any]:
    """The settings of the original experiment, as Trainer calls them; what is left out is its default."""
    training = job.config.training
    return {
        "output_dir": scratch,
        "num_train_epochs": training.epochs,
        "per_device_train_batch_size": training.batch_size,
        "learning_rate": job.config.learning_rate,
        "lr_scheduler_type": training.scheduler,
        "max_grad_norm": training.max_grad_norm,
        "weight_decay": training.weight_decay,
        "seed": training.seed,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
    }


def ordinary_model(job: Job) -> tuple[Any, Any]:
    """Base and adapter as their libraries load them: in fp32, mixed precision being the trainer's; with the tokenizer."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    torch.set_num_threads(int(job.config.training.threads))
    tokenizer = AutoTokenizer.from_pretrained(job.tokenizer)
    options: dict[str, Any] = {}
    if job.config.method.kind == "qlora":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16 if job.config.training.precision == "bf16" else torch.float32,
        )
        options["device_map"] = {"": "cpu"}
    model: Any = AutoModelForCausalLM.from_pretrained(job.folder, dtype=torch.float32, **options)
    if job.adapter is not None:
        model = PeftModel.from_pretrained(model, job.adapter, is_trainable=True)
    return model, tokenizer


def keep(model: Any, job: Job) -> None:
    if job.keep is not None:
        model.save_pretrained(job.keep)


def labelled(rows: list[Row]) -> Any:
    from datasets import Dataset

    labels = [[id if graded else -100 for id, graded in zip(row.ids, row.supervised, strict=True)] for row in rows]
    return Dataset.from_dict({"input_ids": [row.ids for row in rows], "labels": labels})


def metered(trainer: Any, job: Job, rows: list[Row]) -> Any:
    """A trainer that reads the app's batches, where it takes random ones, and notes each step's loss."""

    class Metered(trainer):  # type: ignore[misc]
        meter: Meter

        def _get_train_sampler(self, *arguments: Any, **options: Any) -> Any:
            if job.contender in SAME_BATCHES:
                return list(itertools.chain.from_iterable(batches_of(job, rows)))
            return super()._get_train_sampler(*arguments, **options)

        def training_step(self, model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
            self.meter.graded.append(int((inputs["labels"] != -100).sum()))
            loss = super().training_step(model, inputs, *arguments, **options)
            self.meter.losses.append(float(loss))
            return loss

    return Metered


def trained(trainer: Any) -> Record:
    from transformers import TrainerCallback

    class Steps(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_arguments: Any, **_options: Any) -> None:
            trainer.meter.end_step()

    trainer.add_callback(Steps())
    trainer.meter = Meter()
    trainer.train()
    record: Record = trainer.meter.record()
    return record


def main() -> None:
    asked, told = sys.argv[1:]
    job = Job.model_validate_json(Path(asked).read_text("utf-8"))
    if is_ours(job.contender):
        # As its worker does: among it, how threads wait and which memory pages torch asks for.
        prepare_environment()
    else:
        # It fetches native code where it is installed.
        sys.modules["kernels"] = None  # type: ignore[assignment]  # None is how an import is refused
    os.environ["OMP_NUM_THREADS"] = str(job.config.training.threads)
    rows = [Row.model_validate(row) for row in json.loads(Path(job.rows).read_text("utf-8"))]
    Path(told).write_text(RUNNERS[job.contender](job, rows).model_dump_json(), "utf-8")


if __name__ == "__main__":
    main()
