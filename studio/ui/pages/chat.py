"""Chat: ask the trained model about any message, or let it write."""

from __future__ import annotations

from functools import partial

import numpy as np
from PySide6.QtGui import QGuiApplication, QShowEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from studio.core.answers import ModelLoaded
from studio.core.chat_history import ChatAnswer, Exchange, History, append_exchange, clear_history, history_bytes, read_history
from studio.core.errors import StudioError
from studio.core.events import Event, Heartbeat
from studio.core.generation import GenerationSettings, Speaker
from studio.core.runs import Home, RunFolder
from studio.supervise.background import in_background
from studio.supervise.jobs import ChatSession
from studio.ui.models.awaited_answers import AwaitedAnswers
from studio.ui.models.open_run import OpenRun
from studio.ui.theme import GRID
from studio.ui.widgets.basics import ErrorPanel
from studio.ui.widgets.chat.chat_header import ChatHeader
from studio.ui.widgets.chat.composer import Composer, random_seed
from studio.ui.widgets.chat.conversation import Conversation
from studio.ui.widgets.questions import ask_to_clear
from studio.ui.widgets.window.run_page import RunPage

_EXAMPLES = 3
_LONGEST_EXAMPLE = 140
_LOOKED_AT = 300
"""Test messages from which the examples are taken."""
_LARGE_BYTES = 2**17
"""A history that is larger than this is read in a thread of its own."""


class ChatPage(RunPage):
    """The conversation with the open run's model, which is loaded in a process of its own, and what was said before."""

    def __init__(self, home: Home) -> None:
        super().__init__("chatPage")
        self.session = ChatSession(home, self)
        self._awaited = AwaitedAnswers(self.session)
        self._folder: RunFolder | None = None
        """The run that the conversation shown is with."""
        self._training = False
        self._stale = False
        self._history_job = object()
        states = (
            ("No run is open", "Train a model, or open a run from the list. Then ask it about any message here.", "chatEmpty"),
            (
                "No trained model yet",
                "The model can be asked once training has ended and something was learnt.",
                "chatWaiting",
            ),
        )
        self.fill(states, self._build())
        self.session.loading.connect(self._header.progress.hear)
        self.session.loaded.connect(self._show_loaded)
        self._awaited.changed.connect(self._conversation.update_exchange)
        self._awaited.completed.connect(self._keep_answered)
        self.session.failed.connect(self._problem.show_problem)
        self.session.unloaded.connect(self._show_unloaded)
        self.session.event_received.connect(self._hear_worker)

    def refresh(self, another: bool = False) -> None:
        """Show what the run allows. Another run's conversation is shown, and its model takes the place of the one before."""
        run = self.run
        ready = run is not None and not run.active and run.folder.checkpoint() is not None
        if another:
            self._give_up("Another run was opened before this was answered.")
            self._problem.clear()
            self._folder = None
            self._history_job = object()  # a history that is being read is that of the run before
            if run is not None and ready and self.session.carries(run.config):
                self.load()
            else:
                self.unload()
        if run is None:
            self.show_state(0)
            return
        began = ready and self.state != 2
        self.show_state(2 if ready else 1)
        if ready and (another or began):
            self._folder = run.folder
            self._stale = True
            self._show_cost()
        if ready and self.isVisible():
            self._show_history(run)

    def ask(self, text: str) -> None:
        """Ask for the intents of a message, loading the model first if need be."""
        self._send(text, None)

    def load(self) -> None:
        """Load the open run's model; of a run on the same base only the adapter."""
        if self.run is None or (self.session.active and not self.session.carries(self.run.config)):
            return
        self._problem.clear()
        try:
            self.session.load(self.run.folder)
        except StudioError as error:
            self._problem.show_problem(error)
            return
        self._header.show_loading()
        self._show_busy()

    def unload(self) -> None:
        """Give the model's memory back."""
        self.session.unload()

    def stop(self) -> None:
        """Stop the answer that is being given, and those that wait."""
        self.session.cancel()

    def show_training(self, training: bool) -> None:
        """Whether a run is being trained in this window, beside which a chat costs memory and time."""
        self._training = training
        self._show_cost()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        super().showEvent(event)
        if self.run is not None:
            self._show_history(self.run)
        self._composer.focus()

    def _build(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.setSpacing(GRID + GRID // 2)
        self._header = ChatHeader()
        self._header.load_requested.connect(self._load_now)
        self._header.unload_requested.connect(self.unload)
        self._header.copy_requested.connect(self._copy_all)
        self._header.clear_requested.connect(self._ask_to_clear)
        column.addWidget(self._header)
        self._problem = ErrorPanel("chatError")
        column.addWidget(self._problem)
        self._conversation = Conversation()
        self._conversation.example_chosen.connect(self._submit)
        self._conversation.regenerate_requested.connect(self._regenerate)
        column.addWidget(self._conversation, 1)
        self._composer = Composer()
        self._composer.submitted.connect(self._submit)
        self._composer.stop_requested.connect(self.stop)
        self._composer.compared.connect(lambda _on: self._show_cost())
        column.addWidget(self._composer)
        return page

    def _load_now(self) -> None:
        # The button goes out, and its neighbour, which would get the keyboard, ends the loading.
        self._composer.focus()
        self.load()

    # Asking

    def _submit(self, text: str) -> None:
        self._send(text, self._composer.settings())

    def _send(self, text: str, settings: GenerationSettings | None) -> None:
        # Half a character, which a paste can bring, cannot be sent or stored.
        text = text.strip().encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        speakers: list[Speaker] = ["tuned", "base"] if self._composer.comparing else ["tuned"]
        if text and self._make_ready():
            exchange = Exchange(text=text, settings=settings, answers=[ChatAnswer(speaker=speaker) for speaker in speakers])
            self._conversation.add(exchange)
            self._request(exchange)

    def _regenerate(self, exchange: Exchange) -> None:
        """Have the same message answered again from a new seed, in the same place."""
        if exchange.settings is None or not self._make_ready():
            return
        again = exchange.model_copy(
            update={
                "settings": exchange.settings.model_copy(update={"seed": random_seed()}),
                "answers": [ChatAnswer(speaker=answer.speaker) for answer in exchange.answers],
            }
        )
        self._conversation.replace(exchange, again)
        self._request(again)

    def _make_ready(self) -> bool:
        """Whether there is a model to be asked, which is loaded if it was not."""
        if self.run is None or self.state != 2:
            return False
        if not self.session.active:
            self.load()
        return self.session.active

    def _request(self, exchange: Exchange) -> None:
        self._awaited.ask(exchange)
        self._composer.focus()  # what asked, such as an example, may be gone by now
        self._show_busy()

    def _keep_answered(self, exchange: Exchange) -> None:
        self._keep(exchange)
        self._show_busy()

    def _give_up(self, reason: str) -> None:
        """Nobody answers any more."""
        self._awaited.give_up(reason)
        self._show_busy()

    # The history

    def _show_history(self, run: OpenRun) -> None:
        """Read and show what was said with a run, once, when it is about to be seen."""
        if not self._stale:
            return
        self._stale = False
        self._history_job = job = object()
        path = run.folder.path
        if history_bytes(path) <= _LARGE_BYTES:
            try:
                history = read_history(path)
            except StudioError as error:
                self._problem.show_problem(error)
                history = History()
            self._conversation.show_history(history, _examples(run))
        else:
            self._conversation.show_history(History(), [])
            # The page's, not the run's: the same run may be opened once more, and the one before goes then.
            take, tell = partial(self._take_history, job), partial(self._tell_unread, job)
            in_background(self, partial(read_history, path), take, tell)
        self._show_history_actions()

    def _take_history(self, job: object, history: History) -> None:
        """A long history was read in the background; what was asked meanwhile comes after it."""
        if job is self._history_job:
            known = {exchange.id for exchange in history.exchanges}
            history.exchanges += [exchange for exchange in self._conversation.exchanges if exchange.id not in known]
            self._conversation.show_history(history, [])
            self._show_history_actions()

    def _tell_unread(self, job: object, error: StudioError) -> None:
        if job is self._history_job:
            self._problem.show_problem(error)

    def _keep(self, exchange: Exchange) -> None:
        self._show_history_actions()
        if self._folder is None or all(answer.empty for answer in exchange.answers):
            return
        try:
            append_exchange(self._folder.path, exchange)
        except StudioError as error:
            self._problem.show_problem(error)

    def _copy_all(self) -> None:
        QGuiApplication.clipboard().setText("\n\n\n".join(exchange.as_text() for exchange in self._conversation.exchanges))

    def _ask_to_clear(self) -> None:
        if self.run is not None:
            ask_to_clear(self, self.run.name, self._clear_history)

    def _clear_history(self) -> None:
        if self.run is None or self._folder is None:
            return
        self.stop()
        self._awaited.forget()
        self._show_busy()
        try:
            clear_history(self._folder.path)
        except StudioError as error:
            self._problem.show_problem(error)
        self._stale = True
        self._show_history(self.run)

    def _show_history_actions(self) -> None:
        self._header.show_conversation(bool(self._conversation.exchanges))

    # The model

    def _show_busy(self) -> None:
        self._composer.show_busy(self.session.model is not None and self._awaited.any)

    def _show_loaded(self, event: ModelLoaded) -> None:
        self._header.show_loaded(event.device)
        self._show_busy()

    def _hear_worker(self, event: Event) -> None:
        if isinstance(event, Heartbeat) and self.session.model is not None:
            self._header.show_memory(event.memory_bytes)

    def _show_unloaded(self) -> None:
        self._give_up("The model was unloaded before it could answer. Ask again to load it.")
        self._header.show_not_loaded()

    def _show_cost(self) -> None:
        if self.run is not None:
            self._header.show_cost(self.run, self._composer.comparing, self._training)


def _examples(run: OpenRun) -> list[str]:
    """A few test messages of ordinary length, from all over the split."""
    try:
        table = run.predictions.of_test()
    except StudioError:
        return []
    if table is None:
        return []
    last = len(table.predictions) - 1
    places = np.unique(np.linspace(0, last, _LOOKED_AT).astype(np.int64)) if last >= 0 else np.zeros(0, dtype=np.int64)
    texts = [text for text in map(str, table.texts.take(places).to_pylist()) if len(text) <= _LONGEST_EXAMPLE]
    return [texts[number * len(texts) // _EXAMPLES] for number in range(_EXAMPLES)] if len(texts) >= _EXAMPLES else texts
