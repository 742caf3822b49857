"""Where a base model comes from: the starter, the hub, or a folder or file of this computer."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QFileDialog, QGridLayout, QHBoxLayout, QLineEdit, QRadioButton, QVBoxLayout, QWidget

from studio.core.bases import HUB_PREFIX, hub_id, is_hub_id, typed_hub_id
from studio.core.config import ModelConfig
from studio.core.settings import describe
from studio.core.starter import STARTER, STARTER_NAME
from studio.ui.theme import GRID
from studio.ui.widgets.basics import allow, button, named, text_label
from studio.ui.widgets.paths import PathField


class ModelSources(QWidget):
    """One of three is chosen; ``model()`` is what run.toml would say."""

    chosen = Signal()
    """Another model is meant: look at what this computer has of it."""
    edited = Signal()
    """The id of a hub model is being typed; nothing is asked about it until ``look_up_asked``."""
    look_up_asked = Signal()
    """The hub may be asked about the model."""

    def __init__(self) -> None:
        super().__init__()
        name = f"Starter: {STARTER_NAME}"
        self.starter = named(QRadioButton(name), "starterModel", name, "The model that comes with this app; works offline")
        self.hub = named(
            QRadioButton("Hugging Face hub"),
            "hubModel",
            "A model of the Hugging Face hub",
            "A published model by its id; nothing is downloaded before you have seen its size and said so",
        )
        self.other = named(
            QRadioButton("Folder or file"),
            "folderModel",
            "A model folder or a .gguf file on this computer",
            "A folder with a model in the Hugging Face format, or a .gguf file",
        )
        group = QButtonGroup(self)
        choice = QHBoxLayout()
        choice.setSpacing(2 * GRID)
        for radio in (self.starter, self.hub, self.other):
            group.addButton(radio)
            choice.addWidget(radio)
        choice.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        column.addLayout(choice)
        self._hub_fields, self._local_fields = self._build_hub(), self._build_local()
        for fields in (self._hub_fields, self._local_fields):
            fields.hide()
            column.addWidget(fields)
        self.starter.setChecked(True)
        group.buttonToggled.connect(self._toggled)

    def model(self) -> ModelConfig | None:
        """The chosen model; None while it is not named yet."""
        if self.starter.isChecked():
            return ModelConfig()
        if self.other.isChecked():
            return ModelConfig(base=self.folder.path) if self.folder.path else None
        id = typed_hub_id(self.id.text())
        return ModelConfig(base=HUB_PREFIX + id, revision=self.revision.text().strip() or None) if is_hub_id(id) else None

    def show_model(self, model: ModelConfig) -> None:
        """Show a model without announcing it."""
        id = hub_id(model.base)
        self.blockSignals(True)
        if id is not None:
            self.id.setText(id)
            self.revision.setText(model.revision or "")
        elif model.base != STARTER:
            self.folder.show_path(model.base)
        (self.starter if model.base == STARTER else self.other if id is None else self.hub).setChecked(True)
        self.blockSignals(False)
        self._allow_look_up()

    def what_is_missing(self) -> str:
        """What a person has to do before there is a model to look at."""
        return "Choose a model folder or a .gguf file." if self.other.isChecked() else "Name a model of the hub, as in org/name."

    def _build_hub(self) -> QWidget:
        tip = f"The model's id, or the address of its page. {describe('model.base')}"
        self.id = named(QLineEdit(), "hubModelId", "Id of the hub model", tip)
        self.id.setPlaceholderText("org/name, as on huggingface.co")
        self.id.setClearButtonEnabled(True)
        self.revision = named(QLineEdit(), "model_revision", "Revision of the hub model", describe("model.revision"))
        self.revision.setPlaceholderText("main")
        self.look_up = button(
            "Look up", "lookUpModel", "Ask the hub what this model is and how large; downloads nothing", self._ask_to_look_up
        )
        for edit in (self.id, self.revision):
            edit.textEdited.connect(self._typed)
            edit.returnPressed.connect(self._ask_to_look_up)
        # Cleared by its button, a field says only this.
        self.id.textChanged.connect(lambda text: self._typed() if not text and self.id.isModified() else None)
        fields = QWidget()
        grid = QGridLayout(fields)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(GRID)
        grid.setVerticalSpacing(GRID // 2)
        for place, (title, edit) in enumerate((("Model", self.id), ("Revision (optional)", self.revision))):
            label = text_label(title, "field")
            label.setBuddy(edit)
            grid.addWidget(label, 0, place)
            grid.addWidget(edit, 1, place)
        grid.addWidget(self.look_up, 1, 2)
        grid.setColumnStretch(0, 3)
        grid.setColumnStretch(1, 1)
        self._allow_look_up()
        return fields

    def _build_local(self) -> QWidget:
        self.folder = PathField(
            "modelPath",
            "Model folder or file",
            "Folder with config.json and safetensors, or a .gguf file",
            "A folder with a Hugging Face model, or a .gguf file, which is converted once",
            "model",
        )
        self.gguf = button(".gguf file…", "modelPathGguf", "Choose a .gguf file in a dialog", self._browse_gguf)
        self.folder.browse_button.setText("Folder…")
        self.folder.chosen.connect(lambda _path: self.chosen.emit())
        fields = QWidget()
        row = QHBoxLayout(fields)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GRID)
        row.addWidget(self.folder, 1)
        row.addWidget(self.gguf)
        return fields

    def _browse_gguf(self) -> None:
        start = str(Path(self.folder.path).parent) if self.folder.path else str(Path.home())
        found, _ = QFileDialog.getOpenFileName(self, "A model in a .gguf file", start, "GGUF models (*.gguf)")
        if found:
            self.folder.choose(found)

    def _toggled(self, radio: QRadioButton, on: bool) -> None:
        self._hub_fields.setVisible(self.hub.isChecked())
        self._local_fields.setVisible(self.other.isChecked())
        if not on or self.signalsBlocked():
            return
        self.chosen.emit()
        if self.model() is None:
            (self.folder.edit if radio is self.other else self.id).setFocus()

    def _typed(self) -> None:
        self._allow_look_up()
        self.edited.emit()

    def _allow_look_up(self) -> None:
        usable = is_hub_id(typed_hub_id(self.id.text()))
        allow(self.look_up, "" if usable else "Write the model's id first, as in org/name.")

    def _ask_to_look_up(self) -> None:
        if self.look_up.isEnabled():
            self.look_up_asked.emit()
