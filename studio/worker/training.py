"""The training job: a run folder with its run.toml in, a trained and tested model out."""

from __future__ import annotations

import contextlib
import platform
from importlib import metadata
from pathlib import Path

import torch
from filelock import Timeout

from studio.core.commands import Command, Train
from studio.core.config import RunConfig
from studio.core.errors import InterruptedByUserError, StudioError
from studio.core.events import CheckpointSaved, Finished, RunStarted
from studio.core.files import write_json
from studio.core.memory import micro_batch_for
from studio.core.predictions import write_predictions
from studio.core.runs import Home, RunFolder
from studio.core.starter import STARTER, TERMS
from studio.data.prompts import PromptEncoder
from studio.data.splits import Splits, load_splits, write_splits
from studio.engine.checkpoints import restore_weights, save_checkpoint
from studio.engine.devices import Compute, PeakMemory, choose_compute
from studio.engine.hub_models import resolved
from studio.engine.loop import TrainingHooks, total_steps
from studio.engine.loop import train as train_loop
from studio.engine.methods import parameter_counts, trainable_model
from studio.engine.models import base_folder, check_causal, describe, load_tokenizer, within_context
from studio.engine.predictor import Predictor, Summary
from studio.engine.sizes import forecast_run, measurable
from studio.worker.channel import Channel
from studio.worker.downloading import bring_base
from studio.worker.inspection import cut_messages

_PACKAGES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "safetensors", "finetune-studio")


def train(command: Command, channel: Channel) -> None:
    """Run ``Train``. The last event is ``Finished``; a StudioError leaves through the worker as ``Failed``."""
    assert isinstance(command, Train)
    run, home = RunFolder(Path(command.run)), Home(Path(command.home))
    lock = run.lock()
    try:
        lock.acquire(timeout=5)
    except Timeout:
        raise StudioError(
            f"The run {run.name} is already being trained by another process.", "Wait for it, or start a new run.", kind="busy"
        ) from None
    try:
        channel.record_to(run.events_path)
        finished = _Training(run, home, channel).train()
        run.write_outcome(finished)
        channel.emit(finished)
    finally:
        lock.release()


class _Training:
    """One training job and what its parts share."""

    def __init__(self, run: RunFolder, home: Home, channel: Channel) -> None:
        self.run = run
        self.home = home
        self.channel = channel
        self.best: tuple[float, float] | None = None
        self.best_step: int | None = None

    def train(self) -> Finished:
        config = self.run.config()
        self.channel.stage("reading the data")
        splits = load_splits(config.dataset)
        write_splits(self.run, splits)
        for problem in splits.problems:
            self.channel.log(problem.sentence, "warning")
        for warning in config.warnings():
            self.channel.log(warning, "warning")

        if config.model.base == STARTER:
            self.channel.log(TERMS)

        compute = choose_compute(config.device, config.training.precision, config.training.threads)
        self.channel.measure(compute.kind, compute.memory_bytes)
        bring_base(config.model, self.channel)
        folder = base_folder(config.model, self.home, self.channel.stage)
        self.channel.stage("tokenising")
        config = config.model_copy(
            update={"model": resolved(config.model, folder), "prompt": within_context(config.prompt, folder)}
        )
        encoder = PromptEncoder(load_tokenizer(folder), config.prompt)
        # What "auto" means depends on the model's files; the run keeps what it was trained with.
        config = config.model_copy(update={"prompt": config.prompt.model_copy(update={"use_chat_template": encoder.chat})})
        labels = encoder.label_set(splits.labels)
        encoded = [encoder.encode(example) for example in splits.train]
        for cut in cut_messages(encoded, config.prompt.max_length):
            self.channel.log(cut.sentence, "warning")

        config = _resolved(config, compute)
        self.run.write_config(config)
        write_json(self.run.path / "environment.json", _environment(compute))
        description = describe(folder, config.model.base)
        forecast = forecast_run(description, config, compute, encoded)

        self.channel.stage("loading the model")
        bare = trainable_model(folder, config.method, compute, config.training.seed)
        check_causal(bare, compute.device)
        trainable, total = parameter_counts(bare)
        predictor = Predictor(compute.prepare_model(bare, training=True), encoder, labels, compute)
        steps = total_steps(len(encoded), config.training)
        self.channel.emit(
            RunStarted(
                run=self.run.name,
                device=compute.name,
                precision=compute.precision,
                trainable_parameters=trainable,
                total_parameters=total,
                forecast_bytes=measurable(forecast, compute),
                total_steps=steps,
                train_rows=len(splits.train),
                validation_rows=len(splits.validation),
                test_rows=len(splits.test),
            )
        )
        base_accuracy = self._evaluate_base(predictor, splits) if config.training.evaluate_base else None
        memory = PeakMemory(compute)
        # Where no peak counter exists, the heartbeats' samples between two steps are what finds it.
        self.channel.measure(compute.kind, memory.sample)
        finished = Finished(outcome="completed", base_accuracy=base_accuracy, forecast_bytes=measurable(forecast, compute))
        taken = 0
        if not self.channel.stop.requested:
            self.channel.stage("training", 0, steps)
            taken = train_loop(
                predictor.model,
                encoded,
                config.training,
                config.learning_rate,
                int(config.training.micro_batch),
                compute,
                memory,
                TrainingHooks(
                    report=self.channel.emit,
                    evaluate=lambda step: self._validate(predictor, splits, step),
                    should_stop=lambda: self.channel.stop.requested,
                ),
            )
        finished = finished.model_copy(
            update={
                "outcome": "completed" if taken == steps else "stopped",
                "peak_bytes": memory.peak_bytes(),
                "best_step": self.best_step,
            }
        )
        return self._test(predictor, splits, finished, taken)

    def _evaluate_base(self, predictor: Predictor, splits: Splits) -> float | None:
        """The untrained model on the test split: a fresh adapter changes nothing yet, so it answers as the base does."""
        try:
            scored = predictor.classify_examples(
                splits.test, self.channel.stage, "testing the untrained base", self._stop_requested
            )
        except InterruptedByUserError:
            return None
        summary = Summary.of(scored, predictor.labels)
        write_predictions(self.run.base_predictions_path, predictor.labels.names, [row.prediction for row in scored])
        self.channel.emit(summary.evaluated(0, "test"))
        return summary.accuracy

    def _validate(self, predictor: Predictor, splits: Splits, step: int) -> None:
        """Score the validation split and keep the weights when they are the best so far. A closing window waits for neither."""
        score: tuple[float, float] | None = None
        if splits.validation and not self._closing():
            with contextlib.suppress(InterruptedByUserError):
                scored = predictor.classify_examples(splits.validation, self.channel.stage, "validating", self._closing)
                summary = Summary.of(scored, predictor.labels)
                self.channel.emit(summary.evaluated(step, "validation"))
                score = (summary.accuracy, -summary.loss)
        if score is not None and self.best is not None and score <= self.best:
            self.channel.log(f"Step {step} is no better on validation than step {self.best_step}, which stays the one kept.")
            return
        # Without a score nothing says that it beats a validated one, which then stays the run's model.
        best = score is not None or self.best is None
        facts = {} if score is None else {"validation_accuracy": score[0], "validation_loss": -score[1]}
        self.channel.stage("writing a checkpoint")
        folder = save_checkpoint(self.run, predictor.compute.accelerator.unwrap_model(predictor.model), step, facts, best)
        if best:
            self.best, self.best_step = score, step
        self.channel.emit(CheckpointSaved(step=step, path=str(folder), best=best))

    def _test(self, predictor: Predictor, splits: Splits, finished: Finished, taken: int) -> Finished:
        checkpoint = self.run.checkpoint()
        if checkpoint is not None and not self._closing():
            if self.best_step != taken:
                restore_weights(predictor.compute.accelerator.unwrap_model(predictor.model), checkpoint)
            with contextlib.suppress(InterruptedByUserError):
                scored = predictor.classify_examples(splits.test, self.channel.stage, "predicting the test split", self._closing)
                summary = Summary.of(scored, predictor.labels)
                write_predictions(self.run.predictions_path, predictor.labels.names, [row.prediction for row in scored])
                self.channel.emit(summary.evaluated(self.best_step or taken, "test"))
                finished = summary.scores(finished)
        return finished.model_copy(update={"seconds": self.channel.elapsed()})

    def _stop_requested(self) -> bool:
        return self.channel.stop.requested

    def _closing(self) -> bool:
        return self.channel.stop.closing


def _resolved(config: RunConfig, compute: Compute) -> RunConfig:
    """The config with everything decided that 'auto' left open."""
    return config.with_training(
        learning_rate=config.learning_rate,
        precision=compute.precision,
        micro_batch=micro_batch_for(config, compute.kind),
        threads=torch.get_num_threads(),
    ).model_copy(update={"device": config.device.model_copy(update={"kind": compute.kind})})


def _environment(compute: Compute) -> dict[str, object]:
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": compute.name,
        "memory_bytes": compute.available_bytes(),
        "packages": versions,
    }
