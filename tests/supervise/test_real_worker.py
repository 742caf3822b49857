"""The parent's end of the wire against the real worker, and training through it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.core.answers import DataInspected
from studio.core.commands import InspectData
from studio.core.config import DatasetConfig, RunConfig
from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed
from studio.core.runs import Home
from studio.supervise.process import Patience, WorkerProcess
from studio.supervise.starting import start_job, start_training


def read(process: WorkerProcess) -> list[Event]:
    return list(process.events())


def test_the_real_worker_inspects_a_file_without_torch(tmp_path: Path) -> None:
    source = tmp_path / "messages.csv"
    rows = [f"message {n} about {name},{name}" for n in range(10) for name in ("cards", "loans")]
    source.write_text("\n".join(["text,intent", *rows]))
    process = start_job(InspectData(dataset=DatasetConfig(source=str(source))))
    last = read(process)[-1]
    assert isinstance(last, DataInspected)
    assert last.guess.label_column == "intent"
    assert sum(last.train_counts.values()) + sum(last.validation_counts.values()) + sum(last.test_counts.values()) == 20


def test_a_file_in_the_current_folder_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "psutil.py").write_text("open('executed', 'w').close()")
    monkeypatch.chdir(tmp_path)
    process = start_job(InspectData(dataset=DatasetConfig(source="nothing.csv")))
    assert isinstance(read(process)[-1], Failed)
    assert not (tmp_path / "executed").exists()


def test_the_real_worker_ends_when_its_stdin_closes_before_any_command() -> None:
    process = WorkerProcess(patience=Patience(silence=60))
    process.close()
    hello, last = read(process)
    assert hello.event == "hello"
    assert isinstance(last, Crashed)
    assert last.exit_code == 0


def test_a_training_worker_that_dies_leaves_an_outcome(tmp_path: Path, the_worker_is: Callable[[str], None]) -> None:
    the_worker_is("sys.stdin.readline(); os.kill(os.getpid(), signal.SIGKILL)")
    run, process = start_training(Home.locate(tmp_path / "home"), RunConfig())
    (crashed,) = read(process)
    outcome = run.outcome()
    assert outcome is not None
    assert outcome.final == crashed
    assert run.state() == "crashed"
    assert run.log_path.exists()


def test_a_training_worker_that_cannot_start_leaves_a_failed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.supervise.process.WORKER_COMMAND", (str(tmp_path / "nothing"),))
    home = Home.locate(tmp_path / "home")
    with pytest.raises(StudioError, match="could not be started"):
        start_training(home, RunConfig())
    (run,) = home.list_runs()
    outcome = run.outcome()
    assert outcome is not None
    assert isinstance(outcome.final, Failed)
    assert outcome.final.kind == "worker_missing"


HEAVY = ("torch", "transformers", "datasets", "pandas", "peft", "studio.engine", "studio.data", "studio.worker")


@pytest.mark.parametrize(
    ("modules", "banned"),
    [
        ("studio.cli", ("PySide6", *HEAVY)),
        ("studio.supervise.process", ("PySide6", *HEAVY)),
        ("studio.supervise.threads, studio.supervise.jobs, studio.supervise.gauges", ("PySide6.QtWidgets", *HEAVY)),
    ],
)
def test_nothing_heavy_is_loaded(modules: str, banned: tuple[str, ...]) -> None:
    code = f"import sys, {modules}; print([name for name in {banned!r} if name in sys.modules])"
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert listed.strip() == "[]"
