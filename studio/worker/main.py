"""``python -m studio --worker``: one process, one job."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from studio.core.commands import Command, Resume, Train
from studio.core.errors import StudioError
from studio.core.events import Failed, Hello
from studio.core.failures import explain
from studio.core.runs import RunFolder
from studio.core.wire import PROTOCOL
from studio.worker.channel import Channel

Job = Callable[[Command, Channel], None]

# Modules by name, so that a preview of a file never pays for importing torch.
JOBS = {
    "inspect_data": "studio.worker.inspection:inspect_data",
    "describe_model": "studio.worker.description:describe_model",
    "download_model": "studio.worker.downloading:download_model",
    "list_models": "studio.worker.downloading:list_models",
    "forecast": "studio.worker.description:forecast",
    "inspect_tokens": "studio.worker.tokens:inspect_tokens",
    "train": "studio.worker.training:train",
    "resume": "studio.worker.training:resume",
    "evaluate": "studio.worker.inference:evaluate",
    "predict": "studio.worker.inference:predict",
    "load_model": "studio.worker.chatting:chat",
    "export": "studio.worker.exporting:export",
    "verify_export": "studio.worker.exporting:verify_export",
    "compare_runs": "studio.worker.comparing:compare",
    "write_report": "studio.worker.reporting:write_report",
}
_LAUNCHER_VARIABLES = (
    *("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"),
    *("PMI_SIZE", "PMI_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
)


def main() -> int:
    """Run the first command that arrives. 0 when the job came to its end, ``Failed`` included."""
    faulthandler.enable()
    prepare_environment()
    _ignore_terminal_signals()
    channel = Channel.take_standard_streams()
    try:
        channel.emit(Hello(protocol=PROTOCOL, pid=os.getpid()))
        if (command := channel.next_command()) is not None:
            _run(command, channel)
    finally:
        channel.close()
    return 0


def _run(command: Command, channel: Channel) -> None:
    try:
        _find(command.command)(command, channel)
    except Exception as error:
        failed = explain(error)
        traceback.print_exc()  # into the log
        with contextlib.suppress(StudioError):  # the record may be what failed
            channel.emit(failed)
        # A run that is busy belongs to the process that trains it, and so does its outcome. One that could not be gone on
        # with stays as it was.
        if (isinstance(command, Train) and failed.kind != "busy") or (isinstance(command, Resume) and channel.recording):
            _keep_outcome(RunFolder(Path(command.run)), failed)


def _find(name: str) -> Job:
    if name not in JOBS:
        raise StudioError(f"{name!r} is no job of its own.", "Start the worker with a job first.", kind="protocol")
    module, function = JOBS[name].split(":")
    job: Job = getattr(importlib.import_module(module), function)
    return job


def _keep_outcome(run: RunFolder, failed: Failed) -> None:
    if run.outcome() is None:
        with contextlib.suppress(OSError):  # the app writes it when this process could not
            run.write_outcome(failed)


def prepare_environment() -> None:
    """What a worker's process has to be told before it loads its libraries."""
    # bitsandbytes and transformers fetch native code through the `kernels` library when it is installed.
    sys.modules["kernels"] = None  # type: ignore[assignment]  # None is how an import is refused
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    # Models are loaded from folders. Only a look-up or a download reaches the network, and says so (studio/data/hub.py);
    # a person who forbade that beforehand is heard.
    os.environ.setdefault("FINETUNE_STUDIO_HUB_OFFLINE", os.environ.get("HF_HUB_OFFLINE", ""))
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Under torchrun, MPI or a cluster's scheduler these would make accelerate open a port and wait for other processes.
    for name in _LAUNCHER_VARIABLES:
        os.environ.pop(name, None)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # torch's OpenMP threads wait for one another by spinning, milliseconds at a time. When another program takes a core,
    # each wait lasts until the scheduler intervenes; with a short spin the waiting thread gives its core up.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    # oneDNN keeps what it has compiled for each shape of a product, with room of its own to work in, for the newest thousand
    # by default: 0.2 GB after sixty steps of the starter, and more with every new length. A layer and its way back need two dozen.
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, "32")


def _ignore_terminal_signals() -> None:
    # Ctrl-C and a closed terminal reach the command line, which sends Pause or closes stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
