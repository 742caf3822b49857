"""Short programs in a Python of their own: what a library does there cannot take this process down."""

from __future__ import annotations

import subprocess
import sys

_SECONDS = 120


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """How the program ``code`` ended and what it printed; a code of 1 when it took too long."""
    # -P: nothing in the current folder may pass for a library.
    command = [sys.executable, "-P", "-c", code]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {_SECONDS} seconds")
