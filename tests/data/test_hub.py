"""Looking things up on the hub and fetching them: against a hub on this computer that can be slow, broken or gone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from studio.core.errors import InterruptedByUserError, StudioError
from studio.data import hub as our_hub
from studio.data.hub import Repository, cached_snapshot, fetch, look_up, missing_files
from tests.hub_stand_in import TOKEN, File, HubStandIn, hub

__all__ = ["hub"]

WEIGHTS = bytes(range(256)) * 4096
ID = "people/tiny"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "empty.txt").write_text("")
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    (folder / "data" / "train [1].csv").write_text("text,label\nhello,greeting\n")
    return folder


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two attempts."""
    monkeypatch.setattr(our_hub, "_PAUSE", 0.0)


def nothing(_file: str, _done: int) -> None:
    """A report that nobody reads."""


def never() -> bool:
    return False


def whole(repository: Repository) -> Path:
    return fetch(repository, nothing, never)


def partial_bytes(tmp_path: Path) -> int:
    return sum(path.stat().st_size for path in (tmp_path / "hf").rglob("*.incomplete"))


def test_what_is_looked_up_is_fetched_once_and_found_without_a_network(hub: HubStandIn, files: Path) -> None:
    model = hub.add_model(ID, files)
    repository = look_up(ID)
    assert (repository.commit, repository.licence) == (model.head, "mit")
    assert missing_files(repository).missing == repository.total == sum(path.stat().st_size for path in files.rglob("*.*"))
    reports: list[tuple[str, int]] = []
    folder = fetch(repository, lambda file, done: reports.append((file, done)), never)
    assert ("model.safetensors", len(WEIGHTS)) in reports
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} == {file.name for file in repository.files}
    assert all((folder / file.name).read_bytes() == (files / file.name).read_bytes() for file in repository.files)
    assert missing_files(repository).missing == 0

    sent = len(hub.fetched())
    assert whole(repository) == folder
    assert len(hub.fetched()) == sent
    hub.close()
    for revision in (None, "main", model.head):
        assert cached_snapshot(ID, "config.json", revision=revision) == folder
    assert cached_snapshot(ID, "config.json", revision="v1") is None
    assert cached_snapshot("people/other", "config.json") is None


def test_only_the_chosen_files_come(hub: HubStandIn, files: Path) -> None:
    hub.add_dataset("people/messages", files)
    repository = look_up("people/messages", "dataset").choose(["data/train [1].csv"])
    folder = whole(repository)
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["train [1].csv"]
    assert cached_snapshot("people/messages", "data/train [1].csv", "dataset") == folder
    assert set(hub.fetched()) == {"train [1].csv"}


def test_a_revision_stays_what_it_was(hub: HubStandIn, files: Path) -> None:
    model = hub.add_model(ID, files)
    first = model.head
    model.tag("v1")
    (files / "config.json").write_text('{"model_type": "gemma3_text"}')
    second = model.commit(files)
    for revision, commit in (("v1", first), (first, first), ("main", second), (None, second)):
        repository = look_up(ID, revision=revision)
        assert repository.commit == commit
        assert whole(repository).name == commit


def test_what_changes_on_the_hub_meanwhile_is_told(hub: HubStandIn, files: Path) -> None:
    model = hub.add_model(ID, files)
    repository = look_up(ID)
    (files / "config.json").rename(files / "settings.json")
    model.commit(files)
    with pytest.raises(StudioError, match="has changed on the hub") as caught:
        whole(repository)
    assert caught.value.remedy.startswith("Try again")
    assert (whole(look_up(ID)) / "settings.json").is_file()


def test_a_download_that_is_cancelled_goes_on_where_it_stopped(hub: HubStandIn, files: Path, tmp_path: Path) -> None:
    hub.add_model(ID, files)
    repository = look_up(ID)
    came: dict[str, int] = {}
    with pytest.raises(InterruptedByUserError):
        fetch(repository, came.__setitem__, lambda: came.get("model.safetensors", 0) > 200_000)
    kept = partial_bytes(tmp_path)
    assert 200_000 < kept < len(WEIGHTS)
    assert missing_files(repository).missing == len(WEIGHTS) - kept
    assert cached_snapshot(ID, "config.json") is None  # a half is nothing to load
    starts: list[int] = []
    folder = fetch(repository, lambda file, done: starts.append(done) if file == "model.safetensors" else None, never)
    assert starts[0] == kept
    assert f"bytes={kept}-" in {request.range for request in hub.requests}
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert partial_bytes(tmp_path) == 0


def test_a_connection_that_breaks_is_made_again(hub: HubStandIn, files: Path) -> None:
    hub.add_model(ID, files)
    repository = look_up(ID).choose(["model.safetensors"])
    hub.cuts = [100_000] * 7 + [0, 0]
    assert (whole(repository) / "model.safetensors").read_bytes() == WEIGHTS
    assert not hub.cuts


def test_a_network_that_is_gone_for_good_is_told_and_what_came_is_kept(hub: HubStandIn, files: Path, tmp_path: Path) -> None:
    hub.add_model(ID, files)
    repository = look_up(ID).choose(["model.safetensors"])
    hub.cuts = [100_000] + [0] * 20
    with pytest.raises(StudioError, match="cannot be reached") as caught:
        whole(repository)
    assert "goes on where it broke off" in caught.value.remedy
    assert partial_bytes(tmp_path) == 100_000
    hub.cuts = []
    assert (whole(repository) / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("page", [b"<html>Please log in.</html>", b"x" * 2 * len(WEIGHTS)], ids=["small", "large"])
def test_a_page_that_answers_in_the_hub_s_place_does_not_replace_what_came(
    hub: HubStandIn, files: Path, tmp_path: Path, page: bytes
) -> None:
    hub.add_model(ID, files)
    repository = look_up(ID).choose(["model.safetensors"])
    hub.cuts = [100_000] + [0] * 20
    with pytest.raises(StudioError, match="cannot be reached"):
        whole(repository)
    hub.page = page
    with pytest.raises(StudioError, match="cannot be reached"):
        whole(repository)
    assert partial_bytes(tmp_path) == 100_000
    hub.page, hub.cuts = None, []
    assert (whole(repository) / "model.safetensors").read_bytes() == WEIGHTS


def test_what_arrives_damaged_is_thrown_away(hub: HubStandIn, files: Path, tmp_path: Path) -> None:
    hub.add_model(ID, files)
    repository = look_up(ID).choose(["model.safetensors"])
    blobs = tmp_path / "hf" / "hub" / "models--people--tiny" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{repository.files[0].etag}.incomplete").write_bytes(b"of another file")
    with pytest.raises(StudioError, match="arrived damaged") as caught:
        whole(repository)
    assert caught.value.remedy == "Download it again."
    assert (whole(repository) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_file_that_keeps_ending_early_is_given_up(hub: HubStandIn, files: Path) -> None:
    hub.add_model(ID, files)
    repository = look_up(ID)
    hub.page = b"<html>Please log in.</html>"
    with pytest.raises(StudioError, match="cannot be reached"):
        whole(repository)
    assert len(hub.fetched()) <= our_hub.ATTEMPTS + 1


def test_who_waited_for_another_process_finds_the_file(
    hub: HubStandIn, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_model(ID, files)
    repository = look_up(ID).choose(["model.safetensors"])
    blob = tmp_path / "hf" / "hub" / "models--people--tiny" / "blobs" / repository.files[0].etag

    class Lock(our_hub.FileLock):
        def acquire(self, *args: Any, **kwargs: Any) -> Any:
            blob.write_bytes(WEIGHTS)  # the other process is done in this moment
            return super().acquire(*args, **kwargs)

    monkeypatch.setattr(our_hub, "FileLock", Lock)
    assert (whole(repository) / "model.safetensors").read_bytes() == WEIGHTS
    assert not hub.fetched()
    assert [path.name for path in blob.parent.iterdir()] == [blob.name]


@pytest.mark.parametrize("etag", ["", "../../../../escaped", "0" * 39])
def test_a_hash_that_is_none_names_no_file(hub: HubStandIn, files: Path, monkeypatch: pytest.MonkeyPatch, etag: str) -> None:
    hub.add_model(ID, files)
    monkeypatch.setattr(File, "oid", etag)
    with pytest.raises(StudioError, match="is not the Hugging Face hub"):
        look_up(ID)


def test_a_disk_that_is_too_small_is_told_before_anything_comes(
    hub: HubStandIn, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_model(ID, files)
    repository = look_up(ID)
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=2**20 + 5 * 2**10))
    with pytest.raises(StudioError, match=r"needs 1\.0 MB and 256 MB to spare, but only 1\.0 MB are free") as caught:
        whole(repository)
    assert caught.value.kind == "disk_full"
    assert "HF_HOME" in caught.value.remedy
    assert not hub.fetched()


def test_free_space_is_that_of_the_disk_with_the_cache(hub: HubStandIn, files: Path, tmp_path: Path) -> None:
    hub.add_model(ID, files)
    assert not (tmp_path / "hf").exists()
    assert missing_files(look_up(ID)).free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)


class Refused(NamedTuple):
    prepare: Callable[[HubStandIn, Path, pytest.MonkeyPatch], object]
    id: str
    revision: str | None
    kind: str
    message: str
    remedy: str


def close(hub: HubStandIn, _files: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    hub.close()


def stay_offline(_hub: HubStandIn, _files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(our_hub.OFFLINE_BY_CHOICE, "1")


def bear(token: str) -> Callable[[HubStandIn, Path, pytest.MonkeyPatch], object]:
    return lambda _hub, _files, monkeypatch: monkeypatch.setenv("HF_TOKEN", token)


def fail_with(status: int) -> Callable[[HubStandIn, Path, pytest.MonkeyPatch], object]:
    return lambda hub, _files, _monkeypatch: setattr(hub, "failing", status)


def want_a_login(hub: HubStandIn, _files: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    hub.page = b"<html>Please log in.</html>"


def as_it_is(_hub: HubStandIn, _files: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is changed."""


REFUSED = {
    "a wrong id": Refused(as_it_is, "people/tinny", None, "not_on_hub", "no model 'people/tinny'", "mean people/tiny?"),
    "nothing like it": Refused(as_it_is, "zzz/qqq", None, "not_on_hub", "or it is private", "org/name"),
    "private": Refused(as_it_is, "people/secret", None, "not_on_hub", "or it is private", "HF_TOKEN"),
    "an impossible id": Refused(as_it_is, "a..b/c--d", None, "not_on_hub", "no model", "org/name"),
    "a wrong revision": Refused(as_it_is, ID, "v9", "no_revision", "no revision 'v9'", "It has main"),
    "gated, nobody": Refused(as_it_is, "people/gated", None, "gated", "accepted its terms", "/people/gated, make a token"),
    "gated, a stranger": Refused(bear(TOKEN), "people/refused", None, "gated", "has not, or waits", "with that account"),
    "a bad token": Refused(bear("hf_old"), "people/secret", None, "bad_token", "does not accept the token", "hf auth login"),
    "no network": Refused(close, ID, None, "no_network", "cannot be reached", "works without a network"),
    "a login page": Refused(want_a_login, ID, None, "no_network", "is not the Hugging Face hub", "want a login first"),
    "no network wanted": Refused(stay_offline, ID, None, "offline", "HF_HUB_OFFLINE", "Unset it"),
    "out of order": Refused(fail_with(503), ID, None, "hub_down", "status 503", "Try again later"),
    "asked too often": Refused(fail_with(429), ID, None, "hub_busy", "too often", "Wait"),
    "forbidden": Refused(fail_with(403), ID, None, "forbidden", "refuses access", "/people/tiny"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_told_in_words(case: Refused, hub: HubStandIn, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_model(ID, files)
    hub.add_model("people/secret", files, access="private")
    hub.add_model("people/gated", files, access="gated")
    hub.add_model("people/refused", files, access="refused")
    case.prepare(hub, files, monkeypatch)
    with pytest.raises(StudioError) as caught:
        whole(look_up(case.id, revision=case.revision))
    assert caught.value.kind == case.kind
    assert case.message in caught.value.message
    assert case.remedy in caught.value.remedy
    assert caught.value.message.endswith(".")
    assert caught.value.remedy.endswith((".", "?"))
    assert "Error" not in str(caught.value)


def test_a_token_opens_what_is_gated_and_goes_to_the_hub_alone(
    hub: HubStandIn, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_model("people/gated", files, access="gated")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert (whole(look_up("people/gated")) / "model.safetensors").read_bytes() == WEIGHTS
    assert {request.token for request in hub.requests if request.path.startswith("/large/")} == {None}
