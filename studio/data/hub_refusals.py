"""What the hub, or the way to it, refuses: in words, each with what to do."""

from __future__ import annotations

import difflib
from typing import Literal

import httpx2
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, get_session  # type: ignore[attr-defined]  # exported without __all__

from studio.core.errors import StudioError

_HINT_SECONDS = 5.0
_WORDS = {"model": "model", "dataset": "data set"}
_LOGIN = "run `hf auth login` in a terminal and try again, or start the app with the environment variable HF_TOKEN"
_CACHED = "What was downloaded before works without a network."


def told(error: Exception, id: str, kind: Literal["model", "dataset"], revision: str | None) -> StudioError:
    """A library's error as a person reads it."""
    what, detail = _WORDS[kind], f"{type(error).__name__}: {error}"
    page = f"{constants.ENDPOINT}/{'' if kind == 'model' else 'datasets/'}{id}"
    if isinstance(error, OfflineModeIsEnabled):
        return StudioError(
            f"{id} was not looked for: HF_HUB_OFFLINE is set, which forbids any use of the Hugging Face hub.",
            f"Unset it and start the app again. {_CACHED}",
            detail,
            "offline",
        )
    if isinstance(error, GatedRepoError):
        if get_token() is None:
            return StudioError(
                f"{id} is only for people who have accepted its terms, and the hub does not know who is asking.",
                f"Accept the terms on {page}, make a token on {constants.ENDPOINT}/settings/tokens, and give it: {_LOGIN}.",
                detail,
                "gated",
            )
        return StudioError(
            f"{id} is only for people who have accepted its terms, and the account of this token has not, or waits for approval.",
            f"Accept the terms on {page} with that account, then try again.",
            detail,
            "gated",
        )
    if isinstance(error, RepositoryNotFoundError | HFValidationError):
        near = _nearest_id(id, kind)
        return StudioError(
            f"The Hugging Face hub has no {what} {id!r}, or it is private.",
            (f"Did you mean {near}? " if near else f"Check the {what}'s id, which is written org/name. ")
            + f"For a private {what}, give a token: {_LOGIN}.",
            detail,
            "not_on_hub",
        )
    if isinstance(error, RevisionNotFoundError):
        known = _revisions(id, kind)
        return StudioError(
            f"The {what} {id} has no revision {revision!r}.",
            f"It has {', '.join(known)}." if known else "Name a branch, a tag or a full commit hash, or leave the revision out.",
            detail,
            "no_revision",
        )
    if isinstance(error, HfHubHTTPError):
        return _status(error.response.status_code, id, page, detail)
    return StudioError(
        f"The Hugging Face hub cannot be reached at {constants.ENDPOINT}.",
        f"Check the network connection and try again; a download goes on where it broke off. {_CACHED}",
        detail,
        "no_network",
    )


def told_stranger(error: Exception) -> StudioError:
    """What answers in the hub's place, such as the page of a network that wants a login, as a person reads it."""
    return StudioError(
        f"What answers at {constants.ENDPOINT} is not the Hugging Face hub.",
        "Some networks want a login first: open any page in a browser, then try again. Behind a mirror, check HF_ENDPOINT.",
        f"{type(error).__name__}: {error}",
        "no_network",
    )


def _status(status: int, id: str, page: str, detail: str) -> StudioError:
    if status == 401:
        return StudioError(
            "The Hugging Face hub does not accept the token of this computer.",
            f"Make a new one on {constants.ENDPOINT}/settings/tokens: {_LOGIN}.",
            detail,
            "bad_token",
        )
    if status == 403:
        return StudioError(
            f"The Hugging Face hub refuses access to {id}.", f"See {page} for what its owner asks for.", detail, "forbidden"
        )
    if status == 429:
        return StudioError("The Hugging Face hub was asked too often.", "Wait some minutes and try again.", detail, "hub_busy")
    return StudioError(
        f"The Hugging Face hub is out of order: it answered with status {status}.",
        f"Try again later. {_CACHED}",
        detail,
        "hub_down",
    )


def _nearest_id(id: str, kind: str) -> str | None:
    """The id on the hub that is most like ``id``; None when there is none, or the hub does not say in time."""
    name = id.rsplit("/", 1)[-1]
    address, headers = f"{constants.ENDPOINT}/api/{kind}s", build_hf_headers()
    try:
        for search in dict.fromkeys((name, name[: max(3, len(name) // 2)])):
            asked = {"search": search, "limit": "50", "sort": "downloads"}
            answer = get_session().get(address, params=asked, headers=headers, timeout=_HINT_SECONDS)
            known = {str(entry["id"]).casefold(): str(entry["id"]) for entry in answer.json()}
            if near := difflib.get_close_matches(id.casefold(), known, n=1, cutoff=0.0):
                return known[near[0]]
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        pass
    return None


def _revisions(id: str, kind: str) -> list[str]:
    """Some branches and tags."""
    try:
        refs = HfApi().list_repo_refs(id, repo_type=kind)
    except (httpx2.HTTPError, OSError, ValueError, KeyError, TypeError):
        return []
    return [ref.name for ref in (*refs.branches, *refs.tags)][:8]
