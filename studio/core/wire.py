"""One JSON object a line, in UTF-8, both ways."""

from __future__ import annotations

import sys

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from studio.core.commands import Command, command_adapter
from studio.core.errors import StudioError
from studio.core.events import Event, ProtocolError, event_adapter

PROTOCOL = 1
# -P: a file named like a library must not be imported from the folder that happens to be the current one.
WORKER_COMMAND = (sys.executable, "-P", "-m", "studio", "--worker")
_SHOWN = 500


def encode(message: Command | Event) -> bytes:
    """One line, its newline included. Infinite and NaN numbers travel as strings, which every JSON reader accepts.

    Raises StudioError for text that is no Unicode, such as a file name in another encoding.
    """
    try:
        return message.model_dump_json().encode() + b"\n"
    except PydanticSerializationError as error:
        raise StudioError(
            "A name or a text holds bytes that are no UTF-8.", "Rename the file, or save the text as UTF-8.", detail=str(error)
        ) from error


def decode_event(line: bytes) -> Event:
    """Never raises: what is no event becomes one ``ProtocolError`` that quotes it."""
    try:
        return event_adapter.validate_json(line)
    except ValidationError as error:
        shown = line[:_SHOWN].decode("utf-8", "replace").rstrip("\n")
        return ProtocolError(line=shown, reason=str(error.errors()[0]["msg"]))


def decode_command(line: bytes) -> Command:
    """Raises StudioError for a line that is no command."""
    try:
        return command_adapter.validate_json(line)
    except ValidationError as error:
        raise StudioError("The worker was sent a line that is no command.", detail=str(error), kind="protocol") from error
