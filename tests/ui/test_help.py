"""The help beside the page: what it shows, what F1 finds, and that it keeps to our own text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QLineEdit, QTextBrowser, QToolButton, QWidget
from pytestqt.qtbot import QtBot

from studio.core import help as pages
from studio.core.runs import Home
from studio.ui.main_window import TABS, MainWindow
from studio.ui.widgets.chat.composer import MessageEdit
from studio.ui.widgets.window.help_panel import HelpPanel
from tests.ui.sample_runs import assert_usable, finished, make_run


@pytest.fixture
def panel(qtbot: QtBot) -> HelpPanel:
    panel = HelpPanel()
    qtbot.addWidget(panel)
    panel.resize(340, 600)
    return panel


def shown(panel: HelpPanel) -> str:
    return panel._text.toPlainText()


def top_line(panel: HelpPanel) -> str:
    return panel._text.cursorForPosition(QPoint(4, 12)).block().text()


def test_an_entry_is_shown_at_the_top(panel: HelpPanel, qtbot: QtBot) -> None:
    panel.show_place("glossary#gradient-norm")
    qtbot.waitUntil(lambda: top_line(panel) == "Gradient norm")
    panel.show_place("glossary")
    assert top_line(panel) == "Glossary"
    assert_usable(panel)


def test_links_lead_through_the_help_and_back(panel: HelpPanel, qtbot: QtBot) -> None:
    panel.show_place("setup")
    assert not panel._back.isEnabled()
    panel._text.anchorClicked.emit(QUrl("glossary.md#rank"))
    assert panel.place == "glossary#rank"
    assert panel._page.currentText() == "Glossary"
    panel._text.anchorClicked.emit(QUrl("#alpha"))
    assert panel.place == "glossary#alpha"
    panel.activateWindow()
    panel._text.setFocus()
    qtbot.waitUntil(panel._text.hasFocus)
    qtbot.keyClick(panel._text, Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
    assert panel.place == "glossary#rank"
    qtbot.mouseClick(panel._back, Qt.MouseButton.LeftButton)
    assert panel.place == "setup"


def test_only_web_addresses_leave_it(panel: HelpPanel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    panel.show_place("setup")
    before = shown(panel)
    secret = tmp_path / "secret.md"
    secret.write_text("secret")
    for target in (secret.as_uri(), "javascript:alert(1)", "../../secret.md", "nothing.md"):
        panel._text.anchorClicked.emit(QUrl(target))
    assert (opened, shown(panel)) == ([], before)
    panel._text.anchorClicked.emit(QUrl("https://example.org/x"))
    assert opened == ["https://example.org/x"]
    assert shown(panel) == before


def test_no_picture_is_ever_loaded(panel: HelpPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(QTextBrowser, "loadResource", lambda _self, _kind, name: asked.append(name.toString()))
    panel.show()
    panel._render("![x](file:///etc/hostname) <img src='file:///etc/hostname'> text")
    panel.grab()
    assert asked == []
    assert "text" in shown(panel)


def test_search_lists_entries_and_leads_to_them(panel: HelpPanel, qtbot: QtBot) -> None:
    panel.show_place("export")
    qtbot.keyClicks(panel._search, "supervised")
    assert shown(panel).startswith("Found\nSupervised tokens")
    panel._text.anchorClicked.emit(QUrl("glossary#supervised-tokens"))
    assert (panel.place, panel._search.text()) == ("glossary#supervised-tokens", "")
    qtbot.keyClicks(panel._search, "xylophone")
    assert "Nothing found" in shown(panel)
    panel._search.selectAll()
    qtbot.keyClick(panel._search, Qt.Key.Key_Backspace)
    assert "Glossary" in shown(panel)


def test_every_tab_has_a_page(window: MainWindow) -> None:
    for tab in TABS:
        window.show_tab(tab)
        window._shell.show_help("runs")
        window._shell.help.close_panel()
        window._shell.toggle_help()
        assert window._shell.help.place == tab.lower()
        assert pages.page_title(tab.lower()) == tab


def test_f1_explains_what_has_the_focus(window: MainWindow, qtbot: QtBot) -> None:
    qtbot.keyClick(window, Qt.Key.Key_F1)
    panel = window._shell.help
    assert (panel.isVisible(), panel.place) == (True, "setup")
    window.setup.settings.show_advanced(True)
    rank = window.setup.settings.fields["method.rank"].editor
    window.activateWindow()
    rank.setFocus()
    qtbot.waitUntil(rank.hasFocus)
    qtbot.keyClick(rank, Qt.Key.Key_F1)
    assert panel.place == "settings#methodrank"
    assert "how many directions" in shown(panel)
    qtbot.keyClick(rank, Qt.Key.Key_F1)
    assert not panel.isVisible(), "it says nothing else"
    qtbot.mouseClick(window.findChild(QToolButton, "helpButton"), Qt.MouseButton.LeftButton)
    assert panel.isVisible()
    search = panel.findChild(QLineEdit, "helpSearch")
    assert search is not None
    search.setFocus()
    qtbot.keyClick(search, Qt.Key.Key_Escape)
    assert not panel.isVisible()


def test_keys_pressed_elsewhere_are_not_the_helps(make_window: Callable[[], MainWindow], home: Home, qtbot: QtBot) -> None:
    run = make_run(home, intents=3, final=finished())
    window = make_window()
    window.open_folder(run)
    window._shell.show_help("chat")
    window._shell.help.show_place("glossary#rank")
    panel = window._shell.help
    window.show_tab("Chat")
    message = window.findChild(MessageEdit)
    assert message is not None
    message.setFocus()
    with qtbot.waitSignal(message.stop_requested):
        qtbot.keyClick(message, Qt.Key.Key_Escape)
    qtbot.keyClick(message, Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
    assert (panel.isVisible(), panel.place) == (True, "glossary#rank")
    window.show_tab("Results")
    search = window.findChild(QLineEdit, "messagesSearch")
    assert search is not None
    search.setFocus()
    qtbot.keyClicks(search, "card")
    qtbot.keyClick(search, Qt.Key.Key_Escape)
    assert (search.text(), panel.isVisible()) == ("", True)


def test_help_on_a_page_follows_the_tabs(window: MainWindow) -> None:
    window._shell.show_help("setup")
    window.show_tab("Chat")
    assert window._shell.help.place == "chat"
    window._shell.show_help("glossary#rank")
    window.show_tab("Setup")
    assert window._shell.help.place == "glossary#rank", "what was asked for stays"


def test_it_comes_back_as_wide_as_it_was_left(make_window: Callable[[], MainWindow], qtbot: QtBot) -> None:
    window = make_window()
    window.resize(1400, 900)
    window._shell.show_help("glossary#rank")
    sizes = window._shell.splitter.sizes()
    before = window._shell.help.width()
    window._shell.splitter.moveSplitter(sum(sizes) - 400, 2)
    width = window._shell.help.width()
    assert width > before
    window.close()
    again = make_window()
    again.resize(1400, 900)
    assert again._shell.help.place == "glossary#rank"
    qtbot.waitUntil(lambda: abs(again._shell.help.width() - width) < 30)


def test_a_narrow_window_shows_the_help_instead_of_the_runs(window: MainWindow, qtbot: QtBot) -> None:
    window.resize(1024, 700)
    window._shell.show_help("setup")
    qtbot.waitUntil(lambda: not window.sidebar.isVisible())
    for part in (window._shell.help, window.stack):
        right = part.mapTo(window, QPoint(part.width(), 0)).x()
        assert right <= 1024
    window.resize(1400, 800)
    qtbot.waitUntil(window.sidebar.isVisible)
    window.resize(1024, 700)
    window._shell.help.close_panel()
    assert window.sidebar.isVisible()


@pytest.mark.parametrize(("name", "place"), [("training_epochs", "settings#trainingepochs"), ("showRunFile", "glossary#runtoml")])
def test_the_place_of_a_control_is_found(window: MainWindow, qtbot: QtBot, name: str, place: str) -> None:
    window.activateWindow()
    control = window.findChild(QWidget, name)
    assert control is not None
    control.setFocus()
    qtbot.waitUntil(control.hasFocus)
    window._shell.toggle_help()
    assert window._shell.help.place == place
