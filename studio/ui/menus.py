"""The menu bar, and the choice of a theme in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from PySide6.QtCore import QSettings
from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QApplication, QMenu, QMenuBar

from studio.ui import theme

_THEMES: tuple[tuple[theme.Mode, str], ...] = (("system", "&Follow the system"), ("light", "&Light"), ("dark", "&Dark"))


Entry = tuple[str, Callable[[], object], str]
"""Text, what it calls, and its shortcut."""


def fill_menu_bar(bar: QMenuBar, menus: Mapping[str, Sequence[Entry | None]]) -> dict[str, QMenu]:
    """Make menus out of their entries, where None is a line between two; gives them back by title."""
    made = {}
    for title, entries in menus.items():
        made[title] = menu = bar.addMenu(title)
        for entry in entries:
            if entry is None:
                menu.addSeparator()
            else:
                _add(menu, *entry)
    return made


def _add(menu: QMenu, text: str, triggered: Callable[[], object], shortcut: str = "") -> QAction:
    """An entry that calls ``triggered``."""
    action = menu.addAction(text)
    action.setObjectName("action" + "".join(letter for letter in text.title() if letter.isalpha()))
    if shortcut:
        action.setShortcut(QKeySequence(shortcut))
    action.triggered.connect(lambda _checked=False: triggered())
    return action


def add_themes(menu: QMenu, settings: QSettings) -> dict[theme.Mode, QAction]:
    """One entry a theme, of which one is checked; the choice is applied at once and kept in ``settings``."""
    menu.addSeparator()
    group = QActionGroup(menu)
    actions = {}
    for mode, name in _THEMES:
        action = _add(menu, name, partial(_choose, settings, mode))
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
