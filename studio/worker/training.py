"""The training jobs: a run folder with its run.toml in, a trained and tested model out; from the start, or resumed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import Timeout

from studio.core.commands import Command, Resume, Train
from studio.core.config import RunConfig
from studio.core.events import CheckpointSaved, Finished, RunStarted
from studio.core.files import write_json
from studio.core.model_description import check_layers
from studio.core.resuming import already_training, resumable_checkpoints
from studio.core.runs import Home, RunFolder
from studio.core.starter import STARTER, TERMS
from studio.core.words import size
from studio.data.downloads import Downloads
from studio.data.prompts import PromptEncoder
from studio.data.splits import load_splits, read_splits, write_splits
from studio.engine.checkpoints import forget_later_checkpoints, forget_training, restore_weights, save_checkpoint
from studio.engine.devices import PeakMemory, choose_compute
from studio.engine.hub_models import resolved
from studio.engine.loop import TrainingHooks, Wish, total_steps
from studio.engine.loop import train as train_loop
from studio.engine.methods import checkpoint_activations, parameter_counts, trainable_model
from studio.engine.models import base_folder, check_causal, describe, load_tokenizer, within_context
from studio.engine.objective import choose_objective
from studio.engine.optimizers import optimizer_for
from studio.engine.predictor import Predictor
from studio.engine.sizes import forecast_run, measurable
from studio.engine.training_state import TrainingState
from studio.worker.channel import Channel
from studio.worker.downloading import bring_base
from studio.worker.inspection import cut_messages
from studio.worker.resuming import Resumed, Standing, base_fingerprint, check_base, choose_same_compute, find_resumed
from studio.worker.scoring import Scoring
from studio.worker.snapshot import environment, resolved_config


def train(command: Command, channel: Channel) -> None:
    """Run ``Train``. The last event is ``Finished``; a StudioError leaves through the worker as ``Failed``."""
    assert isinstance(command, Train)
    run, home = RunFolder(Path(command.run)), Home(Path(command.home))
    with _locked(run):
        channel.record_to(run.events_path)
        _Training(run, home, channel).train()


def resume(command: Command, channel: Channel) -> None:
    """Run ``Resume``. Until the model is loaded nothing in the run changes, so what fails before can be mended and tried again."""
    assert isinstance(command, Resume)
    run, home = RunFolder(Path(command.run)), Home(Path(command.home))
    with _locked(run):
        _Training(run, home, channel, find_resumed(run, channel), command.micro_batch).train()


@contextlib.contextmanager
def _locked(run: RunFolder) -> Iterator[None]:
    lock = run.lock()
    try:
        lock.acquire(timeout=5)
    except Timeout:
        raise already_training(run) from None
    try:
        yield
    finally:
        lock.release()


class _Training:
    """One training job and what its parts share."""

    def __init__(
        self, run: RunFolder, home: Home, channel: Channel, resumed: Resumed | None = None, micro_batch: int | None = None
    ) -> None:
        self.run = run
        self.home = home
        self.channel = channel
        self.resumed = resumed
        self.micro_batch = micro_batch
        self.standing = resumed.standing if resumed is not None else Standing()

    def train(self) -> None:
        config = self.run.config()
        if self.resumed is None:
            splits = load_splits(
                config.dataset, self.channel.stage, lambda: self.channel.stop.requested, Downloads(self.channel.emit)
            )
            write_splits(self.run, splits)
        else:
            self.channel.stage("reading the data")
            splits = read_splits(self.run)
        for problem in splits.problems:
            self.channel.log(problem.sentence, "warning")
        for warning in config.warnings():
            self.channel.log(warning, "warning")

        if config.model.base == STARTER:
            self.channel.log(TERMS)

        if self.resumed is None:
            compute = choose_compute(config.device, config.training.precision, config.training.threads)
        else:
            compute = choose_same_compute(config)
        _optimizer, slow = optimizer_for(config.training.optimizer, compute.kind)
        if slow is not None:
            self.channel.log(slow, "warning")
        self.channel.measure(compute.kind, compute.memory_bytes)
        bring_base(config.model, self.channel)
        folder = base_folder(config.model, self.home, self.channel.stage)
        fingerprint = base_fingerprint(folder)
        if self.resumed is not None:
            check_base(self.resumed, fingerprint, config.model.base)
        self.standing.base = fingerprint
        description = describe(folder, config.model.base)
        check_layers(config.method, description)
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

        config = resolved_config(config, compute)
        if self.micro_batch is not None:
            config = config.with_training(micro_batch=min(self.micro_batch, config.training.batch_size))
        if self.resumed is None:
            self.run.write_config(config)
            write_json(self.run.path / "environment.json", environment(compute))
        forecast = forecast_run(description, config, compute, encoded, splits.most_predicted)

        self.channel.stage("loading the model")
        bare = trainable_model(folder, config.method, compute, config.training.seed)
        check_causal(bare, compute.device)
        if config.training.activation_checkpointing:
            checkpoint_activations(bare)
        if self.resumed is not None:
            restore_weights(bare, self.resumed.checkpoint)
            self._begin_again(self.resumed, config)
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
                resumed_after=None if self.resumed is None else self.resumed.step,
            )
        )
        scoring = Scoring(self.run, self.channel, predictor, splits, self.standing, config.training.early_stopping_patience)
        memory = PeakMemory(compute)
        # Where no peak counter exists, the heartbeats' samples between two steps are what finds it.
        self.channel.measure(compute.kind, memory.sample)
        if self.resumed is not None:
            base_accuracy = scoring.of_base_before()
        else:
            base_accuracy = scoring.of_base() if config.training.evaluate_base else None
        finished = Finished(outcome="completed", base_accuracy=base_accuracy, forecast_bytes=measurable(forecast, compute))
        taken = 0 if self.resumed is None else self.resumed.step
        if not self.channel.stop.requested:
            self.channel.stage("training", taken, steps)
            taken = train_loop(
                predictor.model,
                choose_objective(predictor.model, compute, encoded, self.channel.log),
                encoded,
                config.training,
                config.learning_rate,
                int(config.training.micro_batch),
                compute,
                memory,
                TrainingHooks(
                    report=self.channel.emit,
                    evaluate=scoring.validate,
                    save=lambda step, state: self._save(step, state, memory, config.training.keep_checkpoints),
                    wish=self._wish,
                    tried=lambda: self.channel.log(
                        f"The largest batch was tried. Memory has peaked at {size(memory.peak_bytes())} so far, "
                        f"of {size(measurable(forecast, compute))} forecast for the run."
                    ),
                ),
                None if self.resumed is None else self.resumed.checkpoint,
            )
        complete = taken == steps or scoring.enough()
        finished = scoring.test(finished.model_copy(update={"best_step": self.standing.best_step}), taken)
        peak = max(self.standing.peak_bytes, memory.peak_bytes())
        self._end(finished.model_copy(update={"peak_bytes": peak}), complete)

    def _begin_again(self, resumed: Resumed, config: RunConfig) -> None:
        """From here on the run is another than it was."""
        if self.micro_batch is not None:
            self.run.change_config(config)
        self.run.forget_end()
        forget_later_checkpoints(self.run, resumed.step)
        self.channel.record_to(self.run.events_path)
        self.channel.log(f"Going on after step {resumed.step:,}.")

    def _end(self, finished: Finished, complete: bool) -> None:
        """Write and say how the run ended. A finished one needs nothing to be resumed from any more."""
        if self.channel.stop.pausing and not (complete and finished.rows) and resumable_checkpoints(self.run):
            finished = finished.model_copy(update={"outcome": "paused"})
        elif not complete:
            finished = finished.model_copy(update={"outcome": "stopped"})
        self.run.write_outcome(finished)
        if finished.outcome == "completed":
            forget_training(self.run)
        self.channel.emit(finished)

    def _save(self, step: int, state: TrainingState, memory: PeakMemory, keep: int) -> None:
        standing = self.standing
        standing.peak_bytes = max(standing.peak_bytes, memory.peak_bytes())
        if standing.best is None:
            # Without a score nothing says that it beats a validated one; while there is none, the newest is the run's model.
            standing.best_step = step
        best = standing.best_step == step
        facts = {}
        if best and standing.best is not None:
            facts = {"validation_accuracy": standing.best[0], "validation_loss": -standing.best[1]}
        self.channel.stage("writing a checkpoint")
        folder = save_checkpoint(self.run, state.model, step, facts, best, state, standing.to_json(), keep)
        self.channel.emit(CheckpointSaved(step=step, path=str(folder), best=best))

    def _wish(self) -> Wish:
        stop = self.channel.stop
        if stop.requested:
            return "pause" if stop.pausing else "stop"
        wanted, stop.checkpoint = stop.checkpoint, False
        return "checkpoint" if wanted else "go on"
