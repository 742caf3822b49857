"""Where else data can come from: a folder, the Hugging Face hub, and the data sets used before."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QSettings, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QFileDialog, QMenu, QPushButton

from studio.ui.widgets.basics import named
from studio.ui.words import plain_tooltip

_KEPT = 8
_KEY = "recent_sources"


class RecentSources:
    """The data sets that were read last, newest first; in ``settings`` where there are some."""

    def __init__(self, settings: QSettings | None = None) -> None:
        self._settings = settings
        kept = settings.value(_KEY, []) if settings is not None else []
        # Qt reads a list of one text back as that text.
        self.names = [kept] if isinstance(kept, str) else [str(name) for name in kept if name] if isinstance(kept, list) else []

    def add(self, source: str) -> None:
        """Put a source first."""
        self.names = [source, *(name for name in self.names if name != source)][:_KEPT]
        self._keep()

    def clear(self) -> None:
        self.names = []
        self._keep()

    def _keep(self) -> None:
        if self._settings is not None:
            self._settings.setValue(_KEY, self.names)


class SourceMenu(QPushButton):
    """A button whose menu ends in a choice of data."""

    chosen = Signal(str)
    """Emitted with a file, a folder or hub:org/name."""
    hub_wanted = Signal()

    def __init__(self, recent: RecentSources) -> None:
        super().__init__("Open")
        named(
            self, "openSource", "Open other data", "Open a folder, a data set of the Hugging Face hub, or data that was used before"
        )
        self.setProperty("kind", "link")
        self.recent = recent
        self._menu = QMenu(self)
        self._menu.setToolTipsVisible(True)
        self._menu.aboutToShow.connect(self.fill)
        self.setMenu(self._menu)
        self.fill()

    def fill(self) -> None:
        """Make the entries anew; data that is gone is greyed."""
        self._menu.clear()
        self._add("A folder…", "Choose a folder with files named train, validation and test", self._browse)
        self._add("From the Hugging Face hub…", "Type the id of a data set, such as mteb/banking77", self.hub_wanted.emit)
        if not self.recent.names:
            return
        self._menu.addSeparator()
        for source in self.recent.names:
            there = source.startswith("hub:") or Path(source).exists()
            name = source if source.startswith("hub:") else Path(source).name
            action = self._add(name, source if there else f"{source} is not there any more", partial(self.chosen.emit, source))
            action.setEnabled(there)
        self._menu.addSeparator()
        self._add("Forget these", "Empty the list of recent data; the files stay", self.recent.clear)

    def _add(self, text: str, tooltip: str, triggered: Callable[[], object]) -> QAction:
        # An ampersand in a file's name is no mark of a key.
        action = self._menu.addAction(text.replace("&", "&&"))
        action.setToolTip(plain_tooltip(tooltip))
        action.triggered.connect(lambda _checked=False: triggered())
        return action

    def _browse(self) -> None:
        if found := QFileDialog.getExistingDirectory(self, "Folder of data", str(Path.home())):
            self.chosen.emit(found)
