"""The Hugging Face hub: what is there, what of it is in the cache, and fetching the rest so that it can be resumed.

huggingface_hub 2.4 writes a download to a file with a random name and deletes it when it is interrupted. Here the partial
file keeps the name that older versions gave it, ``blobs/<etag>.incomplete``, and the next attempt asks for the rest. What
has arrived is checked against the hash that names it, then huggingface_hub finds it in its cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import Literal

import httpx2
from filelock import FileLock, Timeout
from huggingface_hub import HfApi, constants, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from huggingface_hub.file_download import hf_hub_url, repo_folder_name
from huggingface_hub.hf_api import DatasetInfo, ModelInfo
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # exported without __all__
    build_hf_headers,
    disable_progress_bars,
    get_session,
    hf_raise_for_status,
)

from studio.core.answers import SPARE_BYTES, MissingFiles
from studio.core.errors import InterruptedByUserError, StudioError
from studio.core.words import size
from studio.data.hub_refusals import told, told_stranger

Kind = Literal["model", "dataset"]
OFFLINE_BY_CHOICE = "FINETUNE_STUDIO_HUB_OFFLINE"
"""The worker's environment: HF_HUB_OFFLINE as the person set it, before the worker set it for all else."""
TIMEOUT = 10.0
"""Seconds to wait for a connection, or for the next bytes."""
ATTEMPTS = 5
"""How often in a row a file may bring nothing before the download gives up."""
_PAUSE = 1.0
_ETAG = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

Report = Callable[[str, int], None]
"""Told the file that is coming, and how many bytes of it are there."""


@dataclass(frozen=True)
class HubFile:
    """A file of a repository. ``etag`` names its content: the SHA-256 of a large file, git's hash of a small one."""

    name: str
    size: int
    etag: str


@dataclass(frozen=True)
class Repository:
    """A model or a data set as the hub has it now."""

    id: str
    kind: Kind
    revision: str | None
    """As it was asked for; None is main."""
    commit: str
    files: list[HubFile]
    licence: str | None

    def choose(self, names: Sequence[str]) -> Repository:
        """The same with only the files of these names."""
        return Repository(
            self.id, self.kind, self.revision, self.commit, [file for file in self.files if file.name in names], self.licence
        )

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


@contextlib.contextmanager
def reaching_the_hub(id: str, kind: Kind = "model", revision: str | None = None) -> Iterator[None]:
    """The one place that lets a worker use the network. Refusals and broken connections leave it as StudioError."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = os.environ.get(OFFLINE_BY_CHOICE, "").lower() in ("1", "true", "yes", "on")
    disable_progress_bars()
    # huggingface_hub waits forever unless each call says otherwise, and not each of them can.
    get_session().timeout = TIMEOUT
    try:
        yield
    except (httpx2.HTTPError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, ConnectionError) as error:
        raise told(error, id, kind, revision) from error
    finally:
        constants.HF_HUB_OFFLINE = before


def look_up(id: str, kind: Kind = "model", revision: str | None = None) -> Repository:
    """What the hub has under this id. Raises StudioError when it has nothing, or does not show it."""
    with reaching_the_hub(id, kind, revision):
        info: ModelInfo | DatasetInfo
        try:
            if kind == "model":
                info = HfApi().model_info(id, revision=revision, files_metadata=True, timeout=TIMEOUT)
            else:
                info = HfApi().dataset_info(id, revision=revision, files_metadata=True, timeout=TIMEOUT)
        except (JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise told_stranger(error) from error
    licence = info.card_data.get("license") if info.card_data is not None else None
    files = [
        HubFile(entry.rfilename, entry.size or 0, entry.lfs.sha256 if entry.lfs is not None else entry.blob_id or "")
        for entry in info.siblings or []
    ]
    # They become names of files in the cache.
    if odd := [file.name for file in files if _ETAG.fullmatch(file.etag) is None]:
        raise told_stranger(ValueError(f"no hash of {odd[0]!r}"))
    return Repository(id, kind, revision, info.sha or "", files, licence if isinstance(licence, str) else None)


def cached_snapshot(id: str, marker: str, kind: Kind = "model", revision: str | None = None) -> Path | None:
    """The folder in the cache with that revision, if it holds the file ``marker``. Nothing is asked of the network."""
    found = try_to_load_from_cache(id, marker, revision=revision, repo_type=kind)
    return Path(found).parents[marker.count("/")] if isinstance(found, str) else None


def missing_files(repository: Repository) -> MissingFiles:
    """What a fetch of all its files would bring, and the free space where the cache is or will be."""
    folder = Path(constants.HF_HUB_CACHE).expanduser().absolute()
    free = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.is_dir())).free
    missing = sum(file.size - _here(_blob(repository, file), file) for file in repository.files)
    return MissingFiles(total=repository.total, missing=missing, free=free)


def fetch(repository: Repository, report: Report, should_stop: Callable[[], bool]) -> Path:
    """Bring all files of ``repository`` into the cache; returns their folder there.

    Files that are there already, in part or whole, are not fetched again. Raises StudioError when the disk is too small or
    the hub refuses, breaks off or changes meanwhile, InterruptedByUserError when asked to stop; what has come so far stays for
    the next time.
    """
    wanted = missing_files(repository)
    if wanted.missing and not wanted.fits:
        raise StudioError(
            f"The download of {repository.id} needs {size(wanted.missing)} and {size(SPARE_BYTES)} to spare, but only "
            f"{size(wanted.free)} are free where it goes, in {constants.HF_HUB_CACHE}.",
            "Free some space there, or set HF_HOME to a folder on a larger disk and start the app again.",
            kind="disk_full",
        )
    with reaching_the_hub(repository.id, repository.kind, repository.revision):
        for file in repository.files:
            _fetch_file(repository, file, report, should_stop)
        # It finds each file by its hash and gives it its name; the branch, too, is noted.
        folder = snapshot_download(
            repository.id,
            repo_type=repository.kind,
            revision=repository.revision,
            allow_patterns=[_literal(file.name) for file in repository.files],
            etag_timeout=TIMEOUT,
        )
    if (held := Path(folder)).name != repository.commit:
        # With the connection gone huggingface_hub takes the state before for the newest, and a newer one may have other files.
        raise StudioError(
            f"{repository.id} has changed on the hub while it was fetched, or the connection broke off.",
            "Try again; what has come so far is kept.",
            kind="hub_changed",
        )
    return held


def read_file(repository: Repository, name: str) -> bytes:
    """A small file's content, straight from the hub; the cache is left as it is."""
    with reaching_the_hub(repository.id, repository.kind, repository.revision):
        address = hf_hub_url(repository.id, name, repo_type=repository.kind, revision=repository.commit)
        response = get_session().get(address, headers=build_hf_headers(library_name="finetune-studio"), timeout=TIMEOUT)
        hf_raise_for_status(response)
        return bytes(response.content)


def _fetch_file(repository: Repository, file: HubFile, report: Report, should_stop: Callable[[], bool]) -> None:
    blob = _blob(repository, file)
    if blob.exists():
        report(file.name, file.size)
        return
    partial = _partial(blob)
    partial.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(partial.with_name(f".{partial.name}.lock"))
    try:
        lock.acquire(timeout=1)
    except Timeout:
        raise StudioError(
            f"{repository.id} is being downloaded by another process.", "Wait until it is done, then look again.", kind="busy"
        ) from None
    try:
        if blob.exists():  # the other process is done
            report(file.name, file.size)
            return
        failures = 0
        while (have := _here(blob, file)) < file.size:
            try:
                _stream(repository, file, partial, have, report, should_stop)
            except httpx2.TransportError:
                failures = failures + 1 if _here(blob, file) == have else 1
                if failures >= ATTEMPTS:
                    raise
                _pause(should_stop)
        partial.touch()  # a file of no bytes
        if _content_hash(partial, file) != file.etag:
            partial.unlink()
            raise StudioError(
                f"{file.name} of {repository.id} arrived damaged: its checksum is not the one that the hub names.",
                "Download it again.",
                kind="damaged_download",
            )
        partial.replace(blob)
        report(file.name, file.size)
    finally:
        with contextlib.suppress(OSError):  # Windows keeps what is open
            # While it is held: whoever gets it afterwards would hold a lock that nobody else finds.
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _stream(
    repository: Repository, file: HubFile, partial: Path, have: int, report: Report, should_stop: Callable[[], bool]
) -> None:
    """Append to ``partial`` what comes after its first ``have`` bytes, until the end or until the connection breaks."""
    address = hf_hub_url(repository.id, file.name, repo_type=repository.kind, revision=repository.commit)
    # Compressed on the way, a file has no ranges.
    headers = {**build_hf_headers(library_name="finetune-studio"), "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with get_session().stream("GET", address, headers=headers, timeout=TIMEOUT) as response:
        if response.status_code == 416:  # the partial file is of another content
            partial.unlink()
            return
        hf_raise_for_status(response)
        if response.status_code != 206:
            have = 0
        announced = response.headers.get("Content-Length")
        # The page of a network that wants a login, for one: it must not take the place of what has come so far.
        if announced is not None and int(announced) != file.size - have:
            raise httpx2.RemoteProtocolError("another number of bytes than the hub announced")
        with partial.open("ab" if response.status_code == 206 else "wb") as out:
            report(file.name, out.tell())
            for block in response.iter_bytes():
                if should_stop():
                    raise InterruptedByUserError
                out.write(block)
                if out.tell() > file.size:
                    raise httpx2.RemoteProtocolError("more bytes than the hub announced")
                report(file.name, out.tell())
            if out.tell() < file.size:
                if announced is None and response.status_code != 206:
                    partial.unlink()  # nothing says that this was the file at all
                raise httpx2.RemoteProtocolError("fewer bytes than the hub announced")


def _pause(should_stop: Callable[[], bool]) -> None:
    until = time.monotonic() + _PAUSE
    while time.monotonic() < until:
        if should_stop():
            raise InterruptedByUserError
        time.sleep(0.05)


def _blob(repository: Repository, file: HubFile) -> Path:
    cache = Path(constants.HF_HUB_CACHE).expanduser()
    return cache / repo_folder_name(repo_id=repository.id, repo_type=repository.kind) / "blobs" / file.etag


def _partial(blob: Path) -> Path:
    return blob.with_name(f"{blob.name}.incomplete")


def _here(blob: Path, file: HubFile) -> int:
    """Bytes of a file that are in the cache. A partial file that is too long is of no use."""
    if blob.exists():
        return file.size
    try:
        have = _partial(blob).stat().st_size
    except OSError:
        return 0
    if have > file.size:
        _partial(blob).unlink()
        return 0
    return have


def _content_hash(path: Path, file: HubFile) -> str:
    with path.open("rb") as content:
        if len(file.etag) == 64:
            return hashlib.file_digest(content, "sha256").hexdigest()
        digest = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        while block := content.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _literal(name: str) -> str:
    """A file's name as a pattern that means only itself."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
