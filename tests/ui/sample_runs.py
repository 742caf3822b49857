"""Run folders for the tests of pages, made of the same core classes that a worker uses."""

from __future__ import annotations

import json
from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QAbstractItemView, QHeaderView, QLabel, QLineEdit, QPlainTextEdit, QWidget

from studio.core.answers import LabelProbability, Prediction
from studio.core.events import CheckpointSaved, Evaluated, Event, Finished, LogLine, RunStarted, StageChanged, StepsCompleted
from studio.core.predictions import write_predictions
from studio.core.resuming import TRAINING_FACTS
from studio.core.run_file import validate_run_config
from studio.core.runs import Home, RunFolder
from studio.core.wire import encode
from studio.ui.models.open_run import OpenRun
from studio.ui.models.step_series import Series

GB = 2**30


def stamped(events: Sequence[Event]) -> list[Event]:
    """The events one second apart, as a worker stamps them."""
    return [event.model_copy(update={"time": 1.7e9 + number, "elapsed": float(number)}) for number, event in enumerate(events, 1)]


def step(number: int, loss: float = 1.0, steps: int = 10) -> StepsCompleted:
    return StepsCompleted(
        first_step=number,
        losses=[loss],
        seconds=[2.0],
        steps=steps,
        epoch=0.1 * number,
        learning_rate=1e-4,
        gradient_norm=0.5,
        tokens=600,
        memory_bytes=GB,
    )


def evaluated(number: int, accuracy: float = 0.5, split: str = "validation") -> Evaluated:
    return Evaluated.model_validate(
        {"step": number, "split": split, "loss": 1.0, "accuracy": accuracy, "macro_f1": 0.4, "outside_rate": 0.1, "rows": 20}
    )


def started(name: str, steps: int = 10) -> RunStarted:
    return RunStarted(
        run=name,
        device="cpu",
        precision="bf16",
        trainable_parameters=1_000,
        total_parameters=270_000_000,
        forecast_bytes=2 * GB,
        total_steps=steps,
        train_rows=100,
        validation_rows=20,
        test_rows=30,
    )


def finished(**changes: object) -> Finished:
    fields = {"outcome": "completed", "rows": 30, "accuracy": 0.9, "peak_bytes": GB, "forecast_bytes": 2 * GB, "seconds": 125.0}
    return Finished.model_validate(fields | changes)


def history(name: str, steps: int = 10) -> list[Event]:
    """What a worker says until just before its last word."""
    events: list[Event] = [
        StageChanged(stage="reading the data"),
        LogLine(level="warning", text="<b>3 rows</b> have no label"),
        started(name, steps),
        evaluated(0, 0.02, "test"),
    ]
    for number in range(1, steps + 1):
        events.append(step(number, loss=2.0 / number, steps=steps))
        if number % 5 == 0:
            events += [evaluated(number, number / steps), CheckpointSaved(step=number, path="", best=True)]
    return stamped(events)


def prediction(text: str, label: str, predicted: str, probability: float = 0.8, left_set: bool = False) -> Prediction:
    other = label if label != predicted else "something_else"
    rest = LabelProbability(label=other, probability=1 - probability)
    return Prediction(
        text=text,
        predicted=predicted,
        probability=probability,
        top=[LabelProbability(label=predicted, probability=probability), rest],
        left_set=left_set,
        outside_mass=0.01,
        label=label,
        label_probability=probability if label == predicted else 1 - probability,
    )


def predictions(labels: Sequence[str], per_label: int = 5) -> list[Prediction]:
    """For each intent ``per_label`` messages; the last of each is predicted as the intent after it."""
    found = []
    for number, label in enumerate(labels):
        for copy in range(per_label):
            wrong = copy == per_label - 1
            predicted = labels[(number + 1) % len(labels)] if wrong else label
            sure = 0.99 - 0.001 * number - 0.1 * copy
            found.append(prediction(f"message {copy} about {label}", label, predicted, sure, left_set=wrong and number == 0))
    return found


def labels(count: int) -> list[str]:
    return [f"intent_{number:03}" for number in range(count)]


def make_run(
    home: Home,
    events: Sequence[Event] | None = None,
    *,
    method: str = "lora",
    intents: int = 0,
    final: Event | None = None,
    checkpoint: bool = True,
) -> RunFolder:
    """A run folder. ``intents`` > 0 writes predictions over that many labels; ``final`` is its last event and outcome."""
    run = home.create_run(validate_run_config({"method": {"kind": method}}))
    said = list(history(run.name) if events is None else events)
    if final is not None:
        said.append(final.model_copy(update={"elapsed": 1000.0}))
        assert isinstance(final, Finished) or final.event in ("failed", "crashed")
        run.write_outcome(final)  # type: ignore[arg-type]  # checked above, for the two that mypy cannot see
    if said:
        run.events_path.write_bytes(b"".join(encode(event) for event in said if event.event != "crashed"))
    if intents:
        names = labels(intents)
        write_predictions(run.predictions_path, names, predictions(names))
        base = [row.model_copy(update={"predicted": names[0]}) for row in predictions(names)]
        write_predictions(run.base_predictions_path, names, base)
    if checkpoint:
        folder = run.checkpoints / "step-10"
        folder.mkdir(parents=True)
        (folder / "adapter_model.safetensors").write_bytes(b"0" * 3 * 2**20)
        (folder / "manifest.json").write_text("{}")
    return run


def make_resumable(run: RunFolder, step: int) -> RunFolder:
    """Give a run the checkpoint of ``step``, as far as the window looks at it."""
    folder = run.checkpoints / f"step-{step}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"step": step, "best": False, "sha256": {TRAINING_FACTS: ""}}))
    return run


def assert_usable(page: QWidget) -> None:
    """What every page owes: plain text, and a name for all that can be focused."""
    for label in page.findChildren(QLabel):
        assert label.textFormat() == Qt.TextFormat.PlainText, label.text()
    for kind in (QAbstractButton, QLineEdit, QPlainTextEdit, QAbstractItemView):
        for control in page.findChildren(kind):
            # Qt's own parts (a scroll bar's or tab bar's button, a line edit's cross) are named after themselves.
            if control.objectName().startswith(("_", "qt_", "Scroll")) or isinstance(control, QHeaderView):
                continue
            if not control.metaObject().className().startswith(("QLineEditIconButton", "QTableCornerButton")):
                assert control.objectName(), control
                assert control.accessibleName(), control.objectName()
                assert control.toolTip(), control.objectName()


def told(run: OpenRun) -> dict[str, object]:
    """All that pages read of a run."""
    columns = {name: column.values.tolist() for name, column in vars(run.steps).items() if isinstance(column, Series)}
    return {
        **columns,
        "log": list(run.log),
        "evaluations": run.evaluations,
        "final": repr(run.final),  # NaN is not equal to itself
        "started": run.started,
        "state": run.state,
        "step": run.step,
        "total": run.total_steps,
        "tokens": run.tokens_per_second,
    }
