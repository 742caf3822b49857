"""The card above a conversation: whether the model is loaded, what that costs, and what can be done with the conversation."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout

from studio.core.machine import device_kind
from studio.core.words import size
from studio.ui.models.open_run import OpenRun
from studio.ui.theme import GRID, restyle
from studio.ui.widgets.basics import allow, button, named, text_label
from studio.ui.widgets.job_progress import JobProgress


class ChatHeader(QFrame):
    """Shows one of three states of the model, and offers what can be done in it."""

    load_requested = Signal()
    unload_requested = Signal()
    copy_requested = Signal()
    clear_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("card", True)
        self.state = named(text_label("", "strong"), "chatState", "State of the model")
        self.cost = named(text_label("", "small", wrap=True), "chatCost", "What loading costs")
        self.progress = JobProgress("chat", "loading the model")
        everything = "Copy the whole conversation as plain text"
        self._copy = button("Copy all", "chatCopyAll", everything, self.copy_requested.emit, "link")
        forget = "Delete the history of this run's conversations; asks first"
        self._clear = button("Clear…", "chatClear", forget, self.clear_requested.emit, "link")
        loading = "Load the model now; the first message does it too"
        self._load = button("Load model", "chatLoad", loading, self.load_requested.emit)
        ending = "End the model's process and give its memory back"
        self._unload = button("Unload", "chatUnload", ending, self.unload_requested.emit)
        self._device = ""
        self._training = False
        words = QVBoxLayout()
        words.setSpacing(GRID // 2)
        for part in (self.state, self.cost, self.progress):
            words.addWidget(part)
        row = QHBoxLayout(self)
        row.setContentsMargins(2 * GRID, GRID + GRID // 2, 2 * GRID, GRID + GRID // 2)
        row.setSpacing(GRID)
        row.addLayout(words, 1)
        for control in (self._copy, self._clear, self._load, self._unload):
            row.addWidget(control)
        self.show_not_loaded()
        self.show_conversation(False)

    def show_not_loaded(self) -> None:
        self._show("Not loaded", "strong")

    def show_loading(self) -> None:
        self.progress.start()
        self._show("Loading", "muted", loading=True)

    def show_loaded(self, device: str) -> None:
        self._device = device
        self._show(f"Loaded on {device}", "good", loaded=True)

    def show_memory(self, amount: int) -> None:
        """The bytes that the loaded model's process holds."""
        self.state.setText(f"Loaded on {self._device} · {size(amount)}")

    def show_cost(self, run: OpenRun, comparing: bool, training: bool) -> None:
        """What the model of ``run`` takes; while a run is trained that is told even when it is loaded."""
        self.cost.setText(loading_cost(run, comparing, training))
        self._training = training
        self._show_parts()

    def show_conversation(self, there: bool) -> None:
        """Whether there is a conversation to copy and to clear."""
        for control in (self._copy, self._clear):
            control.setVisible(there)

    def _show(self, text: str, role: str, loading: bool = False, loaded: bool = False) -> None:
        self._loading, self._loaded = loading, loaded
        self.state.setText(text)
        restyle(self.state, "role", role)
        self._show_parts()

    def _show_parts(self) -> None:
        self.cost.setVisible(not self._loading and (not self._loaded or self._training))
        self.progress.setVisible(self._loading)
        self._load.setVisible(not self._loaded)
        allow(self._load, "The model is being loaded." if self._loading else "")
        self._unload.setVisible(self._loading or self._loaded)


def loading_cost(run: OpenRun, comparing: bool, training: bool) -> str:
    """What loading does to the memory, and to a run in training, in words."""
    first = "The first message loads it too."
    if run.started is None:
        parts = [f"Loading keeps the model in memory until you unload it. {first}"]
    else:
        # Predictions are made in fp32 but for CUDA, where a frozen base stays in the type of the arithmetic.
        narrow = device_kind(run.started.device) == "cuda" and run.config.method.kind != "full" and run.started.precision != "fp32"
        weights = size(run.started.total_parameters * (2 if narrow else 4))
        about = "up to" if run.config.method.kind == "qlora" else "about"
        parts = [f"Loading keeps {about} {weights} of weights in memory until you unload it. {first}"]
        if comparing and run.config.method.kind == "full":
            parts.append(f"Comparing loads the base beside it: {weights} more.")
    if training:
        parts.append("A run is being trained: the chat takes this memory beside it, and slows it down while it answers.")
    return " ".join(parts)
