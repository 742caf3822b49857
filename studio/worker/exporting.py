"""Jobs that write an export and prove it in a clean process."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from studio.core.commands import Command, Export, VerifyExport
from studio.core.config import DeviceConfig
from studio.core.errors import StudioError
from studio.core.events import Exported, Failed, Finished, Predicted, Prediction, StageChanged
from studio.core.paths import as_typed
from studio.core.runs import Home, RunFolder
from studio.core.wire import WORKER_COMMAND, decode_event, encode
from studio.data.splits import read_split
from studio.engine.devices import choose_compute
from studio.engine.exports import check_target, load_export, publish, scratch_beside, write_export
from studio.engine.models import base_folder
from studio.engine.predictor import load_run
from studio.worker.channel import Channel

COMPARED = 200
TOLERANCE = 1e-4
"""Largest difference of a probability that still counts as the same model."""


class Agreement(TypedDict):
    """How far the export and the run agree, as ``Exported`` tells it."""

    compared: int
    agreeing: int
    largest_difference: float
    verified: bool


def export(command: Command, channel: Channel) -> None:
    """Run ``Export``."""
    assert isinstance(command, Export)
    run, home, folder = RunFolder(Path(command.run)), Home(Path(command.home)), as_typed(command.folder).resolve()
    config = run.config()
    check_target(folder, command.kind, config.method.kind)
    # A cancelled export is terminated; leaving through an exception takes the half-written folder away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    predictor = load_run(run, home, channel.stage)
    channel.measure(predictor.compute.kind, predictor.compute.memory_bytes)
    base = base_folder(config.model.base, home, channel.stage)
    texts = [example.text for example in read_split(run, "test")[:COMPARED]]
    # Without the true labels, as the clean process does it: what is computed together moves the last digits in bf16.
    expected = [
        row.prediction
        for row in predictor.classify(
            texts,
            progress=lambda done: channel.stage("predicting with the run", done, len(texts)),
            should_stop=lambda: channel.stop.requested,
        )
    ]
    with scratch_beside(folder) as scratch:
        channel.stage("writing the export")
        write_export(run, base, predictor.labels, predictor.encoder, scratch)
        verify = VerifyExport(
            folder=str(scratch),
            texts=texts,
            base=str(base),
            device=DeviceConfig(kind=predictor.compute.kind, index=predictor.compute.index),
            precision=predictor.compute.precision,
        )
        # The second process needs the memory that this one holds.
        compute = predictor.compute
        del predictor
        compute.release_models()
        agreement = compare(expected, _in_clean_process(verify, channel))
        channel.emit(Exported(folder=str(folder), files=publish(scratch, folder, agreement), **agreement))


def compare(ours: Sequence[Prediction], theirs: Sequence[Prediction]) -> Agreement:
    """Hold the export's predictions against the run's, message by message."""
    agreeing = sum(left.predicted == right.predicted for left, right in zip(ours, theirs, strict=True))
    difference = max((_difference(left, right) for left, right in zip(ours, theirs, strict=True)), default=0.0)
    return {
        "compared": len(ours),
        "agreeing": agreeing,
        "largest_difference": difference,
        "verified": agreeing == len(ours) and difference <= TOLERANCE,
    }


def verify_export(command: Command, channel: Channel) -> None:
    """Run ``VerifyExport``."""
    assert isinstance(command, VerifyExport)
    compute = choose_compute(command.device, command.precision)
    channel.measure(compute.kind, compute.memory_bytes)
    channel.stage("reloading the export in a clean process")
    predictor = load_export(Path(command.folder), Path(command.base), compute)
    scored = predictor.classify(
        command.texts,
        progress=lambda done: channel.stage("predicting with the export", done, len(command.texts)),
        should_stop=lambda: channel.stop.requested,
    )
    for row, answer in enumerate(scored):
        channel.emit(Predicted(request=row, prediction=answer.prediction))
    channel.emit(Finished(outcome="completed", rows=len(scored), seconds=channel.elapsed()))


def _in_clean_process(command: VerifyExport, channel: Channel) -> list[Prediction]:
    # Its stdin stays open while it works: when this process is cancelled the pipe closes, and it ends too.
    with subprocess.Popen(WORKER_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(encode(command))
        process.stdin.flush()
        predictions = []
        for line in process.stdout:
            event = decode_event(line)
            if isinstance(event, Predicted):
                predictions.append(event.prediction)
            elif isinstance(event, StageChanged):
                channel.stage(event.stage, event.done, event.total)
            elif isinstance(event, Failed):
                raise StudioError(
                    f"The export could not be reloaded, so it was not kept: {event.message}", event.remedy, event.detail, event.kind
                )
            if channel.stop.requested:
                process.terminate()
    if len(predictions) != len(command.texts):
        raise StudioError("The check of the export ended early, so it was not kept.", "Export it again.", kind="export_unverified")
    return predictions


def _difference(ours: Prediction, theirs: Prediction) -> float:
    """Largest absolute difference of a label's probability. One that a top list leaves out is at most its last entry."""
    left = {entry.label: entry.probability for entry in ours.top}
    right = {entry.label: entry.probability for entry in theirs.top}
    least_left, least_right = min(left.values()), min(right.values())
    return max(abs(left.get(label, least_left) - right.get(label, least_right)) for label in left.keys() | right.keys())
