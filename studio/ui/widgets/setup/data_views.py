"""What is in a data set: its first rows, how often each intent occurs, and what looks wrong."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractItemView, QBoxLayout, QHeaderView, QLabel, QTableView, QVBoxLayout, QWidget

from studio.core.answers import DataInspected
from studio.core.words import counted
from studio.ui import theme
from studio.ui.models.preview_model import PreviewModel
from studio.ui.theme import GRID
from studio.ui.widgets.basics import named, text_label
from studio.ui.widgets.setup.intent_bars import SPLIT_COLOURS, IntentBars
from studio.ui.widgets.setup.problem_list import ProblemList

_VIEW_HEIGHT = 24 * GRID


class DataViews(QWidget):
    """Shows one ``DataInspected``; hides itself while there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.summary = text_label("", wrap=True)
        self.summary.setObjectName("datasetSummary")
        self.preview_model = PreviewModel()
        self.preview = named(QTableView(), "dataPreview", "First rows of the data", "The first rows as they stand in the file")
        self.preview.setModel(self.preview_model)
        self.preview.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.preview.setTabKeyNavigation(False)
        self.preview.setWordWrap(False)
        self.preview.setAlternatingRowColors(True)
        self.preview.setShowGrid(False)
        self.preview.verticalHeader().hide()
        self.preview.verticalHeader().setDefaultSectionSize(26)
        self.preview.horizontalHeader().setHighlightSections(False)
        self.intents = IntentBars()
        self._legend = QLabel()
        self._legend.setObjectName("splitLegend")
        self._legend.setTextFormat(Qt.TextFormat.RichText)
        self._legend.setProperty("role", "small")
        bars = QVBoxLayout()
        bars.setSpacing(GRID // 2)
        bars.addWidget(self.intents, 1)
        bars.addWidget(self._legend)
        self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._row.setSpacing(2 * GRID)
        self._row.addWidget(self.preview, 3)
        self._row.addLayout(bars, 2)
        for view in (self.preview, self.intents):
            view.setMinimumHeight(_VIEW_HEIGHT)
        self.problems = ProblemList("datasetProblems", "the data")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        column.addWidget(self.summary)
        column.addLayout(self._row, 1)
        column.addWidget(self.problems)
        theme.notifier.changed.connect(self._show_legend)
        self._show_legend()
        self.hide()

    def stack(self, stacked: bool) -> None:
        """Put the two views above each other, or side by side."""
        self._row.setDirection(QBoxLayout.Direction.TopToBottom if stacked else QBoxLayout.Direction.LeftToRight)

    def show_answer(self, answer: DataInspected | None) -> None:
        self.setVisible(answer is not None)
        if answer is None:
            return
        self.preview_model.show_rows(answer.preview, answer.guess)
        self._size_columns()
        self.intents.show_counts(answer)
        train, validation, test = (
            sum(table.values()) for table in (answer.train_counts, answer.validation_counts, answer.test_counts)
        )
        self.summary.setText(
            f"{counted(train + validation + test, 'message')}, {counted(len(answer.train_counts), 'intent')}: "
            f"{train:,} to train on, {validation:,} for validation, {test:,} to test"
        )
        self.problems.show_problems(answer.problems)

    def _size_columns(self) -> None:
        header = self.preview.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        only_these = self.preview_model.columnCount() == 2
        header.setStretchLastSection(not only_these)
        if only_these:
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        else:
            self.preview.setColumnWidth(0, 36 * GRID)
        self.preview.setColumnWidth(1, 18 * GRID)

    def _show_legend(self) -> None:
        colours = theme.current()
        words = (f'<span style="color:{colours.color(name).name()}">&#9632;</span>&nbsp;{name}' for name in SPLIT_COLOURS)
        self._legend.setText("&nbsp;&nbsp; ".join(words))
