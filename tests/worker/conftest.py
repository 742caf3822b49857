"""Trained runs, shared by all tests of this room."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from tqdm import tqdm

from studio.core.runs import Home, RunFolder
from tests.tiny import save_tiny
from tests.worker.jobs import RUNS, Trained, config_for, train_here, train_to_the_end, two_at_a_time, write_messages

CHAT_TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models only lose time by sharing their work out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tqdm.monitor_interval = 0  # no thread that watches over progress bars
    yield
    torch.set_num_threads(threads)


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
    """Every run of ``RUNS``: those in fp32 from worker processes, those in bf16 from this one. Tests only read them."""
    configs = {name: config_for(messages, base, *name.split("-")) for name in RUNS}
    apart = [name for name in RUNS if name.endswith("fp32")]
    done = dict(zip(apart, two_at_a_time([partial(train_to_the_end, home, configs[name]) for name in apart]), strict=True))
    return {name: done[name] if name in done else train_here(home, configs[name]) for name in RUNS}


@pytest.fixture
def own_run(trained: dict[str, Trained], tmp_path: Path) -> RunFolder:
    """A copy of a trained run that a test may change."""
    return RunFolder(Path(shutil.copytree(trained["lora-bf16"].run.path, tmp_path / "own-run")))
