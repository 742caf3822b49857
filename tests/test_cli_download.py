"""Downloads on the command line: what is asked of the worker, what is shown of its way, and what is left to copy."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from studio.cli_progress import start_progress
from studio.core.answers import DownloadProgressed
from tests.terminal import FINISHED, STARTED, Terminal

PROGRESS = """
for done in (1, 3, 4):
    say("download_progressed", file="model.safetensors", done=done * 2**20, total=2**22, bytes_per_second=2.5 * 2**20,
        seconds_left=70.0)
"""
DOWNLOADED = """
command = json.loads(sys.stdin.readline())
say("hello", protocol=1, pid=os.getpid())
say("stage_changed", stage="downloading the model")
PROGRESS
say("model_described", description=dict(base=command["model"]["base"], name="tiny", architecture="LlamaForCausalLM",
    licence="mit", parameters=135_000_000, linears=[], hidden=1, intermediate=1, layers=1, heads=1, vocabulary=1,
    disk_bytes=2**29, context_length=1, revision=command["model"]["revision"] or "c0ffee"))
""".replace("PROGRESS", PROGRESS)


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(tmp_path, capsys, monkeypatch)


@pytest.mark.parametrize("typed", ["people/tiny", "hub:people/tiny", "https://huggingface.co/people/tiny"])
def test_a_model_is_fetched_and_named_for_a_run_file(terminal: Terminal, typed: str) -> None:
    terminal.worker_is(DOWNLOADED)
    assert terminal.run("download", typed) == 0
    assert "Downloading the model" in terminal.out
    assert "4.0 MB of 4.0 MB, 2.5 MB/s" in terminal.out
    assert "135M parameters, 512 MB, licence: mit" in terminal.out
    assert '[model]\nbase = "hub:people/tiny"\nrevision = "c0ffee"' in terminal.out


def test_json_is_one_document(terminal: Terminal) -> None:
    terminal.worker_is(DOWNLOADED)
    assert terminal.run("download", "people/tiny", "--revision", "v1", "--json") == 0
    answer = json.loads(terminal.out)
    assert answer["description"]["base"] == "hub:people/tiny"
    assert answer["description"]["revision"] == "v1"


def test_what_can_be_no_id_is_told(terminal: Terminal) -> None:
    assert terminal.run("download", "two words") == 1
    assert "'two words' is no id of a model of the hub" in terminal.err
    assert "org/name" in terminal.err


def test_training_shows_the_download_of_its_base(terminal: Terminal) -> None:
    terminal.worker_is(STARTED + PROGRESS + FINISHED)
    terminal.run("train", "sample")
    assert "4.0 MB of 4.0 MB" in terminal.out


def test_the_bar_counts_bytes() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    with start_progress(console) as progress:
        progress.show(
            DownloadProgressed(file="a", done=2**20, total=2**22, bytes_per_second=2.0**20, seconds_left=3.0),
        )
        assert progress._bar is not None
        progress._bar.refresh()
    assert isinstance(console.file, io.StringIO)
    assert "1.0 MB of 4.0 MB" in console.file.getvalue()
    assert "1.0 MB/s" in console.file.getvalue()
    assert "left" in console.file.getvalue()
