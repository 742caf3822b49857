"""Text as Qt shows it."""

from __future__ import annotations


def plain_tooltip(text: str) -> str:
    """A tooltip that Qt wraps and never reads as markup, whatever the text holds; none for no text."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br>")
    return f"<qt>{escaped}</qt>" if text else ""
