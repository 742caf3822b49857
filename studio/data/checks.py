"""What looks wrong in a data set that can be used all the same: sentences, and the rows behind each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from studio.core.words import counted, listed
from studio.data.examples import Example, Problem, normalised

FEW_MESSAGES = 10
"""An intent with fewer different messages to train on is told."""
LONG_MESSAGE = 10_000
"""Characters. A longer message is told; few models read as much."""


def check_examples(examples: Sequence[Example], drawn: bool) -> list[Problem]:
    """Problems within one pool of rows: contradictions, copies, and intents that look like one misspelt.

    ``drawn`` says that a split will be drawn from the pool, which keeps copies together.
    """
    alike: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        alike[normalised(example.text)].append(example)
    groups = [group for group in alike.values() if len(group) > 1]
    together = "Kept, all copies in the same split." if drawn else "Kept."
    problems = []
    contradictory = [group for group in groups if len({row.label for row in group}) > 1]
    if contradictory:
        first = contradictory[0]
        problems.append(
            Problem(
                "contradiction",
                f"{counted(len(contradictory), 'message')} with more than one intent, for example {_short(first[0].text)} "
                f"({listed(sorted({row.label for row in first}))}). Kept, but a model cannot learn both.",
                _flat(contradictory),
            )
        )
    copies = [same for group in groups for same in _same(group, exactly=True)]
    if copies:
        number = sum(len(group) - 1 for group in copies)
        problems.append(
            Problem("duplicate", f"{counted(number, 'row')} repeating another row word for word. {together}", _flat(copies))
        )
    similar = [same for group in groups for same in _same(group, exactly=False)]
    if similar:
        number = sum(len({row.text for row in group}) - 1 for group in similar)
        problems.append(
            Problem(
                "similar",
                f"{counted(number, 'message')} differing from another only in capitals or spaces. {together}",
                _flat(similar),
            )
        )
    return problems + _check_spelling(examples)


def check_sizes(train: Sequence[Example]) -> list[Problem]:
    """Intents with too few different messages to train on."""
    different: dict[str, set[str]] = defaultdict(set)
    for row in train:
        if len(different[row.label]) < FEW_MESSAGES:
            different[row.label].add(normalised(row.text))
    few = {label: len(texts) for label, texts in sorted(different.items()) if len(texts) < FEW_MESSAGES}
    if not few:
        return []
    named = ", ".join(f"{label!r} ({number})" for label, number in sorted(few.items(), key=lambda item: item[1])[:5])
    more = f" and {len(few) - 5:,} more" if len(few) > 5 else ""
    return [
        Problem(
            "few_rows",
            f"{counted(len(few), 'intent')} with fewer than {FEW_MESSAGES} messages to train on: {named}{more}. "
            "Kept, but such intents are rarely predicted right: add messages.",
            [row for row in train if row.label in few],
        )
    ]


def check_lengths(rows: Iterable[Example]) -> list[Problem]:
    """Messages so long that they are rather a whole document, or the rest of a file behind a quotation mark that nothing closes."""
    long = [row for row in rows if len(row.text) > LONG_MESSAGE]
    if not long:
        return []
    longest = max(len(row.text) for row in long)
    return [
        Problem(
            "long",
            f"{counted(len(long), 'message')} of more than {LONG_MESSAGE:,} characters; the longest has {longest:,}. "
            "Kept, but a model reads no more than the beginning. Look whether a quotation mark is missing.",
            long,
        )
    ]


def check_overlap(used: Sequence[Example], use: str, held_out: Sequence[Example], name: str) -> list[Problem]:
    """Messages of ``held_out`` that the model has been trained on or chosen by, which make it look better than it is."""
    asked: dict[str, list[Example]] = defaultdict(list)
    for row in held_out:
        asked[normalised(row.text)].append(row)
    known: dict[str, list[Example]] = defaultdict(list)
    for row in used:
        if (key := normalised(row.text)) in asked:
            known[key].append(row)
    problems = []
    for exactly, how in ((True, "word for word"), (False, "but for capitals and spaces")):
        number, behind = 0, []
        for key, twins in known.items():
            texts = {twin.text for twin in twins}
            seen = [row for row in asked[key] if (row.text in texts) == exactly]
            number += len(seen)
            behind += [*seen, *twins] if seen else []
        if number:
            problems.append(
                Problem(
                    "leak",
                    f"{counted(number, f'{name} message')} also in the {use} split, {how}. "
                    f"Kept, which makes the {name} result look better than it is.",
                    behind,
                )
            )
    return problems


def _same(group: list[Example], exactly: bool) -> list[list[Example]]:
    """Of messages that are alike: the groups that share an intent, and the text too or at least not."""
    by_label: dict[str, list[Example]] = defaultdict(list)
    for row in group:
        by_label[row.label].append(row)
    if not exactly:
        return [rows for rows in by_label.values() if len({row.text for row in rows}) > 1]
    found = []
    for rows in by_label.values():
        by_text: dict[str, list[Example]] = defaultdict(list)
        for row in rows:
            by_text[row.text].append(row)
        found += [copies for copies in by_text.values() if len(copies) > 1]
    return found


def _check_spelling(examples: Sequence[Example]) -> list[Problem]:
    sizes = Counter(example.label for example in examples)
    spellings: dict[str, list[str]] = defaultdict(list)
    for label in sizes:
        spellings["".join(label.split()).casefold()].append(label)
    problems = []
    for names in spellings.values():
        if len(names) > 1:
            rare = set(names) - {max(names, key=lambda name: sizes[name])}
            problems.append(
                Problem(
                    "spelling",
                    f"The intents {listed(sorted(names))} differ only in spaces or capitals. Kept apart.",
                    [row for row in examples if row.label in rare],
                )
            )
    return problems


def _flat(groups: Iterable[Sequence[Example]]) -> list[Example]:
    return [row for group in groups for row in group]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 60 else line[:59] + "…")
