"""Results: how good the model is on messages it never saw, what it confuses, and each of those messages."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from studio.core.commands import WriteReport
from studio.core.errors import StudioError
from studio.core.events import Crashed, Failed, Finished
from studio.core.files import save_file
from studio.core.metrics import accuracy, macro_f1, wilson_interval
from studio.core.predictions import PredictionTable, write_confusion, write_messages
from studio.core.runs import Home
from studio.core.words import UNKNOWN, counted, duration, percent, points, size
from studio.ui.models.confusion_model import EVERYTHING, Scope
from studio.ui.models.open_run import OpenRun
from studio.ui.theme import GRID
from studio.ui.widgets.basics import ErrorPanel, allow, named, text_label
from studio.ui.widgets.empty_state import EmptyState
from studio.ui.widgets.figures import Figure
from studio.ui.widgets.frames import ElidedLabel, framed, split
from studio.ui.widgets.results.evaluation import Evaluation
from studio.ui.widgets.results.matrix_picture import Matrix, matrix_picture
from studio.ui.widgets.results.message_source import MessageSource
from studio.ui.widgets.results.messages_panel import MessagesPanel
from studio.ui.widgets.results.result_views import ResultViews
from studio.ui.widgets.save_menu import SaveMenu, Writer
from studio.ui.widgets.window.run_page import RunPage

_FIGURES = {
    "accuracy": ("Test accuracy", "Share of the messages predicted right, with its 95 % interval (Wilson)"),
    "macro_f1": ("Macro-F1", "Mean F1 over all intents, each counting the same, in percent"),
    "base": ("Untrained base", "Accuracy of the model before training, on the same messages by the same rule"),
    "left": ("Left the set", "Share of the messages for which free greedy decoding would have written no label"),
    "memory": ("Peak memory", "Highest memory of the training process, and what the forecast had said"),
    "seconds": ("Duration", "Time of the whole run (hours:minutes:seconds)"),
}


class ResultsPage(RunPage):
    """Headline figures, the confusion matrix, and the messages behind whatever is chosen in it."""

    message_chosen = Signal(str)

    def __init__(self, home: Home) -> None:
        super().__init__("resultsPage")
        self._predictions: PredictionTable | None = None
        self._stale = False
        self._views = ResultViews()
        self._views.scope_chosen.connect(self._show_scope)
        self._messages = MessagesPanel()
        self._messages.everything_chosen.connect(lambda: self.choose(EVERYTHING))
        self._messages.ask_requested.connect(self.message_chosen)
        self._save = self._build_save_menu()
        self._views.bar.addWidget(self._save)
        self._file = ""
        self.evaluation = Evaluation(home)
        self.evaluation.evaluated.connect(self.show_messages_of)
        self.evaluation.changed.connect(self._show_working)
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
        self.fill(states, self._build(), _reading())

    def choose(self, scope: Scope) -> None:
        """Show the messages of a part of the matrix."""
        self._views.show_scope(scope)
        self._show_scope(scope)

    @property
    def can_evaluate(self) -> bool:
        """Whether another labelled file can be predicted with the open run now."""
        return self.state == 2 and self._contents.currentIndex() == 1 and not self.evaluation.working

    def evaluate_file(self, path: Path) -> None:
        """Predict a labelled file with the open run, and show what came of it."""
        self.evaluation.evaluate(path)

    def show_messages_of(self, file: str) -> None:
        """Show the messages of a labelled file that was predicted, or with no name those of the test split."""
        self._file = file
        self.refresh()

    def refresh(self, another: bool = False) -> None:
        """Show the run's test predictions, or the file that was chosen; a run without any can be evaluated.

        Out of sight nothing is read.
        """
        if another:
            self._file, self._predictions = "", None
        self._problem.clear()
        self.evaluation.show_run(self.run.folder if self.run is not None else None)
        self._stale = not self.isVisible()
        if self._stale:
            return
        if self.run is None:
            self.show_state(0)
            return
        try:
            table = self.run.predictions.of_test()
            if table is None:
                if self.run.predictions.reading:
                    self.show_state(3)
                    return
                learnt = not self.run.active and self.run.folder.checkpoint() is not None
                self.show_state(2 if learnt else 1)
                self._contents.setCurrentIndex(0)
                return
            other = self.run.predictions.of_file(self._file) if self._file else None
            if other is None:
                if self._file and self.run.predictions.reading:
                    self.show_state(3)
                    return
                self._file = ""
            note = self.evaluation.warnings.get(self._file, "")
            self._source.show_files(self.run.folder.predicted_files(), self._file, note)
            self._show_table(self.run, other if other is not None else table)
        except (StudioError, KeyError) as error:
            problem = error if isinstance(error, StudioError) else _stranger(error)
            if self._file:  # of a run whose own messages may well be whole, and the way back to them is among what is hidden
                self.show_messages_of("")
                self._problem.show_problem(problem)
                return
            self._problem.show_problem(problem)
        self._body.setVisible(self._problem.isHidden())
        self.show_state(2)
        self._contents.setCurrentIndex(1)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        super().showEvent(event)
        if self._stale:
            self.refresh()

    def _show_table(self, run: OpenRun, table: PredictionTable) -> None:
        counts = table.confusion()
        if table is not self._predictions:  # else what was searched and chosen in it stays
            self._save.run = run.name
            self._save.name = f"{run.name}-{self._file}" if self._file else run.name
            self._saved.hide()
            self._messages.show_table(table)
            self._views.show_counts(table.labels, counts)
            self.choose(EVERYTHING)
            self._predictions = table
        rows, hits = int(counts.sum()), int(np.trace(counts))
        occurring = int(np.count_nonzero(counts.sum(axis=0) + counts.sum(axis=1)))
        low, high = wilson_interval(hits, rows)
        share = accuracy(counts)
        base_share = None if self._file else _base_accuracy(run)
        no_base = "was not asked" if self._file else "" if run.predictions.reading else "was not predicted"
        left = float(table.left_set.mean()) if rows else None
        final = run.final if isinstance(run.final, Finished) else None
        peak, forecast = (final.peak_bytes, final.forecast_bytes) if final else (0, 0)
        shown = {
            "accuracy": (percent(share), f"95 %: {100 * low:.1f} to {percent(high)}\n{hits:,} of {rows:,} right"),
            "macro_f1": (percent(macro_f1(counts)), f"over {counted(occurring, 'intent')}"),
            "base": (
                percent(base_share),
                points(share - base_share) if base_share is not None else no_base,
            ),
            "left": (percent(left), "by free greedy decoding"),
            "memory": (size(peak) if peak else UNKNOWN, f"forecast {size(forecast)}" if forecast else ""),
            "seconds": (duration(final.seconds) if final else UNKNOWN, run.started.device if run.started else ""),
        }
        self._figures["accuracy"].show_caption("Accuracy" if self._file else _FIGURES["accuracy"][0])
        for key, (value, note) in shown.items():
            self._figures[key].show_figure(value, note)

    def _show_scope(self, scope: Scope) -> None:
        self._messages.show_scope(scope, self._views.confusion.scope_name(scope))

    def _show_working(self) -> None:
        working = self.evaluation.working
        self._source.show_working(working)
        allow(self._unevaluated.button, "The test messages are being predicted." if working else "")

    def _build(self) -> QWidget:
        """The evaluation at work above the results, or above the button for them."""
        self._source = MessageSource()
        self._source.chosen.connect(self.show_messages_of)
        self._source.file_given.connect(self.evaluate_file)
        self._unevaluated = EmptyState(
            "Not evaluated yet",
            "This run kept what it learnt, but ended before its test messages were predicted.",
            "Evaluate now",
            "resultsEvaluate",
        )
        self._unevaluated.activated.connect(self.evaluation.evaluate)
        self._contents = QStackedWidget()
        self._contents.addWidget(self._unevaluated)
        self._contents.addWidget(self._build_results())
        whole = QWidget()
        column = QVBoxLayout(whole)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.evaluation)
        column.addWidget(self._contents, 1)
        return whole

    def _build_results(self) -> QWidget:
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
        body = split(Qt.Orientation.Horizontal, "resultsSplit", framed(self._views), framed(self._messages))
        body.setStretchFactor(0, 5)
        body.setStretchFactor(1, 4)
        body.setSizes([500, 400])
        self._body = QWidget()
        inner = QVBoxLayout(self._body)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(GRID + GRID // 2)
        inner.addWidget(self._source)
        inner.addLayout(row)
        inner.addWidget(body, 1)
        self._saved = named(ElidedLabel("small"), "savedFile", "File that was saved")
        self._saved.hide()
        inner.addWidget(self._saved)
        column.addWidget(self._body, 1)
        return page

    def _build_save_menu(self) -> SaveMenu:
        menu = SaveMenu()
        menu.add("Messages shown (CSV)…", "The rows of the list, in its order", "-messages.csv", self._messages_writer)
        menu.add("Matrix (CSV)…", "The counts: true intents down, predicted ones across", "-confusion.csv", self._confusion_writer)
        picture = "The matrix as it is shown now, whole and with every name, as "
        for kind, tip in (("png", "a picture"), ("svg", "a drawing of any size")):
            writer = partial(self._picture_writer, kind)
            menu.add(f"Matrix ({kind.upper()})…", picture + tip, f"-confusion.{kind}", writer)
        tip = "Figures, curves, matrix, scores, mistakes of the test split and settings as one page for any browser"
        menu.add_job("Report (HTML)…", tip, "-report.html", self._report)
        menu.failed.connect(self._problem_saving)
        menu.saving.connect(lambda path: self._show_saved(path, "Writing"))
        menu.saved.connect(self._show_saved)
        return menu

    def _messages_writer(self) -> Writer:
        table, rows = self._messages.shown()
        return lambda path: write_messages(path, table.taken(rows))

    def _confusion_writer(self) -> Writer:
        assert self._predictions is not None  # there is no menu without any
        return partial(write_confusion, table=self._predictions)

    def _picture_writer(self, kind: str) -> Writer:
        matrix = Matrix.of(self._views.confusion)
        return lambda path: save_file(path, matrix_picture(matrix, kind))

    def _report(self, path: Path) -> WriteReport:
        assert self.run is not None
        return WriteReport(run=str(self.run.folder.path), out=str(path))

    def _problem_saving(self, problem: StudioError | Failed | Crashed) -> None:
        self._saved.hide()
        self._problem.show_problem(problem)

    def _show_saved(self, path: str, done: str = "Saved") -> None:
        if not self._body.isHidden():  # else it says why nothing is shown of the run that is open by now
            self._problem.clear()
        self._saved.show_text(f"{done} {path}")
        self._saved.show()


def _reading() -> QWidget:
    page = QWidget()
    words = named(text_label("Reading the results…", "muted"), "resultsReading", "State of the results")
    QVBoxLayout(page).addWidget(words, 0, Qt.AlignmentFlag.AlignCenter)
    return page


def _base_accuracy(run: OpenRun) -> float | None:
    """Accuracy of the untrained base on the test split, from the events if they tell it: reading all predictions takes longer."""
    told = [event.accuracy for event in run.evaluated("test") if event.step == 0]
    if told:
        return told[-1]
    try:
        table = run.predictions.of_base()
        return accuracy(table.confusion()) if table is not None else None
    except (StudioError, KeyError):  # the trained model's results are whole without them
        return None


def _stranger(error: KeyError) -> StudioError:
    return StudioError(f"The predictions name an intent that is not in their label set: {error}.", "Evaluate the run again.")
