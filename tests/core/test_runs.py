"""The run folder and the list of runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from studio.core.config import DatasetConfig, MethodConfig, RunConfig
from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed, Finished, LogLine, ProtocolError
from studio.core.files import write_atomically, write_json
from studio.core.runs import Home, RunFolder
from studio.core.wire import encode

FINISHED = Finished(outcome="completed", rows=10, accuracy=0.9, macro_f1=0.8)
HOLD_LOCK = """
import sys
from pathlib import Path
from studio.core.runs import RunFolder
with RunFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.locate(tmp_path / "home")


@contextmanager
def locked_elsewhere(run: RunFolder) -> Iterator[subprocess.Popen[str]]:
    """Another process holds the run's lock."""
    command = [sys.executable, "-c", HOLD_LOCK, str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_home_is_given_or_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUNE_STUDIO_HOME", str(tmp_path / "named"))
    assert Home.locate().path == tmp_path / "named"
    home = Home.locate(tmp_path / "given")
    assert home.path == tmp_path / "given"
    assert home.runs.is_dir()
    assert home.models.is_dir()
    assert sorted(path.name for path in home.path.iterdir()) == ["models", "runs"]


def test_unwritable_home_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StudioError, match="cannot be written") as caught:
        Home.locate(tmp_path / "file" / "home")
    assert caught.value.kind == "unwritable_home"


def test_runs_are_numbered_and_keep_their_config(home: Home) -> None:
    config = RunConfig(dataset=DatasetConfig(source="/data/My Bank (1).csv"), method=MethodConfig(kind="full"))
    first, second = home.create_run(config), home.create_run(config)
    assert [first.name, second.name] == ["my-bank-1-full-1", "my-bank-1-full-2"]
    assert first.config() == config
    assert home.create_run(RunConfig(dataset=DatasetConfig(source="数据.csv"))).name == "data-lora-1"


def test_runs_are_listed_newest_first(home: Home) -> None:
    runs = [home.create_run(RunConfig()) for _ in range(3)]
    for age, run in enumerate(runs):
        os.utime(run.path / "run.toml", (1_000 + age, 1_000 + age))
    (home.runs / "not-a-run").mkdir()
    assert home.list_runs() == runs[::-1]


def test_runs_are_found_by_name_or_folder(home: Home) -> None:
    run = home.create_run(RunConfig())
    assert home.find_run(run.name) == run
    assert home.find_run(str(run.path)) == run
    with pytest.raises(StudioError, match="no run 'sample-lora-2'") as caught:
        home.find_run("sample-lora-2")
    assert run.name in caught.value.remedy


@pytest.mark.parametrize(
    ("final", "state", "accuracy"),
    [
        (FINISHED, "completed", 0.9),
        (FINISHED.model_copy(update={"outcome": "stopped"}), "stopped", 0.9),
        (Finished(outcome="stopped"), "stopped", None),
        (Failed(kind="bad_input", message="m", remedy="r"), "failed", None),
        (Crashed(exit_code=-9, signal="SIGKILL", log_tail="", likely_cause="", remedy=""), "crashed", None),
    ],
)
def test_outcome_comes_back(home: Home, final: Finished | Failed | Crashed, state: str, accuracy: float | None) -> None:
    run = home.create_run(RunConfig())
    run.write_outcome(final)
    outcome = run.outcome()
    assert outcome is not None
    assert encode(outcome.final) == encode(final)
    summary = run.summary()
    assert (summary.state, summary.accuracy) == (state, accuracy)
    assert (summary.name, summary.method, summary.base, summary.source) == (run.name, "lora", "starter", "sample")


@pytest.mark.parametrize("outcome", [None, Finished(outcome="stopped", peak_bytes=7, base_accuracy=0.125), FINISHED])
def test_later_scores_leave_the_outcome_as_it_was(home: Home, outcome: Finished | None) -> None:
    run = home.create_run(RunConfig())
    if outcome is not None:
        run.write_outcome(outcome)
    before = (run.outcome(), run.state())
    run.record_scores(Finished(outcome="completed", rows=9, accuracy=0.25))
    scores = run.scores()
    assert scores is not None
    assert run.summary().accuracy == scores.accuracy == 0.25
    assert repr((run.outcome(), run.state())) == repr(before)  # NaN is not equal to itself
    assert scores.base_accuracy == (outcome.base_accuracy if outcome is not None else None)
    run.scores_path.write_text("{")
    assert run.summary().accuracy == (FINISHED.accuracy if outcome is FINISHED else None)


def test_a_damaged_outcome_counts_as_none(home: Home) -> None:
    run = home.create_run(RunConfig())
    for content in (b"", b"{", b'{"final": {}}', b"\xff"):
        (run.path / "outcome.json").write_bytes(content)
        assert run.outcome() is None


def test_events_come_back_without_a_torn_last_line(home: Home) -> None:
    run = home.create_run(RunConfig())
    assert list(run.events()) == []
    events: list[Event] = [LogLine(level="info", text=text) for text in ("one", "zwei \u2028 ü")]
    torn = encode(LogLine(level="info", text="torn"))[:-5]
    run.events_path.write_bytes(encode(events[0]) + b"junk\n" + encode(events[1]) + torn)
    first, junk, second = run.events()
    assert [first, second] == events
    assert isinstance(junk, ProtocolError)


def test_state_follows_the_worker(home: Home) -> None:
    run = home.create_run(RunConfig())
    assert run.state() == "new"
    with locked_elsewhere(run) as process:
        assert run.is_running()
        assert run.state() == "running"
        process.kill()
        process.wait()
        assert not run.is_running()
        assert run.state() == "new"
        run.events_path.write_bytes(encode(LogLine(level="info", text="begun")))
        assert run.state() == "interrupted"
    with run.lock():
        pass
    assert not run.is_running()


def test_a_run_that_ends_while_one_looks_is_not_interrupted(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    run = home.create_run(RunConfig())
    run.events_path.touch()

    def end(self: RunFolder) -> bool:
        self.write_outcome(Finished(outcome="completed"))
        return False

    monkeypatch.setattr(RunFolder, "is_running", end)
    assert run.state() == "completed"


def test_only_complete_checkpoints_count(home: Home) -> None:
    run = home.create_run(RunConfig())
    assert run.checkpoint() is None
    for step in (9, 10, 100):
        (run.checkpoints / f"step-{step}").mkdir(parents=True)
    assert run.checkpoint() is None
    for step in (9, 10):
        (run.checkpoints / f"step-{step}" / "manifest.json").touch()
    assert run.checkpoint() == run.checkpoints / "step-10"


def test_what_was_being_replaced_comes_back_unless_the_run_is_at_work(home: Home) -> None:
    run = home.create_run(RunConfig())
    for name in (".step-3.replaced", ".step-4.replaced", "step-4"):
        (run.checkpoints / name).mkdir(parents=True)
    names = {path.name for path in run.checkpoints.iterdir()}
    with run.lock():
        run.put_back_replaced()
        assert {path.name for path in run.checkpoints.iterdir()} == names
    assert home.find_run(run.name) == run
    assert {path.name for path in run.checkpoints.iterdir()} == {"step-3", "step-4", ".step-4.replaced"}


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_atomically(path, "ä\n")
    assert path.read_bytes() == "ä\n".encode()
    write_json(path, {"é": [1, None]})
    assert path.read_text("utf-8") == '{\n "é": [\n  1,\n  null\n ]\n}\n'
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "x" * 100_000 + "\ud800")
    assert path.read_text("utf-8").startswith("{")


def test_a_run_older_than_chat_templates_was_plain(home: Home) -> None:
    run = home.create_run(RunConfig())
    assert run.config().prompt.use_chat_template == "auto"
    text = (run.path / "run.toml").read_text("utf-8")
    (run.path / "run.toml").write_text(text.replace('use_chat_template = "auto"\n', ""), "utf-8")
    assert run.config().prompt.use_chat_template is False
