"""The stand-in of the hub answers huggingface_hub the way the hub does."""

from __future__ import annotations

import time
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session

from tests.hub_stand_in import TOKEN, HubStandIn, Repository, hub

__all__ = ["hub"]

LARGE = bytes(range(256)) * 400


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(LARGE)
    (folder / "data" / "train.csv").write_text("text,label\nhello,greeting\n")
    return folder


def test_a_model_can_be_looked_up_listed_and_downloaded(hub: HubStandIn, files: Path) -> None:
    model = hub.add_model("people/tiny", files)
    api = HfApi()
    info = api.model_info("people/tiny", files_metadata=True)
    assert info.sha == model.head
    assert info.card_data is not None
    assert info.card_data.license == "mit"
    sizes = {entry.rfilename: entry.size for entry in info.siblings or []}
    assert sizes["model.safetensors"] == len(LARGE)
    tree = {entry.path for entry in api.list_repo_tree("people/tiny", recursive=True)}
    assert tree == {"README.md", "config.json", "model.safetensors", "data", "data/train.csv"}
    assert [found.id for found in api.list_models(search="tin")] == ["people/tiny"]

    folder = Path(snapshot_download("people/tiny"))
    assert folder.name == model.head
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == set(sizes)
    assert all((folder / name).read_bytes() == (files / name).read_bytes() for name in sizes)


def test_a_data_set_can_be_read_as_a_file_system(hub: HubStandIn, files: Path) -> None:
    hub.add_dataset("people/messages", files)
    system = HfFileSystem(skip_instance_cache=True)
    assert system.glob("datasets/people/messages/data/*.csv") == ["datasets/people/messages/data/train.csv"]
    path = hf_hub_download("people/messages", "data/train.csv", repo_type="dataset")
    assert Path(path).read_text().startswith("text,label")


def test_branches_tags_and_commits_name_what_they_named(hub: HubStandIn, files: Path) -> None:
    model = hub.add_model("people/tiny", files)
    first = model.head
    model.tag("v1")
    (files / "config.json").write_text('{"model_type": "gemma3_text"}')
    second = model.commit(files)
    named = {revision: hf_hub_download("people/tiny", "config.json", revision=revision) for revision in ("v1", "main", first)}
    assert Path(named["v1"]).read_text() == Path(named[first]).read_text() != Path(named["main"]).read_text()
    assert Path(named["main"]).parent.name == second
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download("people/tiny", "config.json", revision="v2")


def test_what_is_missing_private_or_gated_is_refused_in_the_hubs_words(
    hub: HubStandIn, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_model("people/tiny", files)
    hub.add_model("people/secret", files, access="private")
    gated = hub.add_model("people/gated", files, access="gated")
    for missing in ("people/other", "people/secret"):
        with pytest.raises(RepositoryNotFoundError):
            HfApi().model_info(missing)
    with pytest.raises(RemoteEntryNotFoundError):
        hf_hub_download("people/tiny", "tokenizer.json")
    assert HfApi().model_info("people/gated").gated == "manual"
    assert _refusal(gated) == 401

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert HfApi().model_info("people/secret").private
    assert Path(hf_hub_download("people/gated", "model.safetensors")).read_bytes() == LARGE
    assert all(request.token is None for request in hub.requests if request.path.startswith("/large/"))
    gated.access = "refused"
    gated.commit(files)
    assert _refusal(gated) == 403


def _refusal(gated: Repository) -> int:
    with pytest.raises(GatedRepoError) as refused:
        hf_hub_download(gated.id, "config.json")
    return refused.value.response.status_code


def test_a_range_continues_a_file_that_broke_off(hub: HubStandIn, files: Path) -> None:
    hub.add_model("people/tiny", files)
    address = f"{hub.endpoint}/people/tiny/resolve/main/model.safetensors"
    hub.cuts = [10_000]
    came = bytearray()
    with get_session().stream("GET", address) as response, pytest.raises(httpx2.RemoteProtocolError):
        _read_into(came, response)
    assert came == LARGE[:10_000]
    rest = get_session().get(address, headers={"Range": f"bytes={len(came)}-"})
    assert rest.status_code == 206
    assert came + rest.content == LARGE
    assert get_session().get(address, headers={"Range": f"bytes={len(LARGE)}-"}).status_code == 416


def _read_into(buffer: bytearray, response: httpx2.Response) -> None:
    for block in response.iter_bytes():
        buffer += block


def test_it_can_be_slow_and_ends_at_once_all_the_same(hub: HubStandIn, files: Path) -> None:
    hub.add_model("people/tiny", files)
    hub.bytes_per_second = 1000.0
    with get_session().stream("GET", f"{hub.endpoint}/people/tiny/resolve/main/model.safetensors") as response:
        next(response.iter_bytes(chunk_size=10))
        began = time.monotonic()
        hub.close()
        assert time.monotonic() - began < 50  # the whole file would take a hundred seconds


def test_without_a_hub_only_the_cache_is_left(hub: HubStandIn, files: Path) -> None:
    hub.add_model("people/tiny", files)
    hub.add_model("people/other", files)
    folder = snapshot_download("people/tiny")
    hub.close()
    assert snapshot_download("people/tiny") == folder
    with pytest.raises(LocalEntryNotFoundError):
        snapshot_download("people/other")


def test_a_hub_out_of_order_says_so(hub: HubStandIn, files: Path) -> None:
    hub.add_model("people/tiny", files)
    hub.failing = 503
    with pytest.raises(HfHubHTTPError) as refused:
        HfApi().model_info("people/tiny")
    assert refused.value.response.status_code == 503
