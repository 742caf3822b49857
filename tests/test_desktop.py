"""The entry of the applications menu: valid, complete, and gone without a trace when it is removed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.displays import needs

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="for Linux desktops")


@pytest.fixture
def desktop(tmp_path: Path) -> Path:
    """A user's folder with a name that needs quoting, and an environment with the app in it."""
    program = tmp_path / 'of "me" & $HOME' / "bin"
    program.mkdir(parents=True)
    (program / "finetune-studio").write_text('#!/bin/sh\necho started > "$(dirname "$0")/started"\n', "utf-8")
    (program / "finetune-studio").chmod(0o755)
    (program / "python").symlink_to(sys.executable)
    return tmp_path


def run(desktop: Path, *words: str) -> subprocess.CompletedProcess[str]:
    python = next(desktop.glob("of*")) / "bin" / "python"
    environment = os.environ | {"XDG_DATA_HOME": str(desktop / "data"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", _AS_IF_FROM.format(python=str(python), script=str(ROOT / "packaging" / "desktop.py")), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


# An interpreter in a folder of its own, without installing anything into one.
_AS_IF_FROM = "import sys, runpy; sys.executable = {python!r}; runpy.run_path({script!r}, run_name='__main__')"


def entry(desktop: Path) -> Path:
    return desktop / "data" / "applications" / "finetune-studio.desktop"


def test_it_is_installed_and_removed(desktop: Path) -> None:
    done = run(desktop, "install")
    assert done.returncode == 0, done.stderr
    icon = desktop / "data/icons/hicolor/scalable/apps/finetune-studio.svg"
    assert icon.read_bytes() == (ROOT / "resources/icons/finetune-studio.svg").read_bytes()
    assert "Icon=finetune-studio\n" in entry(desktop).read_text("utf-8")
    assert run(desktop, "remove").stdout.count("Removed") == 2
    assert not entry(desktop).exists()
    assert not icon.exists()
    assert "not installed" in run(desktop, "remove").stdout


@needs("desktop-file-validate")
def test_the_entry_is_valid(desktop: Path) -> None:
    run(desktop, "install")
    for path in (ROOT / "packaging" / "finetune-studio.desktop", entry(desktop)):
        done = subprocess.run(["desktop-file-validate", str(path)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, ""), done.stdout


@pytest.mark.skipif(shutil.which("gio") is None, reason="not installed: gio")
def test_the_entry_starts_the_program(desktop: Path) -> None:
    run(desktop, "install")
    subprocess.run(["gio", "launch", str(entry(desktop))], timeout=30, check=True)
    program = next(desktop.glob("of*")) / "bin"
    for _ in range(200):
        if (program / "started").exists():
            return
        subprocess.run(["sleep", "0.05"], check=True)
    pytest.fail("nothing was started")


def test_wrong_usage_and_a_missing_app_are_told(desktop: Path) -> None:
    assert run(desktop).returncode == 2
    (next(desktop.glob("of*")) / "bin" / "finetune-studio").unlink()
    done = run(desktop, "install")
    assert (done.returncode, "make run" in done.stderr) == (1, True)
    assert not entry(desktop).exists()


def test_the_folder_is_no_package() -> None:
    """Run from the repository's root it would shadow the library `packaging`."""
    assert not (ROOT / "packaging" / "__init__.py").exists()
