"""Runs side by side in a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from studio.cli_output import Output, plain
from studio.core.comparison import RunComparison, figure_rows
from studio.core.words import counted, percent

_LISTED_MESSAGES = 20


def show_comparison(comparison: RunComparison, output: Output) -> None:
    """Figures, the settings that differ, and the first of the messages on which the runs disagree."""
    titles = [plain(run.title) for run in comparison.runs]
    figures = _table("figure", titles)
    for name, values in figure_rows(comparison.runs):
        figures.add_row(name, *(Text(plain(value)) for value in values))
    output.table(figures)
    differing = [setting for setting in comparison.settings if setting.differs]
    settings = _table("setting that differs", titles)
    for setting in differing:
        settings.add_row(setting.key, *(Text(plain(value)) for value in setting.values))
    output.say()
    output.table(settings if differing else "All settings are the same.")
    output.say()
    for problem in comparison.problems:
        output.warn(problem)
    if not comparison.common_messages:
        return
    which = "All runs predicted the same" if comparison.same_messages else "All runs predicted"
    output.say(f"{which} {counted(comparison.common_messages, 'test message')}.")
    for pair in comparison.pairs:
        output.say(plain(pair.sentence(comparison.runs[0].title)))
    found = comparison.disagreements
    if found:
        messages = _table("message", ["true intent", *titles])
        for row in found[:_LISTED_MESSAGES]:
            said = (f"{name} {percent(share)}" for name, share in zip(row.predicted, row.probability, strict=True))
            messages.add_row(*(Text(plain(value)) for value in (row.text, row.label, *said)))
        output.say()
        output.table(messages)
    if len(found) > _LISTED_MESSAGES:
        output.say(f"and {comparison.disagreeing - _LISTED_MESSAGES:,} more; --json lists them")


def _table(first: str, titles: list[str]) -> Table:
    listing = Table(first, box=None)
    for title in titles:
        listing.add_column(Text(title), overflow="fold")
    return listing
