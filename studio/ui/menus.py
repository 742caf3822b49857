"""Menu entries, and the choice of a theme among them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QSettings
from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QApplication, QMenu

from studio.ui import theme

_THEMES: tuple[tuple[theme.Mode, str], ...] = (("system", "&Follow the system"), ("light", "&Light"), ("dark", "&Dark"))


def add_action(menu: QMenu, text: str, triggered: Callable[[], object], shortcut: str = "") -> QAction:
    """An entry that calls ``triggered``."""
    action = menu.addAction(text)
    action.setObjectName("action" + "".join(letter for letter in text.title() if letter.isalpha()))
    if shortcut:
        action.setShortcut(QKeySequence(shortcut))
    action.triggered.connect(lambda _checked=False: triggered())
    return action


def add_themes(menu: QMenu, settings: QSettings) -> dict[theme.Mode, QAction]:
    """One entry a theme, of which one is checked; the choice is applied at once and kept in ``settings``."""
    group = QActionGroup(menu)
    actions = {}
    for mode, name in _THEMES:
        action = add_action(menu, name, partial(_choose, settings, mode))
        action.setCheckable(True)
        action.setChecked(theme.mode() == mode)
        group.addAction(action)
        actions[mode] = action
    return actions


def _choose(settings: QSettings, mode: theme.Mode) -> None:
    settings.setValue("theme", mode)
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    theme.apply(application, mode)
