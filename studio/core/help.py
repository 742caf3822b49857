"""The help: pages of Markdown, the settings as they are declared, and which entry belongs to which control.

A place in the help is written ``page#entry``: the page's name, and the slug of a heading on it.
"""

from __future__ import annotations

import importlib.resources
import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from studio.core.settings import declared

PAGES = ("setup", "training", "results", "chat", "export", "runs", "settings", "glossary")
CONTENTS = "setup"
"""Where somebody begins who asks for no place in particular."""

TERMS = {
    "dataset.source": "split",
    "dataset.validation": "validation",
    "dataset.validation_fraction": "validation",
    "dataset.test": "test-split",
    "dataset.test_fraction": "test-split",
    "dataset.text_column": "prompt",
    "dataset.label_column": "intent",
    "dataset.labels": "intent",
    "dataset.seed": "seed",
    "model.base": "base",
    "method.kind": "lora",
    "method.rank": "rank",
    "method.alpha": "alpha",
    "method.dropout": "dropout",
    "method.target_modules": "adapter",
    "prompt.template": "prompt",
    "prompt.use_chat_template": "chat-template",
    "prompt.max_length": "token",
    "training.epochs": "epoch",
    "training.max_steps": "step",
    "training.batch_size": "batch-size",
    "training.micro_batch": "micro-batch",
    "training.learning_rate": "learning-rate",
    "training.scheduler": "schedule",
    "training.warmup_ratio": "warm-up",
    "training.weight_decay": "weight-decay",
    "training.max_grad_norm": "gradient-norm",
    "training.precision": "precision",
    "training.optimizer": "optimizer",
    "training.seed": "seed",
    "training.evaluate_every": "validation",
    "training.evaluate_base": "untrained-base",
    "device.kind": "device",
    "device.index": "device",
}
"""The glossary entry that explains the idea behind a setting, where there is one."""

CONTROLS = {
    "sidebar": "runs",
    "runList": "runs",
    "memoryLegend": "glossary#forecast",
    "memoryText": "glossary#forecast",
    "bottomBar": "glossary#forecast",
    "datasetPicker": "setup#dataset",
    "modelPicker": "setup#model",
    "methodSelector": "setup#method",
    "promptCard": "setup#prompt",
    "settingsForm": "setup#training-settings",
    "confusionMatrix": "glossary#confusion-matrix",
    "messagesTable": "results#messages",
    "resultsSource": "results#another-file",
    "evaluateFile": "results#another-file",
    "trainingLog": "training#log",
    "checkpointButton": "glossary#checkpoint",
    "pauseButton": "training#pause-stop-resume",
    "stopButton": "training#pause-stop-resume",
    "resumeButton": "training#pause-stop-resume",
    "exportFolder": "export#where",
    "export_adapter": "glossary#adapter",
    "export_merged": "glossary#merged-model",
    "export_model": "glossary#full-fine-tuning",
    "exportComparison": "export#verification",
    "exportUse": "export#use-it",
    "showRunFile": "glossary#runtoml",
    "setupPage": "setup",
    "trainingPage": "training",
    "resultsPage": "results",
    "chatPage": "chat",
    "exportPage": "export",
}
"""Places by the object name of a control or of what it lies in. The field of a setting leads to that setting by itself."""

_LINK = re.compile(r"\[([^\]]*)\]\(([^)]*)\)")
_HEADING = re.compile(r"^(#+) (.+)$")
_EXCERPT = 110


@dataclass(frozen=True)
class Entry:
    """A heading of a page with the text below it, as Markdown."""

    page: str
    title: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}#{slug(self.title)}"


def slug(title: str) -> str:
    """A heading's name in a link: "Gradient norm" → "gradient-norm"."""
    return re.sub(r"[^\w-]+", "", title.lower().replace(" ", "-"))


@cache
def page_text(page: str) -> str:
    """The Markdown of one of ``PAGES``. Raises KeyError for another name."""
    if page not in PAGES:
        raise KeyError(page)
    if page == "settings":
        return _settings()
    return (importlib.resources.files("studio.resources") / "help" / f"{page}.md").read_text("utf-8")


@cache
def entries(page: str) -> tuple[Entry, ...]:
    """The entries of a page; the first is the page as such."""
    found: list[Entry] = []
    lines: list[str] = []
    title = ""
    for line in page_text(page).splitlines():
        heading = _HEADING.match(line)
        if heading is None:
            lines.append(line)
            continue
        if title:
            found.append(Entry(page, title, "\n".join(lines).strip()))
        title, lines = heading[2], []
    return (*found, Entry(page, title, "\n".join(lines).strip()))


def page_title(page: str) -> str:
    return entries(page)[0].title


def links(text: str) -> list[str]:
    """Where the links in a Markdown text lead."""
    return [target for _, target in _LINK.findall(text)]


def resolve(target: str, page: str) -> str:
    """The place that a link on ``page`` leads to: "glossary.md#rank" or "#rank" → "glossary#rank"."""
    name, _, entry = target.partition("#")
    name = name.removesuffix(".md") or page
    return f"{name}#{entry}" if entry else name


def exists(place: str) -> bool:
    page, _, entry = place.partition("#")
    return page in PAGES and (not entry or any(slug(found.title) == entry for found in entries(page)))


def place_of(object_name: str) -> str | None:
    """Where a control with this object name is explained; None when nothing is said of it."""
    if object_name in CONTROLS:
        return CONTROLS[object_name]
    for path in declared():
        if object_name == path.replace(".", "_"):
            return f"settings#{slug(path)}"
    return None


def search(words: str) -> list[Entry]:
    """The entries that hold every one of the words, in any case and order; those that name them all in their title first."""
    wanted = words.casefold().split()
    if not wanted:
        return []
    found = [
        entry
        for page in PAGES
        for entry in entries(page)
        if all(word in f"{entry.title}\n{plain(entry.text)}".casefold() for word in wanted)
    ]
    return sorted(found, key=lambda entry: not all(word in entry.title.casefold() for word in wanted))


def plain(text: str) -> str:
    """Markdown without its signs, on one line."""
    return " ".join(_LINK.sub(r"\1", text).replace("**", "").replace("`", "").split())


def excerpt(entry: Entry) -> str:
    """The beginning of an entry, on one line."""
    text = plain(entry.text)
    return text if len(text) <= _EXCERPT else text[:_EXCERPT].rsplit(" ", 1)[0] + " …"


def _settings() -> str:
    """Every setting with its one description, from where it is declared."""
    lines = [
        "# All settings",
        "",
        "Each setting of a [run.toml](glossary.md#runtoml), which the window's fields, the command line and this page share.",
    ]
    for path, field in declared().items():
        lines += ["", f"## {path}", _escaped(field.description or ""), "", _default(field.default)]
        if path in TERMS:
            term = next(entry for entry in entries("glossary") if slug(entry.title) == TERMS[path])
            lines += ["", f"See [{term.title}](glossary.md#{TERMS[path]})."]
    return "\n".join(lines) + "\n"


def _default(value: Any) -> str:
    return "Left out unless you set it." if value is None else f"Default: `{json.dumps(value, ensure_ascii=False)}`"


def _escaped(text: str) -> str:
    return re.sub(r"([\\*_\[\]<>`#])", r"\\\1", text)
