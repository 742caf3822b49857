"""The run that the pages show and the run that this window trains, which may be one and the same."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from studio.core.errors import StudioError
from studio.core.events import Event
from studio.core.runs import RunFolder
from studio.ui.closing import Closing
from studio.ui.models.open_run import OpenRun
from studio.ui.widgets.basics import ErrorPanel
from studio.ui.widgets.window.runs_sidebar import RunsSidebar


class CurrentRuns(QObject):
    """Opens runs and lets go of them. The list marks the open one; ``error`` tells of one that cannot be opened."""

    shown = Signal(object)
    """Emitted with the OpenRun that the pages are to show from now on, or None."""

    def __init__(self, window: QObject, sidebar: RunsSidebar, error: ErrorPanel, closing: Closing) -> None:
        """``closing`` is asked before another run takes the place of one that is exported or evaluated."""
        super().__init__(window)
        self._sidebar, self._error, self._closing = sidebar, error, closing
        self.open: OpenRun | None = None
        """The run that the pages show."""
        self.live: OpenRun | None = None
        """The run that this window trains."""

    @property
    def open_is_live(self) -> bool:
        """The run that the pages show is the one in training here."""
        return self.open is not None and self.open is self.live

    def open_folder(self, folder: RunFolder) -> bool:
        """Whether the run is open now. If not, the one before stays."""
        another = self.open is None or self.open.folder.path != folder.path
        if another and not self._closing.end_work("open the other run"):
            self._mark()
            return False
        self._error.clear()
        if self.live is not None and self.live.folder.path == folder.path:
            self._show(self.live)
            return True
        try:
            run = OpenRun(folder, self)
        except (StudioError, OSError) as error:
            self._tell_unreadable(folder, error)
            return False
        run.ended.connect(self._sidebar.refresh)
        self._show(run)
        return True

    def begin(self, folder: RunFolder) -> None:
        """This window trains a run from now on; it is opened."""
        self._sidebar.model.running = folder.path
        self.live = OpenRun(folder, self, ours=True)
        self._sidebar.refresh()
        self._show(self.live)

    def end(self, final: Event) -> bool:
        """Nothing is trained any more. Whether the run that has ended is the open one."""
        live, self.live = self.live, None
        self._sidebar.model.running = None
        if live is not None:
            live.add(final)
            if live is not self.open:
                live.deleteLater()
        self._sidebar.refresh()
        return live is not None and live is self.open

    def forget(self, folder: RunFolder) -> None:
        """A run is gone: no page shows it any more."""
        if self.open is not None and self.open.folder.path == folder.path:
            self._show(None)
        self._sidebar.refresh()

    def look_again(self) -> None:
        """Read the run folders again, and let go of the open one if it is gone."""
        self._sidebar.refresh()
        run = self.open
        if run is None or self.open_is_live or run.folder.path.is_dir() or self._closing.working:
            return
        self.forget(run.folder)
        self._tell_gone(run.folder)

    def _show(self, run: OpenRun | None) -> None:
        previous, self.open = self.open, run
        self.shown.emit(run)
        if previous is not None and previous is not run and previous is not self.live:
            previous.deleteLater()
        self._mark()

    def _mark(self) -> None:
        """Mark the open run in the list, whichever was clicked."""
        self._sidebar.choose(self.open.folder.path if self.open is not None else None)

    def _tell_unreadable(self, folder: RunFolder, error: StudioError | OSError) -> None:
        """Say why a run cannot be opened, and list what is there."""
        if not folder.path.exists():
            self._tell_gone(folder)
        elif isinstance(error, StudioError):
            self._error.show_problem(error)
        else:
            self._error.show_error(f"The run {folder.name} cannot be read: {error}.", "Check the permissions of its folder.")
        self._sidebar.refresh()
        self._mark()

    def _tell_gone(self, folder: RunFolder) -> None:
        self._error.show_error(
            f"The run {folder.name} is gone: its folder was moved or deleted.",
            f"It was {folder.path}. If it was moved, drop its new folder on the window to open it.",
        )
