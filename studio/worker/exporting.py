"""Jobs that write an export and prove it in a clean process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypedDict

from studio.core.answers import ComparedMessage, Exported, Predicted, Prediction
from studio.core.commands import Command, Export, VerifyExport
from studio.core.config import DeviceConfig
from studio.core.errors import StudioError
from studio.core.events import Failed, Finished, StageChanged
from studio.core.exports import TOLERANCE, check_export_kind, export_folder
from studio.core.runs import Home, RunFolder
from studio.core.wire import WORKER_COMMAND, decode_event, encode
from studio.data.splits import read_split
from studio.engine.devices import choose_compute
from studio.engine.exports import check_room, check_target, export_bytes, load_export, publish, scratch_beside, write_export
from studio.engine.models import base_folder
from studio.engine.predictor import load_run
from studio.worker.channel import Channel

COMPARED = 200
_SIZE_SECONDS = 0.25


def export(command: Command, channel: Channel) -> None:
    """Run ``Export``."""
    assert isinstance(command, Export)
    run, home, folder = RunFolder(Path(command.run)), Home(Path(command.home)), export_folder(command.folder)
    config = run.config()
    check_export_kind(command.kind, config.method.kind)
    check_target(folder, (run.path, home.runs))
    # A cancelled export is terminated; leaving through an exception takes the half-written folder away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    base = base_folder(config.model, home, channel.stage)
    needed = export_bytes(run, command.kind, base)
    check_room(folder, needed)
    # bf16 on CUDA rounds a merged weight otherwise than the two products that it replaces. On the CPU both sides are fp32.
    predictor = load_run(run, home, channel.stage, DeviceConfig(kind="cpu") if command.kind == "merged" else None)
    compute, encoder, labels = predictor.compute, predictor.encoder, predictor.labels
    channel.measure(compute.kind, compute.memory_bytes)
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
    # Merging and the second process need the memory that this model holds.
    del predictor
    compute.release_models()
    with scratch_beside(folder) as scratch:
        with _telling_size("writing the export", scratch, needed, channel):
            program = write_export(run, command.kind, base, labels, encoder, compute, scratch)
        compute.release_models()
        verify = VerifyExport(
            folder=str(scratch),
            texts=texts,
            base=str(base),
            device=DeviceConfig(kind=compute.kind, index=compute.index),
            precision=compute.precision,
        )
        messages = compare(expected, _in_clean_process(verify, channel))
        agreement = _agreement(messages)
        files = publish(scratch, folder, {"kind": command.kind, **agreement})
        for stand_in, path in (("THIS_FOLDER", folder), ("BASE_FOLDER", base)):
            program = program.replace(f'"{stand_in}"', json.dumps(str(path)))
        channel.emit(Exported(folder=str(folder), files=files, messages=messages, program=program, **agreement))


class Agreement(TypedDict):
    """How far the export and the run agree, as ``Exported`` tells it."""

    compared: int
    agreeing: int
    largest_difference: float
    tolerance: float
    verified: bool


def compare(ours: Sequence[Prediction], theirs: Sequence[Prediction]) -> list[ComparedMessage]:
    """Hold the export's predictions against the run's, message by message; the worst first, other predictions before all."""
    messages = [
        ComparedMessage(
            text=left.text,
            run_predicted=left.predicted,
            run_probability=left.probability,
            export_predicted=right.predicted,
            export_probability=right.probability,
            difference=_difference(left, right),
        )
        for left, right in zip(ours, theirs, strict=True)
    ]
    return sorted(messages, key=lambda row: (row.run_predicted == row.export_predicted, -row.difference))


def _agreement(messages: Sequence[ComparedMessage]) -> Agreement:
    agreeing = sum(row.run_predicted == row.export_predicted for row in messages)
    difference = max((row.difference for row in messages), default=0.0)
    return {
        "compared": len(messages),
        "agreeing": agreeing,
        "largest_difference": difference,
        "tolerance": TOLERANCE,
        "verified": agreeing == len(messages) and difference <= TOLERANCE,
    }


@contextmanager
def _telling_size(stage: str, folder: Path, total: int, channel: Channel) -> Iterator[None]:
    """While it lasts, tell how many bytes are in ``folder``: the libraries that write there say nothing."""
    done = threading.Event()

    def tell() -> None:
        while not done.wait(_SIZE_SECONDS):
            channel.stage(stage, min(total, _bytes_in(folder)), total, "bytes")

    channel.stage(stage, 0, total, "bytes")
    thread = threading.Thread(target=tell, name="export-size", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.iterdir():
        with suppress(OSError):  # renamed or gone since it was listed
            total += path.stat().st_size
    return total


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
        try:
            process.stdin.write(encode(command))
            process.stdin.flush()
        except OSError:  # it has ended already: that it said nothing is told below
            with suppress(OSError):  # what was not written is tried again
                process.stdin.close()
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
