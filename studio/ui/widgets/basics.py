"""The small parts every page is made of: texts, buttons, cards and errors.

A control gets its object name, tooltip and accessible name in one place, ``named``; what comes from data or from a
process is always shown as plain text, because Qt's rich text would load the files it names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QGuiApplication, QIcon, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QDialogButtonBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from studio.core.errors import StudioError
from studio.core.events import Crashed, Failed
from studio.core.words import CRASHED
from studio.ui.theme import GRID, restyle
from studio.ui.widgets.tab_order import tab_before
from studio.ui.words import plain_tooltip

Role = Literal["title", "figure", "section", "strong", "muted", "field", "small", "good", "warning", "bad"]
Tone = Literal["good", "warning", "bad", "neutral"]
W = TypeVar("W", bound=QWidget)


def named(widget: W, object_name: str, accessible: str, tooltip: str = "") -> W:
    """Give a control its object name, accessible name and tooltip."""
    widget.setObjectName(object_name)
    widget.setAccessibleName(accessible)
    if tooltip:
        widget.setProperty("tip", tooltip)
        widget.setToolTip(plain_tooltip(tooltip))
    return widget


def allow(widget: QWidget, reason: str = "") -> None:
    """Enable a control; with a reason disable it, and say why in front of its tooltip."""
    widget.setEnabled(not reason)
    widget.setProperty("reason", reason)
    widget.setToolTip(plain_tooltip("\n".join(part for part in (reason, str(widget.property("tip") or "")) if part)))


def dialog_buttons(object_name: str, standard: Mapping[QDialogButtonBox.StandardButton, str]) -> QDialogButtonBox:
    """The buttons of a dialog, each with its tooltip."""
    box = named(QDialogButtonBox(), object_name, "Answers")
    for kind, tooltip in standard.items():
        made = box.addButton(kind)
        made.setIcon(QIcon())  # no other button has one, and the style's are black in the dark too
        words = made.text().replace("&", "")
        named(made, object_name + words.title().replace(" ", ""), words, tooltip)
    return box


def text_label(text: str = "", role: Role | None = None, *, wrap: bool = False, selectable: bool = False) -> QLabel:
    """A label of plain text."""
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setText(text)
    if role:
        label.setProperty("role", role)
    if wrap:
        label.setWordWrap(True)
        label.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
    if selectable:
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def button(
    text: str, object_name: str, tooltip: str, clicked: Callable[[], object] | None = None, kind: str | None = None
) -> QPushButton:
    """A push button; ``kind`` as in the stylesheet ("primary", "quiet", "link")."""
    made = named(QPushButton(text), object_name, text.replace("&", ""), tooltip)
    if kind:
        made.setProperty("kind", kind)
    if clicked is not None:
        made.clicked.connect(lambda _checked=False: clicked())
    return made


def search_field(object_name: str, accessible: str, tooltip: str, placeholder: str = "Search…") -> QLineEdit:
    """A line for words to search for, with a button that clears it."""
    made = named(QLineEdit(), object_name, accessible, tooltip)
    made.setPlaceholderText(placeholder)
    made.setClearButtonEnabled(True)
    return made


def shortcut(
    parent: QWidget,
    keys: str | QKeySequence.StandardKey,
    words: str,
    act: Callable[[], object],
    context: Qt.ShortcutContext = Qt.ShortcutContext.WindowShortcut,
) -> None:
    """Keys that do something while ``parent`` is in sight, as far around it as ``context`` says; ``words`` tell of them."""
    made = QShortcut(QKeySequence(keys), parent)
    made.setContext(context)  # as an argument of QShortcut beside a slot it is not heeded
    made.activated.connect(act)
    made.setWhatsThis(words)


def primary_button(text: str, object_name: str, tooltip: str, clicked: Callable[[], object] | None = None) -> QPushButton:
    """The one button of a page that does what the page is for."""
    return button(text, object_name, tooltip, clicked, "primary")


class Badge(QLabel):
    """A short word in a pill, such as fits / tight / too big."""

    def __init__(self, text: str = "", tone: Tone = "neutral") -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setProperty("badge", tone)
        self.setText(text)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)

    def show_state(self, text: str, tone: Tone) -> None:
        self.setText(text)
        restyle(self, "badge", tone)


class Card(QFrame):
    """A white box with a title; put what it holds into ``body``."""

    def __init__(self, title: str = "", object_name: str = "") -> None:
        super().__init__()
        self.setProperty("card", True)
        if object_name:
            self.setObjectName(object_name)
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        self.body.setSpacing(GRID)
        self.header = QHBoxLayout()
        self.header.setSpacing(GRID)
        if title:
            self.title = text_label(title, "section")
            self.header.addWidget(self.title)
            self.header.addStretch(1)
            self.body.addLayout(self.header)


class ErrorPanel(QFrame):
    """What happened, what to do, and the details to copy. Hidden until ``show_error``."""

    cleared = Signal()

    def __init__(self, object_name: str = "errorPanel", *, closable: bool = True) -> None:
        super().__init__()
        self.setObjectName(object_name)
        self.setProperty("card", "error")
        self.setAccessibleName("Error")
        self._message = text_label("", "strong", wrap=True, selectable=True)
        self._remedy = text_label("", wrap=True, selectable=True)
        self._detail = named(QPlainTextEdit(), f"{object_name}Detail", "Details of the error", "What helps to report this error")
        self._detail.setReadOnly(True)
        self._detail.setMaximumHeight(18 * GRID)
        self._show_detail = button("Show details", f"{object_name}Toggle", "Show what helps to report this", self._toggle, "link")
        copy = button("Copy", f"{object_name}Copy", "Copy the message and its details", self._copy, "link")
        close = button("Dismiss", f"{object_name}Close", "Hide this message", self.clear, "link")
        # Not setVisible(closable): what has no parent yet would come up as a window of its own.
        if not closable:
            close.hide()
        self._actions = actions = QHBoxLayout()
        actions.setSpacing(GRID)
        for widget in (self._show_detail, copy, close):
            widget.setProperty("flush", True)  # the first of them, whichever that is, begins where the message does
            actions.addWidget(widget)
        actions.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(2 * GRID, GRID, 2 * GRID, GRID)
        column.setSpacing(GRID // 2)
        for part in (self._message, self._remedy, self._detail):
            column.addWidget(part)
        column.addLayout(actions)
        self._detail.hide()
        self.hide()

    @property
    def message(self) -> str:
        return self._message.text()

    def show_error(self, message: str, remedy: str = "", detail: str = "") -> None:
        """Show it; all three are plain text."""
        self._message.setText(message)
        self._remedy.setText(remedy)
        self._remedy.setVisible(bool(remedy))
        self._detail.setPlainText(detail)
        self._detail.hide()
        self._show_detail.setText("Show details")
        self._show_detail.setVisible(bool(detail.strip()))
        self.setAccessibleDescription(f"{message} {remedy}")
        self.show()

    def show_problem(self, problem: StudioError | Failed | Crashed) -> None:
        """Show a failure as the rest of the app hands it over."""
        if isinstance(problem, Crashed):
            ending = problem.signal or f"exit code {problem.exit_code}"
            self.show_error(f"{CRASHED} ({ending}). {problem.likely_cause}", problem.remedy, problem.log_tail)
        else:
            self.show_error(problem.message, problem.remedy, problem.detail)

    def add_action(self, action: QWidget) -> None:
        """Stand it before the links, for the Tab key too."""
        self._actions.insertWidget(0, action)
        tab_before(self._show_detail, [action])

    def clear(self) -> None:
        self._message.clear()
        self.hide()
        self.cleared.emit()

    def _toggle(self) -> None:
        shown = self._detail.isHidden()
        self._detail.setVisible(shown)
        self._show_detail.setText("Hide details" if shown else "Show details")

    def _copy(self) -> None:
        parts = (self._message.text(), self._remedy.text(), self._detail.toPlainText())
        QGuiApplication.clipboard().setText("\n\n".join(part for part in parts if part))


class _WheelGuard(QObject):
    """Lets the wheel scroll the page instead of changing a field that was merely under the pointer."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False


_wheel_guard = _WheelGuard()


def guard_wheel(widget: W) -> W:
    """Make a spin box or combo box ignore the wheel until it has the focus."""
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    widget.installEventFilter(_wheel_guard)
    return widget
