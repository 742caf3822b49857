"""The three times that a training job predicts: the untrained base, the validation split, and the test split at its end."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from studio.core.errors import InterruptedByUserError
from studio.core.events import Finished
from studio.core.metrics import accuracy
from studio.core.predictions import read_predictions, write_predictions
from studio.core.runs import RunFolder
from studio.core.words import counted
from studio.data.splits import Splits
from studio.engine.checkpoints import restore_weights
from studio.engine.loop import Verdict
from studio.engine.predictor import Predictor, Summary
from studio.worker.channel import Channel
from studio.worker.resuming import Standing


@dataclass(frozen=True)
class Scoring:
    """How well a run's model does; ``standing`` is told after each validation."""

    run: RunFolder
    channel: Channel
    predictor: Predictor
    splits: Splits
    standing: Standing
    patience: int | None
    """Validations in a row that may be no better before training ends; None for any number."""

    def of_base(self) -> float | None:
        """Accuracy of the untrained model on the test split. A fresh adapter changes nothing yet: the base answers."""
        try:
            scored = self.predictor.classify_examples(
                self.splits.test, self.channel.stage, "testing the untrained base", lambda: self.channel.stop.requested
            )
        except InterruptedByUserError:
            return None
        summary = Summary.of(scored, self.predictor.labels)
        write_predictions(self.run.base_predictions_path, self.predictor.labels.names, [row.prediction for row in scored])
        self.channel.emit(summary.evaluated(0, "test"))
        return summary.accuracy

    def of_base_before(self) -> float | None:
        """The same from before the run was resumed."""
        path = self.run.base_predictions_path
        return accuracy(read_predictions(path).confusion()) if path.exists() else None

    def validate(self, step: int) -> Verdict:
        """Score the validation split, unless this step was scored before the run was resumed. A pause waits for no scores."""
        standing = self.standing
        if standing.validated_step != step:
            try:
                scored = self.predictor.classify_examples(
                    self.splits.validation, self.channel.stage, "validating", lambda: self.channel.stop.pausing
                )
            except InterruptedByUserError:
                return "cut short"
            summary = Summary.of(scored, self.predictor.labels)
            self.channel.emit(summary.evaluated(step, "validation"))
            standing.validated_step = step
            score = (summary.accuracy, -summary.loss)
            if standing.best is None or score > standing.best:
                standing.best, standing.best_step, standing.without_better = score, step, 0
                return "better"
            standing.without_better += 1
            self.channel.log(f"Step {step} is no better on validation than step {standing.best_step}, which stays the one kept.")
        if self.enough():
            self.channel.log(f"Training ends early: {counted(standing.without_better, 'validation')} in a row were no better.")
            return "enough"
        return "go on"

    def enough(self) -> bool:
        """Whether no further step is worth it."""
        return self.patience is not None and self.standing.without_better >= self.patience

    def test(self, finished: Finished, taken: int) -> Finished:
        """``finished`` with the figures of the best step on the test split, and the time it all took."""
        checkpoint = self.run.checkpoint()
        stop = self.channel.stop
        if checkpoint is not None and not stop.pausing:
            predictor = self.predictor
            if self.standing.best_step != taken:
                restore_weights(predictor.compute.accelerator.unwrap_model(predictor.model), checkpoint)
            with contextlib.suppress(InterruptedByUserError):
                scored = predictor.classify_examples(
                    self.splits.test, self.channel.stage, "predicting the test split", lambda: stop.pausing
                )
                summary = Summary.of(scored, predictor.labels)
                write_predictions(self.run.predictions_path, predictor.labels.names, [row.prediction for row in scored])
                # Of an evaluation while it was training: what those figures are of is gone.
                self.run.scores_path.unlink(missing_ok=True)
                self.channel.emit(summary.evaluated(self.standing.best_step or taken, "test"))
                finished = summary.scores(finished)
        return finished.model_copy(update={"seconds": self.channel.elapsed()})
