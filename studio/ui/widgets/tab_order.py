"""The order of the Tab key, where widgets do not stand in the order in which they were made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget


def tab_through(parts: Sequence[QWidget]) -> None:
    """Have Tab go through these parts one after the other, and within each as before."""
    stops = [stop for part in parts for stop in _chain(part) if part.isAncestorOf(stop) and _is_stop(stop)]
    for first, second in pairwise(stops):
        QWidget.setTabOrder(first, second)


def tab_before(stop: QWidget, inserted: Sequence[QWidget]) -> None:
    """Have Tab come to ``inserted`` right before ``stop``."""
    before = [widget for widget in _chain(stop) if _is_stop(widget) and widget not in inserted][-1]
    for first, second in pairwise([before, *inserted]):
        QWidget.setTabOrder(first, second)


def _chain(first: QWidget) -> Iterator[QWidget]:
    """All widgets of the window in the order of the focus, which goes round."""
    yield first
    widget = first.nextInFocusChain()
    while widget is not None and widget is not first:
        yield widget
        widget = widget.nextInFocusChain()


def _is_stop(widget: QWidget) -> bool:
    return bool(widget.focusPolicy() & Qt.FocusPolicy.TabFocus) and widget.focusProxy() is None
