"""What is known of a base model before any run, and the terms that come with the starter."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from studio.core.model_description import ModelDescription
from studio.core.starter import TERMS, TERMS_URL
from studio.core.words import UNKNOWN, short_count, size
from studio.ui import theme
from studio.ui.theme import GRID
from studio.ui.widgets.basics import text_label
from studio.ui.words import plain_tooltip

_NAMES = ("Parameters", "Weights on disk", "Architecture", "Licence")


class ModelFacts(QWidget):
    """Four figures in a row, and below them the terms of the starter when that is chosen."""

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        grid = QGridLayout()
        grid.setHorizontalSpacing(3 * GRID)
        grid.setVerticalSpacing(2)
        self._values: dict[str, QLabel] = {}
        for place, name in enumerate(_NAMES):
            grid.addWidget(text_label(name, "field"), 0, place)
            grid.setColumnStretch(place, 2 if place < 2 else 3)
            self._values[name] = text_label(UNKNOWN, "strong", wrap=name in ("Architecture", "Licence"), selectable=True)
            self._values[name].setObjectName("model" + name.title().replace(" ", ""))
            grid.addWidget(self._values[name], 1, place, Qt.AlignmentFlag.AlignTop)
        # This text is ours alone, so it may hold a link.
        self.terms = QLabel()
        self.terms.setObjectName("gemmaTerms")
        self.terms.setProperty("role", "small")
        self.terms.setTextFormat(Qt.TextFormat.RichText)
        self.terms.setWordWrap(True)
        self.terms.setOpenExternalLinks(True)
        self.terms.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.terms.setAccessibleName("Terms of the starter model")
        self.terms.setToolTip(plain_tooltip(TERMS_URL))
        theme.notifier.changed.connect(self._show_terms)
        self._show_terms()
        column.addLayout(grid)
        column.addWidget(self.terms)

    def show_description(self, known: ModelDescription | None) -> None:
        """Show a model, or that nothing is known."""
        shown = dict.fromkeys(_NAMES, "")
        if known is not None:
            shown = dict(
                zip(
                    _NAMES,
                    (
                        short_count(known.parameters),
                        size(known.disk_bytes),
                        known.architecture,
                        known.licence or "not stated",
                    ),
                    strict=True,
                )
            )
        for name, label in self._values.items():
            label.setText(shown[name] or UNKNOWN)
        exact = f"{known.parameters:,} parameters" if known else ""
        self._values["Parameters"].setToolTip(plain_tooltip(exact))
        commit = f"Commit {known.revision}" if known is not None and known.revision is not None else ""
        self._values["Weights on disk"].setToolTip(plain_tooltip(commit))

    def _show_terms(self) -> None:
        colour = theme.current().accent
        address = TERMS_URL.removeprefix("https://")
        self.terms.setText(TERMS.replace(address, f'<a style="color:{colour}" href="{TERMS_URL}">{address}</a>'))
