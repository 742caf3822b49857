"""The bundled sample data set: size, no duplicates, no filled-in templates, and neither trivial nor hopeless to classify."""

import csv
import re
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

SAMPLE = Path(__file__).parents[2] / "resources" / "sample"


def read(name: str) -> list[tuple[str, str]]:
    """Return the (text, intent) rows of one of the two files."""
    with (SAMPLE / name).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        assert reader.fieldnames == ["text", "intent"]
        return [(row["text"], row["intent"]) for row in reader]


TRAIN = read("train.csv")
TEST = read("test.csv")


def words(text: str) -> list[str]:
    """Return the lower-cased words of a message, without punctuation."""
    return re.findall(r"\w+(?:'\w+)*", text.casefold())


def by_intent() -> dict[str, list[str]]:
    """Return all messages of both files, grouped by intent."""
    groups: dict[str, list[str]] = defaultdict(list)
    for text, intent in TRAIN + TEST:
        groups[intent].append(text)
    return groups


def test_sizes() -> None:
    """There is enough of everything, and every intent has the same share of the test part."""
    groups = by_intent()
    assert len(groups) >= 12
    assert min(map(len, groups.values())) >= 60
    assert len(TRAIN) >= 400
    assert len(TEST) >= 120
    in_test = Counter(intent for _, intent in TEST)
    assert set(in_test) == {intent for _, intent in TRAIN}
    assert set(in_test.values()) == {14}


def test_rows_are_clean() -> None:
    """No empty cell, no stray blanks around a cell, snake_case intents, LF line ends and no byte order mark."""
    for text, intent in TRAIN + TEST:
        assert text
        assert text == text.strip()
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", intent)
    for name in ("train.csv", "test.csv"):
        raw = (SAMPLE / name).read_bytes()
        assert b"\r" not in raw
        assert raw.startswith(b"text,intent\n")


@pytest.mark.parametrize("pattern", [r"\s+", r"[\W_]+"], ids=["whitespace", "punctuation too"])
def test_no_duplicates(pattern: str) -> None:
    """No message occurs twice, within a file or across them, whatever its case, whitespace and punctuation."""
    joint = " " if pattern == r"\s+" else ""
    seen = Counter(re.sub(pattern, joint, text.casefold()).strip() for text, _ in TRAIN + TEST)
    assert [text for text, count in seen.items() if count > 1] == []


def test_no_filled_in_templates() -> None:
    """Messages of an intent share no opening, no longer run of words and not most of their words."""
    for intent, texts in by_intent().items():
        tokens = [words(text) for text in texts]
        openings = Counter(tuple(w[:4]) for w in tokens if len(w) >= 4)
        assert max(openings.values()) <= 3, (intent, openings.most_common(1))
        runs = Counter(run for w in tokens for run in {tuple(w[i : i + 5]) for i in range(len(w) - 4)})
        assert max(runs.values()) <= 3, (intent, runs.most_common(1))
        for first, second in combinations([w for w in tokens if len(w) >= 6], 2):
            a, b = set(first), set(second)
            assert len(a & b) / len(a | b) < 0.55, (intent, first, second)


def test_neither_trivial_nor_hopeless() -> None:
    """A plain bag-of-words classifier gets most of the test part right, but not all of it."""
    model = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))
    model.fit([text for text, _ in TRAIN], [intent for _, intent in TRAIN])
    score = model.score([text for text, _ in TEST], [intent for _, intent in TEST])
    assert 0.80 <= score <= 0.97
