"""What is known of the computer without torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core import machine


@pytest.mark.parametrize(("flags", "able"), [("sse avx512_bf16", True), ("sse amx_bf16", True), ("sse avx2", False)])
def test_bf16_is_read_from_the_cpus_flags(flags: str, able: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_: f"model name\t: CPU\nflags\t\t: {flags}\n")
    assert bool(machine.bf16_units.__wrapped__()) is able
