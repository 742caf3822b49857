"""The prompt: its template, what a message looks like in it, and the tokens that come of it."""

from __future__ import annotations

from PySide6.QtGui import QColor, QResizeEvent, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QPlainTextEdit, QTextEdit, QVBoxLayout

from studio.core.answers import DataInspected, TokensInspected
from studio.core.batch_sizes import micro_batch_for
from studio.core.config import SLOT, RunConfig
from studio.core.machine import DeviceName
from studio.core.memory import Lengths
from studio.core.model_description import ModelDescription
from studio.core.runs import Home
from studio.ui import theme
from studio.ui.theme import GRID, code_font
from studio.ui.widgets.basics import Card, named, text_label
from studio.ui.widgets.fields import Field, choice, paragraph, whole
from studio.ui.widgets.setup.token_inspector import TokenInspector

_SIDE_BY_SIDE_FROM = 640
_TEXT_HEIGHT = 10 * GRID
_LONGEST = 600
"""Characters of a message that the preview shows; the tokens show all of it."""


class PromptCard(Card):
    """``fields`` are given to the form that collects the settings; this card shows what they do."""

    def __init__(self, home: Home) -> None:
        super().__init__("Prompt", "promptCard")
        self._template = paragraph("prompt.template", "Template; {text} stands for the message")
        self._chat = choice(
            "prompt.use_chat_template", "Chat template", {"auto": "if the model has one", True: "always", False: "never"}
        )
        self.fields: list[Field] = [
            self._template,
            self._chat,
            whole("prompt.max_length", "Longest prompt", 16, 10_000_000, 16, "tokens"),
        ]
        self.tokens = TokenInspector(home)
        self._model: ModelDescription | None = None
        self._row = ("", "")
        self._data: DataInspected | None = None
        self._frame: tuple[object, str] | None = None
        """What the worker last said of a chat: the settings it holds for, and the prompt."""
        self.note = text_label("", "small")
        self.header.addWidget(self.note)
        row = QHBoxLayout()
        row.setSpacing(2 * GRID)
        row.addWidget(self._chat, 1)
        row.addWidget(self.fields[2], 1)
        self.preview = named(
            QPlainTextEdit(),
            "promptPreview",
            "The prompt with a message in it",
            "What the model reads, and behind it what it is to write",
        )
        self.preview.setReadOnly(True)
        self.preview.setTabChangesFocus(True)
        self.preview.setFont(code_font())
        for editor in (self._template.editor, self.preview):
            editor.setFixedHeight(_TEXT_HEIGHT)
        shown = QVBoxLayout()
        shown.setSpacing(GRID // 2)
        shown.addWidget(text_label("What the model reads, and is to write", "field"))
        shown.addWidget(self.preview)
        shown.addStretch(1)
        self._texts = QBoxLayout(QBoxLayout.Direction.TopToBottom)
        self._texts.setSpacing(GRID)
        self._texts.addWidget(self._template, 1)
        self._texts.addLayout(shown, 1)
        self.body.addLayout(self._texts)
        self.body.addLayout(row)
        self.body.addWidget(self.tokens)
        for field in self.fields:
            field.changed.connect(self._render)
        self.tokens.answered.connect(self._answered)
        theme.notifier.changed.connect(self._render)
        self._render()

    def show_data(self, answer: DataInspected | None) -> None:
        """Take the message of the preview from these data until a row is inspected."""
        if answer is not self._data:
            self._data = answer
            first = answer.preview[0] if answer is not None and answer.preview else {}
            guess = answer.guess if answer is not None else None
            self._row = (first.get(guess.text_column, ""), first.get(guess.label_column, "")) if guess else ("", "")
        self._render()

    def show_model(self, model: ModelDescription | None) -> None:
        self._model = model
        self._render()

    def show_config(self, config: RunConfig | None, device: DeviceName, waits_for: str = "") -> None:
        """Inspect the tokens that this run would train on."""
        self.tokens.show_config(config, device, waits_for)

    def lengths(self, config: RunConfig, device: DeviceName) -> Lengths | None:
        """The largest micro-batch of this run, measured token by token; None where these tokens have not been counted."""
        totals = self.tokens.totals_of(config)
        if totals is None:
            return None
        return totals.largest.of(min(config.training.batch_size, micro_batch_for(config, device)))

    @property
    def chats(self) -> bool:
        """Whether messages are turns of the model's chat template, as far as is known."""
        return self._chat.value() is not False and (
            self._chat.value() is True or (self._model is not None and self._model.chat_template)
        )

    def _answered(self, answer: TokensInspected | None) -> None:
        if answer is not None and self._data is not None:  # else the question was about data that cannot be used any more
            self._row = (answer.text, answer.label)
            asked = self.tokens.answered_for.prompt if self.tokens.answered_for is not None else None
            # Of a template that was typed since nothing is known yet.
            typed = (self._template.value(), self._chat.value())
            current = asked is not None and (asked.template, asked.use_chat_template) == typed
            self._frame = (self._settings(), answer.prompt) if answer.chat and current else None
        self._render()

    def _settings(self) -> object:
        return (self._template.value(), self._model.base if self._model is not None else None, self._chat.value())

    def _render(self) -> None:
        template = self._template.value()
        count = template.count(SLOT)
        framed = self._frame[1] if self._frame is not None and self._frame[0] == self._settings() else None
        if self.chats:
            self.note.setText("A turn of the model's own chat template")
            prompt = framed or template.rstrip()
        else:
            self.note.setText(
                "As it stands: this model has no chat template" if self._model and not self._model.chat_template else "As it stands"
            )
            prompt = template.rstrip()
        if count != 1:
            self.preview.setPlainText("")
            self.preview.setExtraSelections([])
            return
        text, label = self._row
        if len(text) > _LONGEST:
            text = text[:_LONGEST] + "…"
        rendered = prompt.replace(SLOT, text or "(a message)")
        between = template[len(template.rstrip()) :] or " "
        separator = "" if framed is not None and prompt[-1:].isspace() else " " if self.chats else between
        self.preview.setPlainText(rendered + separator + (label or "(its intent)"))
        # Qt counts in UTF-16, where most emoji are two.
        self._mark_answer(len((rendered + separator).encode("utf-16-le", "surrogatepass")) // 2)

    def _mark_answer(self, start: int) -> None:
        colours = theme.current()
        looks = QTextCharFormat()
        looks.setBackground(QColor(colours.accent_tint))
        looks.setFontUnderline(True)
        looks.setFontWeight(600)
        cursor = QTextCursor(self.preview.document())
        cursor.setPosition(min(start, self.preview.document().characterCount() - 1))
        cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        marked = QTextEdit.ExtraSelection()
        marked.cursor = cursor
        marked.format = looks
        self.preview.setExtraSelections([marked])

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        wide = event.size().width() >= _SIDE_BY_SIDE_FROM
        self._texts.setDirection(QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom)
        self._texts.setSpacing(2 * GRID if wide else GRID)
