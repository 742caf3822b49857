"""A person at the window: sees what is visible, clicks with the mouse, types on the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from PySide6.QtCore import QModelIndex, QRect, Qt
from PySide6.QtGui import QWindow
from PySide6.QtWidgets import QAbstractItemView, QApplication, QComboBox, QLabel, QScrollArea, QTabBar, QWidget
from pytestqt.qtbot import QtBot

W = TypeVar("W", bound=QWidget)
LEFT = Qt.MouseButton.LeftButton


class Hands:
    """Drives one window. Clicks go to the window, and Qt finds what lies under them, as it does for a real mouse."""

    def __init__(self, window: QWidget, qtbot: QtBot) -> None:
        self._window = window
        self._qtbot = qtbot

    def find(self, name: str, kind: type[W]) -> list[W]:
        """The visible widgets of that object name."""
        return [widget for widget in self._window.findChildren(kind, name) if widget.isVisible()]

    def see(self, name: str, kind: type[W]) -> W:
        """The one visible widget of that object name."""
        found = self.find(name, kind)
        assert len(found) == 1, f"{len(found)} visible widgets are called {name}"
        return found[0]

    def read(self, name: str) -> str:
        """The words of a visible label."""
        return self.see(name, QLabel).text()

    def click(self, widget: QWidget) -> None:
        """Click in the middle of a widget that is enabled and not covered, scrolling to it first."""
        assert widget.isEnabled(), f"{widget.objectName()} is disabled: {widget.toolTip()}"
        self._click_in(widget, widget.rect())

    def click_named(self, name: str) -> None:
        self.click(self.see(name, QWidget))

    def click_row(self, view: QAbstractItemView, index: QModelIndex) -> None:
        """Click on a cell of a table or matrix."""
        view.scrollTo(index)
        self._click_in(view.viewport(), view.visualRect(index))

    def open_tab(self, title: str) -> None:
        tabs = self.see("tabs", QTabBar)
        (number,) = [number for number in range(tabs.count()) if tabs.tabText(number) == title]
        self._click_in(tabs, tabs.tabRect(number))

    def type_into(self, name: str, text: str, confirm: Qt.Key = Qt.Key.Key_Tab) -> None:
        """Click into a field, write over what is in it and press a key."""
        self.click_named(name)
        self.press(Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        focused = QApplication.focusWidget()
        assert focused is not None
        self._qtbot.keyClicks(focused, text)
        self.press(confirm)

    def choose(self, name: str, text: str) -> None:
        """Open a list of choices with the mouse and take one by its first letters."""
        box = self.see(name, QComboBox)
        self.click(box)
        self.wait(box.view().isVisible)
        self._qtbot.keyClicks(box.view(), text)
        self._qtbot.keyClick(box.view(), Qt.Key.Key_Return)
        self.wait(lambda: not box.view().isVisible())
        assert box.currentText() == text

    def press(self, key: Qt.Key, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key; it goes to whatever has the keyboard."""
        self._qtbot.keyClick(self._handle(), key, modifiers)

    def wait(self, holds: Callable[[], bool], seconds: float = 60) -> None:
        self._qtbot.waitUntil(holds, timeout=round(seconds * 1000))

    def _handle(self) -> QWindow:
        handle = self._window.windowHandle()
        assert handle is not None
        return handle

    def _click_in(self, widget: QWidget, area: QRect) -> None:
        self._scroll_to(widget, area)
        point = widget.mapTo(self._window, area.center())
        hit = self._window.childAt(point)
        assert hit is not None
        assert hit is widget or widget.isAncestorOf(hit), f"{hit} lies where {widget} should be"
        self._qtbot.mouseClick(self._handle(), LEFT, pos=point)

    def _scroll_to(self, widget: QWidget, area: QRect) -> None:
        """As the wheel would."""
        parent = widget.parentWidget()
        while parent is not None:
            inner = parent.widget() if isinstance(parent, QScrollArea) else None
            if isinstance(parent, QScrollArea) and inner is not None and inner.isAncestorOf(widget):
                centre = widget.mapTo(inner, area.center())
                parent.ensureVisible(centre.x(), centre.y(), 0, parent.viewport().height() // 3)
                QApplication.processEvents()
            parent = parent.parentWidget()
