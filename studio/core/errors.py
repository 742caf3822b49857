"""The one exception a person gets to read."""

from __future__ import annotations


class StudioError(Exception):
    """A problem told in words: what happened and why (``message``), and what to do (``remedy``).

    ``detail`` holds what helps a bug report (a file offset, a library's own words); the window folds it away.
    ``kind`` names the sort of problem in one lower-case word group, e.g. ``"bad_input"`` or ``"out_of_memory"``.
    """

    def __init__(self, message: str, remedy: str = "", detail: str = "", kind: str = "bad_input") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.detail = detail
        self.kind = kind

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class InterruptedByUserError(StudioError):
    """A job was asked to stop before it could answer."""

    def __init__(self) -> None:
        super().__init__("The job was stopped before it was done.", "Start it again.", kind="stopped")
