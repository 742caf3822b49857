"""What a comparison of runs holds, and its arithmetic. The first run is the one that the others are held against."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from studio.core.words import UNKNOWN, counted, duration, percent, size

SIGNIFICANT = 0.05
MOST_LISTED = 20_000
"""Disagreements that are listed; all are counted."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RunFigures(_Part):
    """The figures of one run; None for what it does not tell."""

    name: str
    title: str
    method: str
    base: str
    device: str | None = None
    rows: int | None = None
    """Test messages."""
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    macro_f1: float | None = None
    peak_bytes: int | None = None
    forecast_bytes: int | None = None
    seconds: float | None = None
    trainable_parameters: int | None = None
    disk_bytes: int | None = None
    """Bytes of the checkpoint that stands for the run."""


class Setting(_Part):
    """One key of run.toml, such as ``method.rank``, and what it is in each run."""

    key: str
    values: list[str]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


class PairCounts(_Part):
    """How one run did on the messages that the first one predicted too."""

    name: str
    both_right: int = 0
    fixed: int = 0
    """Wrong in the first run, right in this one."""
    broken: int = 0
    """Right in the first run, wrong in this one."""
    both_wrong: int = 0

    @property
    def p_value(self) -> float:
        return mcnemar_exact(self.fixed, self.broken)

    def sentence(self, first: str) -> str:
        """What the counts say, in words."""
        if self.fixed == self.broken == 0:
            return f"{self.name} is right on exactly the messages that {first} is right on."
        chance = f"p = {self.p_value:.3f}" if self.p_value >= 0.001 else "p < 0.001"
        verdict = "chance alone rarely makes such a difference" if self.p_value < SIGNIFICANT else "chance alone may well do that"
        return (
            f"{self.name} is right on {counted(self.fixed, 'message')} that {first} gets wrong, and wrong on {self.broken:,} that "
            f"it gets right: {verdict} ({chance}, exact McNemar test, two-sided)."
        )


class Disagreement(_Part):
    """A message that not all runs predicted alike; one prediction and its probability a run."""

    text: str
    label: str
    predicted: list[str]
    probability: list[float]


class RunComparison(_Part):
    """Runs side by side, in the order in which they were given."""

    runs: list[RunFigures]
    settings: list[Setting]
    common_messages: int = 0
    """Test messages that all runs predicted."""
    same_messages: bool = False
    """All runs predicted these and no others."""
    pairs: list[PairCounts] = []
    """Each further run beside the first."""
    disagreeing: int = 0
    """Messages that not all runs predicted alike."""
    disagreements: list[Disagreement] = []
    """Those messages, or the first ``MOST_LISTED`` of them."""
    problems: list[str] = []
    """What could not be compared, in sentences."""


def mcnemar_exact(fixed: int, broken: int) -> float:
    """The two-sided p-value of McNemar's test, exact: the chance that so uneven a split, or one more uneven, comes of tossing
    a coin for each message on which only one of the two is right (McNemar 1947; the exact form is the binomial test)."""
    tossed, fewer = fixed + broken, min(fixed, broken)
    if fixed == broken:
        return 1.0
    logs = (
        math.lgamma(tossed + 1) - math.lgamma(heads + 1) - math.lgamma(tossed - heads + 1) - tossed * math.log(2)
        for heads in range(fewer + 1)
    )
    return min(1.0, 2 * math.fsum(math.exp(value) for value in logs))


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted keys with their values in words."""
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            flat[prefix + key] = ", ".join(map(str, value))
        else:
            flat[prefix + key] = UNKNOWN if value is None else str(value)
    return flat


def settings_side_by_side(runs: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """Every key of any run, in the order of run.toml."""
    flat = [flattened(run) for run in runs]
    keys = dict.fromkeys(key for run in flat for key in run)
    return [Setting(key=key, values=[run.get(key, UNKNOWN) for run in flat]) for key in keys]


def common_rows(tables: Sequence[Sequence[Hashable]]) -> list[list[int]]:
    """For each row that is in every table, its index in each of them; a row that occurs twice is two rows."""
    places: list[dict[tuple[Hashable, int], int]] = []
    for table in tables:
        seen: dict[Hashable, int] = {}
        place: dict[tuple[Hashable, int], int] = {}
        for index, row in enumerate(table):
            number = seen.get(row, 0)
            seen[row] = number + 1
            place[row, number] = index
        places.append(place)
    first, *others = places
    return [[index, *(place[key] for place in others)] for key, index in first.items() if all(key in place for place in others)]


def figure_rows(runs: Sequence[RunFigures]) -> list[tuple[str, list[str]]]:
    """The figures in words: a name, and what each run has."""

    def known(value: float | None, words: Callable[[float], str]) -> str:
        return UNKNOWN if value is None else words(value)

    def interval(run: RunFigures) -> str:
        if run.accuracy_low is None or run.accuracy_high is None:
            return UNKNOWN
        return f"{100 * run.accuracy_low:.1f} to {percent(run.accuracy_high)}"

    return [
        ("Test accuracy", [percent(run.accuracy) for run in runs]),
        ("95 % interval (Wilson)", [interval(run) for run in runs]),
        ("Macro-F1", [percent(run.macro_f1) for run in runs]),
        ("Test messages", [known(run.rows, "{:,}".format) for run in runs]),
        ("Peak memory", [known(run.peak_bytes, size) for run in runs]),
        ("Forecast of the peak", [known(run.forecast_bytes, size) for run in runs]),
        ("Duration", [known(run.seconds, duration) for run in runs]),
        ("Trained parameters", [known(run.trainable_parameters, "{:,}".format) for run in runs]),
        ("Size on disk", [known(run.disk_bytes, size) for run in runs]),
        ("Device", [run.device or UNKNOWN for run in runs]),
        ("Method", [run.method for run in runs]),
        ("Base model", [run.base for run in runs]),
    ]


def comparison_csv(comparison: RunComparison) -> str:
    """Figures, settings and messages as one CSV, each line with what it is of in the first column."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["part", "name", "true intent", *(run.title for run in comparison.runs)])
    for name, values in figure_rows(comparison.runs):
        writer.writerow(["figure", name, "", *values])
    for setting in comparison.settings:
        writer.writerow(["setting that differs" if setting.differs else "setting", setting.key, "", *setting.values])
    for row in comparison.disagreements:
        writer.writerow(["message", row.text, row.label, *row.predicted])
    return text.getvalue()
