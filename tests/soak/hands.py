"""What a person could do with what is in sight: found among the visible widgets, chosen by weight, written down, done again.

An action is data, so that a log of them can be played back: ``target`` is the address of a widget, found again by ``find``.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import (
    QContextMenuEvent,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QInputMethodEvent,
    QKeySequence,
    QWheelEvent,
)
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QFileDialog,
    QGraphicsView,
    QHeaderView,
    QLineEdit,
    QMenu,
    QMenuBar,
    QPlainTextEdit,
    QScrollArea,
    QScrollBar,
    QTabBar,
    QTextEdit,
    QWidget,
)

from tests.soak.stage import Stage

Key = Qt.Key
_LEFT, _NO_KEYS = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
_WORDS = (
    "card", "i lost my card", "", "  ", "0", "-1", "7", "3.5", "1e-4", "auto", "99999999999999", "überweisung 😀", "<b>bold</b>",
    "a" * 400, "{text}", "Message: {text}\nIntent:", "x y z", "../..", "null", "%s %d", "'; --", "عربى",
)  # fmt: skip
_KEYS = tuple(
    key.name
    for key in (Key.Key_Tab, Key.Key_Backtab, Key.Key_Space, Key.Key_Escape, Key.Key_Up, Key.Key_Down, Key.Key_Left, Key.Key_Right,
                Key.Key_Home, Key.Key_End, Key.Key_PageDown, Key.Key_PageUp, Key.Key_Delete, Key.Key_Backspace)
)  # fmt: skip
_SHORTCUTS = (
    "Ctrl+1",
    "Ctrl+2",
    "Ctrl+3",
    "Ctrl+4",
    "Ctrl+5",
    "Ctrl+N",
    "Ctrl+F",
    "Ctrl+A",
    "Ctrl+C",
    "Ctrl+Z",
    "Ctrl+Return",
    "F1",
)
# Ends what is at work: seldom, or nothing would ever get done.
_ENDS_WORK = re.compile(r"stop|cancel|pause|unload|delete|trash|dismiss", re.IGNORECASE)
_CLOSES = re.compile(r"quit", re.IGNORECASE)
_SIZES = ((1024, 700), (1280, 800), (1500, 950), (1920, 1080))
_PATIENCE = 12
"""Actions after which a dialog is closed, so that the pages come to their turn."""


@dataclass(frozen=True)
class Action:
    """``do`` names a method of Hands, ``target`` a widget, the rest is what the method is given."""

    do: str
    target: str = ""
    x: int = 0
    y: int = 0
    text: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def address(widget: QWidget) -> str:
    """Where a widget is among its siblings, from its window down."""
    parts: list[str] = []
    node: QWidget | None = widget
    while node is not None:
        parts.append(node.objectName() or type(node).__name__)
        if node.isWindow():
            break
        node = node.parentWidget()
    return "/".join(reversed(parts))


def find(wanted: str) -> QWidget | None:
    """The first visible widget with that address."""
    return next((widget for widget in QApplication.allWidgets() if widget.isVisible() and address(widget) == wanted), None)


class Hands:
    """Chooses actions with a seeded generator and performs them on the real widgets with real events."""

    def __init__(self, window: QWidget, stage: Stage, seed: int) -> None:
        self._window, self._stage = window, stage
        self._random = random.Random(seed)
        self._used: Counter[str] = Counter()
        self._modal_for = 0
        self.done: Counter[str] = Counter()
        """How often each kind of action was done."""

        self.targets: Counter[str] = Counter()
        """How often each widget was acted on, by what was done, its name and what stands on it."""

    def choose(self) -> Action:
        """Something that could be done now."""
        scene = QApplication.activePopupWidget() or QApplication.activeModalWidget()
        self._modal_for = self._modal_for + 1 if scene is not None else 0
        if isinstance(scene, QFileDialog):
            return Action("answer_file_dialog", address(scene))
        if scene is not None and self._modal_for > _PATIENCE:
            return Action("press", address(scene), text=Key.Key_Escape.name)
        windows = [widget for widget in QApplication.topLevelWidgets() if widget.isVisible() and widget is not self._window]
        others = [widget for widget in windows if isinstance(widget, QWidget) and widget.windowType() == Qt.WindowType.Dialog]
        if scene is None:
            scene = self._random.choice(others) if others and self._random.random() < 0.5 else self._window
        options = list(self._options(scene))
        weights = [weight / (1 + self._used[action.do + action.target]) ** 0.5 for weight, action in options]
        action = self._random.choices([action for _weight, action in options], weights)[0]
        self._used[action.do + action.target] += 1
        return action

    def perform(self, action: Action) -> bool:
        """Do it; False when its target is not in sight."""
        target = find(action.target) if action.target else self._window
        if target is None or not target.isEnabled():
            return False
        self.done[action.do] += 1
        said = action.text if action.do in ("click", "press") else ""
        self.targets[" ".join(part for part in (action.do, target.objectName() or type(target).__name__, said) if part)] += 1
        what: Callable[[QWidget, Action], None] = getattr(self, f"_{action.do}")
        what(target, action)
        return True

    def _options(self, scene: QWidget) -> Iterator[tuple[float, Action]]:
        """Everything that could be done in a window, with its weight."""
        where = address(scene)
        yield 0.5, Action("press", where, text=self._random.choice(_KEYS))
        if isinstance(scene, QMenu):
            for entry in scene.actions():
                if entry.isEnabled() and not entry.isSeparator() and not _CLOSES.search(entry.text()):
                    place = scene.actionGeometry(entry).center()
                    yield (
                        (0.2 if _ENDS_WORK.search(entry.text()) else 2.0),
                        Action("click", where, place.x(), place.y(), entry.text()),
                    )
            return
        if scene is self._window:
            yield 1.0, Action("shortcut", text=self._random.choice(_SHORTCUTS))
            yield 0.3, Action("resize", "", *self._random.choice(_SIZES))
            yield 1.0, Action("drop", "", *self._inside(scene), str(self._random.choice(self._stage.droppable)))
        elif scene.windowType() == Qt.WindowType.Dialog:
            yield 0.7, Action("press", where, text=Key.Key_Escape.name)
        for widget in [scene, *scene.findChildren(QWidget)]:
            if (
                widget.isVisible()
                and widget.isEnabled()
                and not isinstance(widget, QScrollBar)
                and widget.window() is scene.window()
            ):
                yield from self._of(widget)

    def _of(self, widget: QWidget) -> Iterator[tuple[float, Action]]:
        where = address(widget)
        if isinstance(widget, QAbstractButton):
            words = f"{widget.text()} {widget.objectName()}"
            weight = 0.1 if _ENDS_WORK.search(words) else 3.0 if widget.property("kind") == "primary" else 1.0
            yield weight, Action("click", where, *self._middle(widget), widget.text())
        elif isinstance(widget, QComboBox):
            yield 1.0, Action("press", where, text=self._random.choice((Key.Key_Down.name, Key.Key_Up.name, Key.Key_F4.name)))
        elif isinstance(widget, QAbstractSpinBox):
            yield 0.7, Action("press", where, text=self._random.choice((Key.Key_Down.name, Key.Key_Up.name)))
            yield 0.4, Action("type", where, text=self._random.choice(_WORDS))
        elif isinstance(widget, QLineEdit | QPlainTextEdit | QTextEdit) and not isinstance(
            widget.parent(), QAbstractSpinBox | QComboBox
        ):
            if not widget.isReadOnly():
                yield 1.0, Action("type", where, text=self._random.choice([*_WORDS, *map(str, self._stage.droppable)]))
            yield 0.3, Action("press", where, text=self._random.choice(_KEYS))
        elif isinstance(widget, QAbstractSlider):
            yield 0.7, Action("press", where, text=self._random.choice(_KEYS))
        elif isinstance(widget, QTabBar):
            for number in range(widget.count()):
                if widget.isTabEnabled(number):
                    place = widget.tabRect(number).center()
                    yield 2.0, Action("click", where, place.x(), place.y(), widget.tabText(number))
        elif isinstance(widget, QMenuBar):
            for entry in widget.actions():
                if entry.isEnabled():
                    place = widget.actionGeometry(entry).center()
                    yield 1.0, Action("click", where, place.x(), place.y(), entry.text())
        elif isinstance(widget, QHeaderView):
            yield 0.4, Action("click", address(widget.viewport()), *self._inside(widget.viewport()))
        elif isinstance(widget, QAbstractItemView):
            place = self._inside(widget.viewport())
            menu = 2.0 if widget.contextMenuPolicy() == Qt.ContextMenuPolicy.CustomContextMenu else 0.2
            for weight, do in ((1.5, "click"), (0.3, "double_click"), (menu, "context_menu"), (0.5, "wheel"), (0.5, "hover")):
                yield weight, Action(do, address(widget.viewport()), *place)
            yield 0.7, Action("press", where, text=self._random.choice(_KEYS))
        elif isinstance(widget, QGraphicsView):
            for weight, do in ((0.5, "hover"), (0.5, "wheel"), (0.3, "drag"), (0.2, "double_click")):
                yield weight, Action(do, address(widget.viewport()), *self._inside(widget.viewport()))

    def _inside(self, widget: QWidget) -> tuple[int, int]:
        return self._random.randrange(max(1, widget.width())), self._random.randrange(max(1, widget.height()))

    def _middle(self, widget: QWidget) -> tuple[int, int]:
        return min(widget.width() // 2, 12), widget.height() // 2

    # The actions

    def _click(self, widget: QWidget, action: Action) -> None:
        _bring_into_sight(widget)
        QTest.mouseClick(widget, _LEFT, _NO_KEYS, QPoint(action.x, action.y))

    def _double_click(self, widget: QWidget, action: Action) -> None:
        QTest.mouseDClick(widget, _LEFT, _NO_KEYS, QPoint(action.x, action.y))

    def _hover(self, widget: QWidget, action: Action) -> None:
        QTest.mouseMove(widget, QPoint(action.x, action.y))

    def _drag(self, widget: QWidget, action: Action) -> None:
        QTest.mousePress(widget, _LEFT, _NO_KEYS, QPoint(action.x, action.y))
        QTest.mouseMove(widget, QPoint(action.x + 30, action.y + 5))
        QTest.mouseRelease(widget, _LEFT, _NO_KEYS, QPoint(action.x + 60, action.y + 10))

    def _wheel(self, widget: QWidget, action: Action) -> None:
        at = QPoint(action.x, action.y)
        turn = QPoint(0, 120 if (action.x + action.y) % 2 else -120)
        phase = Qt.ScrollPhase.NoScrollPhase
        event = QWheelEvent(
            QPointF(at), QPointF(widget.mapToGlobal(at)), QPoint(), turn, Qt.MouseButton.NoButton, _NO_KEYS, phase, False
        )
        QApplication.sendEvent(widget, event)

    def _context_menu(self, widget: QWidget, action: Action) -> None:
        at = QPoint(action.x, action.y)
        QApplication.sendEvent(widget, QContextMenuEvent(QContextMenuEvent.Reason.Mouse, at, widget.mapToGlobal(at)))

    def _press(self, widget: QWidget, action: Action) -> None:
        if not widget.isWindow():
            widget.setFocus(Qt.FocusReason.TabFocusReason)
        QTest.keyClick(_focused_in(widget), Key[action.text])

    def _type(self, widget: QWidget, action: Action) -> None:
        _bring_into_sight(widget)
        widget.setFocus(Qt.FocusReason.MouseFocusReason)
        QTest.keySequence(widget, QKeySequence(QKeySequence.StandardKey.SelectAll))
        QTest.keyClick(widget, Key.Key_Delete)
        # As an input method hands over a text: QTest types ASCII only.
        typed = QInputMethodEvent()
        typed.setCommitString(action.text)
        QApplication.sendEvent(widget, typed)
        if isinstance(widget, QLineEdit | QAbstractSpinBox):
            QTest.keyClick(widget, Key.Key_Return)

    def _shortcut(self, widget: QWidget, action: Action) -> None:
        QTest.keySequence(_focused_in(widget), QKeySequence(action.text))

    def _resize(self, widget: QWidget, action: Action) -> None:
        widget.resize(action.x, action.y)

    def _drop(self, widget: QWidget, action: Action) -> None:
        drop(widget, Path(action.text), QPoint(action.x, action.y))

    def _answer_file_dialog(self, widget: QWidget, _action: Action) -> None:
        assert isinstance(widget, QFileDialog)
        if path := self._stage.choose(widget):
            widget.selectFile(path)
            widget.accept()
        else:
            widget.reject()


def drop(widget: QWidget, path: Path, at: QPoint) -> None:
    """Drag a file over a window and let go, as a window system would: its QWindow is told."""
    handle = widget.window().windowHandle()
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    rest = (Qt.DropAction.CopyAction, mime, _LEFT, _NO_KEYS)
    enter = QDragEnterEvent(at, *rest)
    QApplication.sendEvent(handle, enter)
    if enter.isAccepted():
        QApplication.sendEvent(handle, QDragMoveEvent(at, *rest))
        QApplication.sendEvent(handle, QDropEvent(QPointF(at), *rest))
    else:
        QApplication.sendEvent(handle, QDragLeaveEvent())


def _bring_into_sight(widget: QWidget) -> None:
    parent = widget.parentWidget()
    while parent is not None:
        if isinstance(parent, QScrollArea):
            parent.ensureWidgetVisible(widget)
            QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
        parent = parent.parentWidget()


def _focused_in(widget: QWidget) -> QWidget:
    """Who hears a key that is pressed in a window."""
    focused = QApplication.focusWidget()
    inside = focused is not None and (focused.window() is widget.window()) and widget.isWindow()
    return focused if inside and focused is not None else widget
