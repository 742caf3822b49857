"""What a base can be, and what people type for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from studio.core.bases import hub_id, is_gguf, is_hub_id, typed_hub_id
from studio.core.config import ModelConfig
from studio.core.errors import StudioError
from studio.core.run_file import parse_run_config


def test_a_base_says_where_it_comes_from() -> None:
    assert hub_id("hub:google/gemma-3-270m") == "google/gemma-3-270m"
    assert hub_id("/models/gemma") is None
    assert is_gguf("/models/Gemma.GGUF")
    assert not is_gguf("hub:people/model.gguf")


@pytest.mark.parametrize("id", ["google/gemma-3-270m", "gpt2", "HuggingFaceTB/SmolLM2-135M", "a_b/c.d"])
def test_an_id_is_taken(id: str) -> None:
    assert is_hub_id(id)
    assert ModelConfig(base=f"hub:{id}").base == f"hub:{id}"


@pytest.mark.parametrize(
    "id", ["google/gemma-3-270m", "gpt2", "a-/b", "a./b", "a/b-", "-a/b", "a/" + "b" * 96, "a/" + "b" * 97, "b" * 97]
)
def test_what_the_hub_s_library_refuses_is_refused_before(id: str) -> None:
    try:
        validate_repo_id(id)
    except HFValidationError:
        assert not is_hub_id(id)
    else:
        assert is_hub_id(id)


@pytest.mark.parametrize("id", ["", "a/b/c", "/a", "a/", "a b/c", "a/../b", "a/b--c", "a/b.git", "https://x/y"])
def test_what_can_be_no_id_is_refused(id: str) -> None:
    assert not is_hub_id(id)
    with pytest.raises(StudioError, match=r"model\.base: must be hub: and the model's id"):
        parse_run_config(f'[model]\nbase = "hub:{id}"')


@pytest.mark.parametrize(
    "typed",
    [
        "people/tiny",
        " people/tiny ",
        "hub:people/tiny",
        "https://huggingface.co/people/tiny",
        "https://huggingface.co/people/tiny/tree/main",
        "http://hf.co/people/tiny",
    ],
)
def test_an_address_is_as_good_as_an_id(typed: str) -> None:
    assert typed_hub_id(typed) == "people/tiny"


def test_a_revision_belongs_to_a_hub_model() -> None:
    config = parse_run_config('[model]\nbase = "hub:people/tiny"\nrevision = "v1"')
    assert config.model.revision == "v1"
    for base in ("starter", "my-model", "my-model.gguf"):
        with pytest.raises(StudioError, match="revision belongs to a hub model"):
            parse_run_config(f'[model]\nbase = "{base}"\nrevision = "v1"')


def test_a_hub_model_is_no_path(tmp_path: Path) -> None:
    assert parse_run_config('[model]\nbase = "hub:people/tiny"', tmp_path).model.base == "hub:people/tiny"
    assert parse_run_config('[model]\nbase = "tiny.gguf"', tmp_path).model.base == str(tmp_path / "tiny.gguf")
