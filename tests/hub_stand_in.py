"""A stand-in of the Hugging Face hub on this computer: what `huggingface_hub` asks for models and data sets, from folders.

It answers as the hub does (huggingface_hub 2.4): information about a repository, its tree, and its files with ETag,
Content-Length and ranges, large files by way of a redirect to a second host. It can be slow, cut connections, and keep
repositories private or gated. ``hub`` is the fixture; jobs in worker processes and in this one then speak to it alone.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

TOKEN = "hf_stand_in"
"""What a request must bear to see private repositories, and gated ones whose terms were accepted."""
LARGE_SUFFIXES = (".safetensors", ".bin", ".gguf", ".parquet", ".pt")
"""Stored as the hub stores large files: named by their SHA-256, served from another host."""
DATE = "2026-01-01T00:00:00.000Z"
_BLOCK = 16384
_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE")

Kind = Literal["models", "datasets"]
Access = Literal["public", "gated", "refused", "private"]
"""Gated: the token's owner has accepted the terms. Refused: they have not. Private: it looks missing without the token."""


@dataclass(frozen=True)
class File:
    """One file of a commit."""

    data: bytes
    large: bool

    @property
    def oid(self) -> str:
        """What git calls it: the hash of its content, for a large file that of the pointer in its place."""
        pointer = f"oid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()
        content = pointer if self.large else self.data
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.oid


@dataclass
class Repository:
    """A model or a data set. ``commits`` holds the files of each commit by its hash; ``names`` are branches and tags."""

    id: str
    kind: Kind
    access: Access = "public"
    commits: dict[str, dict[str, File]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def commit(self, folder: Path, branch: str = "main") -> str:
        """Put the files of ``folder``, subfolders included, on a branch. Returns the commit's hash."""
        paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
        files = {path.relative_to(folder).as_posix(): File(path.read_bytes(), path.name.endswith(LARGE_SUFFIXES)) for path in paths}
        told = json.dumps([len(self.commits), {name: file.oid for name, file in files.items()}])
        commit = hashlib.sha1(told.encode()).hexdigest()
        self.commits[commit] = files
        self.names[branch] = commit
        return commit

    def tag(self, name: str, commit: str | None = None) -> None:
        """Name a commit, that of main when none is given."""
        self.names[name] = commit or self.names["main"]

    @property
    def head(self) -> str:
        return self.names["main"]

    def find(self, revision: str) -> str | None:
        """The commit that a branch, a tag or a commit's hash means."""
        return self.names.get(revision) or (revision if revision in self.commits else None)


@dataclass(frozen=True)
class Request:
    """One request as the hub saw it."""

    method: str
    path: str
    token: str | None
    range: str | None


class HubStandIn:
    """Listens on a port of this computer until ``close``. All settings may change while it serves."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[Kind, str], Repository] = {}
        self.requests: list[Request] = []
        self.bytes_per_second: float | None = None
        """How fast a file's bytes leave; None is as fast as it goes."""
        self.cuts: list[int] = []
        """The next files break off after so many bytes, one entry each."""
        self.failing: int | None = None
        """An HTTP status, such as 503, with which every request is answered."""
        self.page: bytes | None = None
        """What answers in the hub's place, as networks do that want a login first."""
        self._closing = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="hub stand-in")
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT has to be."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def other_host(self) -> str:
        """Where large files come from."""
        return f"http://localhost:{self._server.server_port}"

    def add_model(self, id: str, folder: Path, access: Access = "public") -> Repository:
        """Publish the files of ``folder`` as a model."""
        return self._add(Repository(id, "models", access), folder)

    def add_dataset(self, id: str, folder: Path, access: Access = "public") -> Repository:
        """Publish the files of ``folder`` as a data set."""
        return self._add(Repository(id, "datasets", access), folder)

    def fetched(self, suffix: str = "") -> list[str]:
        """The files that were sent, in part or whole, in order; ``suffix`` chooses some."""
        paths = [request.path for request in self.requests if request.method == "GET" and "/resolve/" in request.path]
        return [path.rsplit("/", 1)[-1] for path in paths if path.endswith(suffix)]

    def wait(self, seconds: float) -> None:
        """Let a slow answer take its time; returns at once when the hub closes."""
        self._closing.wait(seconds)

    def close(self) -> None:
        """Nothing listens any more: what a computer without a network sees. Answers under way break off."""
        if not self._closing.is_set():
            self._closing.set()
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    @property
    def closing(self) -> bool:
        return self._closing.is_set()

    def _add(self, repository: Repository, folder: Path) -> Repository:
        repository.commit(folder)
        self.repositories[repository.kind, repository.id] = repository
        return repository


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close waits for the answers under way

    def __init__(self, hub: HubStandIn) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was ended in the middle of an answer is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Tests read ``requests`` instead."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.close_connection = True  # one request a connection: no thread waits for a client that keeps its own open
        self.hub = self.server.hub
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        self.token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.hub.requests.append(Request(self.command, unquote(url.path), self.token, self.headers.get("Range")))
        if self.hub.failing is not None:
            self._refuse(self.hub.failing, "", "The hub is out of order.")
            return
        if self.hub.page is not None:
            self._head(200, {"Content-Type": "text/html", "Content-Length": str(len(self.hub.page))})
            if self.command != "HEAD":
                self.wfile.write(self.hub.page)
            return
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        if parts[0] == "large":
            self._large_file(parts[1])
        elif parts[0] == "api" and len(parts) > 1 and parts[1] in ("models", "datasets"):
            self._api(parts[1], parts[2:])
        else:
            kind: Kind = "datasets" if parts[0] == "datasets" else "models"
            rest = parts[1:] if kind == "datasets" else parts
            if "resolve" in rest[1:3]:
                at = rest.index("resolve")
                self._file(kind, "/".join(rest[:at]), rest[at + 1], "/".join(rest[at + 2 :]))
            else:
                self._refuse(404, "", "Not Found")

    def _api(self, kind: Kind, rest: list[str]) -> None:
        if not rest:
            self._list(kind)
            return
        words = ("revision", "tree", "paths-info", "refs")
        at = next((index for index, part in enumerate(rest) if index and part in words), len(rest))
        asked, rest = rest[at : at + 1], [*rest[:at], *rest[at + 1 :]]
        repository = self._visible(kind, "/".join(rest[:at]))
        if repository is None:
            return
        if asked == ["refs"]:
            branches = [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit} for name, commit in repository.names.items()
            ]
            self._json({"branches": branches, "tags": [], "converts": []})
            return
        revision = rest[at] if asked else "main"
        commit = repository.find(revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        files = repository.commits[commit]
        if asked == ["tree"]:
            self._tree(files, "/".join(rest[at + 1 :]))
        elif asked == ["paths-info"]:
            form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
            entries = _entries(files)
            self._json([entries[path.strip("/")] for path in form.get("paths", []) if path.strip("/") in entries])
        else:
            self._json(self._info(repository, commit))

    def _list(self, kind: Kind) -> None:
        wanted = self.query.get("search", [""])[0].lower()
        limit = int(self.query.get("limit", ["1000"])[0])
        found = [
            repository
            for (of, id), repository in self.hub.repositories.items()
            if of == kind and wanted in id.lower() and repository.access != "private"
        ]
        self._json([{"id": repository.id, "modelId": repository.id, "tags": []} for repository in found[:limit]])

    def _info(self, repository: Repository, commit: str) -> dict[str, Any]:
        files = repository.commits[commit]
        blobs = bool(self.query.get("blobs"))
        siblings: list[dict[str, Any]] = []
        for name, file in files.items():
            sibling: dict[str, Any] = {"rfilename": name}
            if blobs:
                sibling |= {"size": len(file.data), "blobId": file.oid}
                if file.large:
                    sibling["lfs"] = {"size": len(file.data), "sha256": file.sha256, "pointerSize": 134}
            siblings.append(sibling)
        card = _card(files)
        return {
            "id": repository.id,
            "sha": commit,
            "author": repository.id.split("/")[0],
            "private": repository.access == "private",
            "gated": "manual" if repository.access in ("gated", "refused") else False,
            "disabled": False,
            "lastModified": DATE,
            "createdAt": DATE,
            "downloads": 0,
            "likes": 0,
            "tags": [f"license:{card['license']}"] if "license" in card else [],
            "cardData": card,
            "siblings": siblings,
        }

    def _tree(self, files: Mapping[str, File], folder: str) -> None:
        recursive = self.query.get("recursive", ["False"])[0].lower() == "true"
        prefix = f"{folder}/" if folder else ""
        if prefix and not any(name.startswith(prefix) for name in files):
            self._refuse(404, "EntryNotFound", f"{folder} does not exist")
            return
        entries = _entries(files)
        inside = {name: entry for name, entry in entries.items() if name.startswith(prefix)}
        self._json([entry for name, entry in inside.items() if recursive or "/" not in name.removeprefix(prefix)])

    def _file(self, kind: Kind, id: str, revision: str, path: str) -> None:
        repository = self._visible(kind, id)
        if repository is None or not self._may_read(repository):
            return
        commit = repository.find(revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        file = repository.commits[commit].get(path)
        if file is None:
            self._refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        elif file.large:
            self._head(
                302,
                {
                    "X-Repo-Commit": commit,
                    "X-Linked-Etag": f'"{file.sha256}"',
                    "X-Linked-Size": str(len(file.data)),
                    "Location": f"{self.hub.other_host}/large/{file.sha256}",
                    "Content-Length": "0",
                },
            )
        else:
            self._send(file, {"X-Repo-Commit": commit})

    def _large_file(self, sha256: str) -> None:
        # The real one is signed in its address and refuses a token that was meant for the hub.
        if self.token is not None:
            self._refuse(400, "", "Only one auth mechanism allowed")
            return
        for repository in list(self.hub.repositories.values()):
            for files in repository.commits.values():
                for file in files.values():
                    if file.sha256 == sha256:
                        self._send(file, {})
                        return
        self._refuse(404, "", "Not Found")

    def _visible(self, kind: Kind, id: str) -> Repository | None:
        """The repository, or None once the refusal is sent: what is missing and what is private look the same."""
        repository = self.hub.repositories.get((kind, id))
        if repository is not None and (repository.access != "private" or self.token == TOKEN):
            return repository
        if self.token == TOKEN:
            self._refuse(404, "RepoNotFound", "Repository not found")
        else:
            invalid = "Invalid username or password." if self.token is None else "Invalid credentials in Authorization header"
            self._refuse(401, "RepoNotFound" if self.token is None else "", invalid)
        return None

    def _may_read(self, repository: Repository) -> bool:
        if repository.access in ("public", "private"):
            return True
        if self.token != TOKEN:
            told = "You must have access to it and be authenticated to access it. Please log in."
            self._refuse(401, "GatedRepo", f"Access to model {repository.id} is restricted. {told}")
            return False
        if repository.access == "refused":
            self._refuse(403, "GatedRepo", f"Access to model {repository.id} is restricted and you are not in the authorized list.")
            return False
        return True

    def _send(self, file: File, headers: dict[str, str]) -> None:
        data, status, start = file.data, 200, 0
        if (asked := self.headers.get("Range")) is not None:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start = int(first) if first else max(0, len(data) - int(last))
            end = int(last) + 1 if first and last else len(data)
            if start >= len(data):
                self._head(416, {"Content-Range": f"bytes */{len(data)}", "Content-Length": "0"})
                return
            data, status = data[start : min(end, len(data))], 206
            headers = headers | {"Content-Range": f"bytes {start}-{start + len(data) - 1}/{len(file.data)}"}
        self._head(status, headers | {"ETag": f'"{file.etag}"', "Accept-Ranges": "bytes", "Content-Length": str(len(data))})
        if self.command != "HEAD":
            self._body(data[: self.hub.cuts.pop(0)] if self.hub.cuts else data)

    def _body(self, data: bytes) -> None:
        pace = self.hub.bytes_per_second
        block = _BLOCK if pace is None else max(1, int(pace / 50))
        for start in range(0, len(data), block):
            if self.hub.closing:
                return
            self.wfile.write(data[start : start + block])
            if pace is not None:
                self.hub.wait(block / pace)

    def _json(self, answer: Any) -> None:
        body = json.dumps(answer).encode()
        self._head(200, {"Content-Type": "application/json", "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"error": message}).encode()
        named = {"X-Error-Code": code} if code else {}
        sized = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        self._head(status, {**(headers or {}), **named, "X-Error-Message": message, **sized})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()


def _entries(files: Mapping[str, File]) -> dict[str, dict[str, Any]]:
    """Files and the folders they lie in, as the tree lists them."""
    entries: dict[str, dict[str, Any]] = {}
    for name, file in files.items():
        for depth in range(1, name.count("/") + 1):
            folder = "/".join(name.split("/")[:depth])
            entries[folder] = {"type": "directory", "path": folder, "oid": hashlib.sha1(folder.encode()).hexdigest(), "size": 0}
        entries[name] = {"type": "file", "path": name, "oid": file.oid, "size": len(file.data)}
        if file.large:
            entries[name]["lfs"] = {"oid": file.sha256, "size": len(file.data), "pointerSize": 134}
    return entries


def _card(files: Mapping[str, File]) -> dict[str, str]:
    """The plain ``key: value`` lines at the head of README.md."""
    if "README.md" not in files:
        return {}
    parts = files["README.md"].data.decode().split("---\n")
    lines = parts[1].splitlines() if len(parts) > 2 and not parts[0] else []
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def speak_to(hub: HubStandIn, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have huggingface_hub ask ``hub`` and keep its cache and token in ``home``, in this process and its children."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    # It reads its environment once, when it is imported.
    from huggingface_hub import constants, hf_api
    from huggingface_hub.utils import _http
    from tqdm import tqdm

    monkeypatch.setattr(tqdm, "monitor_interval", 0)  # the first progress bar would start a thread that never ends

    values: dict[str, object] = {
        "ENDPOINT": hub.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_TELEMETRY": True,
    }
    for name, value in values.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr(hf_api.api, "endpoint", hub.endpoint)
    monkeypatch.setattr(_http, "_HUB_ORIGINS", frozenset({("http", "127.0.0.1", int(hub.endpoint.rsplit(":", 1)[1]))}))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """A hub without any repository; the cache is in ``tmp_path / "hf"``. Import it in the test or its conftest."""
    from huggingface_hub.utils import close_session

    made = HubStandIn()
    speak_to(made, tmp_path / "hf", monkeypatch)
    yield made
    made.close()
    close_session()


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for what another thread or process does."""
    clock = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        clock.wait(0.02)
    raise AssertionError("It did not happen in time.")
