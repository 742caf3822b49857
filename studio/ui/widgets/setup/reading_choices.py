"""How a table is read: which columns count, in which encoding, cut at which character. Each is guessed until it is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QLineEdit, QSizePolicy

from studio.core.answers import DataInspected
from studio.core.config import DatasetConfig
from studio.core.settings import describe
from studio.ui.widgets.basics import allow, guard_wheel, named

ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with a mark",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16 LE",
    "utf-16-be": "UTF-16 BE",
    "cp1252": "Windows-1252, Western",
    "latin-1": "Latin-1, Western",
    "iso8859-15": "Latin-9, Western",
    "cp1250": "Windows-1250, Central European",
    "cp1251": "Windows-1251, Cyrillic",
    "koi8-r": "KOI8-R, Cyrillic",
    "cp1253": "Windows-1253, Greek",
    "cp1254": "Windows-1254, Turkish",
    "mac-roman": "Mac Roman",
    "shift_jis": "Shift JIS, Japanese",
    "euc-kr": "EUC-KR, Korean",
    "gb18030": "GB 18030, Chinese",
    "big5": "Big5, Chinese",
}
DELIMITERS = {",": "Comma", ";": "Semicolon", "\t": "Tab", "|": "Pipe |", " ": "Space"}
_WIDTH = 8


class _Choice(QComboBox):
    """A setting of a run file that can be left to a guess."""

    chosen = Signal()

    def __init__(self, path: str, title: str) -> None:
        super().__init__()
        guard_wheel(named(self, path.replace(".", "_"), title, describe(path)))
        self.setMinimumContentsLength(_WIDTH)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.given: str | None = None
        """What run.toml would say; None for left out."""


class GuessedChoice(_Choice):
    """A choice whose first entry leaves it to the reader, and says what that came to."""

    def __init__(self, path: str, title: str) -> None:
        super().__init__(path, title)
        self._words: Mapping[str, str] = {}
        self.activated.connect(self._choose)

    def offer(self, words: Mapping[str, str], guess: str | None, none: str = "none") -> None:
        """The values with their words; ``guess`` is what was taken while nothing is chosen. None: not known yet."""
        self._words = words
        told = "Guess" if guess is None else f"Guess: {words.get(guess, guess) or none}"
        self.clear()
        self.addItem(told, None)
        for value, text in words.items():
            self.addItem(text, value)
        self._show_given()

    def take(self, value: str | None) -> None:
        """Choose without announcing it."""
        self.given = value
        self._show_given()

    def _show_given(self) -> None:
        if self.given is not None and self.findData(self.given) < 0:
            self.addItem(self.given, self.given)
        self.setCurrentIndex(self.findData(self.given) if self.given is not None else 0)
        if (edit := self.lineEdit()) is not None:
            edit.setCursorPosition(0)  # a text that is too long shows its beginning

    def _choose(self, index: int) -> None:
        self.given = self.itemData(index)
        self.chosen.emit()


class DelimiterChoice(GuessedChoice):
    """Any other single character can be typed."""

    def __init__(self) -> None:
        super().__init__("dataset.delimiter", "Delimiter")
        self.setEditable(True)
        edit = self.lineEdit()
        assert edit is not None
        named(edit, "delimiterTyped", "Another delimiter", "Type the one character that stands between two columns")
        edit.editingFinished.connect(partial(self._typed, edit))

    def _typed(self, edit: QLineEdit) -> None:
        if not edit.isModified():
            return
        edit.setModified(False)
        text = edit.text()
        if len(text) != 1 or text in '"\r\n\0':  # no delimiter: back to what was
            self._show_given()
        elif text != self.given:
            self.take(text)
            self.chosen.emit()


class ColumnChoice(_Choice):
    """One of the columns. Shows the guess."""

    def __init__(self, path: str, title: str) -> None:
        super().__init__(path, title)
        self.activated.connect(self._choose)

    def offer(self, columns: list[str], current: str) -> None:
        """The columns of the data, and the one in use."""
        self.let_be_typed(False)
        self.clear()
        self.addItems(columns)
        self.setCurrentText(current)

    def take(self, name: str | None) -> None:
        """Choose without announcing it, before the columns are known."""
        self.clear()
        self.given = name
        if name is not None:
            self.addItem(name)

    def let_be_typed(self, typed: bool) -> None:
        """Where no column could be guessed none can be offered, so a name can be typed."""
        if typed == self.isEditable():
            return
        name = self.currentText()
        self.setEditable(typed)
        if (edit := self.lineEdit()) is not None:
            edit.setPlaceholderText("type its name")
            edit.editingFinished.connect(partial(self._typed, edit))
            edit.setText(name)

    def _choose(self, _index: int = 0) -> None:
        self.given = self.currentText() or None
        self.chosen.emit()

    def _typed(self, edit: QLineEdit) -> None:
        if edit.isModified():
            edit.setModified(False)
            self._choose()


class ReadingChoices:
    """The five choices; the picker lays them out."""

    def __init__(self) -> None:
        self.text_column = ColumnChoice("dataset.text_column", "Message column")
        self.label_column = ColumnChoice("dataset.label_column", "Intent column")
        self.names = GuessedChoice("dataset.label_name_column", "Names of intents")
        self.encoding = GuessedChoice("dataset.encoding", "Encoding")
        self.delimiter = DelimiterChoice()
        self.all: dict[str, ColumnChoice | GuessedChoice] = {
            "text_column": self.text_column,
            "label_column": self.label_column,
            "label_name_column": self.names,
            "encoding": self.encoding,
            "delimiter": self.delimiter,
        }
        self.forget()

    def table(self) -> dict[str, str]:
        """What was chosen, as run.toml's [dataset] has it."""
        return {name: choice.given for name, choice in self.all.items() if choice.given is not None}

    def forget(self) -> None:
        """Leave everything to the guess."""
        for choice in self.all.values():
            choice.take(None)
        self._offer_texts(None)

    def take(self, dataset: DatasetConfig) -> None:
        """Choose as another run did."""
        for name, choice in self.all.items():
            choice.take(getattr(dataset, name))

    def show_answer(self, answer: DataInspected) -> None:
        """Offer what is in the data, and show what was guessed."""
        guess = answer.guess
        self.text_column.offer(guess.columns, guess.text_column)
        self.label_column.offer(guess.columns, guess.label_column)
        columns = {name: name for name in guess.columns if name not in (guess.text_column, guess.label_column)}
        self.names.offer(columns, guess.label_name_column or "")
        self._offer_texts(answer)

    def show_failure(self, columns_may_be_typed: bool) -> None:
        """The data could not be read."""
        for column in (self.text_column, self.label_column):
            column.let_be_typed(columns_may_be_typed)
        self._offer_texts(None)

    def allow(self, reason: str, answer: DataInspected | None) -> None:
        """Enable what applies; ``reason`` says why nothing does."""
        for choice in self.all.values():
            allow(choice, reason)
        if not reason and answer is not None:
            no_text = "" if answer.encoding else "This kind of file tells its encoding itself."
            no_cuts = "" if answer.delimiter else "This kind of file has no delimiters."
            allow(self.encoding, no_text)
            allow(self.delimiter, no_cuts)

    def _offer_texts(self, answer: DataInspected | None) -> None:
        if answer is None:
            self.names.offer({}, None)
        self.encoding.offer(ENCODINGS, answer.encoding if answer is not None else None)
        self.delimiter.offer(DELIMITERS, answer.delimiter if answer is not None else None)
