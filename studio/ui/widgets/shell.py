"""How the window is laid out: runs at the left, tabs over pages, the bottom bar under all."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QByteArray, QSettings, Qt
from PySide6.QtWidgets import QHBoxLayout, QMainWindow, QSplitter, QStackedWidget, QTabBar, QVBoxLayout, QWidget

from studio.ui.theme import GRID
from studio.ui.widgets.basics import ErrorPanel, named
from studio.ui.words import plain_tooltip


class Shell(QWidget):
    """The central widget. Pages are added to ``stack`` in the order of the tabs."""

    def __init__(self, tabs: Sequence[str], sidebar: QWidget, bottom: QWidget) -> None:
        super().__init__()
        self.tabs = named(QTabBar(), "tabs", "Pages", f"Ctrl+1 to Ctrl+{len(tabs)}")
        self.tabs.setExpanding(False)
        self.tabs.setDrawBase(False)
        self.tabs.setUsesScrollButtons(False)
        for number, tab in enumerate(tabs):
            self.tabs.addTab(tab)
            self.tabs.setTabToolTip(number, plain_tooltip(f"{tab} (Ctrl+{number + 1})"))
        self.stack = QStackedWidget()
        self.error = ErrorPanel("windowError")
        self.splitter = QSplitter()
        self.splitter.setObjectName("mainSplitter")
        self.splitter.setHandleWidth(1)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(sidebar)
        self.splitter.addWidget(self._build_right())
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setSizes([28 * GRID, 100 * GRID])
        column = _column(self)
        column.addWidget(self.splitter, 1)
        column.addWidget(bottom)

    def _build_right(self) -> QWidget:
        top = QWidget()
        top.setObjectName("topBar")
        top.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        row = QHBoxLayout(top)
        row.setContentsMargins(GRID, 0, GRID, 0)
        row.addWidget(self.tabs)
        row.addStretch(1)
        banner = QVBoxLayout()
        banner.setContentsMargins(2 * GRID, 0, 2 * GRID, 0)
        banner.addWidget(self.error)
        right = QWidget()
        column = _column(right)
        column.addWidget(top)
        column.addLayout(banner)
        column.addWidget(self.stack, 1)
        return right


def save_layout(window: QMainWindow, shell: Shell, settings: QSettings) -> None:
    """Keep the window's place and how it is divided."""
    settings.setValue("geometry", window.saveGeometry())
    settings.setValue("splitter", shell.splitter.saveState())
    settings.sync()


def restore_layout(window: QMainWindow, shell: Shell, settings: QSettings) -> None:
    """As it was left, or a size that suits the screen."""
    geometry, splitter = settings.value("geometry"), settings.value("splitter")
    if isinstance(splitter, QByteArray):
        shell.splitter.restoreState(splitter)
    if not (isinstance(geometry, QByteArray) and window.restoreGeometry(geometry)):
        room = window.screen().availableGeometry()
        # Less than all of it: the window's frame needs some room too.
        window.resize(min(1440, room.width() - 4 * GRID), min(920, room.height() - 8 * GRID))


def _column(parent: QWidget) -> QVBoxLayout:
    column = QVBoxLayout(parent)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    return column
