"""A menu of the models that this computer has already: those used lately, and those in the hub's cache."""

from __future__ import annotations

from functools import partial

from pydantic import BaseModel, ValidationError
from PySide6.QtCore import Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QPushButton

from studio.core.answers import CachedModel, ModelsListed
from studio.core.bases import hub_id
from studio.core.commands import ListModels
from studio.core.config import ModelConfig
from studio.core.errors import StudioError
from studio.core.events import Event, Failed
from studio.core.starter import STARTER, base_name
from studio.core.words import size
from studio.supervise.jobs import Job, run_job
from studio.ui.widgets.basics import named
from studio.ui.words import plain_tooltip

RECENT = 6
_SHOWN_COMMIT = 8


class _Remembered(BaseModel):
    last: ModelConfig = ModelConfig()
    recent: list[ModelConfig] = []


def write_models(last: ModelConfig, recent: list[ModelConfig]) -> str:
    """The last model and those used lately as the window remembers them."""
    return _Remembered(last=last, recent=recent).model_dump_json()


def read_models(text: str) -> tuple[ModelConfig, list[ModelConfig]]:
    """What ``write_models`` wrote; the starter and none when it cannot be read."""
    try:
        remembered = _Remembered.model_validate_json(text)
    except ValidationError:
        remembered = _Remembered()
    return remembered.last, remembered.recent


class KnownModels(QPushButton):
    """The hub's cache is read by a worker each time the menu opens."""

    picked = Signal(object)
    """Emitted with the ModelConfig."""

    def __init__(self) -> None:
        super().__init__("On this computer")
        named(self, "knownModels", "Models on this computer", "Models used lately, and those downloaded from the hub before")
        self.recent: list[ModelConfig] = []
        """Those used lately, the last one first."""
        self._cached: list[CachedModel] | None = None
        self._problem = ""
        self._job: Job | None = None
        self.models_menu = QMenu(self)
        self.models_menu.setToolTipsVisible(True)
        self.models_menu.aboutToShow.connect(self._open)
        self.setMenu(self.models_menu)

    def remember(self, model: ModelConfig) -> None:
        """A model was used: it comes first from now on. The starter has a place of its own."""
        if model.base != STARTER:
            self.recent = [model, *(other for other in self.recent if other != model)][:RECENT]

    def _open(self) -> None:
        self._fill()
        if self._job is not None and self._job.active:
            return
        self._problem = ""
        try:
            self._job = run_job(self, ListModels(), self._listed, self._failed)
        except StudioError as error:
            self._problem = error.message
            self._fill()

    def _listed(self, event: Event) -> None:
        assert isinstance(event, ModelsListed)
        self._cached = event.models
        self._fill()

    def _failed(self, event: Event) -> None:
        self._problem = event.message if isinstance(event, Failed) else "The hub's cache could not be read."
        self._fill()

    def _fill(self) -> None:
        self.models_menu.clear()
        if self.recent:
            self._say("Used lately")
        for model in self.recent:
            self._add(model, hub_id(model.base) or base_name(model.base), model.base)
        if self.recent:
            self.models_menu.addSeparator()
        self._say("Downloaded from the hub")
        for cached in self._cached or ():
            model = ModelConfig(base=cached.base, revision=cached.revision)
            title = f"{hub_id(cached.base)}   {size(cached.disk_bytes)}" + ("" if cached.whole else "   not complete")
            self._add(model, title, "Complete; works offline" if cached.whole else "Its download was cancelled or broke off")
        if not self._cached or self._problem:
            self._say(self._problem or ("None yet" if self._cached is not None else "Looking…"))

    def _say(self, words: str) -> None:
        """A line that is no entry. Sections, Qt's own, show no title in this style."""
        self.models_menu.addAction(words).setEnabled(False)

    def _add(self, model: ModelConfig, title: str, tooltip: str) -> None:
        if model.revision is not None:
            title += f"   {model.revision[:_SHOWN_COMMIT]}"
        action: QAction = self.models_menu.addAction(title.replace("&", "&&"))
        action.setToolTip(plain_tooltip(tooltip))
        action.triggered.connect(partial(self._pick, model))

    def _pick(self, model: ModelConfig, _checked: bool = False) -> None:
        self.picked.emit(model)
