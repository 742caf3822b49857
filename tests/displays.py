"""Virtual displays for what has to be seen on a real window system."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


def needs(*tools: str) -> pytest.MarkDecorator:
    """Skip where a program is missing. In continuous integration that is a failure, not a reason to look away."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(missing) and not os.environ.get("CI"), reason=f"not installed: {', '.join(missing)}")


@contextmanager
def virtual_display() -> Iterator[str]:
    """An X display of its own, 1280 by 800 pixels, as the value of DISPLAY."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            yield f":{server.stdout.readline().strip()}"
        finally:
            server.terminate()
