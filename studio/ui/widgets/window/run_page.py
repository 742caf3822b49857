"""What the pages of a run have in common: they follow the open run, and say what to do next while there is nothing."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from studio.ui.models.open_run import OpenRun
from studio.ui.widgets.empty_state import EmptyState


class RunPage(QWidget):
    """Shows the open run. A subclass calls ``fill`` once and says in ``refresh`` how a run looks."""

    setup_requested = Signal()
    """The button for no run was pressed."""
    training_requested = Signal()
    """The button of a state that waits for the run was pressed."""

    def __init__(self, object_name: str) -> None:
        super().__init__()
        self.setObjectName(object_name)
        self.run: OpenRun | None = None
        self._stack = QStackedWidget()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._stack)

    def fill(self, states: Sequence[tuple[str, str, str]], *contents: QWidget) -> None:
        """First the empty states as (title, text, object name), then the contents; shown by number.

        The first state is for no run at all and leads to Setup, the others are of a run and lead to its training.
        """
        for number, (title, words, name) in enumerate(states):
            empty = EmptyState(title, words, "See its training" if number else "Set up a run", name)
            empty.activated.connect(self.training_requested if number else self.setup_requested)
            self._stack.addWidget(empty)
        for content in contents:
            self._stack.addWidget(content)

    def show_state(self, number: int) -> None:
        """Bring an empty state or a content to the front."""
        self._stack.setCurrentIndex(number)

    @property
    def state(self) -> int:
        """What is in front, as in ``show_state``."""
        return self._stack.currentIndex()

    def show_run(self, run: OpenRun | None) -> None:
        """Show a run, live or ended; None shows what to do next."""
        previous, self.run = self.run, run
        if previous is not None:
            previous.ended.disconnect(self._end)
            previous.loaded.disconnect(self._end)
        if run is not None:
            run.ended.connect(self._end)
            run.loaded.connect(self._end)
        another = run is None or previous is None or run.folder.path != previous.folder.path
        self.refresh(another)

    def refresh(self, another: bool = False) -> None:
        """Bring everything up to date; ``another``: nothing that was said of the run before holds any more."""
        raise NotImplementedError

    def _end(self) -> None:
        self.refresh()
