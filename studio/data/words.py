"""Small helpers for the sentences that people read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_SHOWN = 5


def counted(number: int, noun: str) -> str:
    """``1 row``, ``2 rows``, ``10,003 rows``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: Iterable[str]) -> str:
    """The first five names in quotation marks, and how many more there are."""
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def nearest(name: str, known: Sequence[str]) -> str:
    """The known name that is most like ``name``, whatever its capitals. ``known`` must not be empty."""
    folded = {other.casefold(): other for other in reversed(known)}
    return folded[difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.0)[0]]
