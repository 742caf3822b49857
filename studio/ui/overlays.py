"""The runs whose curves are laid over those of the open one: read from their folders, kept as long as they are marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from studio.core.errors import StudioError
from studio.core.events import Event
from studio.core.runs import RunFolder
from studio.ui.models.open_run import OpenRun
from studio.ui.theme import OVERLAYS


@dataclass(frozen=True)
class Overlay:
    """A run under its name, in one of the theme's ``OVERLAYS``."""

    name: str
    colour: str
    run: OpenRun


class Overlays(QObject):
    """Opens and lets go of runs as they are marked and unmarked."""

    changed = Signal(list)
    """Emitted with every Overlay."""
    failed = Signal(object)
    """Emitted with the StudioError of a run that cannot be read."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.shown: list[Overlay] = []
        self._trained: Path | None = None

    def show_runs(self, paths: Sequence[Path | None]) -> None:
        """Lay over exactly these runs: one for each of the colours in turn, None for none in it."""
        known = {overlay.run.folder.path: overlay.run for overlay in self.shown}
        shown = []
        for path, colour in zip(paths, OVERLAYS, strict=False):
            if path is None:
                continue
            run = known.pop(path, None) or self._open(RunFolder(path))
            if run is not None:
                shown.append(Overlay(run.folder.notes().title or run.name, colour, run))
        self.shown = shown
        self.changed.emit(shown)
        for gone in known.values():
            gone.deleteLater()

    def begin(self, folder: RunFolder) -> None:
        """This window trains a run from now on: if it is laid over, it follows."""
        self._trained = folder.path
        self.read_again(folder.path)

    def hear(self, event: Event) -> None:
        """An event of the run that this window trains."""
        for overlay in self.shown:
            if overlay.run.folder.path == self._trained:
                overlay.run.add(event)

    def end(self, folder: RunFolder) -> None:
        """The run has ended: show what its folder holds now."""
        self._trained = None
        self.read_again(folder.path)

    def read_again(self, path: Path) -> None:
        """A run was trained further: if it is laid over, show what its folder holds now."""
        old = next((overlay for overlay in self.shown if overlay.run.folder.path == path), None)
        run = self._open(old.run.folder) if old is not None else None
        if old is None or run is None:
            return
        self.shown = [replace(overlay, run=run) if overlay is old else overlay for overlay in self.shown]
        self.changed.emit(self.shown)
        old.run.deleteLater()

    def _open(self, folder: RunFolder) -> OpenRun | None:
        try:
            return OpenRun(folder, self, ours=folder.path == self._trained)
        except StudioError as error:
            self.failed.emit(error)
        except OSError as error:
            self.failed.emit(StudioError(f"The run {folder.name} cannot be read: {error}.", "Check the permissions of its folder."))
        return None
