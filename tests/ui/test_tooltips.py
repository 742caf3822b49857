"""No tooltip reads data as markup: what is not a plain constant goes through ``plain_tooltip`` or ``named``."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import studio.ui
from studio.ui.words import plain_tooltip

SOURCES = sorted(Path(next(iter(studio.ui.__path__))).rglob("*.py"))
SETTERS = {"setToolTip": 0, "setTabToolTip": 1}


def is_plain(argument: ast.expr) -> bool:
    if isinstance(argument, ast.Call):
        return isinstance(argument.func, ast.Name) and argument.func.id == "plain_tooltip"
    return isinstance(argument, ast.Constant)


def raw_tooltips(source: str) -> list[int]:
    """The lines that hand a computed text to Qt as it is."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in SETTERS
        and not is_plain(node.args[SETTERS[node.func.attr]])
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_computed_tooltip_is_escaped(path: Path) -> None:
    assert raw_tooltips(path.read_text("utf-8")) == []


def test_the_scan_sees_a_raw_one() -> None:
    assert raw_tooltips("a.setToolTip(f'{b}')\na.setToolTip('c')\na.setToolTip(plain_tooltip(d))") == [1]


def test_markup_is_shown_as_it_is() -> None:
    assert plain_tooltip('<img src="file:///x">\n&') == '<qt>&lt;img src="file:///x"&gt;<br>&amp;</qt>'
    assert plain_tooltip("") == ""
