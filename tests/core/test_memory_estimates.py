"""The guesses that stand in for token lengths, and the verdict over a forecast."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core import machine
from studio.core.config import RunConfig
from studio.core.memory import estimate_lengths, micro_batch_for, verdict


def test_longer_messages_are_more_tokens_up_to_the_bound() -> None:
    short, long, longest = (estimate_lengths("x" * size, "label", RunConfig(), "cpu").tokens for size in (40, 400, 40_000))
    assert short < long < longest == RunConfig().prompt.max_length


def test_the_micro_batch_suits_the_device_and_never_exceeds_the_batch() -> None:
    assert micro_batch_for(RunConfig(), "cpu") < micro_batch_for(RunConfig(), "cuda")
    assert micro_batch_for(RunConfig().with_training(batch_size=2), "cuda") == 2
    chosen = RunConfig().with_training(micro_batch=8)
    assert micro_batch_for(chosen, "cpu") == 8
    one = estimate_lengths("x", "y", RunConfig().with_training(micro_batch=1), "cpu")
    assert estimate_lengths("x", "y", chosen, "cpu").supervised == 8 * one.supervised


@pytest.mark.parametrize(("needed", "words"), [(80, "fits"), (85, "fits"), (86, "tight"), (100, "tight"), (101, "too big")])
def test_the_verdict(needed: int, words: str) -> None:
    assert verdict(needed, 100) == words


@pytest.mark.parametrize(("flags", "able"), [("sse avx512_bf16", True), ("sse amx_bf16", True), ("sse avx2", False)])
def test_bf16_is_read_from_the_cpus_flags(flags: str, able: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_: f"model name\t: CPU\nflags\t\t: {flags}\n")
    assert bool(machine.bf16_units.__wrapped__()) is able
