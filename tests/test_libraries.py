"""Installing what Qt misses: only on Debian and its kin, only with the right to, and never without a word."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from studio import __main__, doctor, libraries

MISSING = ["libxcb-cursor.so.0", "libEGL.so.1"]


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system with a display, whose apt-get and sudo write down how they were called."""
    for tool in ("apt-get", "sudo"):
        body = f'echo "{tool} $*" >> {tmp_path}/calls\n'
        if tool == "sudo":
            body += 'test "$1" = -n && shift\ntest -e "$(dirname "$0")/asks" && exit 1\nexec "$@"\n'
        else:
            body += 'test "$DEBIAN_FRONTEND" = noninteractive || exit 9\ntest ! -e "$(dirname "$0")/broken"\n'
        (tmp_path / tool).write_text(f"#!/bin/sh\n{body}", "utf-8")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(libraries, "missing_libraries", lambda _words="": MISSING)
    monkeypatch.setattr(libraries.os, "geteuid", lambda: 1000)
    return tmp_path


def calls(system: Path) -> list[str]:
    path = system / "calls"
    return path.read_text("utf-8").splitlines() if path.exists() else []


INSTALLED = "apt-get install -y --no-install-recommends libegl1 libxcb-cursor0"


def test_root_installs_and_says_so_first(system: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(libraries.os, "geteuid", lambda: 0)
    assert libraries.install_missing()
    assert calls(system) == ["apt-get update -qq", INSTALLED]
    said = capfd.readouterr()
    assert said.out == ""
    assert "libxcb-cursor.so.0" in said.err
    assert INSTALLED in said.err


def test_sudo_that_asks_nothing_is_used(system: Path) -> None:
    assert libraries.install_missing()
    assert calls(system)[-1] == INSTALLED
    assert calls(system)[0] == "sudo -n true"


def test_without_the_right_to_nothing_is_done(system: Path) -> None:
    (system / "asks").touch()
    assert not libraries.install_missing()
    assert calls(system) == ["sudo -n true"]


def test_a_failure_is_told(system: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (system / "broken").touch()
    assert not libraries.install_missing()
    assert "apt-get says why" in capfd.readouterr().err


@pytest.mark.parametrize("why", ["nothing is missing", "no display", "no apt-get"])
def test_nothing_is_touched(system: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    if why == "nothing is missing":
        monkeypatch.setattr(libraries, "missing_libraries", lambda _words="": [])
    elif why == "no display":
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
            monkeypatch.delenv(name, raising=False)
    else:
        monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert not libraries.install_missing()
    assert calls(system) == []


@pytest.mark.parametrize(("option", "opened"), [(["--install-libraries"], True), ([], False)])
def test_the_window_opens_after_it(monkeypatch: pytest.MonkeyPatch, option: list[str], opened: bool) -> None:
    problems = iter(["Qt needs system libraries", None])
    monkeypatch.setattr(doctor, "display_problem", lambda: next(problems))
    monkeypatch.setattr(libraries, "install_missing", lambda: True)
    monkeypatch.setattr(__main__, "_open_window", lambda _home: 42)
    monkeypatch.setattr("sys.argv", ["finetune-studio", *option])
    assert (__main__.main() == 42) is opened
