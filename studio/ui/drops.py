"""Files dropped anywhere on the window: what each is decides where it goes, and a hint says so before it is let go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QPoint, Signal
from PySide6.QtGui import QDragMoveEvent, QDropEvent, QWindow
from PySide6.QtWidgets import QWidget

from studio.core.dropped import Dropped, what_is
from studio.ui.widgets.paths import PathField
from studio.ui.widgets.window.notice import Notice

Use = tuple[str, Callable[[Path], object]]
"""What will be done, in words, and what does it."""


class Drops(QObject):
    """Takes every drag of local files that comes over ``area``'s window, before any widget does.

    A field for a path takes what is dropped on it; otherwise ``use_of`` says what becomes of it. Texts that are dragged
    from elsewhere are left to the widgets.
    """

    refused = Signal(str)
    """Emitted with the reason, in words, when what was dropped cannot be used."""

    def __init__(self, area: QWidget, use_of: Callable[[Dropped], Use | None]) -> None:
        super().__init__(area)
        self._area, self._use_of = area, use_of
        self._window: QWindow | None = None
        self._held: Dropped | None = None
        self.hint = Notice(area, "dropHint", "What happens to the file that is held above the window")

    def watch(self, window: QWindow | None) -> None:
        """Listen to the native window; it exists once the widget is shown."""
        if window is not None and window is not self._window:
            self._window = window
            window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: ARG002, N802
        # At the QWindow and not at widgets: each line edit would take a file as text, each plot would refuse it.
        if event.type() == QEvent.Type.DragLeave and self._held is not None:
            self._end()
            return True
        if not isinstance(event, QDropEvent):
            return False
        if event.type() == QEvent.Type.DragEnter:
            self._held = _held(event)
        if self._held is None or not self._area.isEnabled():
            return False
        if event.type() == QEvent.Type.Drop:
            self._drop(self._held, event.position().toPoint())
        elif isinstance(event, QDragMoveEvent):
            self._show(self._held, event.position().toPoint())
        # Refused ones are accepted too: only then are they dropped, and the refusal stays to be read.
        event.acceptProposedAction()
        return True

    def _show(self, held: Dropped, at: QPoint) -> None:
        if (field := self._field_at(at, held)) is not None:
            self.hint.show_notice(f"Drop to use it as: {field.title}", held.path.name)
        elif (use := self._use_of(held)) is not None:
            self.hint.show_notice(use[0], held.path.name)
        else:
            self.hint.show_notice("This cannot be used", held.reason, False)

    def _drop(self, held: Dropped, at: QPoint) -> None:
        field = self._field_at(at, held)
        self._end()
        if field is not None:
            field.choose(str(held.path))
        elif (use := self._use_of(held)) is not None:
            use[1](held.path)
        else:
            self.refused.emit(held.reason)

    def _end(self) -> None:
        self._held = None
        self.hint.hide()

    def _field_at(self, at: QPoint, held: Dropped) -> PathField | None:
        """The field under the pointer, if it could take this."""
        below = self._area.childAt(self._area.mapFrom(self._area.window(), at))
        while below is not None and not isinstance(below, PathField):
            below = below.parentWidget()
        return below if below is not None and below.isEnabled() and below.takes(held) else None


def _held(event: QDropEvent) -> Dropped | None:
    """What a drag carries; None when it is no file of this computer."""
    paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
    return what_is(paths) if paths else None
