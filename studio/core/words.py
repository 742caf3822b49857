"""Numbers and names as a person reads them: the same in the window, on the command line and in messages."""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Iterable, Sequence

CRASHED = "The background process ended unexpectedly"
REPORT = "Copy the details into a bug report to the project."
UNKNOWN = "—"
METHOD_NAMES = {"full": "Full", "lora": "LoRA", "qlora": "QLoRA"}
METHOD_TITLES = METHOD_NAMES | {"full": "Full fine-tuning"}
MEMORY_PARTS = {
    "weights": "weights",
    "adapter": "adapter",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "activations": "activations",
    "logits": "label scores",
    "predictions": "predictions",
    "framework": "libraries",
}
"""The parts of a memory forecast."""
_SHOWN = 5


def percent(share: float | None, places: int = 1) -> str:
    """0.9642 → "96.4 %"; a dash for None and NaN."""
    if share is None or not math.isfinite(share):
        return UNKNOWN
    return f"{100 * share:.{places}f} %"


def points(difference: float | None) -> str:
    """A difference of shares in percentage points, signed: 0.0123 → "+1.2 points"."""
    if difference is None or not math.isfinite(difference):
        return UNKNOWN
    return f"{100 * difference:+.1f} points".replace("-", "\N{MINUS SIGN}")


def size(amount: float) -> str:
    """Bytes in the largest unit that leaves at least one; 1 GB = 2**30 bytes, as memory is sold."""
    for unit, power in (("GB", 30), ("MB", 20), ("kB", 10)):
        if amount >= 2**power:
            value = amount / 2**power
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"
    return f"{amount:.0f} bytes"


def short_number(number: float) -> str:
    """One digit, without the zero that Python puts into exponents: 3e-7."""
    return f"{number:.1g}".replace("e-0", "e-")


def size_of(used: float, total: float) -> str:
    """A share of a memory: "3.1 of 24 GB"."""
    return f"{used / 2**30:.1f} of {total / 2**30:.{0 if total >= 10 * 2**30 else 1}f} GB"


def duration(seconds: float | None) -> str:
    """A time span as a clock shows it: "0:07", "6:41", "1:02:03"; a dash for None and NaN."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def spoken_duration(seconds: float) -> str:
    """A time span within a sentence: "7 s", "6 min 41 s", "1 h 2 min"."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def age(then: float, now: float) -> str:
    """How long ago a Unix time was: just now, 5 min ago, 3 h ago, 2 days ago, or the date."""
    seconds = now - then
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    if seconds < 86400:
        return f"{seconds // 3600:.0f} h ago"
    if seconds < 7 * 86400:
        return f"{counted(int(seconds // 86400), 'day')} ago"
    return time.strftime("%d %b %Y", time.localtime(then))


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """ "1 row", "2 rows", "10,003 rows"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def short_count(number: float) -> str:
    """268M, 1.7B, 12.3k, 77."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if number >= limit:
            scaled = number / (1e3 if unit == "k" else limit)
            return f"{scaled:.0f}{unit}" if scaled >= 100 else f"{scaled:.1f}{unit}"
    return f"{number:,.0f}"


def listed(names: Iterable[str]) -> str:
    """The first five names in quotation marks, and how many more there are."""
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def nearest(name: str, known: Sequence[str]) -> str:
    """The known name that is most like ``name``, whatever its capitals. ``known`` must not be empty."""
    folded = {other.casefold(): other for other in reversed(known)}
    return folded[difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.0)[0]]


def sentence(text: str) -> str:
    """The same words with a capital at the start."""
    return text[:1].upper() + text[1:]
