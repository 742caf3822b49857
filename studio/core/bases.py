"""What a base model can be: the starter, a model of the Hugging Face hub, a folder, or a .gguf file."""

from __future__ import annotations

import re

HUB_PREFIX = "hub:"
"""How run.toml marks a base that comes from the hub: ``hub:org/name``."""
GGUF_SUFFIX = ".gguf"
COMMIT = re.compile(r"[0-9a-f]{40}")
# huggingface_hub raises for any other: see its validate_repo_id.
_ID = re.compile(r"([A-Za-z0-9]([\w.-]*\w)?/)?\w([\w.-]{0,94}\w)?", re.ASCII)


def hub_id(base: str) -> str | None:
    """The id of a hub model; None for a base that lies on this computer."""
    return base.removeprefix(HUB_PREFIX) if base.startswith(HUB_PREFIX) else None


def is_gguf(base: str) -> bool:
    """Whether the base is one GGUF file."""
    return hub_id(base) is None and base.lower().endswith(GGUF_SUFFIX)


def is_hub_id(text: str) -> bool:
    """Whether this could name a repository of the hub: ``org/name``, or ``name`` as the oldest models are called."""
    return _ID.fullmatch(text) is not None and "--" not in text and ".." not in text and not text.endswith(".git")


def typed_hub_id(text: str) -> str:
    """What a person means who types or pastes an id, an address of a model's or data set's page, or ``hub:org/name``."""
    text = text.strip().removeprefix(HUB_PREFIX).removeprefix("hf://")
    text = re.sub(r"^https?://(www\.)?(huggingface\.co|hf\.co)/", "", text).removeprefix("datasets/")
    return "/".join(text.strip("/").split("/")[:2])
