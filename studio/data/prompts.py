"""Messages → token ids. One place renders prompts and labels, for training and for prediction alike.

Rules:

- A prompt is the template with the message in it, as it stands or as the user's turn of the model's chat template (see
  ``chat_templates``), tokenised in one go. It begins with what the tokenizer itself puts in front (``<bos>`` for Gemma and
  Llama), once. A tokenizer that declares ``add_bos_token`` but was stored without the rule that
  does it gets its ``bos`` too; any other prompt begins with its text. What a tokenizer appends is never added.
- A label is its separator, its name and the end token. The separator is the whitespace that ends the template, or one
  space, so the prompt never ends in whitespace and the label's tokens begin at a word. In a chat the prompt may end with the
  line breaks that its template writes before an answer. The end is the token that ends the assistant's turn, else the
  tokenizer's end of text.
- Special tokens act only where the template writes them. In a message or a label they are spelt out as text.
- What is too long is cut at the end of the message, with room kept for the longest label. Template and label stay whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NamedTuple, Protocol

from studio.core.config import SLOT, PromptConfig
from studio.core.errors import StudioError
from studio.core.labels import LabelSet
from studio.core.words import counted
from studio.data.chat_templates import chat_frame, plain_frame, uses_chat_template
from studio.data.sources import Example


class Tokenizer(Protocol):
    """What is needed of a fast tokenizer of transformers 5 (one that knows where in the text a token stands)."""

    @property
    def is_fast(self) -> bool: ...

    @property
    def added_tokens_decoder(self) -> Any: ...

    @property
    def all_special_ids(self) -> Any: ...

    def __call__(self, text: Any, *args: Any, **kwargs: Any) -> Any: ...

    def decode(self, token_ids: Any, *args: Any, **kwargs: Any) -> Any: ...

    def convert_ids_to_tokens(self, ids: Any, *args: Any, **kwargs: Any) -> Any: ...


@dataclass(frozen=True)
class Encoded:
    """One row. ``ids`` is prompt, label and end token; ``supervised`` is True exactly on label and end token."""

    ids: list[int]
    supervised: list[bool]
    truncated: bool
    """The end of the message did not fit."""


class _Token(NamedTuple):
    id: int
    start: int
    end: int


class PromptEncoder:
    """Renders prompts and labels for one tokenizer and one [prompt] table.

    Call ``label_set`` first: how much of a message fits depends on the longest label, in training as in prediction.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: PromptConfig) -> None:
        """Raises StudioError when the tokenizer has no end token or cannot tell where its tokens stand."""
        if not tokenizer.is_fast:
            raise StudioError(
                "This model's tokenizer has no fast form (tokenizer.json), which is needed to cut long messages.",
                "Choose another model.",
                kind="unusable_model",
            )
        self.chat = uses_chat_template(tokenizer, prompt)
        """Whether messages are turns of the model's chat template."""
        self._tokenizer = tokenizer
        self._max_length = prompt.max_length
        frame = chat_frame(tokenizer, prompt.template) if self.chat else plain_frame(prompt.template)
        self._head, self._tail, self._separator = frame.head, frame.tail, frame.separator
        special = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._special: set[int | None] = special | set(tokenizer.all_special_ids)
        self._unknown: int | None = getattr(tokenizer, "unk_token_id", None)
        self._beginning: int | None = getattr(tokenizer, "bos_token_id", None)
        end_of_text: int | None = getattr(tokenizer, "eos_token_id", None)
        if self._unknown not in (end_of_text, self._beginning):
            # It stands for text, so a message may hold it. (GPT-2 and Qwen call their end token the unknown one too.)
            self._special.discard(self._unknown)
        end = self._end_of_turn(frame.after)
        if end is None:
            end = end_of_text
        if end is None:
            raise StudioError(
                "This model's tokenizer has no end token, so the model could not say where an intent ends.",
                "Choose another model.",
                kind="unusable_model",
            )
        self.end_token_id = end
        self._prefix = self._own_prefix()
        self._label_ids: dict[str, list[int]] = {}
        self._longest_label: int | None = None

    @property
    def prompt_text(self) -> str:
        """The prompt with ``{text}`` in place of the message, without what the tokenizer puts in front by itself."""
        return self._head + SLOT + self._tail

    @property
    def separator(self) -> str:
        """What stands between the prompt and a label's name."""
        return self._separator

    @property
    def tokenizer(self) -> Tokenizer:
        """What turns text into token ids and back."""
        return self._tokenizer

    def label_ids(self, name: str) -> list[int]:
        """Separator, name and end token. Raises StudioError for a name that the tokenizer cannot write exactly."""
        if name not in self._label_ids:
            ids = self._plain_ids(self._separator + name)
            written = self._decode(ids)
            if written.strip() != name.strip() or self._special.union([self._unknown]).intersection(ids):
                raise StudioError(
                    f"This model's tokenizer cannot write the intent {name!r}: it becomes {written.strip()!r}.",
                    "Rename the intent, with plain letters for example.",
                )
            self._label_ids[name] = [*ids, self.end_token_id]
        return self._label_ids[name]

    def label_set(self, names: Sequence[str]) -> LabelSet:
        """The labels as token ids, and from now on the room that prompts leave for them.

        Raises StudioError when a label cannot be written, two labels have the same ids, or ``max_length`` leaves no
        room for a message.
        """
        labels = LabelSet.build(names, [self.label_ids(name) for name in names])
        longest = max(labels.token_ids, key=len)
        self._longest_label = len(longest)
        fixed = len(self._render("")) + len(longest)
        if fixed >= self._max_length:
            raise StudioError(
                f"The template and the longest intent, {names[labels.token_ids.index(longest)]!r}, take {counted(fixed, 'token')}, "
                f"so max_length = {self._max_length} leaves no room for the message.",
                "Raise max_length, or shorten the template or the names of the intents.",
            )
        return labels

    def alike(self, names: Sequence[str]) -> list[list[str]]:
        """Labels that become the same ids, group by group. Raises StudioError for one that cannot be written."""
        groups: dict[tuple[int, ...], list[str]] = {}
        for name in names:
            groups.setdefault(tuple(self.label_ids(name)), []).append(name)
        return [group for group in groups.values() if len(group) > 1]

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """What each token writes, for people to read; a part of a letter is shown by its name in the vocabulary."""
        return [self._token_text(index) for index in ids]

    def prompt_ids(self, text: str) -> list[int]:
        """The prompt for a message, cut to leave room for the longest label."""
        return self._prompt(text)[0]

    def cuts(self, text: str) -> bool:
        """Whether the message is too long for ``max_length``, so that a prompt leaves out its end."""
        return len(self.kept(text)) < len(text)

    def raw_ids(self, text: str) -> list[int]:
        """The text alone behind what the tokenizer puts in front, uncut; special tokens in it are spelt out."""
        return self._prefix + self._spelt_out(text)

    def kept(self, text: str) -> str:
        """What of a message is in its prompt: all of it, or its beginning."""
        return self._prompt(text)[1]

    def encode(self, example: Example) -> Encoded:
        """Prompt, label and end token of a labelled message."""
        prompt, kept = self._prompt(example.text)
        label = self.label_ids(example.label)
        return Encoded(prompt + label, [False] * len(prompt) + [True] * len(label), len(kept) < len(example.text))

    def _prompt(self, text: str) -> tuple[list[int], str]:
        """The ids, and what of the message is in them."""
        if self._longest_label is None:
            raise RuntimeError("label_set() has to be called before a prompt is rendered")
        room = self._max_length - self._longest_label
        tokens = self._render(text)
        while len(tokens) > room:
            # Cutting text and tokenising it again, rather than cutting tokens, gives what a shorter message would give.
            # The new end may need more tokens than the old one, hence the loop; it ends, as each pass takes a character.
            begin = len(self._head)
            starts = [token.start - begin for token in tokens if token.end > begin and token.start < begin + len(text)]
            surplus = min(len(tokens) - room, len(starts))
            cut = min(starts[-surplus], len(text) - 1) if starts else 0
            text = text[: max(cut, 0)]
            tokens = self._render(text)
        return [token.id for token in tokens], text

    def _render(self, text: str) -> list[_Token]:
        """Prefix and prompt; each token with its place in head + text + tail."""
        rendered = self._head + text + self._tail
        begin, end = len(self._head), len(self._head) + len(text)
        encoding = self._tokenizer(
            rendered, add_special_tokens=False, split_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        tokens: list[_Token] = []
        for index, (start, stop) in zip(encoding["input_ids"], encoding["offset_mapping"], strict=True):
            if index in self._special and _overlaps(rendered, start, stop, begin, end):
                tokens += [_Token(piece, start, stop) for piece in self._spelt_out(rendered[start:stop])]
            else:
                tokens.append(_Token(index, start, stop))
        if [token.id for token in tokens[: len(self._prefix)]] == self._prefix:
            # The template writes the beginning token itself; two of them would be one too many.
            return tokens
        return [_Token(index, 0, 0) for index in self._prefix] + tokens

    def _spelt_out(self, text: str) -> list[int]:
        """The ids of a special token's name as mere text."""
        ids = self._plain_ids(text)
        if self._special.intersection(ids):
            # Some vocabularies hold the name as a word of its own; letter by letter it cannot be found there.
            ids = [index for letter in text for index in self._plain_ids(letter) if index not in self._special]
        return ids

    def _plain_ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"])

    def _token_text(self, index: int) -> str:
        # Behind another token, since decoders take the space off the first one.
        before = self._plain_ids("a")
        text = self._decode([*before, index]).removeprefix(self._decode(before))
        return text if text and "\ufffd" not in text else str(self._tokenizer.convert_ids_to_tokens(index))

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _end_of_turn(self, after: str) -> int | None:
        """The first special token behind an answer; what a template writes before it (a space) is left out."""
        ids = (
            self._tokenizer(after, add_special_tokens=False, split_special_tokens=False, verbose=False)["input_ids"]
            if after
            else []
        )
        return next((index for index in ids if index in self._special and index != self._beginning), None)

    def _own_prefix(self) -> list[int]:
        """What the tokenizer puts in front of every text."""
        full = self._tokenizer("a", add_special_tokens=True, split_special_tokens=True, verbose=False)["input_ids"]
        prefix = list(takewhile(self._special.__contains__, full))
        if self._beginning is not None and not prefix and getattr(self._tokenizer, "add_bos_token", False):
            prefix = [self._beginning]
        return prefix


def _overlaps(rendered: str, start: int, stop: int, begin: int, end: int) -> bool:
    """Whether the token at start:stop takes part of begin:end, apart from spaces that some special tokens swallow."""
    token = rendered[start:stop]
    if token.strip():
        stop = start + len(token.rstrip())
        start += len(token) - len(token.lstrip())
    return start < end and stop > begin
