"""The doctor: what it finds, and what it says to do."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from studio import doctor, libraries, probes
from tests.hub_stand_in import HubStandIn, hub
from tests.terminal import Terminal

__all__ = ["hub"]


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(tmp_path, capsys, monkeypatch)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, str, str]]:
    """What the child processes say, by a word of their program: (exit code, stdout, stderr)."""
    torch = {"version": "2.13", "cuda": None, "hip": None, "mps": False, "cards": []}
    table = {"import json, torch": (0, json.dumps(torch), ""), "QLibraryInfo": (0, "/nowhere\n", "")}

    def probe(code: str) -> subprocess.CompletedProcess[str]:
        returncode, out, err = next((answer for word, answer in table.items() if word in code), (0, "", ""))
        return subprocess.CompletedProcess([], returncode, out, err)

    monkeypatch.setattr(probes, "run_python", probe)
    monkeypatch.setattr(doctor, "_nvidia_card", lambda: None)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    return table


def test_a_good_installation(terminal: Terminal, answers: dict[str, tuple[int, str, str]]) -> None:
    assert answers
    assert terminal.run("doctor") == 0
    assert "torch 2.13" in terminal.out
    assert terminal.run("doctor", "--json") == 0
    assert {check["state"] for check in json.loads(terminal.out)} <= {"ok", "warning"}


def test_a_broken_torch_is_wrong(terminal: Terminal, answers: dict[str, tuple[int, str, str]]) -> None:
    answers["import json, torch"] = (1, "", "Traceback\nImportError: libtorch.so: not found\n")
    assert terminal.run("doctor") == 1
    assert "torch cannot be imported: ImportError: libtorch.so: not found" in terminal.out


def test_a_cpu_build_beside_an_nvidia_card_is_wrong(
    terminal: Terminal, answers: dict[str, tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answers
    monkeypatch.setattr(doctor, "_nvidia_card", lambda: "NVIDIA GeForce RTX 3090")
    assert terminal.run("doctor") == 1
    assert "RTX 3090 is present, but this torch was built without CUDA" in terminal.out


def test_pyside_6_12_0_on_3_11_is_wrong(
    terminal: Terminal, answers: dict[str, tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answers
    monkeypatch.setattr(doctor, "_installed", lambda name: "6.12.0" if name == "pyside6-essentials" else "1")
    monkeypatch.setattr(doctor.sys, "version_info", (3, 11, 7, "final", 0))
    assert terminal.run("doctor") == 1
    assert "PySide6 6.12.0 crashes on Python 3.11" in terminal.out


@pytest.mark.parametrize(
    ("manager", "command"),
    [
        ("apt-get", "sudo apt-get install libegl1 libxcb-cursor0 libxcb-icccm4"),
        ("dnf", "sudo dnf install libglvnd-egl xcb-util-cursor xcb-util-wm"),
    ],
)
def test_missing_system_libraries_come_with_the_command_that_installs_them(
    tmp_path: Path,
    answers: dict[str, tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    manager: str,
    command: str,
) -> None:
    plugin = tmp_path / "plugins" / "platforms" / "libqxcb.so"
    plugin.parent.mkdir(parents=True)
    plugin.touch()
    tools = tmp_path / "bin"
    tools.mkdir()
    listing = "libxcb-cursor.so.0 => not found\nlibxcb-icccm.so.4 => not found\nlibc.so.6 => /lib/libc.so.6 (0x1)\n"
    for name, text in (("ldd", f"#!/bin/sh\ncat <<END\n{listing}END\n"), (manager, "#!/bin/sh\n")):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    monkeypatch.setattr(libraries.shutil, "which", lambda name: str(tools / name) if (tools / name).exists() else None)
    answers["QGuiApplication"] = (1, "", "ImportError: libEGL.so.1: cannot open shared object file: No such file or directory")
    answers["QLibraryInfo"] = (0, f"{tmp_path / 'plugins'}\n", "")
    problem = doctor.display_problem()
    assert problem is not None
    assert "libEGL.so.1, libxcb-cursor.so.0, libxcb-icccm.so.4" in problem
    assert problem.endswith(command)


def test_where_no_package_manager_is_known_the_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries.shutil, "which", lambda _name: None)
    assert libraries.install_advice(["libEGL.so.1"]).endswith("libraries: libEGL.so.1")


def test_an_unreachable_display_is_told_in_qts_words(answers: dict[str, tuple[int, str, str]]) -> None:
    answers["QGuiApplication"] = (-6, "", "qt.qpa.xcb: could not connect to display :0\nmore\n")
    assert doctor.display_problem() == "Qt could not start: qt.qpa.xcb: could not connect to display :0"


def test_an_unwritable_home_is_wrong(tmp_path: Path, answers: dict[str, tuple[int, str, str]]) -> None:
    assert answers
    blocker = tmp_path / "file"
    blocker.touch()
    checks = list(doctor.examine(str(blocker / "home")))
    assert any(check.state == "wrong" and "cannot be written" in check.what for check in checks)


def test_offscreen_qt_really_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert doctor.display_problem() is None


def test_the_hub_is_asked_only_when_wanted(terminal: Terminal, answers: dict[str, tuple[int, str, str]]) -> None:
    answers["import constants, get_session"] = (0, "https://huggingface.co\n200 without a token\n", "")
    terminal.run("doctor")
    assert "Hugging Face" not in terminal.out
    terminal.run("doctor", "--hub")
    assert "https://huggingface.co answers (without a token)" in terminal.out
    answers["import constants, get_session"] = (1, "https://huggingface.co\n", "Traceback\nConnectError: refused\n")
    assert terminal.run("doctor", "--hub") == 0
    assert "cannot be reached: ConnectError: refused" in terminal.out
    assert "HTTPS_PROXY" in terminal.out


def test_the_question_to_the_hub_is_one_that_it_answers(hub: HubStandIn) -> None:
    assert doctor._check_hub().what == f"Hugging Face hub: {hub.endpoint} answers (without a token)"
    hub.failing = 503
    assert "status 503" in doctor._check_hub().what
    hub.close()
    assert "ConnectError" in doctor._check_hub().what
