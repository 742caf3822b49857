"""Runs that worker processes have trained, shared by all tests of this room."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from studio.core.runs import Home
from tests.tiny import save_tiny
from tests.worker.jobs import RUNS, Trained, config_for, train_to_the_end, two_at_a_time, write_messages

CHAT_TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with a chat template."""
    folder = save_tiny(tmp_path_factory.mktemp("bases") / "tiny-chat")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    return folder


@pytest.fixture(scope="session")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_messages(tmp_path_factory.mktemp("data") / "messages.csv")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home.locate(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def trained(home: Home, base: Path, messages: Path) -> dict[str, Trained]:
    """Every run of ``RUNS``, each from a worker process of its own. Tests only read them."""
    jobs = [partial(train_to_the_end, home, config_for(messages, base, *name.split("-"))) for name in RUNS]
    return dict(zip(RUNS, two_at_a_time(jobs), strict=True))
