"""What is declared of each setting of a run, by its place in run.toml, such as ``training.epochs``."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

from pydantic.fields import FieldInfo

from studio.core.config import RunConfig


@cache
def declared() -> dict[str, FieldInfo]:
    """Every setting, in the order of run.toml."""
    return {f"{section}.{name}": field for section, table in RunConfig() for name, field in type(table).model_fields.items()}


def describe(path: str) -> str:
    """What a setting is for: the one text of tooltips, help and command line."""
    return declared()[path].description or ""


def default_of(path: str) -> Any:
    """The value that a setting has when nothing is said."""
    return declared()[path].default


def annotation_of(path: str) -> Any:
    """The type of a setting."""
    return declared()[path].annotation


def choices_of(path: str) -> list[str]:
    """The words that a setting may be."""
    return [str(choice) for choice in get_args(annotation_of(path))]


def smallest_of(path: str) -> int:
    """The smallest whole number that a setting may be."""
    bounds = [bound.ge for bound in declared()[path].metadata if hasattr(bound, "ge")]
    return int(bounds[0]) if bounds else 0
