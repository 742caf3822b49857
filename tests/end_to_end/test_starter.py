"""The real starter model on the sample: through the window, and in a terminal. Minutes on two cores."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.core.events import RunStarted
from studio.core.runs import Home, RunFolder
from tests.end_to_end.conftest import Drive
from tests.end_to_end.steps import ADAPTER

pytestmark = [pytest.mark.real, pytest.mark.timeout(1500)]
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Empty at first; the second test finds the starter converted."""
    return Home.locate(tmp_path_factory.mktemp("starter") / "home")


def test_the_sample_in_the_window(drive: Drive, home: Home, record_property: Record, capsys: pytest.CaptureFixture[str]) -> None:
    told = drive("test_sample", "offscreen", home.path, 1400)
    check_rows(RunFolder(Path(told["run"])))
    assert told["accuracy"] >= 0.8
    assert told["base_accuracy"] < told["accuracy"]
    for name in ("accuracy", "base_accuracy", "seconds"):
        record_property(name, told[name])
    with capsys.disabled():
        print(f"\nwindow: {told['seconds']:.0f} s from Train to Results, test accuracy {told['accuracy']:.1%}")


def test_the_demo_in_a_terminal(home: Home, record_property: Record, capsys: pytest.CaptureFixture[str]) -> None:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    }
    command = [str(Path(sys.executable).with_name("finetune-studio")), "demo", "--home", str(home.path)]
    began = time.monotonic()
    ran = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    assert ran.returncode == 0, ran.stderr
    shown = re.search(r"Accuracy: ([\d.]+) %", ran.stdout)
    assert shown is not None, ran.stdout
    accuracy = float(shown[1]) / 100
    assert accuracy >= 0.8
    run = home.list_runs()[0]
    check_rows(run)
    with (run.path / "confusion.csv").open(newline="", encoding="utf-8") as file:
        _, *rows = csv.reader(file)
    counts = [[int(number) for number in row[1:]] for row in rows]
    right = sum(row[position] for position, row in enumerate(counts))
    assert right / sum(map(sum, counts)) == pytest.approx(accuracy, abs=5e-4)
    exported = home.path / "exports" / f"{run.name}-adapter"
    assert {path.name for path in exported.iterdir()} >= ADAPTER
    assert "Verified in a clean process" in ran.stdout
    record_property("seconds", seconds)
    with capsys.disabled():
        print(f"\ndemo: {seconds:.0f} s, test accuracy {accuracy:.1%}")


def check_rows(run: RunFolder) -> None:
    (started,) = [event for event in run.events() if isinstance(event, RunStarted)]
    assert started.train_rows >= 400
    assert started.test_rows >= 120
