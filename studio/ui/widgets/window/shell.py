"""How the window is laid out: runs at the left, tabs over pages, the help beside them, the bottom bar under all."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QByteArray, QSettings, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QMainWindow,
    QSplitter,
    QStackedWidget,
    QTabBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from studio.core.help import exists, place_of
from studio.ui.theme import GRID
from studio.ui.widgets.basics import ErrorPanel, named
from studio.ui.widgets.tab_order import tab_stops
from studio.ui.widgets.window.help_panel import HelpPanel
from studio.ui.words import plain_tooltip

_ROOM_FOR_BOTH = 148 * GRID


class Shell(QWidget):
    """The central widget. Pages are added to ``stack`` in the order of the tabs."""

    def __init__(self, tabs: Sequence[str], sidebar: QWidget, bottom: QWidget) -> None:
        super().__init__()
        self._sidebar = sidebar
        self.help = HelpPanel()
        self.help_button = named(QToolButton(), "helpButton", "Help", "Help on what has the focus, or on this page (F1)")
        self.help_button.setText("?")
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
        self.splitter.addWidget(self.help)
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setSizes([28 * GRID, 100 * GRID, 0])
        self.help.closed.connect(self._make_room)
        self.help_button.clicked.connect(lambda _checked=False: self.toggle_help())
        # The button must not take the focus from what it is to explain.
        self.help_button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.tabs.currentChanged.connect(lambda _number: self._follow_tab())
        self.help_width = 42 * GRID
        """Of the help, in pixels, whether it is open or not."""
        self.splitter.splitterMoved.connect(lambda _position, _number: self._remember_width())
        column = _column(self)
        column.addWidget(self.splitter, 1)
        column.addWidget(bottom)

    def show_help(self, place: str) -> None:
        """Show a place of the help beside the page, as wide as it was left."""
        opened = self.help.isHidden()
        self.help.show_place(place)
        self._make_room()
        if opened:
            sizes = self.splitter.sizes()
            width = max(self.help_width, self.help.minimumWidth())
            self.splitter.setSizes([sizes[0], sum(sizes) - sizes[0] - width, width])

    def toggle_help(self) -> None:
        """Help on what has the focus, else on the page; closes it when that is what it shows already."""
        place = self._place_in_focus()
        if self.help.isHidden():
            self.show_help(place or self._page())
        elif place is None or place == self.help.place:
            self.help.close_panel()
        else:
            self.show_help(place)

    def enter_page(self) -> None:
        """Give the keyboard to the page in sight, unless it has it."""
        page = self.stack.currentWidget()
        if page is None or page.isAncestorOf(QApplication.focusWidget() or self):
            return
        entered: QWidget | None = page.focusWidget()
        if entered is None or not entered.isVisible():
            entered = next((stop for stop in tab_stops(page) if stop.isVisible() and stop.isEnabled()), None)
        if entered is not None:
            entered.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _place_in_focus(self) -> str | None:
        """Where the focused control is explained, or the nearest thing around it that is more than a page."""
        widget = QApplication.focusWidget()
        while widget is not None and widget is not self.stack:
            if place := place_of(widget.objectName()):
                return place if place != self._page() else None
            widget = widget.parentWidget()
        return None

    def _page(self) -> str:
        return self.tabs.tabText(self.tabs.currentIndex()).lower()

    def _follow_tab(self) -> None:
        """Help on a page as such gives way to that on the next one; help on anything else stays."""
        tabs = [self.tabs.tabText(number).lower() for number in range(self.tabs.count())]
        if not self.help.isHidden() and self.help.place in tabs:
            self.help.show_place(self._page())

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        """In a narrow window the list of runs gives way to the help."""
        self._sidebar.setVisible(self.help.isHidden() or self.width() >= _ROOM_FOR_BOTH)

    def _remember_width(self) -> None:
        if not self.help.isHidden():
            self.help_width = self.splitter.sizes()[2]

    def _build_right(self) -> QWidget:
        top = QWidget()
        top.setObjectName("topBar")
        top.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        row = QHBoxLayout(top)
        row.setContentsMargins(GRID, 0, GRID, 0)
        row.addWidget(self.tabs)
        row.addStretch(1)
        row.addWidget(self.help_button)
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
    settings.setValue("help_width", shell.help_width)
    settings.setValue("help", "" if shell.help.isHidden() else shell.help.place)
    settings.sync()


def restore_layout(window: QMainWindow, shell: Shell, settings: QSettings) -> None:
    """As it was left, or a size that suits the screen."""
    geometry, splitter = settings.value("geometry"), settings.value("splitter")
    if isinstance(splitter, QByteArray):
        shell.splitter.restoreState(splitter)
    shell.help_width = as_whole_number(settings.value("help_width"), shell.help_width)
    if not (isinstance(geometry, QByteArray) and window.restoreGeometry(geometry)):
        room = window.screen().availableGeometry()
        # Less than all of it: the window's frame needs some room too.
        window.resize(min(1440, room.width() - 4 * GRID), min(920, room.height() - 8 * GRID))
    place = str(settings.value("help") or "")
    shell.help.hide()
    if place and exists(place):
        shell.show_help(place)


def as_whole_number(stored: object, otherwise: int) -> int:
    """A number as it was stored, which an edited file may have made anything."""
    return int(stored) if isinstance(stored, str | int) and str(stored).isdecimal() else otherwise


def _column(parent: QWidget) -> QVBoxLayout:
    column = QVBoxLayout(parent)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    return column
