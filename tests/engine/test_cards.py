"""The program of a model card names the base that the run was verified on."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.config import RunConfig
from studio.engine.cards import card_program

BASES = [
    ("starter", 'base_folder = "BASE_FOLDER"'),  # not the original weights, of which it is a quantised copy
    ("/models/mine", 'base_folder = "BASE_FOLDER"'),
    ("hub:someone/small", 'from_pretrained("someone/small", revision="abc")'),
]


@pytest.mark.parametrize(("base", "words"), BASES)
def test_an_adapters_program_loads_the_base_that_was_trained_on(base: str, words: str) -> None:
    revision = "abc" if base.startswith("hub:") else None
    config = RunConfig.model_validate({"model": {"base": base, "revision": revision}, "method": {"kind": "lora"}})
    program = card_program(config, "adapter", Path("/cache/some-folder"), ["inputs = ..."])
    assert words in program
    assert ("base_folder" in program) is not base.startswith("hub:")
    compile(program, "card", "exec")


def test_a_folders_name_is_never_code() -> None:
    config = RunConfig.model_validate({"model": {"base": "/models/mine\nraise SystemExit #"}, "method": {"kind": "lora"}})
    program = card_program(config, "adapter", Path("/cache"), ["inputs = ..."])
    assert not any(line.startswith("raise") for line in program.splitlines())
