"""The real data set, where it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BANKING77 = Path(__file__).resolve().parents[3] / "shared" / "banking77"


@pytest.fixture(scope="session")
def banking77() -> Path:
    """The folder with Banking77's train.csv and test.csv, which lies beside the checkout. CI must have it."""
    if not (BANKING77 / "train.csv").is_file():
        if os.environ.get("CI"):
            pytest.fail(f"Banking77 is missing: {BANKING77}")
        pytest.skip(f"Banking77 is not at hand: {BANKING77}")
    return BANKING77
