"""Tokens as chips that flow like text: what is graded stands out by colour, frame and underline, and each can be walked to."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPoint, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QLabel, QSizePolicy, QToolTip, QWidget

from studio.core.answers import InspectedToken
from studio.ui import theme
from studio.ui.theme import GRID, code_font
from studio.ui.words import plain_tooltip

_CHIP_HEIGHT = 24
_GAP = 4
_ROW = _CHIP_HEIGHT + _GAP
_PADDING = 5
_UNDERLINE = 3
_FAINT = 0.4
"""Opacity of tokens that are not those of what is chosen now."""
_LONGEST = 40
"""Characters that a chip shows at most."""
# What cannot be seen is drawn as a sign of its own; the tooltip has the text as it is.
_SIGNS = str.maketrans({" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽"})


def visible(text: str) -> str:
    """The text with a sign for each space, tab and line break, and a code for what has no look at all."""
    shown = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text.translate(_SIGNS))
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def token_words(token: InspectedToken, number: int, total: int) -> str:
    """One token in a sentence."""
    graded = "graded" if token.supervised else "read, not graded"
    return f"Token {number + 1} of {total}: {token.text!r}, id {token.id}, {graded}"


@dataclass(frozen=True)
class _Chip:
    rect: QRect
    text: str


class TokenView(QWidget):
    """Arrow keys, Home and End walk from token to token; ``current_changed`` says which one, -1 for none."""

    current_changed = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("tokenView")
        self.setAccessibleName("Tokens")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.tokens: list[InspectedToken] = []
        self.current = -1
        self._chips: list[_Chip] = []
        self._laid_out_for = -1
        self._font = code_font()
        theme.notifier.changed.connect(self.update)

    def show_tokens(self, tokens: list[InspectedToken]) -> None:
        """Show other tokens; none is chosen."""
        self.tokens = list(tokens)
        self.current = -1
        self._laid_out_for = -1
        graded = sum(token.supervised for token in tokens)
        self.setAccessibleDescription(f"{len(tokens)} tokens, {graded} graded; arrow keys lead from one to the next")
        self.updateGeometry()
        self.update()
        self.current_changed.emit(-1)

    def choose(self, number: int) -> None:
        """Mark one token and tell about it."""
        self.current = max(0, min(number, len(self.tokens) - 1)) if self.tokens else -1
        if self.current >= 0:
            self.setAccessibleDescription(token_words(self.tokens[self.current], self.current, len(self.tokens)))
        self.update()
        self.current_changed.emit(self.current)

    def token_at(self, place: QPoint) -> int:
        """The token that is drawn there, -1 for none."""
        self._lay_out(self.width())
        return next((number for number, chip in enumerate(self._chips) if chip.rect.contains(place)), -1)

    def chip_rect(self, number: int) -> QRect:
        """Where a token is drawn."""
        self._lay_out(self.width())
        return self._chips[number].rect

    def hasHeightForWidth(self) -> bool:  # noqa: N802
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        self._lay_out(width)
        return (self._chips[-1].rect.bottom() + 1 + _GAP) if self._chips else _ROW

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(40 * GRID, self.heightForWidth(max(self.width(), 40 * GRID)))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        return QSize(16 * GRID, _ROW)

    def _lay_out(self, width: int) -> None:
        if width == self._laid_out_for:
            return
        self._laid_out_for = width
        metrics = QFontMetrics(self._font)
        self._chips = []
        left = top = _GAP // 2
        for token in self.tokens:
            text = visible(token.text)
            size = min(metrics.horizontalAdvance(text) + 2 * _PADDING, max(4 * GRID, width - _GAP))
            if left + size > width - _GAP // 2 and left > _GAP:
                left, top = _GAP // 2, top + _ROW
            self._chips.append(_Chip(QRect(left, top, size, _CHIP_HEIGHT), text))
            left += size + _GAP
            if token.text.endswith("\n"):
                left, top = _GAP // 2, top + _ROW

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        self._lay_out(self.width())
        colours = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setOpacity(1.0 if self.isEnabled() else _FAINT)
        bold = QFont(self._font)
        bold.setWeight(QFont.Weight.DemiBold)
        for number, (token, chip) in enumerate(zip(self.tokens, self._chips, strict=True)):
            if not chip.rect.intersects(event.rect()):
                continue
            box = QRectF(chip.rect).adjusted(0.5, 0.5, -0.5, -0.5)
            painter.setPen(QPen(colours.color("accent" if token.supervised else "border"), 1))
            painter.setBrush(colours.color("accent_tint" if token.supervised else "surface"))
            painter.drawRoundedRect(box, 4, 4)
            if token.supervised:
                line = QRectF(box.left() + 2, box.bottom() - _UNDERLINE - 1, box.width() - 4, _UNDERLINE)
                painter.fillRect(line, colours.color("accent"))
            painter.setFont(bold if token.supervised else self._font)
            painter.setPen(colours.color("text"))
            words = chip.rect.adjusted(_PADDING - 1, 0, 1 - _PADDING, -_UNDERLINE if token.supervised else 0)
            painter.drawText(
                words,
                Qt.AlignmentFlag.AlignCenter,
                QFontMetrics(self._font).elidedText(chip.text, Qt.TextElideMode.ElideRight, words.width() + 2),
            )
            if number == self.current:
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.setPen(QPen(colours.color("text"), 2))
                painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
        if self.hasFocus() and self.current < 0:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(colours.color("accent"), 1))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        key = Qt.Key(event.key())
        last = len(self.tokens) - 1
        if key in (Qt.Key.Key_Left, Qt.Key.Key_Right) and self.current < 0:
            self.choose(0)
        elif key == Qt.Key.Key_Left:
            self.choose(self.current - 1)
        elif key == Qt.Key.Key_Right:
            self.choose(self.current + 1)
        elif key in (Qt.Key.Key_Up, Qt.Key.Key_Down) and self.tokens:
            self._choose_beside(-1 if key == Qt.Key.Key_Up else 1)
        elif key == Qt.Key.Key_Home:
            self.choose(0)
        elif key == Qt.Key.Key_End:
            self.choose(last)
        else:
            super().keyPressEvent(event)

    def _choose_beside(self, lines: int) -> None:
        """The token nearest to the current one, so many lines further down."""
        here = self.chip_rect(max(0, self.current))
        tops = sorted({chip.rect.top() for chip in self._chips})
        wanted = tops[max(0, min(tops.index(here.top()) + lines, len(tops) - 1))]
        beside = [number for number, chip in enumerate(self._chips) if chip.rect.top() == wanted]
        self.choose(min(beside, key=lambda number: abs(self._chips[number].rect.center().x() - here.center().x())))

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        if (found := self.token_at(event.position().toPoint())) >= 0:
            self.choose(found)

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            found = self.token_at(event.pos())
            if found >= 0:
                words = token_words(self.tokens[found], found, len(self.tokens))
                QToolTip.showText(event.globalPos(), plain_tooltip(words), self, self.chip_rect(found))
            else:
                QToolTip.hideText()
            return True
        return super().event(event)


class TokenLegend(QLabel):
    """What the chips mean. The text is ours alone, so rich text is safe here."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("tokenLegend")
        self.setProperty("role", "small")
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setWordWrap(True)
        self.setAccessibleName("Legend of the tokens: framed and underlined ones are graded, the others are only read")
        theme.notifier.changed.connect(self._render)
        self._render()

    def _render(self) -> None:
        colours = theme.current()
        graded = f"background:{colours.accent_tint}; color:{colours.accent}; font-weight:600; text-decoration:underline"
        read = f"background:{colours.raised}; color:{colours.text}"
        self.setText(
            f'<span style="{graded}">&nbsp;graded&nbsp;</span> the loss counts it&nbsp;&nbsp; '
            f'<span style="{read}">&nbsp;read&nbsp;</span> the model only reads it&nbsp;&nbsp; '
            "· space&nbsp;&nbsp; ⏎ line break"
        )
