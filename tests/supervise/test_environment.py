"""The environment of a worker that computes. What it is worth `make bench-forecast` shows: the measured peaks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from studio.core.commands import Command, InspectData, Predict
from studio.core.config import DatasetConfig
from studio.supervise import starting
from studio.supervise.environment import computing_environment
from studio.supervise.process import WorkerProcess


def told(environment: dict[str, str] | None, log: Path) -> str:
    """What a process finds."""
    program = "import os, sys; sys.stderr.write(os.environ.get('GLIBC_TUNABLES', 'nothing'))"
    process = WorkerProcess(log, command=(sys.executable, "-c", program), environment=environment)
    for _event in process.events():
        pass
    process.close()
    return log.read_text("utf-8")


def test_a_process_starts_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    assert "glibc.malloc.tcache_count=0" in told(computing_environment(), tmp_path / "log.txt").split(":")
    assert told(None, tmp_path / "other.txt") == "nothing"


@pytest.mark.parametrize(
    ("command", "computes"),
    [(Predict(run="run", home="home", texts=["hi"]), True), (InspectData(dataset=DatasetConfig(source="file.csv")), False)],
)
def test_only_a_worker_with_a_model_is_started_in_it(monkeypatch: pytest.MonkeyPatch, command: Command, computes: bool) -> None:
    environments: list[dict[str, str] | None] = []

    class Started:
        def __init__(self, *_arguments: object, environment: dict[str, str] | None = None, **_options: object) -> None:
            environments.append(environment)

        def send(self, sent: Command) -> None:
            assert sent == command

    monkeypatch.setattr(starting, "WorkerProcess", Started)
    starting.start_job(command)
    assert (environments == [computing_environment()]) is computes


def test_what_a_person_has_set_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.mxfast=64")
    monkeypatch.setenv("OTHER", "stays")
    environment = computing_environment()
    assert environment["OTHER"] == "stays"
    assert environment["GLIBC_TUNABLES"].index("mxfast=0") < environment["GLIBC_TUNABLES"].index("mxfast=64"), (
        "the later one counts"
    )
    monkeypatch.delenv("GLIBC_TUNABLES")
    assert not computing_environment()["GLIBC_TUNABLES"].endswith(":")
    assert "GLIBC_TUNABLES" not in os.environ
