"""Results: how good the model is on messages it never saw, what it confuses, and each of those messages."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QFrame,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from studio.core.errors import StudioError
from studio.core.events import Finished
from studio.core.metrics import accuracy, macro_f1, wilson_interval
from studio.core.predictions import PredictionTable
from studio.core.runs import Home
from studio.core.words import UNKNOWN, duration, percent, points, size
from studio.ui.models.confusion_model import EVERYTHING, ConfusionModel, Mode, Scope
from studio.ui.models.messages_model import MessageFilter, MessagesModel
from studio.ui.models.open_run import OpenRun
from studio.ui.theme import GRID
from studio.ui.widgets.basics import ErrorPanel, button, named, text_label
from studio.ui.widgets.confusion_view import ConfusionView, HeatLegend
from studio.ui.widgets.evaluate_now import EvaluateNow
from studio.ui.widgets.figures import Figure
from studio.ui.widgets.frames import ElidedLabel, framed, split
from studio.ui.widgets.message_detail import MessageDetail
from studio.ui.widgets.messages_table import MessagesTable
from studio.ui.widgets.run_page import RunPage

_MODES: dict[Mode, tuple[str, str]] = {
    "counts": ("Counts", "Number of messages in each cell"),
    "row": ("By row", "Percent of the messages of each true intent; the diagonal is recall"),
    "column": ("By column", "Percent of the predictions of each intent; the diagonal is precision"),
}
_FIGURES = {
    "accuracy": ("Test accuracy", "Share of test messages predicted right, with its 95 % interval (Wilson)"),
    "macro_f1": ("Macro-F1", "Mean F1 over all intents, each counting the same, in percent"),
    "base": ("Untrained base", "Accuracy of the model before training, on the same messages by the same rule"),
    "left": ("Left the set", "Share of test messages for which free greedy decoding would have written no label"),
    "memory": ("Peak memory", "Highest memory of the training process, and what the forecast had said"),
    "seconds": ("Duration", "Time of the whole run (hours:minutes:seconds)"),
}


class ResultsPage(RunPage):
    """Headline figures, the confusion matrix, and the messages behind whatever is chosen in it."""

    message_chosen = Signal(str)

    def __init__(self, home: Home) -> None:
        super().__init__("resultsPage")
        self._confusion = ConfusionModel(self)
        self._messages = MessagesModel(self)
        self._filter = MessageFilter(self._messages, self)
        self.evaluation = EvaluateNow(home)
        self.evaluation.evaluated.connect(self.refresh)
        states = (
            (
                "No run is open",
                "Train a model, or open a run from the list. What it gets right and wrong appears here.",
                "resultsEmpty",
            ),
            (
                "No predictions yet",
                "The test messages are predicted when training ends. A run that learnt nothing has no results.",
                "resultsWaiting",
            ),
        )
        self.fill(states, self.evaluation, self._build())

    def choose(self, scope: Scope) -> None:
        """Show the messages of a part of the matrix."""
        self._view.show_scope(scope)
        self._apply(scope)

    def refresh(self, another: bool = False) -> None:  # noqa: ARG002
        """Show the run's test predictions; a run without any can be evaluated."""
        self._problem.clear()
        self.evaluation.show_run(self.run.folder if self.run is not None else None)
        if self.run is None:
            self.show_state(0)
            return
        try:
            table = self.run.predictions()
            if table is None:
                learnt = not self.run.active and self.run.folder.checkpoint() is not None
                self.show_state(2 if learnt else 1)
                return
            self._show_table(self.run, table)
        except StudioError as error:
            self._problem.show_problem(error)
        except KeyError as error:
            self._problem.show_error(
                f"The predictions name an intent that is not in their label set: {error}.", "Evaluate the run again."
            )
        self._body.setVisible(self._problem.isHidden())
        self.show_state(3)

    def _show_table(self, run: OpenRun, table: PredictionTable) -> None:
        counts = table.confusion()
        self._messages.show_table(table)
        self._confusion.show_counts(table.labels, counts)
        self._table.unsort()
        self._wrong_only.setChecked(False)
        self.choose(EVERYTHING)
        rows, hits = int(counts.sum()), int(np.trace(counts))
        low, high = wilson_interval(hits, rows)
        share = accuracy(counts)
        base_share = _base_accuracy(run)
        left = float(np.mean([row.left_set for row in table.predictions])) if rows else None
        final = run.final if isinstance(run.final, Finished) else None
        peak, forecast = (final.peak_bytes, final.forecast_bytes) if final else (0, 0)
        shown = {
            "accuracy": (percent(share), f"95 %: {100 * low:.1f} to {percent(high)}\n{hits:,} of {rows:,} right"),
            "macro_f1": (percent(macro_f1(counts)), f"over {len(table.labels)} intents"),
            "base": (
                percent(base_share),
                points(share - base_share) if base_share is not None else "was not predicted",
            ),
            "left": (percent(left), "by free greedy decoding"),
            "memory": (size(peak) if peak else UNKNOWN, f"forecast {size(forecast)}" if forecast else ""),
            "seconds": (duration(final.seconds) if final else UNKNOWN, run.started.device if run.started else ""),
        }
        for key, (value, note) in shown.items():
            self._figures[key].show_figure(value, note)

    def _build(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.setSpacing(GRID + GRID // 2)
        self._problem = ErrorPanel("resultsError", closable=False)
        column.addWidget(self._problem)
        self._figures = {key: Figure(f"figure_{key}", caption, tip) for key, (caption, tip) in _FIGURES.items()}
        row = QHBoxLayout()
        row.setSpacing(GRID)
        for key, figure in self._figures.items():
            row.addWidget(figure, 4 if key == "accuracy" else 3)
        body = split(Qt.Orientation.Horizontal, "resultsSplit", self._build_matrix(), self._build_messages())
        body.setStretchFactor(0, 5)
        body.setStretchFactor(1, 4)
        body.setSizes([500, 400])
        self._body = QWidget()
        inner = QVBoxLayout(self._body)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(GRID + GRID // 2)
        inner.addLayout(row)
        inner.addWidget(body, 1)
        column.addWidget(self._body, 1)
        return page

    def _build_matrix(self) -> QFrame:
        self._view = ConfusionView(self._confusion)
        self._view.scope_chosen.connect(self._apply)
        bar = QHBoxLayout()
        bar.setSpacing(GRID // 2)
        self._modes = QButtonGroup(self)
        for mode, (words, tooltip) in _MODES.items():
            choice = named(QPushButton(words), f"matrix_{mode}", words, tooltip)
            choice.setCheckable(True)
            choice.setChecked(mode == "counts")
            choice.clicked.connect(lambda _checked=False, mode=mode: self._confusion.show_mode(mode))
            self._modes.addButton(choice)
            bar.addWidget(choice)
        bar.addStretch(1)
        bar.addWidget(HeatLegend(self._view))
        return framed(self._view, bar)

    def _build_messages(self) -> QFrame:
        self._count = named(text_label("", "strong"), "messagesCount", "Messages shown")
        self._scope = named(ElidedLabel("small"), "messagesScope", "What is chosen in the matrix")
        self._wrong_only = named(
            QCheckBox("Misclassified only"),
            "misclassifiedOnly",
            "Misclassified only",
            "Leave out the messages that are predicted right",
        )
        self._wrong_only.toggled.connect(lambda _on: self._apply(self._filter.scope))
        self._all = button(
            "Show all", "showAllMessages", "Show the messages of all intents again", lambda: self.choose(EVERYTHING), "link"
        )
        bar = QHBoxLayout()
        bar.setSpacing(GRID)
        bar.addWidget(self._count)
        bar.addStretch(1)
        bar.addWidget(self._wrong_only)
        chosen = QHBoxLayout()
        chosen.addWidget(self._scope, 1)
        chosen.addWidget(self._all)
        self._table = MessagesTable(self._filter)
        self._detail = MessageDetail()
        self._detail.ask_requested.connect(self.message_chosen)
        self._table.message_shown.connect(self._detail.show_prediction)
        parts = split(Qt.Orientation.Vertical, "messagesSplit", self._table, self._detail)
        parts.setStretchFactor(0, 1)
        parts.setSizes([260, 220])
        holder = QWidget()
        column = QVBoxLayout(holder)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        column.addLayout(chosen)
        column.addWidget(parts, 1)
        return framed(holder, bar)

    def _apply(self, scope: Scope) -> None:
        self._table.show_scope(scope, self._wrong_only.isChecked())
        shown, total = self._filter.rowCount(), len(self._messages.rows)
        self._count.setText(f"{shown:,} of {total:,} messages")
        self._scope.show_text(self._confusion.scope_name(scope))
        self._all.setVisible(scope != EVERYTHING)


def _base_accuracy(run: OpenRun) -> float | None:
    """Accuracy of the untrained base on the test split, from the events if they tell it: reading all predictions takes longer."""
    told = [event.accuracy for event in run.evaluated("test") if event.step == 0]
    if told:
        return told[-1]
    table = run.base_predictions()
    return accuracy(table.confusion()) if table is not None else None
