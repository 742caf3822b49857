"""All runs of the home folder, newest first, as a Qt list model."""

from __future__ import annotations

import time
from bisect import bisect
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QTimer

from studio.core.errors import StudioError
from studio.core.notes import ABOUT
from studio.core.runs import Home, RunFolder, RunState, RunSummary
from studio.core.starter import base_name
from studio.core.words import METHOD_NAMES, age, percent
from studio.ui.models.table_model import NO_PARENT, Index, Role, WordsFilter
from studio.ui.theme import OVERLAYS
from studio.ui.words import plain_tooltip

AT_ONCE, SLICE = 40, 20
"""Runs that are read when the list is, and then in one go; between two the window lives."""
SUMMARY_ROLE = int(Role.UserRole) + 1
OVERLAY_ROLE = int(Role.UserRole) + 2
"""The colour in which a run is laid over the open one's plots, as one of the theme's ``OVERLAYS``; None when it is not."""

STATE_WORDS: dict[RunState, str] = {
    "new": "not started",
    "running": "running",
    "completed": "completed",
    "stopped": "stopped",
    "paused": "paused",
    "failed": "failed",
    "crashed": "crashed",
    "interrupted": "interrupted",
}


def source_name(source: str) -> str:
    """A data set as a person calls it."""
    return "Sample" if source == "sample" else Path(source).name


class RunsModel(QAbstractListModel):
    """Reads the run folders; what it shows survives a restart because it is kept nowhere else."""

    def __init__(self, home: Home, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._home = home
        self._rows: list[RunSummary] = []
        self._settled: dict[Path, tuple[tuple[int, ...], RunSummary]] = {}
        self.running: Path | None = None
        """The folder of the run that this window trains."""
        self._overlaid: list[Path | None] = [None] * len(OVERLAYS)
        self._unread: deque[RunFolder] = deque()
        self._places: dict[Path, int] = {}
        """Of each run in the list of all, the newest first."""
        self._reading = QTimer(self, singleShot=True, interval=0)
        self._reading.timeout.connect(self._read_on)

    @property
    def overlaid(self) -> list[Path | None]:
        """The folder of the run in each of the colours of ``OVERLAYS``; None for a free one."""
        return list(self._overlaid)

    def overlay(self, paths: Iterable[Path]) -> None:
        """Mark these runs as laid over, in the order given; those for which no colour is left stay unmarked."""
        wanted = list(dict.fromkeys(paths))
        kept = [path if path in wanted else None for path in self._overlaid]
        new = iter([path for path in wanted if path not in kept])
        self._overlaid = [path if path is not None else next(new, None) for path in kept]
        if self._rows:
            self.dataChanged.emit(self.index(0), self.index(len(self._rows) - 1))

    def refresh(self) -> None:
        """Read the folders again; a run that has ended only when its outcome was written anew.

        Of many the newest are read at once, the others soon: those that are not listed yet join them one by one.
        """
        known = {row.path: row for row in self._rows}
        runs = self._home.list_runs()
        self._places = {run.path: place for place, run in enumerate(runs)}
        self._unread.clear()
        rows, read = [], 0
        for run in runs:
            settled = self._settled_summary(run)
            if settled is None and read == AT_ONCE:
                self._unread.append(run)
                settled = known.get(run.path)
            elif settled is None:
                settled, read = self._summary(run), read + 1
            if settled is not None:
                rows.append(settled)
        if self._unread:
            self._reading.start()
        if rows == self._rows:
            return
        if [row.path for row in rows] == [row.path for row in self._rows]:
            self._rows = rows
            self.dataChanged.emit(self.index(0), self.index(len(rows) - 1))
            return
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()

    def _read_on(self) -> None:
        for run in [self._unread.popleft() for _ in range(min(SLICE, len(self._unread)))]:
            row, index = self._summary(run), self.row_of(run.path)
            if index.isValid():
                self._rows[index.row()] = row
                self.dataChanged.emit(index, index)
                continue
            place = bisect(self._rows, self._places[run.path], key=lambda other: self._places[other.path])
            self.beginInsertRows(NO_PARENT, place, place)
            self._rows.insert(place, row)
            self.endInsertRows()
        if self._unread:
            self._reading.start()

    def row_of(self, path: Path) -> QModelIndex:
        """The index of a run, invalid when it is not listed."""
        for number, row in enumerate(self._rows):
            if row.path == path:
                return self.index(number)
        return QModelIndex()

    def runs(self) -> list[tuple[str, RunFolder]]:
        """All runs by the names a person gave them, newest first."""
        return [(row.notes.title or row.name, RunFolder(row.path)) for row in self._rows]

    def words(self, number: int) -> str:
        """What is known of a run."""
        return _words(self._rows[number])

    def rowCount(self, parent: Index = NO_PARENT) -> int:  # noqa: N802
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Role.DisplayRole) -> Any:
        row = self._rows[index.row()]
        if role == Role.DisplayRole:
            return row.name
        if role == SUMMARY_ROLE:
            return row
        overlaid = row.path in self._overlaid
        if role == OVERLAY_ROLE:
            return OVERLAYS[self._overlaid.index(row.path)] if overlaid else None
        if role == Role.AccessibleTextRole:
            return _words(row) + ("\nIts curves are laid over those of the open run" if overlaid else "")
        if role == Role.ToolTipRole:
            return plain_tooltip(_words(row))
        return None

    def _settled_summary(self, run: RunFolder) -> RunSummary | None:
        """What was read of a run that has ended, if it still holds."""
        ended, summary = self._settled.get(run.path, (None, None))
        return summary if run.path != self.running and ended == _end_time(run) else None

    def _summary(self, run: RunFolder) -> RunSummary:
        running, ended = run.path == self.running, _end_time(run)
        try:
            # Our own is not asked for its state: that would take the lock which its worker is about to take.
            summary = _running_summary(run) if running else run.summary()
        except (StudioError, OSError):
            created = run.path.stat().st_mtime if run.path.exists() else 0.0
            return RunSummary(run.name, run.path, "failed", "", "settings unreadable", "", None, created, run.notes())
        if not running and run.outcome() is not None:
            self._settled[run.path] = (ended, summary)
        return summary


def _end_time(run: RunFolder) -> tuple[int, ...]:
    """When the outcome, later scores and the notes were written, in nanoseconds; 0 for none."""
    return tuple(_written(path) for path in (run.path / "outcome.json", run.scores_path, run.path / ABOUT))


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _running_summary(run: RunFolder) -> RunSummary:
    config = run.config()
    created = (run.path / "run.toml").stat().st_mtime
    method, base, source = config.method.kind, config.model.base, config.dataset.source
    return RunSummary(run.name, run.path, "running", method, base, source, None, created, run.notes())


def _words(row: RunSummary) -> str:
    method = METHOD_NAMES.get(row.method, "")
    parts = [
        row.notes.title,
        row.name,
        f"{method}, {STATE_WORDS[row.state]}",
        f"Accuracy on test: {percent(row.accuracy)}" if row.accuracy is not None else "",
        f"Base: {base_name(row.base)}",
        f"Data: {source_name(row.source)}" if row.source else "",
        f"Tags: {', '.join(row.notes.tags)}" if row.notes.tags else "",
        row.notes.note,
        age(row.created, time.time()),
    ]
    return "\n".join(part for part in parts if part)


class RunsFilter(WordsFilter):
    """The runs that a search finds."""

    def __init__(self, runs: RunsModel, parent: QObject | None = None) -> None:
        super().__init__(runs, runs.words, parent)
        self._runs = runs

    def row_of(self, path: Path) -> QModelIndex:
        """The index of a run, invalid when it is not shown."""
        return self.mapFromSource(self._runs.row_of(path))
