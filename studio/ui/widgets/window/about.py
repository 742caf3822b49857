"""What this program is, and under which terms its parts may be used."""

from __future__ import annotations

from importlib import metadata

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QPlainTextEdit, QVBoxLayout, QWidget

from studio.core.runs import Home
from studio.core.starter import STARTER_NAME, TERMS
from studio.ui.theme import GRID
from studio.ui.widgets.basics import dialog_buttons, named, text_label

LICENCES = {
    "PySide6-Essentials": "LGPL-3.0",
    "pyqtgraph": "MIT",
    "torch": "BSD-3-Clause",
    "transformers": "Apache-2.0",
    "peft": "Apache-2.0",
    "accelerate": "Apache-2.0",
    "bitsandbytes": "MIT",
    "safetensors": "Apache-2.0",
    "gguf": "MIT",
    "pyarrow": "Apache-2.0",
    "numpy": "BSD-3-Clause",
    "pydantic": "MIT",
    "platformdirs": "MIT",
    "psutil": "BSD-3-Clause",
    "nvidia-ml-py": "BSD-3-Clause",
    "filelock": "MIT",
    "tomli-w": "MIT",
    "rich": "MIT",
}


def version(package: str) -> str:
    """The installed version, empty when it is not installed. Reads metadata only, imports nothing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


class AboutDialog(QDialog):
    """Name, version, where things are kept, and the licences."""

    def __init__(self, home: Home, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("aboutDialog")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("About Finetune Studio")
        self.setMinimumWidth(64 * GRID)
        terms = named(QPlainTextEdit(), "licences", "Licences", "The libraries in use and their licences")
        terms.setReadOnly(True)
        terms.setMinimumHeight(30 * GRID)
        lines = [f"{package} {version(package)}: {licence}" for package, licence in LICENCES.items()]
        terms.setPlainText("\n".join([f"{STARTER_NAME} (the starter model): {TERMS}", "", "Libraries:", *lines]))
        buttons = dialog_buttons("about", {QDialogButtonBox.StandardButton.Close: "Back to the window (Escape)"})
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(3 * GRID, 3 * GRID, 3 * GRID, 2 * GRID)
        column.setSpacing(GRID)
        column.addWidget(text_label("Finetune Studio", "title"))
        column.addWidget(text_label(f"Version {version('finetune-studio') or 'from source'}, Apache License 2.0", "muted"))
        column.addWidget(text_label("Fine-tunes small language models on your own computer. Nothing leaves it.", wrap=True))
        column.addWidget(text_label(f"Runs and models are kept in {home.path}", "muted", wrap=True, selectable=True))
        column.addWidget(terms, 1)
        column.addWidget(buttons)
