"""What is chosen of a data set: its source, the columns that count, and the files or shares that are kept from training."""

from __future__ import annotations

from functools import partial
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QSizePolicy, QVBoxLayout, QWidget

from studio.core.answers import DataInspected
from studio.core.bases import HUB_PREFIX, hub_id
from studio.core.config import DatasetConfig
from studio.core.settings import describe
from studio.ui.theme import GRID
from studio.ui.widgets.basics import allow, named, text_label
from studio.ui.widgets.fields import decimal
from studio.ui.widgets.paths import PathField
from studio.ui.widgets.setup.reading_choices import ReadingChoices

SAMPLE = "sample"
_OF_THE_SAMPLE = "The sample has its own columns and test messages. Choose a file to decide."
_NONE = "None"


class DatasetInputs(QWidget):
    """The fields of [dataset] in rows. What does not apply to the source is hidden, or says why it cannot be used."""

    source_chosen = Signal(str)
    """Another source was named; it is not shown before ``show_source``."""
    changed = Signal()
    """The same source is to be read in another way."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.source = SAMPLE
        self.file = PathField(
            "datasetPath",
            "Data file",
            "The sample is in use. A file, a folder, or hub:org/name",
            describe("dataset.source"),
            "data",
        )
        self.validation_file = PathField("validationPath", "Validation file", _NONE, describe("dataset.validation"), "file")
        self.test_file = PathField("testPath", "Test file", _NONE, describe("dataset.test"), "file")
        self.hub_config = _typed("dataset.config", "Configuration", "its default")
        self.hub_revision = _typed("dataset.revision", "Revision", "main")
        self.reading_choices = ReadingChoices()
        self.validation = decimal("dataset.validation_fraction", "Validation share", 0.001, 0.999, 0.05, 2, "share from 0 to 1")
        self.test_fraction = decimal("dataset.test_fraction", "Test share", 0.001, 0.999, 0.05, 2, "share from 0 to 1")
        self._lay_out()
        self._connect()
        self.show_source(SAMPLE)

    def table(self) -> dict[str, Any]:
        """The choices as run.toml's [dataset] has them."""
        table: dict[str, Any] = {"source": self.source, "validation_fraction": self.validation.value()}
        if self.source != SAMPLE:
            table["test_fraction"] = self.test_fraction.value()
            if self.test_file.path:
                table["test"] = self.test_file.path
            table |= self.reading_choices.table()
        if hub_id(self.source) is not None:
            for name, edit in (("config", self.hub_config), ("revision", self.hub_revision)):
                if text := edit.text().strip():
                    table[name] = text
        if self.validation_file.path:
            table["validation"] = self.validation_file.path
        return table

    @property
    def controls(self) -> dict[str, QWidget]:
        """The controls by the place of their setting in run.toml."""
        read = {f"dataset.{name}": choice for name, choice in self.reading_choices.all.items()}
        return read | {
            "dataset.source": self.file.edit,
            "dataset.config": self.hub_config,
            "dataset.revision": self.hub_revision,
            "dataset.validation": self.validation_file.edit,
            "dataset.validation_fraction": self.validation.editor,
            "dataset.test": self.test_file.edit,
            "dataset.test_fraction": self.test_fraction.editor,
        }

    def show_source(self, source: str) -> None:
        """Show another source, or the same one anew. Nothing that was chosen for the data before is kept."""
        self.source = source
        self.reading_choices.forget()
        self.hub_config.clear()
        self.hub_revision.clear()
        for file in (self.validation_file, self.test_file):
            file.show_path("")
        sample = source == SAMPLE
        self.file.show_path("" if sample else source)
        for part in self._of_files:
            part.setVisible(not sample)
        for part in self._of_the_hub:
            part.setVisible(hub_id(source) is not None)
        self.allow(None)

    def take(self, dataset: DatasetConfig) -> None:
        """Choose as another run with this source did."""
        self.validation.set_value(dataset.validation_fraction)
        self.test_fraction.set_value(dataset.test_fraction)
        if self.source != SAMPLE:
            self.validation_file.show_path(dataset.validation or "")
            self.test_file.show_path(dataset.test or "")
            self.reading_choices.take(dataset)
        self.hub_config.setText(dataset.config or "")
        self.hub_revision.setText(dataset.revision or "")

    def ask_for_hub_id(self) -> None:
        """Let the id of a data set on the hub be typed."""
        self.file.edit.setText(HUB_PREFIX)
        self.file.edit.setFocus()

    def allow(self, answer: DataInspected | None) -> None:
        """Enable what applies to the data as it was read; None: it was not."""
        reason = _OF_THE_SAMPLE if self.source == SAMPLE else ""
        drawn = ("validation", "test") if answer is None else answer.drawn
        for share, name in ((self.validation, "validation"), (self.test_fraction, "test")):
            own = "" if name in drawn else f"This data has its own {name} messages, so no share is set aside."
            allow(share.editor, reason if reason and name == "test" else own)
        self.reading_choices.allow(reason, answer)

    def _lay_out(self) -> None:
        choices = self.reading_choices
        encoding, delimiter = _labelled("Encoding", choices.encoding), _labelled("Delimiter", choices.delimiter)
        validation_file = _labelled("Validation file (optional)", self.validation_file)
        test_file = _labelled("Test file (optional)", self.test_file)
        config, revision = _labelled("Configuration", self.hub_config), _labelled("Revision", self.hub_revision)
        # The sample comes with all of this.
        self._of_files = (encoding, delimiter, validation_file, test_file)
        self._of_the_hub = (config, revision)
        columns = [
            ("Message column", choices.text_column),
            ("Intent column", choices.label_column),
            ("Names of intents", choices.names),
        ]
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(GRID)
        for parts, shares in (
            ([_labelled("File", self.file)], (1,)),
            ([_labelled(title, column) for title, column in columns], (1, 1, 1)),
            ([encoding, delimiter], (7, 5)),  # the names of encodings are long
            ([self.validation, self.test_fraction], (1, 1)),
            ([validation_file, test_file], (1, 1)),
            ([config, revision], (1, 1)),
        ):
            row = QHBoxLayout()
            row.setSpacing(2 * GRID)
            for part, share in zip(parts, shares, strict=True):
                row.addWidget(part, share)
            rows.addLayout(row)

    def _connect(self) -> None:
        self.file.chosen.connect(self.source_chosen)
        for file in (self.validation_file, self.test_file):
            file.chosen.connect(self.changed)
        for edit in (self.hub_config, self.hub_revision):
            edit.editingFinished.connect(partial(self._confirm, edit))
        for choice in self.reading_choices.all.values():
            choice.chosen.connect(self.changed)
        for share in (self.validation, self.test_fraction):
            share.changed.connect(self.changed)

    def _confirm(self, edit: QLineEdit) -> None:
        if edit.isModified():
            edit.setModified(False)
            self.changed.emit()


def _typed(path: str, title: str, placeholder: str) -> QLineEdit:
    edit = named(QLineEdit(), path.replace(".", "_"), title, describe(path))
    edit.setPlaceholderText(placeholder)
    return edit


def _labelled(title: str, editor: QWidget) -> QWidget:
    box = QWidget()
    column = QVBoxLayout(box)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(GRID // 2)
    label = text_label(title, "field")
    label.setBuddy(editor)
    column.addWidget(label)
    column.addWidget(editor)
    column.addStretch(1)
    return box
