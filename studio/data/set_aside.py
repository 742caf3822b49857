"""Rows set aside for a split, and rows thinned out: every intent gives its share, the same on every machine."""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

from studio.core.errors import StudioError
from studio.core.events import SplitName
from studio.core.words import counted, listed
from studio.data.examples import Example, Problem, normalised

_Item = TypeVar("_Item")


def set_aside(
    rows: list[Example], fraction: float, seed: int, name: SplitName, problems: list[Problem]
) -> tuple[list[Example], list[Example]]:
    """(rows that stay, rows set aside), both in the file's order."""
    groups = _group(rows)
    shares = _shares({label: len(texts) for label, texts in groups.items()}, fraction, random.Random(f"{seed} {name}"))
    if not any(shares.values()):
        raise StudioError(
            f"No row can be set aside as {name} split: no intent has two different messages.",
            f"Add rows, or name a {name} file.",
        )
    chosen: set[int] = set()
    for label, texts in groups.items():
        # A generator for each intent: new rows of one intent do not move the others' rows.
        for copies in _shuffled(list(texts.values()), f"{seed} {name} {label}")[: shares[label]]:
            chosen.update(copies)
    single = sorted(label for label, texts in groups.items() if len(texts) == 1)
    if single:
        alone = set(single)
        problems.append(
            Problem(
                "small_split",
                f"{counted(len(single), 'intent')} with too few rows to be in the {name} split: {listed(single)}. "
                "Kept for training.",
                [row for row in rows if row.label in alone],
            )
        )
    absent = sorted(label for label, share in shares.items() if share == 0 and len(groups[label]) > 1)
    if absent:
        problems.append(
            Problem(
                "small_split",
                f"A share of {fraction:g} is too small for every intent to be in the {name} split; "
                f"{counted(len(absent), 'is', 'are')} missing: {listed(absent)}. Kept for training.",
            )
        )
    stay = [row for position, row in enumerate(rows) if position not in chosen]
    return stay, [rows[position] for position in sorted(chosen)]


def _group(rows: Sequence[Example]) -> dict[str, dict[str, list[int]]]:
    """The positions of the rows by intent and message, where capitals and spaces make no other message."""
    groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for position, row in enumerate(rows):
        groups[row.label][normalised(row.text)].append(position)
    return groups


def _shares(sizes: Mapping[str, int], fraction: float, generator: random.Random) -> dict[str, int]:
    """How many messages each intent gives: its quota rounded down, then one more for the largest remainders (Hamilton).

    Where the whole is enough for it, every intent that can gives at least one.
    """
    able = [label for label in sorted(sizes) if sizes[label] > 1]
    wanted = max(1, round(fraction * sum(sizes[label] for label in able)))
    least = 1 if wanted >= len(able) else 0
    shares = dict.fromkeys(sizes, 0) | {label: max(least, int(fraction * sizes[label])) for label in able}
    generator.shuffle(able)
    able.sort(key=lambda label: shares[label] - fraction * sizes[label])
    for label in [label for label in able if shares[label] < sizes[label] - 1][: max(0, wanted - sum(shares.values()))]:
        shares[label] += 1
    # What small intents give beyond their quota, those that are furthest above theirs give less.
    givers = [(fraction * sizes[label] - shares[label], label) for label in able if shares[label] > least]
    heapq.heapify(givers)
    for _ in range(sum(shares.values()) - wanted):
        lacking, label = heapq.heappop(givers)
        shares[label] -= 1
        if shares[label] > least:
            heapq.heappush(givers, (lacking + 1, label))
    return shares


def limited(rows: list[Example], limit: int, seed: int) -> list[Example]:
    """The same number of rows from every intent as far as it has them, ``limit`` in all, in the file's order."""
    if limit >= len(rows):
        return rows
    positions: dict[str, list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        positions[row.label].append(position)
    if limit < len(positions):
        raise StudioError(
            f"A limit of {counted(limit, 'training row')} is too small for {len(positions)} intents.",
            f"Allow at least {len(positions)}, or keep fewer intents.",
        )
    chosen: list[int] = []
    smallest_first = sorted(positions, key=lambda label: (len(positions[label]), label))
    for done, label in enumerate(smallest_first):
        # What a small intent cannot give is shared by those after it.
        share = (limit - len(chosen)) // (len(smallest_first) - done)
        chosen += _shuffled(positions[label], f"{seed} limit {label}")[:share]
    return [rows[position] for position in sorted(chosen)]


def _shuffled(items: Sequence[_Item], seed: str) -> list[_Item]:
    shuffled = list(items)
    random.Random(seed).shuffle(shuffled)
    return shuffled
