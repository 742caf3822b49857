"""Fixtures that watch every test: what it starts must have ended when it ends.

Unexpected Qt warnings fail a test too; pytest-qt does that (``qt_log_level_fail`` in pyproject.toml).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import psutil
import pytest

GRACE_SECONDS = 3.0
Item = TypeVar("Item")


@pytest.fixture(autouse=True)
def no_leaked_threads() -> Iterator[None]:
    """Fails a test that leaves a thread running Python behind, a QThread too."""
    # Not threading.enumerate(): it misses a Qt thread, or lists one that ended long ago.
    before = set(sys._current_frames())
    yield
    leaked = _after_grace(lambda: [thread for thread in sys._current_frames() if thread not in before])
    if leaked:
        known = {thread.ident: thread.name for thread in threading.enumerate()}
        names = ", ".join(known.get(thread, "a Qt thread") for thread in leaked)
        pytest.fail(f"The test left threads running: {names}", pytrace=False)


@pytest.fixture(autouse=True)
def no_leaked_processes() -> Iterator[None]:
    """Fails a test that leaves a child process behind, running or not waited for, and ends the running ones."""
    this = psutil.Process()
    before = set(this.children(recursive=True))
    yield
    leaked = _after_grace(lambda: [child for child in this.children(recursive=True) if child not in before])
    descriptions = [_describe(child) for child in leaked]
    for child in leaked:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(leaked, timeout=GRACE_SECONDS)
    if leaked:
        pytest.fail(f"The test left child processes: {'; '.join(descriptions)}", pytrace=False)


def _after_grace(find: Callable[[], list[Item]]) -> list[Item]:
    """What ``find`` still finds after some time to end."""
    deadline = time.monotonic() + GRACE_SECONDS
    while (found := find()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {process.status()} {' '.join(process.cmdline())}"
    except psutil.Error:
        return str(process.pid)
