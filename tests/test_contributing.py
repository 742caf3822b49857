"""The tour of CONTRIBUTING.md leads to what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOUR = (ROOT / "CONTRIBUTING.md").read_text("utf-8").split("## A tour")[1].split("\n## ")[0]
QUOTED = sorted(set(re.findall(r"`([^`\n]+)`", TOUR)))
PATHS = [word for word in QUOTED if "/" in word]
NAMES = [word for word in QUOTED if re.fullmatch(r"_?[A-Za-z]+_?[A-Za-z_]*", word) and word not in ("None", "source", "kind")]


@pytest.mark.parametrize("path", PATHS)
def test_every_file_is_there(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_in_a_file_of_the_same_paragraph(name: str) -> None:
    for paragraph in re.split(r"\n\n|\n\d\. ", TOUR):
        files = [ROOT / path for path in re.findall(r"`((?:studio|tests|resources)/[^`]+\.(?:py|md))`", paragraph)]
        if f"`{name}`" in paragraph and any(re.search(rf"\b{name}\b", file.read_text("utf-8")) for file in files):
            return
    # Said of a file that the paragraph before names.
    assert any(re.search(rf"\b{name}\b", (ROOT / path).read_text("utf-8")) for path in PATHS if path.endswith(".py")), name


def test_the_tour_is_not_empty() -> None:
    assert len(PATHS) > 30
    assert {"export_kinds", "write_export", "RunPage", "RUNS", "JOBS"} <= set(NAMES)
