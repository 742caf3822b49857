"""Chat: ask the trained model about any message."""

from __future__ import annotations

from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed, Heartbeat, ModelLoaded, Predicted
from studio.core.machine import device_kind
from studio.core.runs import Home
from studio.core.words import size
from studio.supervise.jobs import ChatSession
from studio.ui.models.open_run import OpenRun
from studio.ui.theme import GRID, restyle
from studio.ui.widgets.basics import ErrorPanel, allow, button, named, primary_button, text_label
from studio.ui.widgets.chat_bubble import AnswerBubble
from studio.ui.widgets.conversation import Conversation
from studio.ui.widgets.job_progress import JobProgress
from studio.ui.widgets.run_page import RunPage

_EXAMPLES = 3
_LONGEST_EXAMPLE = 140


class ChatPage(RunPage):
    """One conversation with the open run's model, which is loaded in a process of its own."""

    def __init__(self, home: Home) -> None:
        super().__init__("chatPage")
        self.session = ChatSession(home, self)
        self._waiting: dict[int, AnswerBubble] = {}
        self._device = ""
        states = (
            ("No run is open", "Train a model, or open a run from the list. Then ask it about any message here.", "chatEmpty"),
            (
                "No trained model yet",
                "The model can be asked once training has ended and something was learnt.",
                "chatWaiting",
            ),
        )
        self.fill(states, self._build())
        self.session.loading.connect(self._progress.hear)
        self.session.loaded.connect(self._show_loaded)
        self.session.answered.connect(self._show_answer)
        self.session.failed.connect(self._show_failure)
        self.session.unloaded.connect(self._show_unloaded)
        self.session.event_received.connect(self._hear_worker)

    def refresh(self, another: bool = False) -> None:
        """Show what the run allows. Another run's model is unloaded and its conversation ends."""
        if another:
            self.unload()
            self._waiting.clear()
            self._problem.clear()
        run = self.run
        if run is None:
            self.show_state(0)
            return
        ready = not run.active and run.folder.checkpoint() is not None
        began = ready and self.state != 2
        self.show_state(2 if ready else 1)
        if ready and (another or began):
            self._conversation.show_examples(_examples(run))
            self._cost.setText(_cost(run))
            if not self.session.active:
                self._show_state("Not loaded", "strong")

    def ask(self, text: str) -> None:
        """Ask the model, loading it first if need be."""
        text = text.strip()
        if not text or self.run is None or self.state != 2:
            return
        if not self.session.active:
            self.load()
        if self.session.active:
            bubble = self._conversation.add_exchange(text)
            self._waiting[self.session.ask(text)] = bubble

    def load(self) -> None:
        """Load the open run's model."""
        if self.run is None or self.session.active:
            return
        self._problem.clear()
        try:
            self.session.load(self.run.folder)
        except StudioError as error:
            self._problem.show_problem(error)
            return
        self._progress.start()
        self._show_state("Loading", "muted", loading=True)

    def unload(self) -> None:
        """Give the model's memory back."""
        self.session.unload()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        super().showEvent(event)
        if self._input.isEnabled():
            self._input.setFocus()

    def _build(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.setSpacing(GRID + GRID // 2)
        column.addWidget(self._build_header())
        self._problem = ErrorPanel("chatError")
        column.addWidget(self._problem)
        self._conversation = Conversation()
        self._conversation.example_chosen.connect(self.ask)
        column.addWidget(self._conversation, 1)
        self._input = named(QLineEdit(), "chatInput", "Message to the model", "Write a message and press Enter to see its intent")
        self._input.setPlaceholderText("Write a message…")
        self._input.setMinimumHeight(4 * GRID)
        self._input.returnPressed.connect(self._send_input)
        self._send = primary_button("Send", "chatSend", "Ask the model about this message (Enter)", self._send_input)
        row = QHBoxLayout()
        row.setSpacing(GRID)
        row.addWidget(self._input, 1)
        row.addWidget(self._send)
        column.addLayout(row)
        return page

    def _build_header(self) -> QFrame:
        card = QFrame()
        card.setProperty("card", True)
        self._state = named(text_label("Not loaded", "strong"), "chatState", "State of the model")
        self._cost = named(text_label("", "small", wrap=True), "chatCost", "What loading costs")
        self._progress = JobProgress("chat", "loading the model")
        self._load = button("Load model", "chatLoad", "Load the model now; the first message does it too", self.load)
        self._unload = button("Unload", "chatUnload", "End the model's process and give its memory back", self.unload)
        words = QVBoxLayout()
        words.setSpacing(GRID // 2)
        for part in (self._state, self._cost, self._progress):
            words.addWidget(part)
        row = QHBoxLayout(card)
        row.setContentsMargins(2 * GRID, GRID + GRID // 2, 2 * GRID, GRID + GRID // 2)
        row.setSpacing(2 * GRID)
        row.addLayout(words, 1)
        row.addWidget(self._load)
        row.addWidget(self._unload)
        return card

    def _send_input(self) -> None:
        if text := self._input.text().strip():
            self._input.clear()
            self.ask(text)

    def _show_state(self, text: str, role: str, loading: bool = False, loaded: bool = False) -> None:
        self._state.setText(text)
        restyle(self._state, "role", role)
        self._cost.setVisible(not loading and not loaded)
        self._progress.setVisible(loading)
        self._load.setVisible(not loaded)
        reason = "The model is being loaded." if loading else ""
        for control in (self._load, self._input, self._send):
            allow(control, reason)
        self._unload.setVisible(loading or loaded)

    def _show_loaded(self, event: ModelLoaded) -> None:
        self._device = event.device
        self._show_state(f"Loaded on {event.device}", "good", loaded=True)
        if self.isVisible():
            self._input.setFocus()

    def _hear_worker(self, event: Event) -> None:
        if isinstance(event, Heartbeat) and self.session.model is not None:
            self._state.setText(f"Loaded on {self._device} · {size(event.memory_bytes)}")

    def _show_answer(self, event: Predicted) -> None:
        if (bubble := self._waiting.pop(event.request, None)) is not None:
            bubble.show_answer(event)
            self._conversation.refit()

    def _show_failure(self, problem: Failed | Crashed) -> None:
        self._problem.show_problem(problem)

    def _show_unloaded(self) -> None:
        for bubble in self._waiting.values():
            bubble.show_no_answer("The model was unloaded before it could answer. Ask again to load it.")
        if self._waiting:
            self._conversation.refit()
        self._waiting.clear()
        self._show_state("Not loaded", "strong")


def _examples(run: OpenRun) -> list[str]:
    """A few test messages of ordinary length, from all over the split."""
    try:
        table = run.predictions()
    except StudioError:
        return []
    texts = [row.text for row in table.predictions if len(row.text) <= _LONGEST_EXAMPLE] if table is not None else []
    return [texts[number * len(texts) // _EXAMPLES] for number in range(_EXAMPLES)] if len(texts) >= _EXAMPLES else texts


def _cost(run: OpenRun) -> str:
    """What loading does to the memory, in words."""
    if run.started is None:
        return "Loading keeps the model in memory until you unload it. The first message loads it too."
    # Predictions are made in fp32 but for CUDA, where a frozen base stays in the type of the arithmetic.
    narrow = device_kind(run.started.device) == "cuda" and run.config.method.kind != "full" and run.started.precision != "fp32"
    weights = run.started.total_parameters * (2 if narrow else 4)
    about = "up to" if run.config.method.kind == "qlora" else "about"
    return f"Loading keeps {about} {size(weights)} of weights in memory until you unload it. The first message loads it too."
