"""What can be known of this computer without torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

DeviceName = Literal["cpu", "cuda", "mps"]

_BF16_FLAGS = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16"}


@cache
def bf16_units() -> tuple[str, ...]:
    """The parts of the CPU that multiply bf16 numbers themselves. Only Linux says so in a file; elsewhere none is known."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ()
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return tuple(name for flag, name in _BF16_FLAGS.items() if flag in flags)


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 numbers itself."""
    return bool(bf16_units())


def device_kind(name: str) -> DeviceName:
    """What a device's name, as in ``RunStarted``, is the name of."""
    name = name.lower()
    return "cuda" if name.startswith("cuda") else "mps" if "mps" in name else "cpu"
