"""What can be done with a run besides looking at it: go on with it, describe it, repeat it, show its folder, delete it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QFile, QObject, QPoint, Qt, Signal
from PySide6.QtWidgets import QDialog, QMenu, QWidget

from studio.core.errors import StudioError
from studio.core.resuming import check_resumable
from studio.core.runs import RunFolder
from studio.supervise.threads import TrainingSession
from studio.ui.file_manager import show_folder
from studio.ui.widgets.basics import named
from studio.ui.widgets.questions import may_delete
from studio.ui.widgets.window.run_notes_dialog import RunNotesDialog
from studio.ui.words import plain_tooltip

OVERLAY = "Lay its curves over the open run's, or take them away"
Act = Callable[[RunFolder], None]
RESUME = "Resume training"
_EDIT, _COMPARE, _REPEAT = "Title, tags and note…", "Compare with…", "Repeat with changes"
_SHOW, _DELETE = "Open its folder", "Move to the trash…"
_TIPS = {
    RESUME: "Go on from its newest checkpoint, in the same folder",
    _EDIT: "Say what this run is, to find it again",
    _COMPARE: "Figures, curves, settings and messages of runs side by side",
    _REPEAT: "Set up another run with the data, model and settings of this one",
    _SHOW: "Show its files in the file manager",
    _DELETE: "Ask, and then let the whole folder of the run go to the trash",
    OVERLAY: "Draw its curves behind those of the open run on Training",
}


class RunActions(QObject):
    """Acts on one run at a time; ``parent`` is the window that questions stand before."""

    notes_changed = Signal()
    resume_requested = Signal(object)
    """Emitted with the RunFolder that is to be trained further."""
    repeat_requested = Signal(object)
    """Emitted with the RunConfig that another run is to begin with."""
    overlay_toggled = Signal(object)
    """Emitted with the RunFolder whose curves are to be laid over the open run's, or not any more."""
    compare_requested = Signal(object)
    """Emitted with the RunFolder that others are to be held against."""
    deleted = Signal(object)
    """Emitted with the RunFolder that is in the trash now."""
    failed = Signal(object)
    """Emitted with a StudioError."""

    def __init__(self, parent: QWidget, session: TrainingSession) -> None:
        super().__init__(parent)
        self._window, self._session = parent, session
        self.entries: tuple[tuple[str, Act], ...] = (
            (RESUME, self.resume_requested.emit),
            (_EDIT, self.edit_notes),
            (_COMPARE, self.compare_requested.emit),
            (_REPEAT, self.repeat),
            (_SHOW, self.show_folder),
            (_DELETE, self.delete),
        )

    def show_menu(self, run: RunFolder, place: QPoint) -> None:
        """Offer the actions at a place on the screen."""
        menu = named(QMenu(self._window), "runMenu", f"Actions for {run.name}")
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for text, act in (*self.entries, (OVERLAY, self.overlay_toggled.emit)):
            menu.addAction(text).triggered.connect(partial(self._do, act, run))
        self.offer(menu, run)
        menu.popup(place)

    def offer(self, menu: QMenu, run: RunFolder) -> None:
        """Explain the entries of a menu, and let only those be chosen that the run can be acted on with."""
        menu.setToolTipsVisible(True)
        for action in menu.actions():
            reason = self._why_not_resumed(run) if action.text() == RESUME else ""
            action.setEnabled(not reason)
            action.setToolTip(plain_tooltip(reason or _TIPS[action.text()]))

    def _why_not_resumed(self, run: RunFolder) -> str:
        """Why this window cannot go on with the run now; empty when it can."""
        if self._session.active:
            return "A run is in progress in this window; one at a time."
        try:
            check_resumable(run)
        except StudioError as error:
            return error.message
        return f"{run.name} is being trained by another program." if run.is_running() else ""

    def edit_notes(self, run: RunFolder) -> None:
        dialog = RunNotesDialog(run.name, run.notes(), self._window)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            try:
                run.write_notes(dialog.notes())
            except StudioError as error:
                self.failed.emit(error)
            self.notes_changed.emit()
        dialog.deleteLater()

    def repeat(self, run: RunFolder) -> None:
        try:
            self.repeat_requested.emit(run.config())
        except StudioError as error:
            self.failed.emit(error)

    def show_folder(self, run: RunFolder) -> None:
        try:
            show_folder(run.path)
        except StudioError as error:
            self.failed.emit(error)

    def delete(self, run: RunFolder) -> None:
        ours = self._session.run if self._session.active else None  # its worker may not have taken the lock yet
        if run == ours or run.is_running():
            self.failed.emit(StudioError(f"{run.name} is being trained.", "Stop it first.", kind="busy"))
        elif may_delete(self._window, run.name):
            if QFile.moveToTrash(str(run.path)):
                self.deleted.emit(run)
            else:
                problem = StudioError(
                    f"{run.name} could not be moved to the trash; nothing was deleted.", f"Delete the folder {run.path} by hand."
                )
                self.failed.emit(problem)

    def _do(self, act: Act, run: RunFolder, _checked: bool = False) -> None:
        act(run)
