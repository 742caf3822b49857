"""Finds the controls of a window by themselves and says what is wrong with them, so that a new one is checked unasked.

``problems`` looks at names, tooltips and reasons, ``cut_texts`` at what does not fit, ``keyboard_problems`` walks the window
with real key events.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QFontInfo
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QGraphicsView,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPlainTextEdit,
    QPushButton,
    QRadioButton,
    QScrollBar,
    QTabBar,
    QTextEdit,
    QToolButton,
    QWidget,
)

from studio.ui.theme import SMALL_FONT
from studio.ui.widgets.fields import Field
from studio.ui.widgets.frames import ElidedLabel

INTERACTIVE = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QGraphicsView,
    QLineEdit,
    QPlainTextEdit,
    QTabBar,
    QTextEdit,
)
# What Qt builds its own widgets from; the widget around it answers for it.
_PARTS = (QScrollBar, QHeaderView)
_PART_CLASSES = ("QLineEditIconButton", "QTableCornerButton", "QComboBoxListView", "QMenuBarExtension", "QAbstractButton")
_UNIT = re.compile(
    r"Unit: |\b(steps?|tokens?|messages|rows|seconds|minutes|percent|nats|bytes|MB|GB|runs|days|times|characters|words|share)\b"
)
_MOST_STOPS, _MOST_LINKS = 400, 60


def controls(window: QWidget) -> list[QWidget]:
    """Every control of a window that a person can use, shown or not."""
    return [widget for widget in window.findChildren(QWidget) if _is_control(widget) and widget.window() is window.window()]


def shown(window: QWidget) -> list[QWidget]:
    return [widget for widget in controls(window) if widget.isVisible()]


def problems(window: QWidget) -> list[str]:
    """What is wrong with names, tooltips and disabled controls of a window."""
    found = list(_about_names(window))
    for widget in shown(window):
        found += _about_tooltip(widget)
        if not widget.isEnabled() and not _reason(widget):
            found.append(f"{_called(widget)} is disabled and does not say why: see allow() in basics.py")
    return found


def cut_texts(window: QWidget) -> list[str]:
    """Texts that do not fit where they stand, or are too small to read."""
    found = []
    for widget in window.findChildren(QWidget):
        if not widget.isVisible() or widget.window() is not window.window():
            continue
        if isinstance(widget, (QLabel, *INTERACTIVE)) and QFontInfo(widget.font()).pixelSize() < SMALL_FONT:
            found.append(f"{_called(widget)} is written {QFontInfo(widget.font()).pixelSize()} px high")
        needed, has = _room(widget)
        if needed > has:
            found.append(f"{_called(widget)} needs {needed} px but has {has}: {_text(widget)[:60]!r}")
    return found


def keyboard_problems(window: QWidget) -> list[str]:
    """Walks the window with the Tab key, and groups with the arrow keys; says what was never reached and where it got stuck."""
    order, stuck = _walk(window)
    if stuck:
        return [stuck]
    reached = set(order)
    found = []
    for widget in shown(window):
        if not widget.isEnabled() or widget in reached or _focus_goes_to(widget) in reached:
            continue
        if not _reached_by_arrows(widget, order):
            found.append(f"{_called(widget)} is not reached by Tab or arrows")
    return found


def _about_names(window: QWidget) -> Iterator[str]:
    counted = Counter(widget.objectName() for widget in controls(window))
    for name, number in counted.items():
        if name and number > 1:
            yield f"{number} controls are called {name}"
    for widget in shown(window):
        if not widget.objectName():
            yield f"{_called(widget)} has no object name"
        if not widget.accessibleName():
            yield f"{_called(widget)} has no accessible name"
    tips: dict[str, str] = {}
    for widget in shown(window):
        tip = plain(widget.toolTip())
        if tip and tip in tips and not _reason(widget):
            yield f"{_called(widget)} has the tooltip of {tips[tip]}: {tip!r}"
        tips.setdefault(tip, _called(widget))


def _about_tooltip(widget: QWidget) -> Iterator[str]:
    tip = plain(widget.toolTip())
    if isinstance(widget.window(), QMessageBox):  # the question itself explains its answers
        return
    if not tip:
        yield f"{_called(widget)} has no tooltip"
    elif tip.casefold().strip(" .…") in {words.casefold().strip(" .…") for words in (widget.accessibleName(), _text(widget))}:
        yield f"{_called(widget)} has a tooltip that only repeats its name"
    elif _is_number(widget) and not _UNIT.search(tip) and not _suffix(widget):
        yield f"{_called(widget)} takes a number but its tooltip names no unit: {tip!r}"


def plain(tooltip: str) -> str:
    """A tooltip without the markup that makes Qt wrap it."""
    return html.unescape(re.sub(r"<br>", "\n", tooltip).removeprefix("<qt>").removesuffix("</qt>")).strip()


def _is_control(widget: QWidget) -> bool:
    if not isinstance(widget, INTERACTIVE) or isinstance(widget, _PARTS):
        return False
    if widget.objectName().startswith(("qt_", "_q")) or widget.metaObject().className() in _PART_CLASSES:
        return False
    parent = widget.parentWidget()
    return not isinstance(parent, QAbstractSpinBox | QComboBox | QTabBar)


def _is_number(widget: QWidget) -> bool:
    if isinstance(widget, QAbstractSpinBox | QAbstractSlider):
        return True
    return isinstance(widget, QLineEdit) and isinstance(widget.parentWidget(), Field)


def _suffix(widget: QWidget) -> str:
    return str(widget.property("suffix") or "")


def _reason(widget: QWidget) -> str:
    """Why a control is disabled: it, or something around it, has a tooltip that says it."""
    node: QWidget | None = widget
    while node is not None:
        reason = str(node.property("reason") or "")
        if reason and reason in plain(node.toolTip()):
            return reason
        node = node.parentWidget()
    return ""


def _walk(window: QWidget) -> tuple[list[QWidget], str]:
    """The controls in the order of the Tab key, and where it got stuck."""
    window.activateWindow()
    QTest.qWaitForWindowActive(window, 1000)
    stops = (widget for widget in shown(window) if widget.isEnabled() and widget.focusPolicy() & Qt.FocusPolicy.TabFocus)
    first = next(stops, None)
    if first is None:
        return [], ""
    first.setFocus(Qt.FocusReason.TabFocusReason)
    order: list[QWidget] = []
    for _ in range(_MOST_STOPS):
        at = QApplication.focusWidget()
        if at is None or at.window() is not window.window():
            return order, f"Tab left the window after {_called(order[-1]) if order else 'nothing'}"
        if at in order:
            return order, "" if at is order[0] else f"Tab never comes back to {_called(order[0])}: it turns at {_called(at)}"
        order.append(at)
        for _link in range(_MOST_LINKS):  # a text with links has a stop at each of them
            QTest.keyClick(at, Qt.Key.Key_Tab)
            if QApplication.focusWidget() is not at:
                break
        if QApplication.focusWidget() is at and len(shown(window)) > 1:
            return order, f"Tab does not leave {_called(at)}"
    return order, f"Tab has not come round after {_MOST_STOPS} stops"


def _focus_goes_to(widget: QWidget) -> QWidget:
    return widget.focusProxy() or widget


def _reached_by_arrows(widget: QWidget, order: list[QWidget]) -> bool:
    """Whether an arrow key leads to it from a member of its group that Tab reaches."""
    if not isinstance(widget, QAbstractButton):
        return False
    group = widget.group()
    members = group.buttons() if group is not None else list(widget.parentWidget().findChildren(type(widget)))
    start = next((member for member in members if member in order), None)
    if start is None:
        return False
    was = next((member for member in members if member.isChecked()), None)
    start.setFocus(Qt.FocusReason.TabFocusReason)
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Left, Qt.Key.Key_Up):
        for _ in members:
            focused = QApplication.focusWidget()
            if focused is widget:
                break
            if focused is not None:
                QTest.keyClick(focused, key)
    reached = QApplication.focusWidget() is widget
    if was is not None:
        press(was)
    return reached


def press(button: QAbstractButton) -> None:
    """As the mouse does, which gives it the focus too."""
    QTest.mouseClick(button, Qt.MouseButton.LeftButton, pos=QPoint(min(12, button.width() // 2), button.height() // 2))


def _room(widget: QWidget) -> tuple[int, int]:
    """Pixels that a text needs, and those that it has; (0, 0) for what scrolls or shortens itself."""
    metrics = widget.fontMetrics()
    if isinstance(widget, ElidedLabel):
        return 0, 0
    if isinstance(widget, QLabel):
        if not widget.text() or widget.textFormat() == Qt.TextFormat.RichText:
            return 0, 0
        if widget.wordWrap():
            return widget.heightForWidth(widget.width()), widget.height() + 1
        needed = max(metrics.horizontalAdvance(line) for line in widget.text().splitlines())
        return needed, widget.contentsRect().width() + 1
    if isinstance(widget, QPushButton | QCheckBox | QRadioButton | QToolButton) and widget.text():
        return widget.sizeHint().width(), widget.width()
    if isinstance(widget, QTabBar):
        return widget.sizeHint().width(), widget.width()
    if isinstance(widget, QComboBox):
        return metrics.horizontalAdvance(widget.currentText()) + 32, widget.width()
    if isinstance(widget, QLineEdit) and not widget.text() and _is_control(widget):
        return metrics.horizontalAdvance(widget.placeholderText()) + 16, widget.width()
    return 0, 0


def _text(widget: QWidget) -> str:
    text = getattr(widget, "text", None)
    words = text() if callable(text) else widget.currentText() if isinstance(widget, QComboBox) else ""
    return str(words or getattr(widget, "placeholderText", str)()).replace("&", "")


def _called(widget: QWidget) -> str:
    kind = type(widget).__name__
    if widget.objectName():
        return f"{widget.objectName()} ({kind})"
    parent = widget.parentWidget()
    at = widget.mapTo(widget.window(), QPoint(0, 0))
    return f"a {kind} {_text(widget)[:30]!r} in {parent.objectName() or type(parent).__name__} at {at.x()},{at.y()}"
