"""Two or more runs side by side: figures, curves, the settings that differ, and the messages on which they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QCloseEvent, QKeySequence
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from studio.core.answers import RunsCompared
from studio.core.commands import CompareRuns
from studio.core.comparison import Disagreement, RunComparison, comparison_csv, figure_rows
from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed
from studio.core.files import save_file
from studio.core.runs import RunFolder
from studio.core.words import counted, percent
from studio.supervise.jobs import Job, run_job
from studio.ui.theme import GRID, OVERLAYS
from studio.ui.widgets.basics import ErrorPanel, allow, button, named, search_field, shortcut, text_label
from studio.ui.widgets.compare.compared_curves import ComparedCurves
from studio.ui.widgets.frames import split
from studio.ui.widgets.grid_view import GridView

_MOST = len(OVERLAYS)


class CompareDialog(QDialog):
    """Runs are checked at the left; the topmost that is checked is the one the others are held against."""

    def __init__(self, runs: Sequence[tuple[str, RunFolder]], chosen: Sequence[RunFolder], parent: QWidget | None = None) -> None:
        """``runs``: all there are, by name. ``chosen``: which are compared at first, the first of them against the others."""
        super().__init__(parent)
        self.setObjectName("compareDialog")
        self.setWindowTitle("Compare runs")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowFlag(Qt.WindowType.WindowMaximizeButtonHint)
        self.resize(1000, 660)
        self.comparison: RunComparison | None = None
        self._job: Job | None = None
        self._asked: list[RunFolder] = []
        """The runs that the comparison is of, or will be."""
        first = [run.path for run in chosen][:_MOST]
        ordered = sorted(runs, key=lambda entry: first.index(entry[1].path) if entry[1].path in first else len(first))
        self._asking = QTimer(self, singleShot=True, interval=150)
        self._asking.timeout.connect(self._ask)
        self._list = named(
            QListWidget(),
            "comparedRuns",
            "Runs to compare",
            f"Check two to {_MOST} runs (Space); the topmost that is checked is the one the others are held against",
        )
        for name, run in ordered:
            item = QListWidgetItem(name)
            item.setData(Qt.ItemDataRole.UserRole, run)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked if run.path in first else Qt.CheckState.Unchecked)
            self._list.addItem(item)
        self._list.itemChanged.connect(lambda _item: self._asking.start())
        self._build()
        self._ask()

    @property
    def chosen(self) -> list[RunFolder]:
        """The runs that are checked, from above."""
        items = [self._list.item(row) for row in range(self._list.count())]
        return [item.data(Qt.ItemDataRole.UserRole) for item in items if item.checkState() == Qt.CheckState.Checked]

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        self._cancel()
        super().closeEvent(event)

    def done(self, result: int) -> None:
        self._cancel()
        super().done(result)

    def _build(self) -> None:
        self._problem = ErrorPanel("compareError", closable=False)
        self._state = named(text_label("", "muted", wrap=True), "compareState", "State of the comparison")
        self._figures = GridView("comparedFigures", "Figures side by side", "The figures of each run; Ctrl+C copies rows")
        self._settings = GridView(
            "comparedSettings", "Settings side by side", "What run.toml says in each run; what differs is bold; Ctrl+C copies rows"
        )
        self._messages = GridView(
            "comparedMessages",
            "Messages on which the runs disagree",
            "What each run predicted; ✓ is right, ✗ is wrong, with the probability; a click on a column sorts, Ctrl+C copies rows",
        )
        self._curves = ComparedCurves()
        self._tabs = named(QTabWidget(), "compareTabs", "Parts of the comparison")
        self._tabs.setDocumentMode(True)
        self._tabs.setUsesScrollButtons(False)
        for title, page in (
            ("&Figures", self._figures),
            ("&Curves", self._curves),
            ("&Settings", self._build_settings()),
            ("&Messages", self._build_messages()),
        ):
            self._tabs.addTab(page, title)
        self._tabs.currentChanged.connect(lambda _number: self._show_curves())
        self._save_button = button("Save as CSV…", "compareSave", "Save figures, settings and messages as one table", self.save)
        self._copy_button = button(
            "Copy table", "compareCopy", "Put the table in sight on the clipboard, to paste into a sheet", self.copy
        )
        close = button("Close", "compareClose", "Close the comparison (Escape)", self.close)
        buttons = QHBoxLayout()
        buttons.setSpacing(GRID)
        buttons.addWidget(self._state, 1)
        for control in (self._copy_button, self._save_button, close):
            control.setAutoDefault(False)
            buttons.addWidget(control)
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        column.addWidget(text_label("Runs", "section"))
        column.addWidget(self._list, 1)
        left.setMinimumWidth(20 * GRID)
        parts = split(Qt.Orientation.Horizontal, "compareSplit", left, self._tabs)
        parts.setStretchFactor(1, 1)
        parts.setSizes([170, 830])
        outer = QVBoxLayout(self)
        outer.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        outer.setSpacing(GRID + GRID // 2)
        outer.addWidget(self._problem)
        outer.addWidget(parts, 1)
        outer.addLayout(buttons)

    def _build_settings(self) -> QWidget:
        self._all_settings = named(
            QCheckBox("Show all settings"), "compareAllSettings", "Show all settings", "Show the settings that are the same, too"
        )
        self._all_settings.toggled.connect(lambda _on: self._show_settings())
        self._same = text_label("", "muted")
        return _column(self._all_settings, self._same, self._settings)

    def _build_messages(self) -> QWidget:
        self._verdict = named(text_label("", wrap=True, selectable=True), "compareVerdict", "What the test messages say")
        self._search = search_field(
            "compareSearch", "Search the messages", "Show only messages with these words, intents included (Ctrl+F)"
        )
        self._search.textChanged.connect(self._searched)
        self._count = named(text_label("", "small"), "compareCount", "Messages shown")
        page = _column(self._verdict, self._search, self._count, self._messages)
        shortcut(self, QKeySequence.StandardKey.Find, "Compare: search the messages", self._find)
        return page

    def _find(self) -> None:
        """Let words be typed that messages are searched for."""
        self._tabs.setCurrentIndex(self._tabs.count() - 1)
        self._search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self._search.selectAll()

    # Asking

    def _ask(self) -> None:
        self._cancel()
        self._problem.clear()
        self.comparison = None
        self._asked = runs = self.chosen
        if len(runs) < 2:
            alone = self._list.count() < 2
            self._close_tabs("There is no second run yet to compare with." if alone else "Check two runs or more at the left.")
            return
        if len(runs) > _MOST:
            self._close_tabs(f"At most {_MOST} runs can be held against each other; {len(runs)} are checked at the left.")
            return
        self._close_tabs("Reading the runs…")
        try:
            self._job = run_job(self, CompareRuns(runs=[str(run.path) for run in runs]), self._show, self._fail)
        except StudioError as error:
            self._show_problem(error)

    def _close_tabs(self, reason: str) -> None:
        """What the tabs hold is not of the runs that are checked now, for this reason."""
        self._state.setText(reason)
        for part in (self._tabs, self._copy_button, self._save_button):
            allow(part, reason)

    def _show_problem(self, problem: StudioError | Failed | Crashed) -> None:
        self._close_tabs("These runs could not be compared.")
        self._problem.show_problem(problem)

    def _cancel(self) -> None:
        self._asking.stop()
        job, self._job = self._job, None
        if job is not None and job.active:
            job.cancel()

    def _fail(self, problem: Event) -> None:
        self._job = None
        if isinstance(problem, Failed | Crashed):
            self._show_problem(problem)

    def _show(self, answer: Event) -> None:
        self._job = None
        if not isinstance(answer, RunsCompared):
            return
        self.comparison = comparison = answer.comparison
        for part in (self._tabs, self._copy_button, self._save_button):
            allow(part)
        titles = [run.title for run in comparison.runs]
        self._state.setText(f"{counted(len(titles), 'run')}, held against {titles[0]}")
        self._figures.show_rows(["Figure", *titles], [[name, *values] for name, values in figure_rows(comparison.runs)])
        self._show_settings()
        self._show_messages(comparison, titles)
        self._show_curves()

    # Showing

    def _show_settings(self) -> None:
        if self.comparison is None:
            return
        everything = self._all_settings.isChecked()
        shown = [setting for setting in self.comparison.settings if everything or setting.differs]
        differing = sum(setting.differs for setting in self.comparison.settings)
        self._same.setText(f"{differing:,} of {counted(len(self.comparison.settings), 'setting')} differ")
        self._settings.show_rows(
            ["Setting", *(run.title for run in self.comparison.runs)],
            [[setting.key, *setting.values] for setting in shown],
            [["accent" if setting.differs else None] * (1 + len(setting.values)) for setting in shown],
        )

    def _show_messages(self, comparison: RunComparison, titles: list[str]) -> None:
        sentences = list(comparison.problems)
        if comparison.common_messages:
            which = "the same" if comparison.same_messages else "in common"
            sentences.append(f"All runs predicted {which} {counted(comparison.common_messages, 'test message')}.")
        sentences += [pair.sentence(titles[0]) for pair in comparison.pairs if comparison.common_messages]
        sentences += [
            f"{pair.name} and {titles[0]}: {pair.both_right:,} both right, {pair.fixed:,} fixed, {pair.broken:,} broken, "
            f"{pair.both_wrong:,} both wrong."
            for pair in comparison.pairs
            if comparison.common_messages
        ]
        self._verdict.setText("\n".join(sentences))
        self._messages.show_rows(
            ["Message", "True intent", *titles],
            [[row.text, row.label, *_told(row)] for row in comparison.disagreements],
            [[None, None, *("good" if name == row.label else "bad" for name in row.predicted)] for row in comparison.disagreements],
        )
        self._searched(self._search.text())

    def _show_curves(self) -> None:
        """The curves are read and drawn only when they are looked at."""
        if self._tabs.currentWidget() is self._curves and self.comparison is not None:
            self._curves.show_runs([(run.title, folder) for run, folder in zip(self.comparison.runs, self._asked, strict=True)])

    def _searched(self, words: str) -> None:
        self._messages.found.search(words)
        shown, total = self._messages.found.rowCount(), self.comparison.disagreeing if self.comparison is not None else 0
        self._count.setText(f"{shown:,} of {counted(total, 'message')} on which the runs disagree")

    def copy(self) -> None:
        """Put the table in sight on the clipboard."""
        shown = [grid for grid in (self._figures, self._settings, self._messages) if grid.isVisible()]
        (shown or [self._figures])[0].copy()

    def save(self) -> None:
        """Ask for a file and write everything to it."""
        if self.comparison is None:
            return
        start = str(Path.home() / "comparison.csv")
        chosen, _ = QFileDialog.getSaveFileName(self, "Save the comparison", start, "CSV (*.csv)")
        if not chosen:
            return
        path = Path(chosen) if Path(chosen).suffix else Path(chosen).with_suffix(".csv")
        try:
            save_file(path, comparison_csv(self.comparison))
        except StudioError as error:
            self._problem.show_problem(error)
            return
        self._problem.clear()
        self._state.setText(f"Saved {path}")


def _told(row: Disagreement) -> list[str]:
    """Each run's prediction with its probability, and whether it is right."""
    return [
        f"{'✓' if name == row.label else '✗'} {name} {percent(share, 0)}"
        for name, share in zip(row.predicted, row.probability, strict=True)
    ]


def _column(*parts: QWidget) -> QWidget:
    page = QWidget()
    column = QVBoxLayout(page)
    column.setContentsMargins(0, GRID, 0, 0)
    column.setSpacing(GRID)
    for part in parts:
        column.addWidget(part)
    column.setStretch(len(parts) - 1, 1)
    return page
