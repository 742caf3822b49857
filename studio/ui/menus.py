"""The menu bar, and the choice of a theme in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QSettings
from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QApplication, QMenu

from studio.ui import theme
from studio.ui.widgets.about import AboutDialog

if TYPE_CHECKING:
    from studio.ui.main_window import MainWindow

_THEMES: tuple[tuple[theme.Mode, str], ...] = (("system", "&Follow the system"), ("light", "&Light"), ("dark", "&Dark"))


def fill_menu_bar(window: MainWindow, tabs: Sequence[str], settings: QSettings) -> dict[theme.Mode, QAction]:
    """Make the window's menus; gives back the entries that choose a theme."""
    bar = window.menuBar()
    file, view, help_menu = bar.addMenu("&File"), bar.addMenu("&View"), bar.addMenu("&Help")
    _add(file, "&New run", window.new_run, "Ctrl+N")
    _add(file, "&Open data…", window.open_data, "Ctrl+O")
    file.addSeparator()
    _add(file, "&Train", window.train_from_menu, "Ctrl+Return")
    file.addSeparator()
    _add(file, "&Quit", window.close, "Ctrl+Q")
    for number, tab in enumerate(tabs):
        _add(view, f"&{tab}", partial(window.tabs.setCurrentIndex, number), f"Ctrl+{number + 1}")
    view.addSeparator()
    _add(help_menu, "&About Finetune Studio", lambda: AboutDialog(window.home, window).exec())
    return _add_themes(view, settings)


def _add(menu: QMenu, text: str, triggered: Callable[[], object], shortcut: str = "") -> QAction:
    """An entry that calls ``triggered``."""
    action = menu.addAction(text)
    action.setObjectName("action" + "".join(letter for letter in text.title() if letter.isalpha()))
    if shortcut:
        action.setShortcut(QKeySequence(shortcut))
    action.triggered.connect(lambda _checked=False: triggered())
    return action


def _add_themes(menu: QMenu, settings: QSettings) -> dict[theme.Mode, QAction]:
    """One entry a theme, of which one is checked; the choice is applied at once and kept in ``settings``."""
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
