"""Ways to run a job and hear everything it says: in a worker process, or in this one."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate.state import AcceleratorState

from studio.core.commands import Command, Train
from studio.core.config import RunConfig
from studio.core.events import Event, Heartbeat, Hello
from studio.core.runs import Home, RunFolder
from studio.core.wire import PROTOCOL, decode_event, encode
from studio.supervise.process import WorkerProcess
from studio.supervise.starting import start_job, start_training
from studio.worker import main as worker
from studio.worker.channel import Channel

EventType = TypeVar("EventType")
Item = TypeVar("Item")

WORDS = {
    "card_lost": "i lost my card",
    "exchange_rate": "what is the exchange rate",
    "top_up_failed": "my top up failed",
    "transfer_pending": "the transfer is pending",
    "überweisung": "wo bleibt die Überweisung",
}
RUNS = ("full-fp32", "lora-fp32", "qlora-fp32", "full-bf16", "lora-bf16", "qlora-bf16")
ENDINGS = ("", " today", " please", " !", " again", " and i wait", " since a week", " 😀", ", sorry", " 3", " help", " ?")


@dataclass(frozen=True)
class Trained:
    """A run that a worker process has ended."""

    home: Home
    run: RunFolder
    events: list[Event]

    @property
    def home_name(self) -> str:
        return str(self.home.path)

    def all(self, kind: type[EventType]) -> list[EventType]:
        return [event for event in self.events if isinstance(event, kind)]

    def one(self, kind: type[EventType]) -> EventType:
        (event,) = self.all(kind)
        return event


def write_messages(path: Path) -> Path:
    """Sixty messages of five intents that a tiny model can tell apart."""
    lines = [f'"{text}{ending}",{label}' for ending in ENDINGS for label, text in WORDS.items()]
    path.write_text("text,label\n" + "\n".join(lines) + "\n", "utf-8")
    return path


def config_for(source: Path, base: Path, kind: str, precision: str = "fp32", **training: Any) -> RunConfig:
    """A run of a second on one CPU thread. ``training`` replaces fields of [training].

    In fp32 the learning rate rises until it destroys what was learnt, so the best step is not the last; in bf16 the
    run just learns.
    """
    if precision == "fp32":
        pace = {"learning_rate": 0.2, "scheduler": "constant", "warmup_ratio": 0.95, "epochs": 10, "evaluate_every": 5}
    else:
        pace = {"learning_rate": 0.02, "epochs": 6}
    return RunConfig.model_validate(
        {
            "dataset": {"source": str(source), "validation_fraction": 0.2},
            "model": {"base": str(base)},
            "method": {"kind": kind, "rank": 8, "alpha": 16, "dropout": 0.0},
            "prompt": {"max_length": 96},
            "training": {"batch_size": 8, "threads": 1, "precision": precision, **pace, **training},
            "device": {"kind": "cpu"},
        }
    )


def train_to_the_end(home: Home, config: RunConfig, act: Callable[[WorkerProcess, Event], object] | None = None) -> Trained:
    """Train in a worker process. ``act`` is called with the process at each event."""
    run, process = start_training(home, config)
    return Trained(home, run, _hear(process, act))


def train_here(home: Home, config: RunConfig) -> Trained:
    """Train in this process, which has imported everything already."""
    run = home.create_run(config)
    return Trained(home, run, work_here(Train(run=str(run.path), home=str(home.path))))


def work(command: Command, act: Callable[[WorkerProcess, Event], object] | None = None) -> list[Event]:
    """Everything that a worker process with this one job says."""
    return _hear(start_job(command), act)


def _hear(process: WorkerProcess, act: Callable[[WorkerProcess, Event], object] | None) -> list[Event]:
    events: list[Event] = []
    for event in process.events():
        if not isinstance(event, Heartbeat):  # one may still come after the last word
            events.append(event)
        if act is not None:
            act(process, event)
    process.close()
    assert process.wait(10)
    return events


def two_at_a_time(jobs: Sequence[Callable[[], Item]]) -> list[Item]:
    """The jobs' results. Starting a worker is mostly importing, for which a second core helps."""
    with ThreadPoolExecutor(2) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


def work_here(command: Command, *more: Command, closed: bool = False) -> list[Event]:
    """Everything that the job says when this process runs it: no seconds of importing, and nothing else is different.

    ``more`` commands are sent before it begins; with ``closed`` none can come after them.
    """
    commands, app = os.pipe()
    os.write(app, b"".join(map(encode, more)))
    if closed:
        os.close(app)
    with tempfile.TemporaryFile() as said:
        channel = Channel(commands, said.fileno())
        threads = torch.get_num_threads()
        try:
            channel.emit(Hello(protocol=PROTOCOL, pid=os.getpid()))
            worker._run(command, channel)
        finally:
            channel.close()
            if not closed:
                os.close(app)
            await_no_thread("commands")
            os.close(commands)
            torch.set_num_threads(threads)
            AcceleratorState._reset_state(reset_partial_state=True)
        said.seek(0)
        return [decode_event(line) for line in said]


def await_no_thread(name: str) -> None:
    deadline = time.monotonic() + 5
    while any(thread.name == name for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.002)
