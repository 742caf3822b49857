"""What the keyboard can do, and where it is told."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import shiboken6
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence, QShortcut
from PySide6.QtWidgets import QApplication, QLabel, QLineEdit, QMenu, QPushButton, QScrollArea, QSlider, QTableWidget, QWidget
from pytestqt.qtbot import QtBot

from studio.core.data_problems import DataProblem
from studio.core.runs import Home
from studio.ui import theme
from studio.ui.main_window import TABS, MainWindow
from studio.ui.models.messages_model import PREDICTED
from studio.ui.models.open_run import OpenRun
from studio.ui.pages.results import ResultsPage
from studio.ui.widgets.basics import primary_button
from studio.ui.widgets.tab_order import tab_stops
from studio.ui.widgets.window.shortcuts_dialog import ShortcutsDialog, shortcuts
from tests.ui.sample_runs import finished, make_run


def test_the_dialog_lists_every_shortcut_of_menus_and_pages(window: MainWindow, qtbot: QtBot) -> None:
    qtbot.keySequence(window, QKeySequence("Ctrl+/"))
    dialog = window.findChild(ShortcutsDialog)
    assert dialog is not None
    table = dialog.findChild(QTableWidget)
    assert table is not None
    told = {table.item(row, 0).text(): table.item(row, 1).text() for row in range(table.rowCount())}  # type: ignore[union-attr]
    assert told["Ctrl+N"] == "New run"
    assert told["Ctrl+O"] == "Open data"
    assert told["Ctrl+/"] == "Keyboard shortcuts"
    for menu in window.menuBar().actions():
        for action in menu.menu().actions():  # type: ignore[union-attr,attr-defined]
            if not action.shortcut().isEmpty():
                assert action.shortcut().toString(QKeySequence.SequenceFormat.NativeText) in told
    dialog.close()


def test_each_shortcut_of_a_page_says_what_it_does(window: MainWindow) -> None:
    unnamed = [shortcut.key().toString() for shortcut in window.findChildren(QShortcut) if not shortcut.whatsThis()]
    assert unnamed == []
    words = [words for _keys, words in shortcuts(window)]
    assert "Results: search the messages" in words


def test_no_two_menu_entries_share_a_key(window: MainWindow) -> None:
    actions = [action for action in window.findChildren(QAction) if not action.shortcut().isEmpty()]
    keys = [action.shortcut().toString() for action in actions]
    assert len(keys) >= 10
    assert len(set(keys)) == len(keys)


def test_tables_are_sorted_without_a_mouse(home: Home, light: QApplication, qtbot: QtBot) -> None:
    assert light.styleSheet()
    page = ResultsPage(home)
    qtbot.addWidget(page)
    page.show_run(OpenRun(make_run(home, intents=3, final=finished()), page))
    table = page._messages.table
    action = next(action for action in table.actions() if action.text() == "Sort by Predicted")
    action.trigger()
    column = [page._messages.filter.index(row, PREDICTED).data() for row in range(page._messages.filter.rowCount())]
    assert column == sorted(column)
    action.trigger()
    column = [page._messages.filter.index(row, PREDICTED).data() for row in range(page._messages.filter.rowCount())]
    assert column == sorted(column, reverse=True)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("kind", [QPushButton, QLineEdit, QSlider, QScrollArea, primary_button])
def test_the_focus_is_seen_in_both_themes(qapp: QApplication, qtbot: QtBot, mode: theme.Mode, kind: object) -> None:
    theme.apply(qapp, mode)
    holder = QWidget()
    qtbot.addWidget(holder)
    made = primary_button("Train", "train", "tip") if kind is primary_button else kind()  # type: ignore[operator]
    assert isinstance(made, QWidget)
    if isinstance(made, QSlider):
        made.setOrientation(Qt.Orientation.Horizontal)
    other = QLabel("elsewhere", holder)
    other.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    made.setParent(holder)
    made.setGeometry(10, 40, 160, 40)
    holder.resize(200, 100)
    holder.show()
    holder.activateWindow()
    qtbot.waitUntil(holder.isActiveWindow)
    other.setFocus()
    without = made.grab().toImage()
    made.setFocus(Qt.FocusReason.TabFocusReason)
    assert made.hasFocus()
    assert made.grab().toImage() != without


def test_making_the_order_of_tab_leaves_families_as_they_are(window: MainWindow, answer_all: Callable[[], None]) -> None:
    """What PySide holds for a parent is one in Qt too: two that are held to be each other's child would never go."""
    answer_all()
    assert window.pages is not None
    for tab in TABS:
        window._enter_tab(tab)
    assert all(list(tab_stops(page)) for page in (window.setup, *window.pages.all))
    # Neither findChildren nor parentWidget may be called before: they would set right what is wrong.
    widgets = [widget for widget in QApplication.allWidgets() if window.isAncestorOf(widget)]
    held = [re.search(r"^parent\.+ <.* at (0x\w+)>", shiboken6.dump(widget), re.MULTILINE) for widget in widgets]
    assert len(widgets) > 100
    strange = []
    for widget, found in zip(widgets, held, strict=True):
        above = [widget.parentWidget()]
        while above[-1] is not None:
            above.append(above[-1].parentWidget())
        if found is not None and int(found[1], 16) not in map(id, above):
            strange.append(widget.objectName() or type(widget).__name__)
    assert strange == []


def test_what_is_deleted_takes_no_menu_with_it(window: MainWindow, qtbot: QtBot) -> None:
    """PySide takes what ``nextInFocusChain`` returns for a child: the order of Tab must be made without it."""
    menus = [menu for menu in window.menuBar().findChildren(QMenu) if menu.title()]
    problems = [DataProblem(kind="file", sentence=f"Problem {number}.", rows=1, rows_file="rows.jsonl") for number in range(3)]
    views = window.setup.dataset.views
    for _ in range(3):
        views.problems.show_problems(problems)
        window._enter_tab("Setup")
        views.problems.show_problems([])
        qtbot.wait(20)
    assert all(shiboken6.isValid(menu) for menu in menus)
