"""The real program on a real (virtual) display: started as a person starts it, used by the keyboard alone, and quit."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from studio.core.runs import Home
from tests.displays import needs

pytestmark = [needs("Xvfb", "xdotool"), pytest.mark.timeout(600)]


@pytest.fixture
def messages(tmp_path: Path) -> Path:
    path = tmp_path / "messages.csv"
    words = {"greeting": "good morning to you", "weather": "will it rain", "farewell": "see you"}
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["text", "intent"])
        table.writerows([f"{text} {number}", intent] for number in range(20) for intent, text in words.items())
    return path


class Person:
    """Hands on the keyboard of a display."""

    def __init__(self, display: str) -> None:
        self._environment = os.environ | {"DISPLAY": display}

    def press(self, *keys: str) -> None:
        self._xdotool("key", "--delay", "50", *keys)

    def find_window(self, name: str) -> str:
        """Waits until a window of that name is in sight, gives it the keyboard and returns its id."""
        window = self._xdotool("search", "--sync", "--onlyvisible", "--name", name).split()[-1]
        self._xdotool("windowfocus", "--sync", window)
        return window

    def size_of(self, window: str) -> tuple[int, int]:
        lines = dict(line.split("=") for line in self._xdotool("getwindowgeometry", "--shell", window).splitlines())
        return int(lines["WIDTH"]), int(lines["HEIGHT"])

    def _xdotool(self, *arguments: str) -> str:
        command = ["xdotool", *arguments]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True, timeout=60).stdout


def _wait_until(
    holds: Callable[[], bool], window: subprocess.Popen[bytes], seconds: float, do: Callable[[], None] = lambda: None
) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert window.poll() is None, f"the window closed by itself, with exit code {window.returncode}"
        assert time.monotonic() < deadline, "it took too long"
        do()
        time.sleep(0.5)


def test_a_run_from_start_to_results(display: str, messages: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    home = Home.locate(tmp_path / "home")
    # What the window remembers of last time: the person's file and model.
    (home.path / "window.ini").write_text(f"[General]\nsource={messages}\nbase={tiny_model_folder}\n", "utf-8")
    environment = os.environ | {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "FINETUNE_STUDIO_HOME": str(home.path)}
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment["TMPDIR"] = str(scratch)
    log = tmp_path / "stderr.txt"
    with log.open("wb") as errors:
        window = subprocess.Popen([sys.executable, "-m", "studio"], cwd=tmp_path, env=environment, stderr=errors)
    try:
        person = Person(display)
        width, height = person.size_of(person.find_window("^Finetune Studio$"))
        assert width >= 1024
        assert height >= 700

        # The window refuses to train until it has read the file, so a person tries again.
        _wait_until(lambda: bool(home.list_runs()), window, 180, lambda: person.press("ctrl+Return"))
        run = home.list_runs()[0]
        _wait_until(lambda: run.state() not in ("new", "running"), window, 180)
        assert run.state() == "completed"
        assert run.predictions_path.exists()
        # The window asks back while the run's process is still ending.
        _wait_until(lambda: not psutil.Process(window.pid).children(), window, 60)
        time.sleep(2)
        person.press("ctrl+1", "ctrl+2", "ctrl+3", "ctrl+4", "ctrl+5")
        person.press("ctrl+q")
        assert window.wait(timeout=30) == 0
    finally:
        if window.poll() is None:
            window.kill()
            window.wait()
    assert log.read_text("utf-8") == ""
    assert not (home.path / "app.log").exists()
    assert list(scratch.iterdir()) == []
