"""The help beside the page: our own Markdown, links within it, a search, and the way back."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import (
    QDesktopServices,
    QFont,
    QTextBlockFormat,
    QTextCursor,
    QTextDocument,
    QTextFormat,
)
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QTextBrowser, QVBoxLayout, QWidget

from studio.core import help as pages
from studio.ui import theme
from studio.ui.theme import BASE_FONT, GRID
from studio.ui.widgets.basics import allow, button, guard_wheel, named, search_field, shortcut, text_label

_HEADING_PIXELS = {1: 20, 2: 15}
_MARKDOWN = QTextDocument.MarkdownFeature(
    QTextDocument.MarkdownFeature.MarkdownDialectGitHub | QTextDocument.MarkdownFeature.MarkdownNoHTML
)


class HelpPanel(QWidget):
    """Shows one place of the help. Hidden until ``show_place``."""

    closed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("helpPanel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setMinimumWidth(30 * GRID)
        self.place = ""
        """What is shown, as ``page#entry``; empty before anything was."""
        self._past: list[str] = []
        self._back = button("Back", "helpBack", "Back to what was shown before (Alt+Left)", self.go_back, "link")
        close = button("Close", "helpClose", "Close the help (F1, or Escape in it)", self.close_panel, "link")
        self._page = guard_wheel(named(QComboBox(), "helpPage", "Page of the help", "Which page of the help is shown"))
        for page in pages.PAGES:
            self._page.addItem(pages.page_title(page), page)
        named(self._page.view(), "helpPageList", "Pages of the help", "One page for each tab, all settings, and a glossary")
        self._page.activated.connect(lambda number: self.show_place(str(self._page.itemData(number))))
        self._search = search_field(
            "helpSearch", "Search the help", "Find the entries that hold all of these words", "Search the help"
        )
        self._search.textEdited.connect(self._find)
        self._text = named(QTextBrowser(), "helpText", "Help", "Tab leads from link to link, and then on")
        self._text.setTabChangesFocus(True)
        # The panel follows links itself: within the help it shows them, others go to the browser. It loads nothing.
        self._text.setOpenLinks(False)
        self._text.anchorClicked.connect(self._follow)
        self._text.setFrameShape(QTextBrowser.Shape.NoFrame)
        self._build(close)
        for keys, act, words in (("Esc", self.close_panel, "Help: close it"), ("Alt+Left", self.go_back, "Help: back")):
            shortcut(self, keys, words, act, Qt.ShortcutContext.WidgetWithChildrenShortcut)
        theme.notifier.changed.connect(self._dress)
        self.hide()

    def show_place(self, place: str) -> None:
        """Show a page of the help, at an entry if one is named."""
        if self.place and place != self.place:
            self._past.append(self.place)
        self._search.clear()
        self.show()
        self._go(place)
        # A panel that has just come up gets its width, and with it the place of each line, after this.
        QTimer.singleShot(0, self, lambda: self._scroll_to(self.place.partition("#")[2]))

    def go_back(self) -> None:
        """Show what was shown before."""
        if self._past:
            self._go(self._past.pop())

    def close_panel(self) -> None:
        self.hide()
        self.closed.emit()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange and self.place:
            self._dress()

    def _build(self, close: QWidget) -> None:
        title = QHBoxLayout()
        title.setSpacing(GRID)
        title.addWidget(text_label("Help", "section"))
        title.addStretch(1)
        title.addWidget(self._back)
        title.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(2 * GRID, GRID, GRID, GRID)
        column.setSpacing(GRID)
        column.addLayout(title)
        column.addWidget(self._page)
        column.addWidget(self._search)
        column.addWidget(self._text, 1)

    def _go(self, place: str) -> None:
        self.place = place
        page, _, entry = place.partition("#")
        self._page.setCurrentIndex(self._page.findData(page))
        allow(self._back, "" if self._past else "Nothing was shown before this.")
        self._render(pages.page_text(page))
        self._scroll_to(entry)

    def _find(self, words: str) -> None:
        found = pages.search(words)
        if not words.strip():
            self._go(self.place or pages.CONTENTS)
            return
        lines = ["# Found" if found else "# Nothing found", ""]
        lines += ["Try fewer or shorter words."] if not found else []
        for entry in found:
            lines += [f"## [{entry.title}]({entry.place})", f"{pages.page_title(entry.page)}. {pages.excerpt(entry)}", ""]
        self._render("\n".join(lines))
        self._scroll_to("")

    def _follow(self, url: QUrl) -> None:
        if url.scheme() in ("http", "https"):
            QDesktopServices.openUrl(url)
            return
        place = pages.resolve(url.toString(), self.place.partition("#")[0] or pages.CONTENTS)
        if pages.exists(place):
            self.show_place(place)

    def _dress(self) -> None:
        if self.place:
            position = self._text.verticalScrollBar().value()
            if words := self._search.text():
                self._find(words)
            else:
                self._render(pages.page_text(self.place.partition("#")[0]))
            self._text.verticalScrollBar().setValue(position)

    def _render(self, markdown: str) -> None:
        document = self._text.document()
        document.setDocumentMargin(0)
        document.setIndentWidth(2 * GRID)
        font = QFont(self.font())
        font.setPixelSize(BASE_FONT)
        document.setDefaultFont(font)
        # Pictures would be loaded from wherever they say; the help has none.
        document.setMarkdown(markdown.replace("![", "["), _MARKDOWN)
        cursor = QTextCursor(document)
        cursor.beginEditBlock()
        block = document.begin()
        while block.isValid():
            _space(QTextCursor(block), block.blockFormat().headingLevel())
            block = block.next()
        cursor.endEditBlock()

    def _scroll_to(self, entry: str) -> None:
        document = self._text.document()
        block = document.begin()
        while entry and block.isValid():
            if block.blockFormat().headingLevel() and pages.slug(block.text()) == entry:
                top = document.documentLayout().blockBoundingRect(block).top()
                self._text.setTextCursor(QTextCursor(block))
                self._text.verticalScrollBar().setValue(round(top))
                return
            block = block.next()
        self._text.moveCursor(QTextCursor.MoveOperation.Start)
        self._text.verticalScrollBar().setValue(0)


def _space(cursor: QTextCursor, heading: int) -> None:
    """Air around a block, and headings in the sizes of the window."""
    form = QTextBlockFormat()
    form.setTopMargin(2 * GRID if heading == 2 else 0)
    form.setBottomMargin(GRID)
    form.setLineHeight(125.0, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
    cursor.mergeBlockFormat(form)
    if heading:
        cursor.movePosition(QTextCursor.MoveOperation.NextCharacter, QTextCursor.MoveMode.KeepAnchor)
        shape = cursor.charFormat()  # a heading here is one piece: plain, or a link
        # Markdown makes headings larger by an adjustment, which goes before a size.
        shape.clearProperty(QTextFormat.Property.FontSizeAdjustment.value)
        shape.setProperty(QTextFormat.Property.FontPixelSize.value, _HEADING_PIXELS.get(heading, BASE_FONT))
        cursor.movePosition(QTextCursor.MoveOperation.EndOfBlock, QTextCursor.MoveMode.KeepAnchor)
        cursor.setCharFormat(shape)
