"""The environment of a worker. What it is worth `make bench-forecast` shows: the measured peaks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from studio.supervise.environment import worker_environment
from studio.supervise.process import WorkerProcess


def test_a_worker_starts_in_it(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    program = "import os, sys; sys.stderr.write(os.environ['GLIBC_TUNABLES'])"
    process = WorkerProcess(log, command=(sys.executable, "-c", program))
    for _event in process.events():
        pass
    process.close()
    assert "glibc.malloc.tcache_count=0" in log.read_text("utf-8").split(":")


def test_what_a_person_has_set_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.mxfast=64")
    monkeypatch.setenv("OTHER", "stays")
    environment = worker_environment()
    assert environment["OTHER"] == "stays"
    assert environment["GLIBC_TUNABLES"].index("mxfast=0") < environment["GLIBC_TUNABLES"].index("mxfast=64"), (
        "the later one counts"
    )
    monkeypatch.delenv("GLIBC_TUNABLES")
    assert not worker_environment()["GLIBC_TUNABLES"].endswith(":")
    assert "GLIBC_TUNABLES" not in os.environ
