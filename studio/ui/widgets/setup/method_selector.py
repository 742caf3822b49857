"""Full, LoRA or QLoRA: three cards side by side with what each trains and what it is forecast to cost."""

from __future__ import annotations

from typing import get_args

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QButtonGroup, QFrame, QGridLayout, QHBoxLayout, QRadioButton, QSizePolicy, QVBoxLayout, QWidget

from studio.core.config import MethodKind
from studio.core.fit import Fit, Verdict, verdict
from studio.core.memory import MemoryForecast
from studio.core.words import METHOD_NAMES, UNKNOWN, percent, short_count, size
from studio.ui.theme import GRID, restyle
from studio.ui.widgets.basics import Badge, Card, Tone, named, text_label
from studio.ui.widgets.memory_bar import MemoryBar, MemoryLegend
from studio.ui.words import plain_tooltip

KINDS: tuple[MethodKind, ...] = get_args(MethodKind)
SENTENCES: dict[MethodKind, str] = {
    "full": "Trains every weight. Takes the most memory and leaves a whole model.",
    "lora": "Trains a small adapter beside a frozen base. Quick, and small to keep.",
    "qlora": "Trains the same adapter on a base packed to 4 bits. Slower steps.",
}
TONES: dict[Verdict, Tone] = {"fits": "good", "tight": "warning", "too big": "bad"}


class MethodCard(QFrame):
    """One method. The radio button carries focus and keyboard; the whole card takes the click."""

    def __init__(self, kind: MethodKind) -> None:
        super().__init__()
        self.kind: MethodKind = kind
        self.setObjectName(f"{kind}Card")
        self.setProperty("card", True)
        self.setProperty("choice", True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        self.radio = named(QRadioButton(METHOD_NAMES[kind]), f"{kind}Method", METHOD_NAMES[kind], SENTENCES[kind])
        self.radio.setProperty("role", "section")
        self.radio.setAccessibleDescription(SENTENCES[kind])
        self.badge = Badge()
        self.badge.setObjectName(f"{kind}Badge")
        self.bar = MemoryBar(f"{kind}Memory")
        self._trains, self._memory, self._disk = (text_label(UNKNOWN) for _ in range(3))
        head = QHBoxLayout()
        head.setSpacing(GRID)
        head.addWidget(self.radio, 1)
        head.addWidget(self.badge, 0, Qt.AlignmentFlag.AlignTop)
        figures = QGridLayout()
        figures.setHorizontalSpacing(GRID)
        figures.setVerticalSpacing(GRID // 2)
        figures.setColumnStretch(1, 1)
        rows = (("Trains", self._trains), ("On disk", self._disk), ("Memory", self._memory))
        for row, (name, value) in enumerate(rows):
            figures.addWidget(text_label(name, "field"), row, 0)
            figures.addWidget(value, row, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 12, 12)
        column.setSpacing(GRID)
        column.addLayout(head)
        sentence = text_label(SENTENCES[kind], "muted", wrap=True)
        sentence.setAlignment(Qt.AlignmentFlag.AlignTop)
        column.addWidget(sentence, 1)
        column.addLayout(figures)
        column.addWidget(self.bar)
        self.radio.toggled.connect(lambda on: restyle(self, "selected", on))

    def show_forecast(self, forecast: MemoryForecast, parameters: int, scale: int, available: int) -> None:
        share = forecast.trainable_parameters / max(1, parameters)
        part = "all" if share >= 1 else percent(share)
        self._trains.setText(f"{short_count(forecast.trainable_parameters)} ({part})")
        self._trains.setToolTip(plain_tooltip(f"{forecast.trainable_parameters:,} trainable parameters of {parameters:,}"))
        self._disk.setText(size(forecast.output_bytes))
        self._disk.setToolTip("Size on disk of what the run leaves")
        self._memory.setText(f"≈ {size(forecast.total)}")
        self._memory.setToolTip("Estimated peak memory of training, not a measurement")
        self.bar.show_forecast(forecast, scale, available)
        found = verdict(forecast.total, available)
        self.badge.show_state(found, TONES[found])
        self.badge.setToolTip(plain_tooltip(f"Needs about {size(forecast.total)}; this machine has {size(available)} free"))
        self.badge.show()

    def clear(self) -> None:
        for label in (self._trains, self._disk, self._memory):
            label.setText(UNKNOWN)
            label.setToolTip("")
        self.badge.hide()
        self.bar.clear()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        if event.button() == Qt.MouseButton.LeftButton:
            self.radio.setChecked(True)
            self.radio.setFocus(Qt.FocusReason.MouseFocusReason)


class MethodSelector(Card):
    """The three cards, their shared legend, and the choice."""

    kind_changed = Signal(str)

    def __init__(self) -> None:
        super().__init__("Method", "methodSelector")
        self.forecasts: dict[MethodKind, MemoryForecast] = {}
        self._note = text_label("Memory is an estimate", "small")
        self.header.addWidget(self._note)
        self._group = QButtonGroup(self)
        row = QHBoxLayout()
        row.setSpacing(GRID)
        self.cards: dict[MethodKind, MethodCard] = {}
        for kind in KINDS:
            card = MethodCard(kind)
            self.cards[kind] = card
            self._group.addButton(card.radio)
            row.addWidget(card, 1)
            card.clear()
        self.body.addLayout(row)
        self.body.addWidget(MemoryLegend())
        self.choose("lora")
        self._group.buttonToggled.connect(self._toggled)

    @property
    def kind(self) -> MethodKind:
        """The chosen method."""
        return next(kind for kind, card in self.cards.items() if card.radio.isChecked())

    @property
    def controls(self) -> dict[str, QWidget]:
        """The control of the method's kind by its place in run.toml: the cards' buttons are one group."""
        return {"method.kind": self.cards[self.kind].radio}

    def choose(self, kind: MethodKind) -> None:
        self.cards[kind].radio.setChecked(True)
        # Tab leads to the chosen one, as in every group of radio buttons; the arrow keys lead on from there.
        for card in self.cards.values():
            card.radio.setFocusPolicy(Qt.FocusPolicy.StrongFocus if card.kind == kind else Qt.FocusPolicy.ClickFocus)

    def show_forecasts(self, forecasts: dict[MethodKind, MemoryForecast], parameters: int, available: int, fit: Fit) -> None:
        """Show all three at once, drawn to one scale. ``available`` is the memory that training could have, in bytes.

        ``fit`` is of the chosen one.
        """
        self.forecasts = forecasts
        scale = max(forecast.total for forecast in forecasts.values())
        for kind, forecast in forecasts.items():
            self.cards[kind].show_forecast(forecast, parameters, scale, available)
        self._note.setText(f"Memory is estimated; {size(available)} free. {fit.sentence}")

    def clear_forecasts(self, reason: str) -> None:
        """Show no figures, and why."""
        self.forecasts = {}
        for card in self.cards.values():
            card.clear()
        self._note.setText(reason)

    def _toggled(self, _button: QRadioButton, on: bool) -> None:
        if on:
            self.kind_changed.emit(self.kind)
