"""Every key that does something, collected from the menus and pages themselves."""

from __future__ import annotations

from collections.abc import Iterator

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QMainWindow,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from studio.ui.theme import GRID
from studio.ui.widgets.basics import dialog_buttons, named, text_label

_EVERYWHERE = (
    ("Tab, Shift+Tab", "The next or the previous control"),
    ("Arrow keys", "Within a group, a list, a table or a plot"),
    ("Space", "Press the button or tick the box that has the focus"),
    ("Menu, Shift+F10", "What can be done with the chosen row, such as sorting"),
    ("Alt+letter", "Open the menu whose name has that letter underlined"),
)


def shortcuts(window: QMainWindow) -> list[tuple[str, str]]:
    """Keys and what they do: of the menus in their order, then of the pages, then what works everywhere."""
    found = dict.fromkeys([*_of_menus(window), *_of_pages(window), *_EVERYWHERE])
    return list(found)


def _of_menus(window: QMainWindow) -> Iterator[tuple[str, str]]:
    for menu in window.menuBar().actions():
        entries = menu.menu()
        for action in entries.actions() if entries is not None else ():  # type: ignore[attr-defined]  # typed as a QObject
            if isinstance(action, QAction) and not action.shortcut().isEmpty():
                yield _keys(action.shortcuts()), action.text().replace("&", "").rstrip("…")


def _of_pages(window: QMainWindow) -> Iterator[tuple[str, str]]:
    for shortcut in window.findChildren(QShortcut):
        if shortcut.whatsThis():
            yield _keys(shortcut.keys()), shortcut.whatsThis()


def _keys(keys: list[QKeySequence]) -> str:
    return ", ".join(key.toString(QKeySequence.SequenceFormat.NativeText) for key in keys[:1])


class ShortcutsDialog(QDialog):
    """A list of keys; it can be walked with the arrows."""

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window)
        self.setObjectName("shortcutsDialog")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Keyboard shortcuts")
        self.resize(72 * GRID, 68 * GRID)
        rows = shortcuts(window)
        table = named(QTableWidget(len(rows), 2), "shortcutList", "Keyboard shortcuts", "Each key with what it does")
        table.setHorizontalHeaderLabels(["Keys", "What they do"])
        table.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        table.horizontalHeader().setStretchLastSection(True)
        table.horizontalHeader().setHighlightSections(False)
        table.verticalHeader().hide()
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setShowGrid(False)
        table.setTabKeyNavigation(False)
        table.setCornerWidget(QWidget())
        for number, row in enumerate(rows):
            for column, words in enumerate(row):
                table.setItem(number, column, QTableWidgetItem(words))
        buttons = dialog_buttons("shortcuts", {QDialogButtonBox.StandardButton.Close: "Back to the window (Escape)"})
        buttons.rejected.connect(self.reject)
        column_of_parts = QVBoxLayout(self)
        column_of_parts.setContentsMargins(3 * GRID, 3 * GRID, 3 * GRID, 2 * GRID)
        column_of_parts.setSpacing(2 * GRID)
        column_of_parts.addWidget(text_label("Keyboard shortcuts", "title"))
        column_of_parts.addWidget(table, 1)
        column_of_parts.addWidget(buttons)
