"""Work of this process that would hold up the window, such as writing a large file: in a thread of its own."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import ClassVar, Generic, TypeVar

from PySide6.QtCore import QObject, QThread, QTimer, Slot
from shiboken6 import isValid

from studio.core.errors import StudioError

T = TypeVar("T")


class _Background(QThread, Generic[T]):
    # Destroying a QThread that still runs aborts the program, so every one is held here until it has told its end.
    running: ClassVar[set[_Background[object]]] = set()

    def __init__(
        self, owner: QObject, work: Callable[[], T], success: Callable[[T], None], failure: Callable[[StudioError], None]
    ) -> None:
        super().__init__()
        self._owner, self._work, self._success, self._failure = owner, work, success, failure
        self._answers: list[T] = []
        self._error: Exception | None = None
        self.heard = True
        self.finished.connect(self._tell)

    def run(self) -> None:
        try:
            self._answers.append(self._work())
        except Exception as error:  # told, or raised again, where it can be shown
            self._error = error

    @Slot()
    def _tell(self) -> None:
        self.wait()
        # Not at once: the last reference must not go in the middle of a signal of this object's own.
        QTimer.singleShot(0, lambda: self.running.discard(self))
        if not self.heard or not isValid(self._owner):
            return
        if isinstance(self._error, StudioError):
            self._failure(self._error)
        elif self._error is not None:
            raise self._error
        else:
            self._success(self._answers[0])


def in_background(
    owner: QObject, work: Callable[[], T], success: Callable[[T], None], failure: Callable[[StudioError], None]
) -> None:
    """Call ``work`` in a thread; it must touch nothing that the window changes meanwhile.

    ``success`` gets what it gives, ``failure`` the StudioError that it raises, both in the window's thread, and neither once
    ``owner`` is gone. What was begun is brought to its end, also when the program ends.
    """
    thread = _Background(owner, work, success, failure)
    _Background.running.add(thread)  # type: ignore[arg-type]
    thread.start()


def finish_all() -> None:
    """Wait for everything that is under way, unheard. For the end of the program."""
    for thread in list(_Background.running):
        thread.heard = False
        thread.wait()
    _Background.running.clear()


# Whatever way the program ends, no QThread may be destroyed while it runs.
atexit.register(finish_all)
