"""Every control of every page and dialog, found by looking: names, tooltips, keyboard, and room for its text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QTimer
from PySide6.QtGui import QDesktopServices
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QButtonGroup,
    QDialog,
    QFileDialog,
    QMenu,
    QPushButton,
    QTabBar,
    QToolButton,
    QWidget,
)
from pytestqt.qtbot import QtBot

from studio.core.config import RunConfig
from studio.core.runs import Home
from studio.ui import theme
from studio.ui.main_window import TABS, MainWindow
from tests.ui.sample_runs import finished, make_run
from tests.ui.staging import FAILS, TRAINS_UNTIL_STOPPED
from tests.ui.widget_walker import cut_texts, keyboard_problems, press, problems, shown

LOOKS: tuple[tuple[int, int, theme.Mode], ...] = ((1024, 700, "dark"), (1500, 950, "dark"), (1024, 700, "light"))
# Buttons that are not pressed in search of dialogs: they start or end what the pages do.
_NOT_PRESSED = ("primary",)


@pytest.fixture
def first_start(window: MainWindow, answer_all: Callable[[], None]) -> MainWindow:
    answer_all()
    return window


@pytest.fixture
def with_finished_run(
    home: Home, make_window: Callable[[], MainWindow], answer_all: Callable[[], None], the_worker_is: Callable[[str], None]
) -> MainWindow:
    run = make_run(home, intents=13, final=finished(rows=65))
    the_worker_is(FAILS)
    window = make_window()
    answer_all()
    window.open_folder(run)
    return window


@pytest.fixture
def with_live_run(
    window: MainWindow, answer_all: Callable[[], None], the_worker_is: Callable[[str], None], qtbot: QtBot
) -> MainWindow:
    answer_all()
    the_worker_is(TRAINS_UNTIL_STOPPED)
    window.train(RunConfig())
    qtbot.waitUntil(lambda: window.bottom.step.text() == "step 1/10", timeout=20_000)
    return window


@pytest.fixture(params=["first_start", "with_finished_run", "with_live_run"])
def scene(request: pytest.FixtureRequest) -> MainWindow:
    window: MainWindow = request.getfixturevalue(request.param)
    return window


def settle() -> None:
    """Let layouts and what was put off for a moment come."""
    for _ in range(5):
        QCoreApplication.processEvents()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def lasting_cuts(window: QWidget) -> list[str]:
    """Texts that are cut and stay so: an answer of a worker may come in right before, and be laid out a moment later."""
    cut = cut_texts(window)
    for _ in range(20):
        if not cut:
            break
        QTest.qWait(50)
        cut = cut_texts(window)
    return cut


def views(window: MainWindow) -> Iterator[str]:
    """Every page as it can be seen: each tab, with its drawers open and each of its views in front in turn. Names them."""
    for tab in TABS:
        window.show_tab(tab)
        settle()
        for drawer in window.stack.currentWidget().findChildren(QToolButton):
            if drawer.isVisible() and drawer.isCheckable() and not drawer.isChecked():
                drawer.click()
        settle()
        yield tab
        for button in window.stack.currentWidget().findChildren(QPushButton):
            if button.isVisible() and button.isEnabled() and button.isCheckable() and not button.isChecked():
                before = _chosen(button.group())
                press(button)
                settle()
                yield f"{tab}, {button.objectName()}"
                if before is not None:
                    press(before)
    window._shell.toggle_help()
    settle()
    yield "help"
    window._shell.toggle_help()
    settle()


def _chosen(group: QButtonGroup | None) -> QAbstractButton | None:
    return group.checkedButton() if group is not None else None


def told(found: Iterable[str]) -> None:
    """Fails with everything that was found, a line each."""
    if lines := sorted(set(found)):
        pytest.fail("\n".join(lines), pytrace=False)


def test_names_tooltips_reasons_and_keyboard(scene: MainWindow) -> None:
    told(f"{view}: {problem}" for view in views(scene) for problem in problems(scene) + keyboard_problems(scene))


def test_no_text_is_cut_at_any_size_in_any_theme(scene: MainWindow, light: QApplication) -> None:
    found = set()
    for width, height, mode in LOOKS:
        theme.apply(light, mode)
        scene.resize(width, height)
        for view in views(scene):
            found |= {f"{view} at {width}x{height}, {mode}: {problem}" for problem in lasting_cuts(scene)}
    told(found)


class DialogReader:
    """Looks at each dialog that comes up, also one that waits for its answer, and closes it."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window
        self.seen: set[str] = set()
        self.found: set[str] = set()

    def after(self, act: Callable[[], object]) -> None:
        """Do something that may open dialogs and menus, and look at them."""
        QTimer.singleShot(0, self._window, self._look)
        act()
        settle()
        self._look()

    def _look(self) -> None:
        settle()
        for top in QApplication.topLevelWidgets():
            if not top.isVisible() or top is self._window:
                continue
            if isinstance(top, QDialog):
                self.seen.add(top.objectName())
                self.found |= {f"{top.objectName() or type(top).__name__}: {problem}" for problem in self._problems(top)}
                top.reject()
            elif isinstance(top, QMenu):
                top.close()

    def _problems(self, dialog: QWidget) -> list[str]:
        nameless = [] if dialog.objectName() else ["has no object name"]
        return nameless + problems(dialog) + keyboard_problems(dialog) + lasting_cuts(dialog)


@pytest.fixture
def no_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """File dialogs are cancelled, and no other program is opened."""
    for name in ("getOpenFileName", "getSaveFileName"):
        monkeypatch.setattr(QFileDialog, name, lambda *_arguments: ("", ""))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_arguments: "")
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda _url: True)


@pytest.mark.usefixtures("no_way_out")
def test_every_dialog(with_finished_run: MainWindow) -> None:
    window = with_finished_run
    reader = DialogReader(window)
    for menu in window.menuBar().actions():
        entries = menu.menu()
        assert isinstance(entries, QMenu)
        for entry in list(entries.actions()):
            if entry.isEnabled() and not entry.isSeparator() and "Quit" not in entry.text():
                reader.after(entry.trigger)
    for tab in TABS:
        window.show_tab(tab)
        settle()
        for control in shown(window):
            if isinstance(control, QPushButton) and control.isEnabled() and control.property("kind") not in _NOT_PRESSED:
                reader.after(control.click)
                window.show_tab(tab)
    told(reader.found)
    assert {"aboutDialog", "runFile", "runNotes", "closeQuestion"} <= reader.seen


def test_the_walker_sees_what_is_wrong(qtbot: QtBot, light: QApplication) -> None:
    """A control that breaks every rule, and one that keeps them."""
    assert light.styleSheet()
    page = QWidget()
    page.setObjectName("page")
    qtbot.addWidget(page)
    wrong = QPushButton("Do something that has a long name", page)
    wrong.setFixedWidth(40)
    wrong.setEnabled(False)
    tabs = QTabBar(page)
    page.resize(400, 200)
    page.show()
    assert tabs.isVisible()
    told = "\n".join(problems(page) + lasting_cuts(page))
    for words in ("has no object name", "has no accessible name", "has no tooltip", "does not say why", "px but has 40"):
        assert words in told
