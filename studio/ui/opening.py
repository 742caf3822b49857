"""What a person opens or drops: data, a model, settings or a run, each led to where it belongs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from studio.core.config import ModelConfig
from studio.core.dropped import Dropped, Kind
from studio.core.errors import StudioError
from studio.core.runs import RunFolder
from studio.ui.drops import Drops, Use
from studio.ui.pages.setup import SetupPage
from studio.ui.widgets.basics import ErrorPanel

if TYPE_CHECKING:
    from studio.ui.pages.results import ResultsPage


class Opening(QObject):
    """Gives data, models and settings to ``setup``; what cannot be used is told in ``error``."""

    setup_requested = Signal()
    """What is opened is about to be seen on Setup."""
    new_run_requested = Signal()
    """Another run is to be set up with what was opened."""
    run_chosen = Signal(object)
    """The RunFolder that is to be opened."""

    def __init__(self, window: QWidget, area: QWidget, setup: SetupPage, error: ErrorPanel) -> None:
        """``area`` is where things can be dropped."""
        super().__init__(window)
        self._window, self._setup, self._error = window, setup, error
        self.results: ResultsPage | None = None
        """Takes a labelled file while it shows the results of a run."""
        self._uses: dict[Kind, Use] = {
            "data": ("Drop to use it as the data set", self.open_data),
            "model": ("Drop to train this model", self.open_model),
            "settings": ("Drop to set everything up as in this file", self.open_settings),
            "run": ("Drop to open this run", lambda path: self.run_chosen.emit(RunFolder(path))),
        }
        self.drops = Drops(area, self._use_of)
        self.drops.refused.connect(self._refuse)

    def _use_of(self, dropped: Dropped) -> Use | None:
        results = self.results if self.results is not None and self.results.isVisible() else None
        if results is not None and results.can_evaluate and dropped.kind == "data" and dropped.path.is_file():
            return "Drop to evaluate it with this run", results.evaluate_file
        return self._uses.get(dropped.kind)

    def browse_data(self) -> None:
        """Ask for a file of data."""
        self.setup_requested.emit()
        self._setup.dataset.inputs.file.browse()

    def browse_settings(self) -> None:
        """Ask for a run.toml."""
        chosen, _ = QFileDialog.getOpenFileName(self._window, "Open settings", str(Path.home()), "Settings of a run (*.toml)")
        if chosen:
            self.open_settings(Path(chosen))

    def open_settings(self, path: Path) -> None:
        """Set everything up as a run.toml says."""
        self._error.clear()
        try:
            self._setup.open_run_file(path)
        except StudioError as error:
            self._error.show_problem(error)
            return
        self.new_run_requested.emit()

    def open_data(self, path: Path) -> None:
        """Train on a file or a folder."""
        self.new_run_requested.emit()
        self._setup.dataset.open_source(str(path))

    def open_model(self, path: Path) -> None:
        """Train a model of this computer."""
        self.new_run_requested.emit()
        self._setup.model.open_model(ModelConfig(base=str(path)))

    def _refuse(self, reason: str) -> None:
        self._error.show_error(
            reason, "Drop a table or a folder of tables, a model folder, a .gguf file, a run.toml or the folder of a run."
        )
