"""What looks wrong in a data set that can be used all the same, in sentences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from studio.core.words import counted, listed
from studio.data.sources import Example


def check_examples(examples: Sequence[Example]) -> list[str]:
    """Problems within one pool of rows: contradictions, copies, and intents that look like one misspelt."""
    labels_of: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        labels_of[example.text].add(example.label)
    problems = []
    contradictory = [text for text, labels in labels_of.items() if len(labels) > 1]
    if contradictory:
        first = contradictory[0]
        problems.append(
            f"{counted(len(contradictory), 'message')} with more than one intent, for example {_short(first)} "
            f"({listed(sorted(labels_of[first]))}): a model cannot learn both."
        )
    copies = len(examples) - len(set(examples))
    if copies:
        problems.append(f"{counted(copies, 'row')} repeating another row word for word.")
    spellings: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        spellings["".join(example.label.split()).casefold()].add(example.label)
    for names in spellings.values():
        if len(names) > 1:
            problems.append(f"The intents {listed(sorted(names))} differ only in spaces or capitals and are kept apart.")
    return problems


def check_overlap(used: Sequence[Example], use: str, held_out: Sequence[Example], name: str) -> list[str]:
    """Messages of ``held_out`` that the model has been trained on or chosen by, which make it look better than it is."""
    known = {example.text for example in used}
    seen = sum(example.text in known for example in held_out)
    return (
        [f"{counted(seen, f'{name} message')} also in the {use} split, word for word, which flatters the result."] if seen else []
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 60 else line[:59] + "…")
