"""What an export wrote, and whether it was proved to be the same model."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from studio.core.answers import Exported
from studio.core.errors import StudioError
from studio.core.words import REPORT, short_number, size
from studio.ui.file_manager import show_folder
from studio.ui.theme import GRID
from studio.ui.widgets.basics import Badge, Card, button, named, text_label
from studio.ui.widgets.frames import ElidedLabel

_MOST_ROWS = 16


class ExportResult(Card):
    """Verdict, folder and files of one export. Hidden until ``show_exported``."""

    failed = Signal(object)
    """Emitted with the StudioError of a folder that cannot be shown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Exported", "exportResult")
        if parent is not None:
            self.setParent(parent)
        self._exported: Exported | None = None
        self._badge = named(Badge(), "exportVerdict", "Verification")
        self.header.insertWidget(1, self._badge)
        self._words = named(text_label("", wrap=True, selectable=True), "exportVerification", "Result of the verification")
        self._folder = named(ElidedLabel("muted"), "exportFolderName", "Folder")
        self._open = button("Open folder", "exportOpenFolder", "Show the folder in the file manager", self._open_folder)
        self.header.addWidget(self._open)
        self._files = named(QTableWidget(0, 2), "exportFiles", "Files of the export", "Each file with its size on disk")
        self._files.setHorizontalHeaderLabels(["File", ""])
        self._files.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self._files.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        over_figures = QTableWidgetItem("Size")
        over_figures.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._files.setHorizontalHeaderItem(1, over_figures)
        self._files.horizontalHeader().setHighlightSections(False)
        self._files.setColumnWidth(1, 12 * GRID)
        self._files.verticalHeader().hide()
        self._files.verticalHeader().setDefaultSectionSize(3 * GRID)
        self._files.setShowGrid(False)
        self._files.setTabKeyNavigation(False)
        self._files.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self._files.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        for part in (self._words, self._folder):
            self.body.addWidget(part)
        self.body.addWidget(self._files)
        self.hide()

    @property
    def folder(self) -> str:
        """Where the export that is shown lies; empty while none is."""
        return self._exported.folder if self._exported is not None and not self.isHidden() else ""

    def show_exported(self, exported: Exported) -> None:
        self._exported = exported
        self._badge.show_state("verified" if exported.verified else "not the same", "good" if exported.verified else "bad")
        self._words.setText(verification(exported))
        self._folder.show_text(exported.folder)
        self._files.setRowCount(0)
        for name, amount in [*exported.files.items(), ("Together", sum(exported.files.values()))]:
            row = self._files.rowCount()
            self._files.insertRow(row)
            self._files.setItem(row, 0, QTableWidgetItem(name))
            number = QTableWidgetItem(size(amount))
            number.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self._files.setItem(row, 1, number)
        rows = min(_MOST_ROWS, self._files.rowCount()) * self._files.verticalHeader().defaultSectionSize()
        frame = 2 * self._files.frameWidth() + 2
        self._files.setFixedHeight(self._files.horizontalHeader().sizeHint().height() + rows + frame)
        self.show()

    def _open_folder(self) -> None:
        if self._exported is None:
            return
        try:
            show_folder(Path(self._exported.folder))
        except StudioError as error:
            self.failed.emit(error)


def verification(exported: Exported) -> str:
    """The comparison in words."""
    same = f"{exported.agreeing:,} of {exported.compared:,} predictions the same"
    largest = f"largest probability difference {short_number(exported.largest_difference)}"
    if exported.verified:
        return f"Reloaded in a clean process: {same}; {largest} (up to {short_number(exported.tolerance)} is rounding)."
    return (
        f"Reloaded in a clean process, the export is not the same model: {same}; {largest}. "
        f"Don't use it; export again into a new folder. If it stays so: {REPORT}"
    )
