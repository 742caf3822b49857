"""What a run confuses, seen three ways: as a matrix, intent by intent, and pair by pair."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from studio.ui.models.confusion_model import ConfusionModel, Mode, Scope
from studio.ui.models.scores_model import INTENT_COLUMNS, PAIR_COLUMNS, intent_rows, pair_rows
from studio.ui.theme import GRID
from studio.ui.widgets.basics import named
from studio.ui.widgets.results.confusion_view import ConfusionView, HeatLegend
from studio.ui.widgets.results.scores_table import ScoresTable

_VIEWS = {
    "matrix": ("Matrix", "The confusion matrix: true intents down, predicted ones across"),
    "intents": ("Intents", "Recall, precision and F1 of each intent"),
    "pairs": ("Confused pairs", "The pairs of intents that are confused, the most messages first"),
}
_MODES: dict[Mode, tuple[str, str]] = {
    "counts": ("Counts", "Number of messages in each cell"),
    "row": ("By row", "Percent of the messages of each true intent; the diagonal is recall"),
    "column": ("By column", "Percent of the predictions of each intent; the diagonal is precision"),
}


class ResultViews(QWidget):
    """Whatever is chosen in one view is marked in the others."""

    scope_chosen = Signal(object)
    """Emitted with the Scope that a click or a key chose."""

    def __init__(self) -> None:
        super().__init__()
        self.confusion = ConfusionModel(self)
        self.matrix = ConfusionView(self.confusion)
        self.intents = ScoresTable("intentScores", "Scores of each intent", INTENT_COLUMNS)
        self.pairs = ScoresTable("confusedPairs", "Confused pairs", PAIR_COLUMNS)
        for view in (self.matrix, self.intents, self.pairs):
            view.scope_chosen.connect(self._choose)
        self._stack = QStackedWidget()
        self._stack.addWidget(self._build_matrix())
        self._stack.addWidget(self.intents)
        self._stack.addWidget(self.pairs)
        self._views = QButtonGroup(self)
        self.bar = bar = QHBoxLayout()
        """Above all views; something may be added at its end."""
        bar.setSpacing(GRID // 2)
        for number, (name, (words, tooltip)) in enumerate(_VIEWS.items()):
            choice = _choice(f"view_{name}", words, tooltip, number == 0)
            self._views.addButton(choice, number)
            bar.addWidget(choice)
        bar.addStretch(1)
        self._views.idClicked.connect(self._stack.setCurrentIndex)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        column.addLayout(bar)
        column.addWidget(self._stack, 1)

    def show_counts(self, labels: list[str], counts: NDArray[np.int64]) -> None:
        """``counts`` has the shape (labels, labels)."""
        self.confusion.show_counts(labels, counts)
        self.intents.show_rows(intent_rows(labels, counts))
        self.pairs.show_rows(pair_rows(labels, counts))

    def show_scope(self, scope: Scope) -> None:
        """Mark a scope in every view without a word."""
        self.matrix.show_scope(scope)
        self.intents.show_scope(scope)
        self.pairs.show_scope(scope)

    def _choose(self, scope: Scope) -> None:
        self.show_scope(scope)
        self.scope_chosen.emit(scope)

    def _build_matrix(self) -> QWidget:
        page = QWidget()
        bar = QHBoxLayout()
        bar.setSpacing(GRID // 2)
        self._modes = QButtonGroup(self)
        for mode, (words, tooltip) in _MODES.items():
            choice = _choice(f"matrix_{mode}", words, tooltip, mode == "counts")
            choice.clicked.connect(lambda _checked=False, mode=mode: self.confusion.show_mode(mode))
            self._modes.addButton(choice)
            bar.addWidget(choice)
        bar.addStretch(1)
        bar.addWidget(HeatLegend(self.matrix))
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        column.addLayout(bar)
        column.addWidget(self.matrix, 1)
        return page


def _choice(object_name: str, words: str, tooltip: str, chosen: bool) -> QPushButton:
    choice = named(QPushButton(words), object_name, words, tooltip)
    choice.setCheckable(True)
    choice.setChecked(chosen)
    return choice
