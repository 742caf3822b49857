"""Export: take the adapter or the model away, and know that it is the same."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QRadioButton, QScrollArea, QVBoxLayout, QWidget

from studio.core.answers import Exported
from studio.core.commands import Export
from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed
from studio.core.exports import (
    FP32_BYTES,
    KIND_TITLES,
    ExportKind,
    export_folder,
    export_kinds,
    free_bytes,
    merged_into,
    target_problem,
)
from studio.core.resuming import weight_bytes
from studio.core.runs import Home
from studio.core.starter import base_name
from studio.core.words import sentence, size
from studio.supervise.jobs import Job, run_job
from studio.ui.models.open_run import OpenRun
from studio.ui.theme import GRID, restyle
from studio.ui.widgets.basics import Card, ErrorPanel, allow, button, named, primary_button, text_label
from studio.ui.widgets.export.comparison_card import ComparisonCard
from studio.ui.widgets.export.export_result import ExportResult
from studio.ui.widgets.export.program_card import ProgramCard
from studio.ui.widgets.job_progress import JobProgress
from studio.ui.widgets.paths import PathField
from studio.ui.widgets.window.run_page import RunPage

EXPORTS = "finetune-studio-exports"
_WIDEST = 100 * GRID
_FOLDER_TIP = "The folder that the files are written into; it must be new or empty"
_GO_TIP = "Write the files, then reload them in a clean process and compare"


class ExportPage(RunPage):
    """What, where and how big; then the export itself, verified in a clean process."""

    event_received = Signal(object)
    """Each Event of the worker that exports."""
    worker_ended = Signal()

    def __init__(self, home: Home) -> None:
        super().__init__("exportPage")
        self._home = home
        self._job: Job | None = None
        self._needed = 0
        states = (
            ("No run is open", "Train a model, or open a run from the list. Then take the result with you here.", "exportEmpty"),
            (
                "Nothing to export yet",
                "The model can be exported once training has ended and something was learnt.",
                "exportWaiting",
            ),
        )
        self.fill(states, self._build())

    def refresh(self, another: bool = False) -> None:
        """Offer what the run's method allows. An export of another run that still works is cancelled."""
        run = self.run
        if another:
            self.cancel()
            self._problem.clear()
            self._hide_result()
            if run is not None:
                self._folder.show_path(str(_unused(Path.home() / EXPORTS / run.name)))
        checkpoint = run.folder.checkpoint() if run is not None and not run.active else None
        self.show_state(0 if run is None else 1 if checkpoint is None else 2)
        if run is None or checkpoint is None:
            return
        fitting = export_kinds(run.config.method.kind)
        for kind, choice in self._kinds.items():
            choice.setVisible(kind in fitting)
        if another or not any(self._kinds[kind].isChecked() for kind in fitting):
            self._kinds[fitting[0]].setChecked(True)
        config, kind = run.config, self._kind()
        explanation = _EXPLANATIONS[kind].format(base=base_name(config.model.base))
        merged = f" {merged_into(config.method.kind, config.training.precision)}" if kind == "merged" else ""
        self._explanation.setText(explanation + merged)
        self._needed = self._bytes_needed(run, checkpoint)
        working = self._job is not None
        for part in (self._folder.edit, self._folder.browse_button, *self._kinds.values()):
            allow(part, "The export is being written there." if working else "")
        cancelled = self._cancel.hasFocus() and not working
        self._progress.setVisible(working)
        self._cancel.setVisible(working)
        self._check()
        if cancelled and self._go.isEnabled():
            self._go.setFocus()

    def export(self) -> None:
        """Write the export into the chosen folder and verify it."""
        if self.run is None or self._job is not None or self._check():
            return
        self._problem.clear()
        self._hide_result()
        command = Export(run=str(self.run.folder.path), home=str(self._home.path), folder=self._folder.path, kind=self._kind())
        try:
            self._job = run_job(self, command, self._succeed, self._fail, self._hear_worker)
        except StudioError as error:
            self._problem.show_problem(error)
            return
        self._progress.start()
        self.refresh()

    @property
    def working(self) -> bool:
        return self._job is not None

    def cancel(self) -> None:
        """End an export that is being written; what it has written so far is no export."""
        if self._job is not None:
            self._job.cancel()
            self._end()

    def _build(self) -> QWidget:
        inner = QWidget()
        inner.setMaximumWidth(_WIDEST)
        column = QVBoxLayout(inner)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.setSpacing(GRID + GRID // 2)
        self._problem = ErrorPanel("exportError")
        column.addWidget(self._build_choices())
        column.addWidget(self._problem)
        self._result, self._program, self._comparison = ExportResult(), ProgramCard(), ComparisonCard()
        self._result.failed.connect(self._problem.show_problem)
        for card in (self._result, self._program, self._comparison):
            column.addWidget(card)
        column.addStretch(1)
        holder = QWidget()
        row = QHBoxLayout(holder)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(inner, 1)
        self._area = area = named(QScrollArea(), "exportArea", "Export")
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # it follows the keyboard from control to control
        area.setWidgetResizable(True)
        area.setWidget(holder)
        area.viewport().setAutoFillBackground(False)
        holder.setAutoFillBackground(False)
        return area

    def _build_choices(self) -> Card:
        card = Card("Export")
        self._kinds = {kind: self._choice(kind) for kind in _EXPLANATIONS}
        group = QButtonGroup(self)
        what = QWidget()
        row = QHBoxLayout(what)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2 * GRID)
        for choice in self._kinds.values():
            group.addButton(choice)
            row.addWidget(choice)
        row.addStretch(1)
        self._explanation = named(text_label("", "muted", wrap=True), "exportExplanation", "What the export holds")
        self._folder = PathField("exportFolder", "Export folder", "A new or empty folder", _FOLDER_TIP, "folder")
        self._folder.edit.textChanged.connect(lambda _text: self._check())
        self._refusal = named(text_label("", "bad", wrap=True), "exportRefusal", "Why this folder cannot be used")
        self._size = named(text_label("", wrap=True), "exportSize", "Size of the export")
        self._go = primary_button("Export", "exportButton", _GO_TIP, self.export)
        self._cancel = button("Cancel", "exportCancel", "End the export; its folder is not made", self.cancel)
        self._progress = JobProgress("export", "the export")
        for caption, parts in (
            ("What", (what, self._explanation)),
            ("Where", (self._folder, self._refusal)),
            ("How big", (self._size,)),
        ):
            card.body.addSpacing(GRID)
            card.body.addWidget(text_label(caption, "field"))
            for part in parts:
                card.body.addWidget(part)
        actions = QHBoxLayout()
        actions.setSpacing(2 * GRID)
        actions.addWidget(self._go)
        actions.addWidget(self._cancel)
        actions.addWidget(self._progress, 1)
        actions.addStretch(0)
        card.body.addSpacing(GRID)
        card.body.addLayout(actions)
        return card

    def _check(self) -> bool:
        """Whether the folder is refused; says why and shows the room on its disk."""
        refusal = self._refuse(self._folder.path)
        free = free_bytes(Path(self._folder.path)) if self._folder.path else None
        if not refusal and free is not None and free < self._needed:
            refusal = f"That disk has {size(free)} left, but {size(self._needed)} are needed. Choose another disk."
        # While it works the folder fills up, and afterwards it holds the export: no reason for complaint.
        working = self._job is not None
        done = bool(self._result.folder) and Path(self._folder.path).resolve() == Path(self._result.folder)
        wrong = bool(refusal) and not working and not done
        self._refusal.setText("Exported. Choose another folder to export again." if done else refusal)
        self._refusal.setVisible((bool(refusal) or done) and not working)
        restyle(self._refusal, "role", "bad" if wrong else "muted")
        restyle(self._folder.edit, "invalid", wrong)
        allow(self._go, refusal or ("The export is being written." if working else "It was exported there." if done else ""))
        room = f"; {size(free)} are free on that disk" if free is not None else ""
        more = ", which can be larger" if self._kind() == "adapter" else ""
        self._size.setText(f"{size(self._needed)} of weights, and the files of the tokenizer{more}{room}.")
        return bool(refusal) or done

    def _refuse(self, typed: str) -> str:
        """Why an export cannot go there, in words; empty when it can."""
        if not typed:
            return "Choose a folder."
        runs = [self._home.runs] + ([self.run.folder.path] if self.run is not None else [])
        try:
            return " ".join(target_problem(export_folder(typed), runs) or ())
        except StudioError as error:
            return f"{error.message} {error.remedy}"

    def _choice(self, kind: ExportKind) -> QRadioButton:
        title = KIND_TITLES[kind]
        choice = named(QRadioButton(title), f"export_{kind}", title, sentence(_EXPLANATIONS[kind].format(base="the base")))
        choice.clicked.connect(lambda _on: self._kind_chosen())
        return choice

    def _kind_chosen(self) -> None:
        if self._result.folder and self._result.folder == str(export_folder(self._folder.path or ".")):
            self._folder.show_path(str(_unused(Path(self._result.folder))))
        self.refresh()

    def _kind(self) -> ExportKind:
        return next((kind for kind, choice in self._kinds.items() if choice.isChecked()), "adapter")

    def _bytes_needed(self, run: OpenRun, checkpoint: Path) -> int:
        if self._kind() == "merged" and run.started is not None:
            return (run.started.total_parameters - run.started.trainable_parameters) * FP32_BYTES  # the adapter goes into the base
        return weight_bytes(checkpoint)

    def _hear_worker(self, event: Event) -> None:
        self.event_received.emit(event)
        self._progress.hear(event)

    def _succeed(self, answer: Event) -> None:
        if isinstance(answer, Exported):
            self._result.show_exported(answer)
            self._program.show_exported(answer, self._kind())
            self._comparison.show_exported(answer)
            QTimer.singleShot(0, self, self._show_result)
        self._end()

    def _hide_result(self) -> None:
        for card in (self._result, self._program, self._comparison):
            card.hide()

    def _show_result(self) -> None:
        self._area.ensureWidgetVisible(self._result)

    def _fail(self, problem: Event) -> None:
        if isinstance(problem, Failed | Crashed):
            self._problem.show_problem(problem)
        self._end()

    def _end(self) -> None:
        self._job = None
        self.refresh()
        self.worker_ended.emit()


_EXPLANATIONS: dict[ExportKind, str] = {
    "adapter": (
        "The small set of weights that this run learnt, in peft's layout. It is used together with {base}, which stays as it was."
    ),
    "merged": "{base} with what was learnt added to its weights, in transformers' layout. It needs no adapter and no peft.",
    "model": "Every weight of the trained model, in transformers' layout. It replaces {base} and needs nothing else.",
}


def _unused(folder: Path) -> Path:
    """The folder, or the next of its name with a number that is not taken yet. Whether it can be written is told beside it."""
    names = itertools.chain([folder.name], (f"{folder.name}-{number}" for number in itertools.count(2)))
    paths = map(folder.with_name, names)
    # What is not there is free, though nothing may be written there: else no number would ever do.
    return next(path for path in paths if not os.path.lexists(path) or target_problem(path) is None)
