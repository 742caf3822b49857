"""Presets: a few settings that belong together, each a fragment of a run.toml that says in its first line what it is for."""

from __future__ import annotations

import importlib.resources
import tomllib
from typing import Any, NamedTuple

from studio.core.run_file import validate_run_config

PRESETS = ("quick-look", "balanced", "careful")
"""Their file names, in the order in which they are offered."""


class Preset(NamedTuple):
    """``changes`` by place in run.toml, such as ``training.epochs``."""

    name: str
    title: str
    purpose: str
    changes: dict[str, Any]


def load_presets() -> list[Preset]:
    """The presets that come along. Raises StudioError for one that is no run.toml."""
    return [_load(name) for name in PRESETS]


def _load(name: str) -> Preset:
    text = _text(name)
    purpose = text.splitlines()[0].removeprefix("#").strip()
    table = tomllib.loads(text)
    validate_run_config(table)
    changes = {f"{section}.{key}": value for section, values in table.items() for key, value in values.items()}
    return Preset(name, name.replace("-", " ").capitalize(), purpose, changes)


def _text(name: str) -> str:
    return (importlib.resources.files("studio.resources") / "presets" / f"{name}.toml").read_text("utf-8")
