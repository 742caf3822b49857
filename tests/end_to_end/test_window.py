"""The whole window on a real window system: a person's own messages, a small random model, every page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.displays import needs
from tests.end_to_end.conftest import Drive


@pytest.mark.timeout(660)
@pytest.mark.parametrize("platform", ["offscreen", pytest.param("xcb", marks=needs("Xvfb"))])
def test_from_own_messages_to_a_proved_adapter(platform: str, drive: Drive, tiny_model_folder: Path, tmp_path: Path) -> None:
    told = drive("test_own_messages", platform, tmp_path / "home", 600, DRIVE_MODEL=str(tiny_model_folder))
    assert told["platform"] == platform
