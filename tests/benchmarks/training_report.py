"""The table of the training benchmark: medians over the rounds, and ratios to (A)."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.training_job import SAME_BATCHES, TITLES, Contender, Record, Run

HEAD = "".join(
    (
        f"{'s/step':>8}{'whole':>8}{'CPU s':>8}{'x A':>7}{'CPU x A':>9}",
        f"{'peak GiB':>10}{'of A':>7}{'loss off':>10}{'epoch off':>11}{'load':>7}",
    )
)


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "processor": _processor(),
        "cores": psutil.cpu_count(logical=False),
        "threads": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        facts = dict(line.split(":", 1) for line in lines if ":" in line)
        named = {key.strip(): value.strip() for key, value in facts.items()}
        return f"{named['model name']}, family {named['cpu family']}, model {named['model']}"
    except (OSError, KeyError):
        return platform.processor()


def seconds_a_step(record: Record, warm_up: int, cpu: bool = False) -> float:
    """The mean over the steps after the warm-up; over all where there are no more."""
    every = record.cpu_seconds if cpu else record.seconds
    return statistics.fmean(every[warm_up:] or every)


def epoch_loss(record: Record) -> float:
    """Mean over all supervised tokens of the epoch, in nats."""
    return sum(loss * graded for loss, graded in zip(record.losses, record.graded, strict=True)) / sum(record.graded)


def loss_difference(record: Record, ordinary: Record) -> float:
    """The largest between two runs over the same batches, relative to the ordinary one's."""
    return max(abs(ours - theirs) / abs(theirs) for ours, theirs in zip(record.losses, ordinary.losses, strict=True))


def summary(runs: Sequence[Run], warm_up: int) -> dict[Contender, dict[str, float]]:
    """The figures of one row of the benchmark by contender, medians over its rounds; those of who left no record are missing."""
    found: dict[Contender, dict[str, float]] = {}
    for contender in TITLES:
        records = [run.record for run in runs if run.contender == contender and run.record is not None]
        if not records:
            continue
        median = statistics.median
        found[contender] = {
            "seconds": median(seconds_a_step(record, warm_up) for record in records),
            "whole": median(sum(record.seconds) for record in records),
            "cpu": median(seconds_a_step(record, warm_up, cpu=True) for record in records),
            "peak": median(record.peak_bytes for record in records),
            "epoch_loss": median(epoch_loss(record) for record in records),
            "load": median(run.load[0] for run in runs if run.contender == contender),
        }
    ordinary = next((run.record for run in runs if run.contender == "trainer" and run.record is not None), None)
    if ordinary is None:
        return found
    for contender, figures in found.items():
        base = found["trainer"]
        figures["faster"] = base["seconds"] / figures["seconds"]
        figures["cpu_faster"] = base["cpu"] / figures["cpu"]
        figures["memory"] = figures["peak"] / base["peak"]
        figures["epoch_off"] = abs(figures["epoch_loss"] / base["epoch_loss"] - 1)
        if contender in SAME_BATCHES:
            records = [run.record for run in runs if run.contender == contender and run.record is not None]
            figures["loss_off"] = max(loss_difference(record, ordinary) for record in records)
    return found


def lines(title: str, runs: Sequence[Run], warm_up: int) -> list[str]:
    """One row of the benchmark as a table for a terminal."""
    table = [f"\n{title:<52}{HEAD}"]
    found = summary(runs, warm_up)
    for contender in dict.fromkeys(run.contender for run in sorted(runs, key=lambda run: list(TITLES).index(run.contender))):
        figures = found.get(contender)
        if figures is None:
            table.append(f"  {TITLES[contender]:<50}{'failed':>8}")
            continue

        def told(name: str, form: str, of: dict[str, float] = figures) -> str:
            return format(of[name], form) if name in of else "-"

        table.append(
            f"  {TITLES[contender]:<50}{told('seconds', '.3f'):>8}{told('whole', '.1f'):>8}{told('cpu', '.3f'):>8}"
            f"{told('faster', '.2f'):>7}{told('cpu_faster', '.2f'):>9}{figures['peak'] / 2**30:>10.2f}{told('memory', '.0%'):>7}"
            f"{told('loss_off', '.1e'):>10}{told('epoch_off', '.1e'):>11}{told('load', '.1f'):>7}"
        )
    notes = dict.fromkeys(note for run in runs if run.record is not None for note in run.record.notes)
    failures = [f"{TITLES[run.contender]}, round {run.round}: {run.failure}" for run in runs if run.failure is not None]
    return [*table, *(f"  {note}" for note in notes), *(f"  {failure}" for failure in failures)]
