"""Fixtures for all rooms."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.hygiene import no_leaked_processes, no_leaked_threads

__all__ = ["no_leaked_processes", "no_leaked_threads"]

# bitsandbytes and transformers fetch native code through the `kernels` library when it is installed; so does no test.
sys.modules["kernels"] = None  # type: ignore[assignment]  # None is how an import is refused


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama-style model with its tokenizer, as a Hugging Face folder."""
    from tests.tiny import save_tiny

    return save_tiny(tmp_path_factory.mktemp("tiny-llama"))
