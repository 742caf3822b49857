"""A note over the window: what will happen to a file that is held above it, or what it waits for."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from studio.ui.theme import GRID, restyle
from studio.ui.widgets.basics import text_label


class Notice(QFrame):
    """A title and a sentence over ``area``, whose widgets stay in sight; hidden until ``show_notice``."""

    def __init__(self, area: QWidget, object_name: str, accessible: str, parent: QWidget | None = None) -> None:
        """``parent``: where it lives, when that is not ``area`` itself but what it lies in."""
        super().__init__(parent or area)
        self._area = area
        self.setObjectName(object_name)
        self.setAccessibleName(accessible)
        self.setProperty("notice", "frame")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.title = text_label("", "title", wrap=True)
        self.words = text_label("", "muted", wrap=True)
        # The page stays in sight: it may have a field that the file is meant for.
        note = QFrame()
        note.setProperty("notice", "note")
        note.setFixedWidth(60 * GRID)
        inner = QVBoxLayout(note)
        inner.setContentsMargins(3 * GRID, 2 * GRID, 3 * GRID, 2 * GRID)
        inner.setSpacing(GRID)
        for label in (self.title, self.words):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            inner.addWidget(label)
        column = QVBoxLayout(self)
        column.setContentsMargins(3 * GRID, 3 * GRID, 3 * GRID, 10 * GRID)
        column.addStretch(1)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(note)
        row.addStretch(1)
        column.addLayout(row)
        self._note = note
        area.installEventFilter(self)
        self.hide()

    def show_notice(self, title: str, words: str, welcome: bool = True) -> None:
        """``welcome``: nothing is wrong."""
        self.title.setText(title)
        self.words.setText(words)
        self.setAccessibleDescription(f"{title} {words}")
        for part in (self, self._note):
            restyle(part, "welcome", welcome)
        self._cover()
        self.raise_()
        self.show()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if event.type() == QEvent.Type.Resize and not self.isHidden():
            self._cover()
        return super().eventFilter(watched, event)

    def _cover(self) -> None:
        self.setGeometry(self._area.rect() if self.parentWidget() is self._area else self._area.geometry())
