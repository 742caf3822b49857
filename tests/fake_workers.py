"""Small programs that pass for a worker: they speak the wire, crash, stall or print junk."""

from __future__ import annotations

import sys
import textwrap
import time
from pathlib import Path

_PRELUDE = """
import json, os, signal, subprocess, sys, time
def say(event, **fields):
    sys.stdout.buffer.write(json.dumps({"event": event, **fields}).encode() + b"\\n")
    sys.stdout.buffer.flush()
def finish():
    say("finished", outcome="completed")
"""


def write_worker(folder: Path, body: str) -> tuple[str, ...]:
    """The command of a worker whose program is ``body``; ``say(event, **fields)`` and ``finish()`` are at hand there."""
    script = folder / f"worker_{time.monotonic_ns()}.py"
    script.write_text(_PRELUDE + textwrap.dedent(body))
    return (sys.executable, "-S", str(script))
