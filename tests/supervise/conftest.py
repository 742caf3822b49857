"""Workers that are small programs, and a watch over what they leave behind."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from studio.core.events import Event
from studio.supervise.process import Patience, WorkerProcess
from tests.fake_workers import write_worker

SHORT = Patience(silence=0.4, terminate=0.4)


@pytest.fixture
def fake_worker(tmp_path: Path) -> Callable[..., WorkerProcess]:
    """Start a worker with little patience whose program is ``body``: see ``write_worker``."""

    def start(body: str, log_path: Path | None = None, on_end: Callable[[Event], None] | None = None) -> WorkerProcess:
        return WorkerProcess(log_path, command=write_worker(tmp_path, body), patience=SHORT, on_end=on_end)

    return start


@pytest.fixture
def the_worker_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """From now on every job is done by the program ``body``: see ``write_worker``."""

    def replace(body: str) -> None:
        monkeypatch.setattr("studio.supervise.process.WORKER_COMMAND", write_worker(tmp_path, body))

    return replace


@pytest.fixture(autouse=True)
def no_leaked_descriptors() -> Iterator[None]:
    """Every test here closes its pipes and logs; threads and processes are watched for all tests."""
    before = _descriptors()
    yield
    deadline = time.monotonic() + 5
    while (more := _descriptors() - before) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not more


def _descriptors() -> set[str]:
    gc.collect()
    held = {f"{entry.name} {_target(entry)}" for entry in Path("/proc/self/fd").glob("*")}  # empty where there is no /proc
    return {entry for entry in held if "pipe:" in entry or "deleted" in entry or "worker" in entry}


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:  # closed meanwhile, like the one that listed them
        return ""
