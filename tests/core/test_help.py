"""The help is whole: every link leads somewhere, and every page, setting and named control has its entry."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

import studio.ui
from studio.core import help as pages
from studio.core.config import RunConfig
from studio.core.help import CONTROLS, PAGES, TERMS, entries, excerpt, exists, links, page_text, place_of, resolve, search, slug

SETTINGS = [
    (f"{name}.{key}", field.description or "")
    for name in RunConfig.model_fields
    for key, field in type(getattr(RunConfig(), name)).model_fields.items()
]
WRITTEN = [page for page in PAGES if page != "settings"]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for target in links(page_text(page)):
        assert exists(resolve(target, page)), target


def test_the_check_sees_a_dead_link() -> None:
    assert links("see [a](glossary.md#rank) and [b](#nothing)") == ["glossary.md#rank", "#nothing"]
    assert resolve("#nothing", "setup") == "setup#nothing"
    assert not exists("setup#nothing")
    assert not exists("nowhere")
    assert exists(resolve("glossary.md#rank", "setup"))


@pytest.mark.parametrize("page", WRITTEN)
def test_pages_hold_text_alone(page: str) -> None:
    """Qt would load a picture from wherever it says, and read HTML."""
    assert not re.search(r"!\[|<[a-z/]", page_text(page))
    titles = [slug(entry.title) for entry in entries(page)]
    assert len(titles) == len(set(titles)), "two headings of a page would share a place"


def test_every_written_page_is_listed() -> None:
    assert sorted(path.name for path in (files("studio.resources") / "help").iterdir()) == sorted(f"{page}.md" for page in WRITTEN)


@pytest.mark.parametrize(("path", "description"), SETTINGS, ids=[path for path, _ in SETTINGS])
def test_every_setting_has_an_entry_with_its_one_description(path: str, description: str) -> None:
    assert description
    place = place_of(path.replace(".", "_"))
    assert place is not None
    (entry,) = (entry for entry in entries("settings") if entry.place == place)
    assert entry.title == path
    assert pages.plain(description) in pages.plain(entry.text).replace("\\", "")
    for page in WRITTEN:
        assert description not in " ".join(page_text(page).split()), "a description stands where the setting is declared, alone"


def test_terms_and_controls_lead_to_what_there_is() -> None:
    known = {path for path, _ in SETTINGS}
    assert set(TERMS) <= known
    assert all(exists(f"glossary#{term}") for term in TERMS.values())
    assert all(exists(place) for place in CONTROLS.values())
    source = "\n".join(path.read_text("utf-8") for path in Path(next(iter(studio.ui.__path__))).rglob("*.py"))
    made_of_a_kind = {"export_adapter", "export_merged", "export_model"}
    assert not [name for name in set(CONTROLS) - made_of_a_kind if f'"{name}"' not in source], "no control is called so"
    assert place_of("nobodyKnowsMe") is None


def test_the_glossary_is_in_order() -> None:
    titles = [entry.title.casefold() for entry in entries("glossary")[1:]]
    assert titles == sorted(titles)


@pytest.mark.parametrize(
    "term",
    [
        *("Supervised tokens", "Validation", "Macro-F1", "Rank", "Alpha", "Adapter", "QLoRA", "NF4", "Checkpoint", "Forecast"),
        *("Outside mass", "Interval", "Warm-up", "Gradient norm", "Micro-batch", "Merged model", "Verification"),
    ],
)
def test_the_terms_of_the_window_are_explained(term: str) -> None:
    (entry,) = (entry for entry in entries("glossary") if entry.title == term)
    assert len(entry.text) > 40


def test_search_finds_all_words_and_puts_titles_first() -> None:
    found = search("RANK adapter")
    assert found
    assert all("rank" in f"{entry.title} {entry.text}".casefold() for entry in found)
    assert search("rank")[0].title in ("method.rank", "Rank")
    assert search("xylophone") == search("  ") == []
    assert all(len(excerpt(entry)) <= 115 and "](" not in excerpt(entry) for page in PAGES for entry in entries(page))


def test_a_page_that_is_none_is_refused() -> None:
    with pytest.raises(KeyError):
        page_text("../../etc/passwd")
