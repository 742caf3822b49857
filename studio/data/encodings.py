"""Bytes → text. The encoding is given, or told by a mark at the start, or guessed; a guess is said aloud."""

from __future__ import annotations

import codecs
from typing import NamedTuple, NoReturn

from studio.core.errors import StudioError
from studio.core.words import counted

_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_WESTERN = {"cp1252": "Windows-1252 (Western European)", "latin-1": "Latin-1 (Western European)"}
# From this share of UTF-8 among the lines with letters beyond ASCII on, it is no accident.
_LEAST_UTF8_SHARE = 0.1
_LINES_NAMED = 5


class Decoded(NamedTuple):
    text: str
    encoding: str
    problems: list[str]


def decode(name: str, raw: bytes, encoding: str | None = None) -> Decoded:
    """Raises StudioError, naming the line, for bytes that the encoding does not have and for what is no text."""
    decoded = _as_given(name, raw, encoding) if encoding else _guessed(name, raw)
    if (position := decoded.text.find("\0")) >= 0:
        _refuse_binary(name, decoded.text.count("\n", 0, position) + 1)
    return decoded


def _as_given(name: str, raw: bytes, encoding: str) -> Decoded:
    # What the mark says is not part of the first column's name, whichever of the two was chosen.
    actual = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    try:
        return Decoded(raw.decode(actual), encoding, [])
    except UnicodeError as error:
        where = f", line {_line_of(raw, error.start)}" if isinstance(error, UnicodeDecodeError) else ""
        raise StudioError(
            f"{name}{where}: this is not {encoding}.",
            "Choose another encoding, or have it guessed.",
            detail=str(error),
        ) from error


def _guessed(name: str, raw: bytes) -> Decoded:
    for mark, encoding in _BOMS:
        if raw.startswith(mark):
            try:
                return Decoded(raw.decode(encoding), encoding, [])
            except UnicodeDecodeError as error:
                raise StudioError(
                    f"{name} says that it is {encoding.removesuffix('-sig').upper()} but is not: byte {error.start} is wrong.",
                    "Save it again as UTF-8, or name its encoding.",
                ) from error
    try:
        return Decoded(raw.decode("utf-8"), "utf-8", [])
    except UnicodeDecodeError as error:
        return _mixed(name, raw) or _western(name, raw, error.start)


def _mixed(name: str, raw: bytes) -> Decoded | None:
    """Files put together from several: each line is UTF-8 if it can be, else Windows-1252. None for other files."""
    _refuse_control_characters(name, raw)
    lines = raw.split(b"\n")
    beyond_ascii = [(number, line) for number, line in enumerate(lines) if not line.isascii()]
    foreign = [number for number, line in beyond_ascii if not _is_utf8(line)]
    if len(beyond_ascii) - len(foreign) < max(1, _LEAST_UTF8_SHARE * len(beyond_ascii)):
        return None
    text = "\n".join(line.decode("utf-8") if _is_utf8(line) else _decode_western(line)[0] for line in lines)
    named = ", ".join(str(number + 1) for number in foreign[:_LINES_NAMED])
    more = f" and {len(foreign) - _LINES_NAMED:,} more" if len(foreign) > _LINES_NAMED else ""
    problem = (
        f"{name} mixes two encodings: {counted(len(foreign), 'line')} ({named}{more}) not UTF-8 like the rest, "
        "read as Windows-1252. Look whether letters with accents are right; if not, save the file as UTF-8."
    )
    return Decoded(text, "utf-8", [problem])


def _western(name: str, raw: bytes, first: int) -> Decoded:
    text, encoding = _decode_western(raw)
    problem = (
        f"{name} is not UTF-8 (line {_line_of(raw, first)} is not) and was read as {_WESTERN[encoding]}. "
        "Look whether letters with accents are right; if not, choose another encoding or save the file as UTF-8."
    )
    return Decoded(text, encoding, [problem])


def _decode_western(raw: bytes) -> tuple[str, str]:
    try:
        return raw.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:
        return raw.decode("latin-1"), "latin-1"


def _line_of(raw: bytes, position: int) -> int:
    return raw.count(b"\n", 0, position) + 1


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _refuse_control_characters(name: str, raw: bytes) -> None:
    control = sum(byte < 32 and byte not in b"\t\n\f\r" for byte in raw[:4096])
    if b"\0" in raw or control > len(raw[:4096]) / 100:
        _refuse_binary(name)


def _refuse_binary(name: str, line: int = 0) -> NoReturn:
    where = f"line {line} holds a NUL byte" if line else "it holds bytes that no text has"
    raise StudioError(
        f"{name} is not a text file: {where}.",
        "Save the data as CSV in UTF-8. If it is text in another encoding, such as UTF-16, choose that.",
    )
