"""The predictions of a run, read when they are asked for; many of them in a thread of their own."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from studio.core.errors import StudioError
from studio.core.predictions import PredictionTable, read_predictions
from studio.core.runs import RunFolder
from studio.supervise.background import in_background

LARGE_BYTES = 2**20
"""A file of predictions that is larger than this is read in a thread of its own."""


class RunPredictions(QObject):
    """Tables of predictions, read anew once their file was written anew.

    Each way to ask gives None while there are none, and raises StudioError if they are damaged. Many are None at first,
    while they are being read; ``loaded`` tells when they are there.
    """

    loaded = Signal()
    """Many predictions have been read."""

    def __init__(self, folder: RunFolder, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._folder = folder
        self._tables: dict[Path, tuple[int, PredictionTable | StudioError | None]] = {}
        """By their file: when it was written, and what it holds; None while that is being read."""

    @property
    def reading(self) -> bool:
        """Many predictions are being read."""
        return any(table is None for _written, table in self._tables.values())

    def of_test(self) -> PredictionTable | None:
        """The trained model's predictions of the test split."""
        return self._table(self._folder.predictions_path)

    def of_file(self, name: str) -> PredictionTable | None:
        """The trained model's predictions of a labelled file, as ``predicted_files`` names it."""
        return self._table(self._folder.predictions_of(name))

    def of_base(self) -> PredictionTable | None:
        """The untrained base's predictions of the test split."""
        return self._table(self._folder.base_predictions_path)

    def _table(self, path: Path) -> PredictionTable | None:
        try:
            file = path.stat()
        except OSError:
            self._tables.pop(path, None)
            return None
        if self._tables.get(path, (None,))[0] != file.st_mtime_ns:
            if file.st_size <= LARGE_BYTES:
                self._tables[path] = (file.st_mtime_ns, read_predictions(path))
            else:
                self._tables[path] = (file.st_mtime_ns, None)
                keep = partial(self._keep, path, file.st_mtime_ns)
                in_background(self, partial(read_predictions, path), keep, keep)
        table = self._tables[path][1]
        if isinstance(table, StudioError):
            raise table
        return table

    def _keep(self, path: Path, written: int, found: PredictionTable | StudioError) -> None:
        if self._tables.get(path) == (written, None):  # else it was written anew since
            self._tables[path] = (written, found)
            self.loaded.emit()
