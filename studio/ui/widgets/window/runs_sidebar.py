"""The list of runs at the left of the window."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QVBoxLayout, QWidget

from studio.core.runs import Home, RunFolder, RunState, RunSummary
from studio.core.starter import base_name
from studio.core.words import METHOD_NAMES, age, percent
from studio.ui import theme
from studio.ui.models.runs_model import OVERLAY_ROLE, STATE_WORDS, SUMMARY_ROLE, RunsFilter, RunsModel, source_name
from studio.ui.theme import GRID, SMALL_FONT
from studio.ui.widgets.basics import button, search_field, shortcut, text_label
from studio.ui.widgets.window.run_list import RunList

_ROW = 7 * GRID
# (colour, filled): a hollow dot is a run without an end.
DOTS: dict[RunState, tuple[str, bool]] = {
    "new": ("muted", False),
    "running": ("accent", True),
    "completed": ("good", True),
    "stopped": ("good", False),
    "paused": ("accent", False),
    "failed": ("bad", True),
    "crashed": ("bad", False),
    "interrupted": ("warning", False),
}


class _RunDelegate(QStyledItemDelegate):
    def sizeHint(self, option: Any, index: QModelIndex | QPersistentModelIndex) -> QSize:  # noqa: N802
        return QSize(super().sizeHint(option, index).width(), _ROW)

    def paint(self, painter: QPainter, option: Any, index: QModelIndex | QPersistentModelIndex) -> None:
        row: RunSummary = index.data(SUMMARY_ROLE)
        colours = theme.current()
        area = QRectF(option.rect).adjusted(GRID, 2, -GRID, -2)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        hovered = bool(option.state & QStyle.StateFlag.State_MouseOver)
        if chosen or hovered:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colours.color("accent_tint" if chosen else "raised"))
            painter.drawRoundedRect(area, 6, 6)
        if option.state & QStyle.StateFlag.State_HasFocus and option.state & QStyle.StateFlag.State_KeyboardFocusChange:
            painter.setPen(QPen(colours.color("accent"), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(area, 6, 6)
        overlaid = index.data(OVERLAY_ROLE)
        if overlaid is not None:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colours.color(overlaid))
            painter.drawRoundedRect(QRectF(area.left(), area.top() + 4, 4, area.height() - 8), 2, 2)
        name, filled = DOTS[row.state]
        painter.setPen(QPen(colours.color(name), 2))
        painter.setBrush(colours.color(name) if filled else Qt.BrushStyle.NoBrush)
        painter.drawEllipse(QPointF(area.left() + 14, area.top() + area.height() * 0.32), 4, 4)
        words = area.adjusted(28, 6, -10, -6)
        upper = QRectF(words.left(), words.top(), words.width(), words.height() / 2)
        lower = upper.translated(0, words.height() / 2)
        right = percent(row.accuracy) if row.accuracy is not None else STATE_WORDS[row.state]
        _line(
            painter,
            upper,
            row.notes.title or METHOD_NAMES.get(row.method, row.name),
            right,
            option.font,
            True,
            colours.color("text"),
        )
        small = QFont(option.font)
        small.setPixelSize(SMALL_FONT)
        written = age(row.created, time.time()).removesuffix(" ago")
        _line(painter, lower, _about(row), written, small, False, colours.color("muted"))
        painter.restore()


def _about(row: RunSummary) -> str:
    method = METHOD_NAMES.get(row.method, "") if row.notes.title else ""
    parts = (method, source_name(row.source) if row.source else "", *row.notes.tags, base_name(row.base))
    return " · ".join(part for part in parts if part)


def _line(painter: QPainter, area: QRectF, left: str, right: str, font: QFont, strong: bool, colour: Any) -> None:
    font = QFont(font)
    if strong:
        font.setWeight(QFont.Weight.DemiBold)
    painter.setFont(font)
    painter.setPen(colour)
    metrics = painter.fontMetrics()
    painter.drawText(area, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), right)
    room = int(area.width()) - metrics.horizontalAdvance(right) - GRID
    shown = metrics.elidedText(left, Qt.TextElideMode.ElideRight, max(0, room))
    painter.drawText(area, int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), shown)


class RunsSidebar(QWidget):
    """Newest run first; choosing one opens it."""

    run_chosen = Signal(object)
    """The RunFolder that was chosen by mouse or keyboard."""
    new_run_requested = Signal()
    menu_requested = Signal(object, QPoint)
    """A RunFolder whose actions are wanted, and where on the screen."""
    overlays_changed = Signal(list)
    """The folders of the runs whose curves are laid over the open one's, as in ``RunsModel.overlaid``."""

    def __init__(self, home: Home) -> None:
        super().__init__()
        self.setObjectName("sidebar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setMinimumWidth(25 * GRID)
        self.model = RunsModel(home, self)
        self._shown = RunsFilter(self.model, self)
        self.view = RunList()
        self.view.overlay_toggled.connect(lambda index: self.toggle_overlay(index.data(SUMMARY_ROLE).path))
        self.view.overlays_chosen.connect(lambda chosen: self.overlay([index.data(SUMMARY_ROLE).path for index in chosen]))
        self.view.overlays_cleared.connect(lambda: self.overlay([]))
        self.view.setModel(self._shown)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.customContextMenuRequested.connect(self._request_menu)
        self.view.setItemDelegate(_RunDelegate(self.view))
        self.view.clicked.connect(self._chosen)
        self.view.activated.connect(self._chosen)
        self.new_button = button("New run", "newRun", "Set up another run (Ctrl+N)", self.new_run_requested.emit)
        self._search = search_field(
            "searchRuns", "Search runs", "Show only runs with these words in name, data or notes; Escape clears", "Search runs…"
        )
        self._search.textChanged.connect(self._find)
        shortcut(self._search, "Esc", "Runs: clear the search", self._search.clear, Qt.ShortcutContext.WidgetShortcut)
        title = text_label("Runs", "section")
        title.setBuddy(self.view)
        self._empty = text_label("No runs yet. Press Train on the Setup page; every run is kept here.", "muted", wrap=True)
        self._empty.setObjectName("noRuns")
        self._empty.setContentsMargins(2 * GRID, GRID, 2 * GRID, GRID)
        self._no_match = self._build_no_match()
        top = QVBoxLayout()
        top.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, GRID)
        top.setSpacing(12)
        top.addWidget(title)
        top.addWidget(self.new_button)
        top.addWidget(self._search)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(top)
        column.addWidget(self._empty)
        column.addWidget(self._no_match)
        column.addWidget(self.view, 1)
        theme.notifier.changed.connect(self.view.viewport().update)

    def refresh(self) -> None:
        """Read the run folders again; what is chosen stays chosen."""
        chosen = self.chosen
        self.model.refresh()
        marked = [path for path in self.model.overlaid if path is not None]
        if (left := [path for path in marked if self.model.row_of(path).isValid()]) != marked:
            self.overlay(left)
        self._empty.setVisible(self.model.rowCount() == 0)
        self._show_matches()
        self._search.setVisible(self.model.rowCount() > 0)
        if chosen is not None:
            self.choose(chosen)
        self.view.show_focus()
        self.view.viewport().update()

    def _build_no_match(self) -> QWidget:
        self._no_match_words = text_label("", "muted", wrap=True)
        self._no_match_words.setObjectName("noMatch")
        clear = button("Clear the search", "clearRunSearch", "Show all runs again", self._search.clear, "link")
        clear.setProperty("flush", True)
        clear.clicked.connect(lambda _checked=False: self._search.setFocus())
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(2 * GRID, GRID, 2 * GRID, GRID)
        column.setSpacing(GRID // 2)
        column.addWidget(self._no_match_words)
        column.addWidget(clear, 0, Qt.AlignmentFlag.AlignLeft)
        box.hide()
        return box

    def _find(self, words: str) -> None:
        self._shown.search(words)
        self._show_matches()

    def _show_matches(self) -> None:
        self._no_match_words.setText(f"No run matches \u201c{self._search.text().strip()}\u201d.")
        self._no_match.setVisible(self.model.rowCount() > 0 and self._shown.rowCount() == 0)

    @property
    def chosen(self) -> Path | None:
        """The folder of the marked run."""
        index = self.view.currentIndex()  # which the focus alone makes of the first run
        return index.data(SUMMARY_ROLE).path if self.view.selectionModel().isSelected(index) else None

    def overlay(self, paths: Sequence[Path]) -> None:
        """Lay the curves of these runs over those of the open one."""
        self.model.overlay(paths)
        self.overlays_changed.emit(self.model.overlaid)

    def toggle_overlay(self, path: Path) -> None:
        """Lay over one more run, or one less."""
        marked = [other for other in self.model.overlaid if other is not None]
        self.overlay([other for other in marked if other != path] if path in marked else [*marked, path])

    def choose(self, path: Path | None) -> None:
        """Mark a run, or none, without opening it."""
        if path is None:
            self.view.clearSelection()
            self.view.setCurrentIndex(QModelIndex())
        else:
            self.view.setCurrentIndex(self._shown.row_of(path))

    def _request_menu(self, place: QPoint) -> None:
        index = self.view.indexAt(place)
        if index.isValid():
            self.menu_requested.emit(RunFolder(index.data(SUMMARY_ROLE).path), self.view.viewport().mapToGlobal(place))

    def _chosen(self, index: QModelIndex) -> None:
        self.run_chosen.emit(RunFolder(index.data(SUMMARY_ROLE).path))
