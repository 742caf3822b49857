"""The first start from a checkout: which Python it takes, and that only a finished installation counts as one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(os.name == "nt" or not shutil.which("make"), reason="needs make and a POSIX shell")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Just what the first start reads."""
    (tmp_path / "packaging").mkdir()
    for name in ("Makefile", "pyproject.toml", "packaging/setup.sh", "packaging/constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def _make(checkout: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # A make above this one (`make test`) hands down its own flags.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=checkout, env=environment | variables, capture_output=True, text=True, check=False
    )


def _fake_python(folder: Path, script: str) -> str:
    path = folder / "fake-python"
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(0o755)
    return str(path)


def test_unsuitable_python_is_refused_by_name(checkout: Path) -> None:
    python = _fake_python(checkout, 'test "$1" = --version && echo "Python 3.9.2"')
    done = _make(checkout, "run", f"PYTHON={python}")
    assert done.returncode != 0
    assert "needs Python 3.11, 3.12 or 3.13. Found: Python 3.9.2" in done.stderr
    assert not (checkout / ".venv").exists()


def test_missing_venv_module_names_the_package(checkout: Path) -> None:
    python = _fake_python(checkout, f'case "$2" in *ensurepip*) exit 1;; esac; exec "{sys.executable}" "$@"')
    done = _make(checkout, "run", f"PYTHON={python}")
    assert done.returncode != 0
    assert f"sudo apt-get install python{sys.version_info[0]}.{sys.version_info[1]}-venv" in done.stderr


def test_failed_installation_leaves_no_stamp(checkout: Path) -> None:
    done = _make(checkout, "run", f"PYTHON={sys.executable}", PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull, PIP_FIND_LINKS="")
    assert done.returncode != 0
    assert "The installation failed" in done.stderr
    assert (checkout / ".venv").exists()
    assert not list((checkout / ".venv").glob(".installed*"))


def test_second_start_installs_nothing_until_the_requirements_change(checkout: Path) -> None:
    first = _make(checkout, "-n", "run").stdout
    stamp = re.search(r"setup\.sh starter (\S+)", first)
    assert stamp, first
    (checkout / ".venv").mkdir()
    (checkout / stamp[1]).touch()
    assert "setup.sh" not in _make(checkout, "-n", "run").stdout
    with (checkout / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("# another requirement\n")
    assert "setup.sh" in _make(checkout, "-n", "run").stdout
