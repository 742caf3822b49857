"""The label set and its trie."""

from __future__ import annotations

import pytest

from studio.core.errors import StudioError
from studio.core.labels import LabelSet

END = 0


def test_trie_shares_what_labels_share() -> None:
    labels = LabelSet.build(["card", "card lost", "pin"], [[5, END], [5, 6, END], [7, END]])
    assert labels.root.path == ()
    assert set(labels.root.children) == {5, 7}
    card = labels.root.children[5]
    assert (card.path, card.depth, card.label) == ((5,), 1, None)
    assert set(card.children) == {END, 6}
    assert card.children[END].label == 0
    assert card.children[6].children[END].label == 1
    assert card.children[6].children[END].path == (5, 6, END)
    assert labels.root.children[7].children[END].label == 2


def test_index() -> None:
    labels = LabelSet.build(["a", "b"], [[1, END], [2, END]])
    assert [labels.index(name) for name in labels.names] == [0, 1]
    with pytest.raises(KeyError):
        labels.index("c")


def test_coinciding_labels_are_refused_by_name() -> None:
    with pytest.raises(StudioError, match="'b' and 'c' become the same tokens"):
        LabelSet.build(["a", "b", "c"], [[1, END], [2, END], [2, END]])


@pytest.mark.parametrize("names", [[], ["only"]])
def test_fewer_than_two_labels_are_refused(names: list[str]) -> None:
    with pytest.raises(StudioError, match=f"has {len(names)} intent"):
        LabelSet.build(names, [[1, END] for _ in names])
