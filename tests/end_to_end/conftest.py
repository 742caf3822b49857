"""What the tests of the whole program share: a display, and a window that is driven in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.displays import virtual_display

# Their asserts tell what they compared, as those of a test do.
pytest.register_assert_rewrite("tests.end_to_end.hands", "tests.end_to_end.steps")

ROOT = Path(__file__).parents[2]
DRIVES = Path(__file__).with_name("drives.py")
Drive = Callable[..., dict[str, Any]]


@pytest.fixture
def display() -> Iterator[str]:
    """The DISPLAY of a virtual X server."""
    with virtual_display() as name:
        yield name


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    """``drive(name, platform, home, seconds, **settings)`` runs one test of drives.py; returns what it reports.

    The process is a new one because others here import torch, and the window's must be shown to do without.
    """

    def run(name: str, platform: str, home: Path, seconds: float, **settings: str) -> dict[str, Any]:
        report = tmp_path / "report.json"
        environment = os.environ | {"FINETUNE_STUDIO_HOME": str(home), "DRIVE_REPORT": str(report), **settings}
        if platform == "offscreen":
            return _run(name, environment | {"QT_QPA_PLATFORM": "offscreen"}, seconds, report)
        with virtual_display() as screen:
            return _run(name, environment | {"QT_QPA_PLATFORM": "xcb", "DISPLAY": screen}, seconds, report)

    return run


def _run(name: str, environment: Mapping[str, str], seconds: float, report: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", f"timeout={seconds}", f"{DRIVES}::{name}"]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if ran.returncode != 0:
        pytest.fail(f"The drive failed:\n{ran.stdout}\n{ran.stderr}", pytrace=False)
    told: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return told
