"""What is asked before something is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMessageBox, QPushButton, QWidget

from studio.ui.widgets.basics import named


class Work(Protocol):
    """Something that is lost when it is ended."""

    @property
    def working(self) -> bool: ...
    def cancel(self) -> None: ...


def may_pause(parent: QWidget, *, learnt: bool) -> bool:
    """Ask whether the run in progress may be paused for the window to close; ``learnt``: it has taken a step, now or before."""
    if not learnt:
        return _agrees(
            parent,
            "A run is in progress",
            "End the run and close?",
            "It has not taken a step yet, so there is nothing to go on from later: Repeat with changes sets it up again.",
            ("End it and close", "Keep training"),
        )
    return _agrees(
        parent,
        "A run is in progress",
        "Pause the run and close?",
        "What it has learnt so far is kept. Resume on the Training page goes on from there whenever you like.",
        ("Pause and close", "Keep training"),
    )


def may_cancel(parent: QWidget, what: str, then: str) -> bool:
    """Ask whether the export or evaluation in progress may be ended; ``then`` is what the person wants instead."""
    return _agrees(
        parent,
        f"An {what} is in progress",
        f"Cancel the {what} and {then}?",
        f"The {what} is not finished and has to be started again. The run itself stays as it is.",
        (f"Cancel the {what} and {then}", "Wait for it"),
    )


def may_delete(parent: QWidget, name: str) -> bool:
    """Ask whether a run may be moved to the trash."""
    return _agrees(
        parent,
        "Delete a run",
        f"Move {name} to the trash?",
        "Its settings, checkpoints, predictions and notes go with it. What was exported elsewhere stays.",
        ("Move to the trash", "Keep it"),
    )


def ask_to_clear(parent: QWidget, name: str, clear: Callable[[], object]) -> None:
    """Ask whether the conversations with a run may be deleted, and ``clear`` them then. Returns at once."""
    box, yes = _question(
        parent,
        "Clear the conversation",
        f"Delete the conversations with {name}?",
        "The messages and answers of this run are deleted. The run and its model stay as they are.",
        ("Delete them", "Keep them"),
    )
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    box.finished.connect(lambda _code: clear() if box.clickedButton() is yes else None)
    box.open()


def end_work(parent: QWidget, work: Mapping[str, Work], then: str) -> bool:
    """Ask for each that is at work whether it may be ended, and end it; False when one is to go on.

    ``then`` is what the person wants instead: "close".
    """
    for what, page in work.items():
        if page.working:
            if not may_cancel(parent, what, then):
                return False
            page.cancel()
    return True


def _agrees(parent: QWidget, title: str, question: str, consequence: str, answers: tuple[str, str]) -> bool:
    """Whether the first answer was chosen."""
    box, yes = _question(parent, title, question, consequence, answers)
    box.exec()
    box.deleteLater()
    return box.clickedButton() is yes


def _question(
    parent: QWidget, title: str, question: str, consequence: str, answers: tuple[str, str]
) -> tuple[QMessageBox, QPushButton]:
    """A question and the button of its first answer; Escape and Enter choose the second."""
    box = QMessageBox(parent)
    box.setObjectName("closeQuestion")
    box.setWindowTitle(title)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setText(question)
    box.setInformativeText(consequence)
    stop = named(box.addButton(answers[0], QMessageBox.ButtonRole.AcceptRole), "agree", answers[0])
    stay = named(box.addButton(answers[1], QMessageBox.ButtonRole.RejectRole), "refuse", answers[1])
    box.setDefaultButton(stay)
    box.setEscapeButton(stay)
    return box, stop
