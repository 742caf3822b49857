"""The order of the Tab key, where widgets do not stand in the order in which they were made.

None of this asks Qt for the order as it is: PySide6 6.11 takes the widget that ``nextInFocusChain`` returns, the window in the
end, for a child of the one it was called on. When that one is deleted, menus and layouts of the window count as deleted too.
``focusProxy`` makes a spin box the child of its own line edit in the same way. ``focusWidget`` and ``findChildren`` do no harm:
what they return lies within what they are called on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractScrollArea, QAbstractSpinBox, QComboBox, QWidget

_ONE_STOP = (QAbstractSpinBox, QComboBox, QAbstractScrollArea)
"""Whose parts of Qt's own, a line edit or a viewport, take the keyboard for them."""


def tab_through(parts: Sequence[QWidget]) -> None:
    """Have Tab go through these parts one after the other, and within each as its widgets were put there."""
    for first, second in pairwise([stop for part in parts for stop in tab_stops(part)]):
        QWidget.setTabOrder(first, second)


def tab_before(stop: QWidget, inserted: Sequence[QWidget]) -> None:
    """Have Tab come to ``inserted`` right before ``stop``."""
    if not inserted:
        return
    # After it, and then the stop itself after them.
    for first, second in pairwise([stop, *inserted, stop]):
        QWidget.setTabOrder(first, second)


def tab_stops(part: QWidget) -> Iterator[QWidget]:
    """What Tab comes to in a part of a window, itself included, as it was put there."""
    window = part.window()
    for widget in (part, *part.findChildren(QWidget)):
        if widget.window() is not window:  # the list of a combo box, a menu
            continue
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and not isinstance(widget.parentWidget(), _ONE_STOP):
            yield widget
