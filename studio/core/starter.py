"""What the starter model is called, and under which terms it may be used."""

from __future__ import annotations

from pathlib import Path

STARTER = "starter"
"""How run.toml names it."""
STARTER_NAME = "Gemma 3 270M"
STARTER_ORIGIN = "google/gemma-3-270m"
"""The published model that the starter is a quantised copy of."""
STARTER_LICENCE = "Gemma Terms of Use"
TERMS_URL = "https://ai.google.dev/gemma/terms"
TERMS = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms. "
    "By using the starter model, or a model made from it, you agree to them."
)


def base_name(base: str) -> str:
    """A base model, named as in run.toml, as a person calls it."""
    return STARTER_NAME if base == STARTER else Path(base).name
