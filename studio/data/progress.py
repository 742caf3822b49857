"""How a long piece of work tells how far it is, and hears that it is to stop."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Told a stage, and how much of how much is done; a total of 0 is unknown."""


def silent(_stage: str, _done: int, _total: int) -> None:
    """For those who show no progress."""


def never() -> bool:
    """For those whom nobody asks to stop."""
    return False
