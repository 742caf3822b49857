"""The runs as a list: a click opens one; with Ctrl or Shift, or by Space, runs are laid over the open one's plots."""

from __future__ import annotations

from PySide6.QtCore import QItemSelectionModel, QModelIndex, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QAbstractItemView, QListView

from studio.ui.widgets.basics import named


class RunList(QListView):
    """What is laid over is marked by whoever listens; the selection stays with the open run."""

    overlay_toggled = Signal(QModelIndex)
    """The run is to be laid over, or not any more."""
    overlays_chosen = Signal(list)
    """The indices of all runs between the open one and the one that was clicked with Shift."""
    overlays_cleared = Signal()

    def __init__(self) -> None:
        super().__init__()
        named(
            self,
            "runList",
            "Runs",
            "Every run on this computer; choose one to open it. Ctrl+click or Space lays its curves over those of the open run, "
            "Shift+click those of all runs in between, Escape takes them away",
        )
        self.setMouseTracking(True)
        self.setUniformItemSizes(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def show_focus(self) -> None:
        """While no run is chosen the focus is seen at the first; it chooses nothing, and the keys go on from there."""
        if self.hasFocus() and not self.currentIndex().isValid() and self.model().rowCount():
            self.selectionModel().setCurrentIndex(self.model().index(0, 0), QItemSelectionModel.SelectionFlag.NoUpdate)

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        super().focusInEvent(event)
        self.show_focus()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        index = self.indexAt(event.position().toPoint())
        held = event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
        if event.button() != Qt.MouseButton.LeftButton or not held or not index.isValid():
            super().mousePressEvent(event)
        elif held & Qt.KeyboardModifier.ShiftModifier and self.currentIndex().isValid():
            first, last = sorted((self.currentIndex().row(), index.row()))
            self.overlays_chosen.emit([self.model().index(row, 0) for row in range(first, last + 1)])
        else:
            self.overlay_toggled.emit(index)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        # Without its press, the release would open the run.
        if not event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier):
            super().mouseReleaseEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        if event.key() == Qt.Key.Key_Space and self.currentIndex().isValid():
            self.overlay_toggled.emit(self.currentIndex())
        elif event.key() == Qt.Key.Key_Escape:
            self.overlays_cleared.emit()
        else:
            super().keyPressEvent(event)
