"""The closed label set as token ids, and the trie that its labels share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from studio.core.errors import StudioError


@dataclass(eq=False)
class TrieNode:
    """A prefix of one or more labels. ``depth`` is its length in tokens; ``label`` the index of the label that ends here."""

    path: tuple[int, ...] = ()
    children: dict[int, TrieNode] = field(default_factory=dict)
    label: int | None = None

    @property
    def depth(self) -> int:
        return len(self.path)


@dataclass(frozen=True)
class LabelSet:
    """The labels of a run, in a fixed order, with the token ids that the model has to write for each.

    ``token_ids[i]`` holds label i's separator, name and end token. No label's ids are a prefix of another's, because
    every one closes with the end token; two labels with the same ids are refused.
    """

    names: tuple[str, ...]
    token_ids: tuple[tuple[int, ...], ...]
    root: TrieNode

    @classmethod
    def build(cls, names: Sequence[str], token_ids: Iterable[Sequence[int]]) -> LabelSet:
        """Raises StudioError when fewer than two labels are given or two of them have the same token ids."""
        ids = tuple(tuple(label) for label in token_ids)
        if len(names) < 2:
            raise StudioError(
                f"The data has {len(names)} intent; telling messages apart needs at least two.",
                "Check that the label column is the right one.",
            )
        seen: dict[tuple[int, ...], str] = {}
        for name, label in zip(names, ids, strict=True):
            if label in seen:
                raise StudioError(
                    f"The intents {seen[label]!r} and {name!r} become the same tokens, so the model could not tell them apart.",
                    "Rename one of them.",
                )
            seen[label] = name
        root = TrieNode()
        for index, label in enumerate(ids):
            node = root
            for position, token in enumerate(label):
                node = node.children.setdefault(token, TrieNode(label[: position + 1]))
            node.label = index
        return cls(tuple(names), ids, root)

    def index(self, name: str) -> int:
        """The position of a label. Raises KeyError for a name outside the set."""
        return self.positions[name]

    @cached_property
    def positions(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self.names)}
