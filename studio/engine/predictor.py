"""A model with its prompt and labels, ready to classify; and the figures of a classified split."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from studio.core.config import DeviceConfig, Precision, RunConfig
from studio.core.errors import StudioError
from studio.core.events import Evaluated, Finished, SplitName
from studio.core.generation import GenerationEnd, GenerationSettings
from studio.core.labels import LabelSet
from studio.core.metrics import accuracy, confusion_counts, macro_f1, wilson_interval
from studio.core.runs import Home, RunFolder
from studio.data.progress import Progress
from studio.data.prompts import PromptEncoder
from studio.data.sources import Example
from studio.data.splits import read_split
from studio.engine.checkpoints import verify_checkpoint
from studio.engine.classify import classify
from studio.engine.devices import Compute, choose_compute
from studio.engine.exactness import in_fp32, prepare_for_prediction
from studio.engine.generate import TextStream, generate
from studio.engine.label_search import Query, Scored
from studio.engine.methods import merged_model, trained_model
from studio.engine.models import base_folder, context_length, load_tokenizer


@dataclass(frozen=True)
class Predictor:
    """``model`` is prepared for ``compute``; ``labels`` were made by ``encoder.label_set``."""

    model: torch.nn.Module
    encoder: PromptEncoder
    labels: LabelSet
    compute: Compute

    def classify(
        self,
        texts: Sequence[str],
        labels: Sequence[str] | None = None,
        *,
        progress: Callable[[int], object] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> list[Scored]:
        """Classify ``texts``, whose true ``labels`` may be known. Raises InterruptedByUserError on a stop."""
        true = [None] * len(texts) if labels is None else [self.labels.index(name) for name in labels]
        queries = [Query(text, self.encoder.prompt_ids(text), label) for text, label in zip(texts, true, strict=True)]
        with in_fp32(self.model, self.compute):
            return classify(self.model, self.labels, queries, self.compute, progress=progress, should_stop=should_stop)

    def classify_examples(
        self, examples: Sequence[Example], progress: Progress, stage: str, stop: Callable[[], bool]
    ) -> list[Scored]:
        """Classify labelled rows and tell ``progress`` how far it got in ``stage``."""
        return self.classify(
            [example.text for example in examples],
            [example.label for example in examples],
            progress=lambda done: progress(stage, done, len(examples)),
            should_stop=stop,
        )

    def write(
        self,
        text: str,
        settings: GenerationSettings,
        on_text: Callable[[str], object],
        should_stop: Callable[[], bool] = lambda: False,
    ) -> GenerationEnd:
        """Free text after a message; ``on_text`` gets it in whole characters as it comes.

        Raises StudioError for a bare text that is longer than the model can read.
        """
        prompt = self.encoder.raw_ids(text) if settings.raw else self.encoder.prompt_ids(text)
        model: Any = self.model
        longest = context_length(model.config) or len(prompt) + settings.max_tokens
        if len(prompt) >= longest:
            raise StudioError(
                f"The text has {len(prompt):,} tokens, and this model reads at most {longest:,} with its answer.", "Shorten it."
            )
        if not prompt:
            raise StudioError("There is nothing to go on from: the text is empty.", "Write something.")
        stream = TextStream(self.encoder.tokenizer, prompt)
        with in_fp32(self.model, self.compute):
            end = generate(
                self.model,
                prompt,
                settings,
                self.compute.device,
                end_tokens={self.encoder.end_token_id, *_own_end_tokens(model)},
                longest=longest,
                on_token=lambda token: on_text(stream.add(token)),
                should_stop=should_stop,
            )
        on_text(stream.rest())
        return end.model_copy(update={"cut": not settings.raw and self.encoder.cuts(text)})


@dataclass(frozen=True)
class Summary:
    """The figures of one classified split; NaN for an empty one."""

    rows: int
    loss: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    macro_f1: float
    outside_rate: float

    @classmethod
    def of(cls, scored: Sequence[Scored], labels: LabelSet) -> Summary:
        """``scored`` must have true labels. The loss is the mean over supervised tokens, as in training."""
        true = [labels.index(row.prediction.label or "") for row in scored]
        predicted = [labels.index(row.prediction.predicted) for row in scored]
        counts = confusion_counts(true, predicted, len(labels.names))
        tokens = sum(len(labels.token_ids[label]) for label in true)
        low, high = wilson_interval(int(counts.trace()), len(scored))
        return cls(
            rows=len(scored),
            loss=math.fsum(row.nats or 0.0 for row in scored) / tokens if tokens else math.nan,
            accuracy=accuracy(counts),
            accuracy_low=low,
            accuracy_high=high,
            macro_f1=macro_f1(counts),
            outside_rate=sum(row.prediction.left_set for row in scored) / len(scored) if scored else math.nan,
        )

    def evaluated(self, step: int, split: SplitName) -> Evaluated:
        return Evaluated(
            step=step,
            split=split,
            loss=self.loss,
            accuracy=self.accuracy,
            macro_f1=self.macro_f1,
            outside_rate=self.outside_rate,
            rows=self.rows,
        )

    def scores(self, finished: Finished) -> Finished:
        """``finished`` with this split's figures."""
        return finished.model_copy(
            update={
                "rows": self.rows,
                "accuracy": self.accuracy,
                "accuracy_low": self.accuracy_low,
                "accuracy_high": self.accuracy_high,
                "macro_f1": self.macro_f1,
                "outside_rate": self.outside_rate,
            }
        )


def _own_end_tokens(model: Any) -> list[int]:
    """The end tokens that a model's folder names: a chat model ends a turn with one of its own."""
    named: int | list[int] | None = model.generation_config.eos_token_id
    return named if isinstance(named, list) else [] if named is None else [named]


def run_labels(run: RunFolder) -> list[str]:
    """The label set of a run, in its order: the intents of its training rows, sorted."""
    return sorted({example.label for example in read_split(run, "train")})


def kept_checkpoint(run: RunFolder) -> Path:
    """The checkpoint that stands for the run. Raises StudioError when it kept none."""
    checkpoint = run.checkpoint()
    if checkpoint is None and run.is_running():
        raise StudioError(f"The run {run.name} is still being trained.", "Wait until it has ended.", kind="busy")
    if checkpoint is None:
        raise StudioError(
            f"The run {run.name} has no trained model: it ended before anything was kept.", "Train it again.", kind="no_checkpoint"
        )
    return checkpoint


def load_run(
    run: RunFolder, home: Home, progress: Progress, device: DeviceConfig | None = None, *, merged: bool = False
) -> Predictor:
    """A trained run with the weights it was trained on, on ``device``, or the run's where there is one, else the best there is.

    ``merged``: LoRA's adapter is added to its base where that changes no answer, which it does in the rounding of CUDA's half
    precision; there is nothing to switch off then, and every token is computed sooner.

    Raises StudioError when the run kept nothing, or its base or checkpoint cannot be loaded.
    """
    config = run.config()
    checkpoint = kept_checkpoint(run)
    progress("checking the checkpoint", 0, 0)
    verify_checkpoint(checkpoint)
    compute = _compute_for(config, device or config.device)
    folder = base_folder(config.model, home, progress)
    progress("loading the model", 0, 0)
    encoder, labels = run_prompt(run, folder)
    load = merged_model if merged and config.method.kind == "lora" and compute.kind != "cuda" else trained_model
    model = prepare_for_prediction(load(folder, checkpoint, config.method, compute), compute)
    return Predictor(model, encoder, labels, compute)


def run_prompt(run: RunFolder, folder: Path) -> tuple[PromptEncoder, LabelSet]:
    """How a run asks, with the tokenizer of the base in ``folder``, and its label set. Raises StudioError."""
    encoder = PromptEncoder(load_tokenizer(folder), run.config().prompt)
    return encoder, encoder.label_set(run_labels(run))


def _compute_for(config: RunConfig, device: DeviceConfig) -> Compute:
    """Threads are left to torch: those of the run may belong to another computer, as its device may."""
    precision = config.training.precision
    # fp16 is for CUDA.
    elsewhere: Precision = "fp32" if precision == "fp16" else precision
    try:
        return choose_compute(device, elsewhere if device.kind == "cpu" else precision)
    except StudioError as error:
        if error.kind != "no_device":
            raise
    return choose_compute(DeviceConfig(), elsewhere)
