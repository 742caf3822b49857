"""What a rank costs with this model, and what it is good for: the five that are worth a thought, as buttons."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from studio.core.config import MethodConfig
from studio.core.memory import FP32
from studio.core.model_description import ModelDescription, adapter_parameters
from studio.core.words import UNKNOWN, percent, short_count, size
from studio.ui.theme import GRID
from studio.ui.widgets.basics import named, text_label
from studio.ui.words import plain_tooltip

RANKS = {
    4: "a light touch, for few intents or few messages",
    8: "enough for most lists of intents",
    16: "the usual choice",
    32: "for many intents that are easily confused",
    64: "for a lot of data in words that the base hardly knows; with little data it learns by heart",
}


def good_for(rank: int) -> str:
    """What the nearest rank of the list is good for."""
    return RANKS[min(RANKS, key=lambda known: abs(known - rank))]


class RankChoice(QWidget):
    """Shows parameters trained at each rank. ``rank_chosen`` comes when a button was pressed."""

    rank_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("rankChoice")
        self.buttons: dict[int, QPushButton] = {}
        row = QHBoxLayout()
        row.setSpacing(GRID // 2)
        for rank, words in RANKS.items():
            made = named(QPushButton(), f"rank{rank}", f"Rank {rank}", f"Rank {rank}: {words}")
            made.setProperty("kind", "figure")
            made.setCheckable(True)
            made.clicked.connect(lambda _checked=False, rank=rank: self.rank_chosen.emit(rank))
            self.buttons[rank] = made
            row.addWidget(made, 1)
        self.words = text_label("", "small", wrap=True)
        self.words.setObjectName("rankWords")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        column.addWidget(text_label("Ranks, and how many parameters each trains in this model", "field"))
        column.addLayout(row)
        column.addWidget(self.words)
        self.show_model(None, MethodConfig())

    def show_model(self, model: ModelDescription | None, method: MethodConfig) -> None:
        """Count for this model, and for this method's alpha and layers."""
        for rank, made in self.buttons.items():
            count = adapter_parameters(model, method.model_copy(update={"rank": rank})) if model is not None else 0
            made.setText(f"{rank}\n{short_count(count) if count else UNKNOWN}")
            made.setChecked(rank == method.rank)
            costs = f"\nTrains {count:,} parameters, {size(count * FP32)} on disk" if count else ""
            made.setToolTip(plain_tooltip(f"Rank {rank}: {RANKS[rank]}{costs}"))
        scale = f"Updates are scaled by alpha / rank = {method.alpha / method.rank:.3g}."
        if model is None:
            self.words.setText(f"Rank {method.rank}: {good_for(method.rank)}. {scale}")
            return
        count = adapter_parameters(model, method)
        share = percent(count / max(1, model.parameters))
        costs = f"trains {short_count(count)} parameters, {share} of the model, {size(count * FP32)} on disk"
        self.words.setText(f"Rank {method.rank} {costs}: {good_for(method.rank)}. {scale}")
