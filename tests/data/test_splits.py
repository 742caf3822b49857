"""Splits: a partition, the same everywhere, each intent with its share; and what is left out is told."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.core.config import DatasetConfig
from studio.core.errors import StudioError
from studio.core.runs import RunFolder
from studio.data.sources import Example, read_examples
from studio.data.splits import Splits, load_splits, read_split, write_splits

COUNTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 40), min_size=2).filter(
    lambda counts: max(counts.values()) > 2
)
SAME_FILE_AGAIN = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def write(path: Path, rows: list[tuple[str, str]]) -> str:
    with path.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("text", "label"), *rows])
    return str(path)


def rows_of(**counts: int) -> list[tuple[str, str]]:
    return [(f"message {number} of {label}", label) for label, count in counts.items() for number in range(count)]


def sentences(splits: Splits, kind: str = "") -> list[str]:
    """What is told, of one kind or of any but that the intents here are small."""
    return [problem.sentence for problem in splits.problems if (problem.kind == kind if kind else problem.kind != "few_rows")]


def counted(rows: list[Example]) -> Counter[str]:
    return Counter(row.label for row in rows)


@SAME_FILE_AGAIN
@given(counts=COUNTS, seed=st.integers(0, 2**31 - 1), fraction=st.sampled_from([0.05, 0.1, 0.2, 0.33, 0.5]))
def test_splits_are_a_stratified_partition(tmp_path: Path, counts: dict[str, int], seed: int, fraction: float) -> None:
    rows = rows_of(**counts)
    source = write(tmp_path / "data.csv", rows)
    dataset = DatasetConfig(source=source, test_fraction=fraction, validation_fraction=fraction, seed=seed)
    splits = load_splits(dataset)
    parts = (splits.train, splits.validation, splits.test)
    assert sorted(row for part in parts for row in part_rows(part)) == sorted(rows)
    assert splits.labels == sorted(counts)
    train, validation, test = map(counted, parts)
    assert all(train[label] >= 1 for label in counts)
    rest = {label: count - test[label] for label, count in counts.items()}
    for part, sizes in ((test, counts), (validation, rest)):
        able = {label: count for label, count in sizes.items() if count > 1}
        wanted = max(1, round(fraction * sum(able.values())))
        assert sum(part.values()) == wanted
        everyone = wanted >= len(able)
        # An intent that is due less than one row takes the rest of it from larger ones.
        given_up = sum(1 for count in able.values() if fraction * count < 1) if everyone else 0
        for label, count in able.items():
            assert part[label] >= (1 if everyone else 0)
            assert -1 - given_up < part[label] - fraction * count < 1
    assert load_splits(dataset) == splits


def part_rows(part: list[Example]) -> list[tuple[str, str]]:
    return [(row.text, row.label) for row in part]


def test_the_split_is_the_same_on_every_machine(tmp_path: Path) -> None:
    splits = load_splits(DatasetConfig(source=write(tmp_path / "data.csv", rows_of(a=6, b=5, c=4)), seed=7))
    assert [row.text for row in splits.test] == ["message 5 of a", "message 4 of b", "message 3 of c"]
    assert [row.text for row in splits.validation] == ["message 0 of a"]


def test_the_seed_decides(tmp_path: Path) -> None:
    source = write(tmp_path / "data.csv", rows_of(a=50, b=50))
    first, second = (load_splits(DatasetConfig(source=source, seed=seed)) for seed in (1, 2))
    assert first.test != second.test
    assert counted(first.test) == counted(second.test)


def test_the_test_split_does_not_depend_on_validation(tmp_path: Path) -> None:
    source = write(tmp_path / "data.csv", rows_of(a=30, b=30))
    first, second = (load_splits(DatasetConfig(source=source, validation_fraction=share)) for share in (0.1, 0.4))
    assert first.test == second.test
    assert len(first.test) == 12
    assert len(first.validation) == 5


def test_copies_of_a_message_stay_together(tmp_path: Path) -> None:
    rows = rows_of(a=10, b=10) * 3
    splits = load_splits(DatasetConfig(source=write(tmp_path / "data.csv", rows)))
    parts = [{row.text for row in part} for part in (splits.train, splits.validation, splits.test)]
    assert sum(map(len, parts)) == 20
    assert len(set.union(*parts)) == 20
    assert sentences(splits) == ["40 rows repeating another row word for word. Kept, all copies in the same split."]


def test_intents_too_small_for_a_split_are_named(tmp_path: Path) -> None:
    splits = load_splits(DatasetConfig(source=write(tmp_path / "data.csv", rows_of(big=40, one=1, small=2))))
    assert counted(splits.train)["one"] == 1
    assert "1 intent with too few rows to be in the test split: 'one'. Kept for training." in sentences(splits)
    (few,) = sentences(splits, "few_rows")
    assert few.startswith("2 intents with fewer than 10 messages to train on: 'one' (1), 'small' (1). Kept")
    assert counted(splits.test)["small"] == 1


def test_every_intent_is_in_a_split_that_is_large_enough(tmp_path: Path) -> None:
    four = load_splits(DatasetConfig(source=write(tmp_path / "four.csv", rows_of(a=10, b=10, c=10, d=10))))
    assert counted(four.test) == dict.fromkeys("abcd", 2)
    assert len(four.validation) == 3, "a tenth of what is left"
    (problem,) = sentences(four)
    assert problem.startswith("A share of 0.1 is too small for every intent to be in the validation split; 1 is missing: ")
    small = load_splits(DatasetConfig(source=write(tmp_path / "small.csv", rows_of(a=100, b=60, c=3, d=3, e=3))))
    assert set(counted(small.test)) == set(counted(small.validation)) == set("abcde")
    assert (len(small.test), len(small.validation)) == (34, 14)


def test_a_large_share_leaves_every_intent_a_training_row(tmp_path: Path) -> None:
    source = write(tmp_path / "data.csv", rows_of(a=2, b=3, c=9))
    validation = write(tmp_path / "validation.csv", [("new", "a")])
    splits = load_splits(DatasetConfig(source=source, validation=validation, test_fraction=0.95))
    assert counted(splits.train) == {"a": 1, "b": 1, "c": 1}
    assert len(splits.test) == 11


def test_no_row_to_set_aside(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="No row can be set aside as test split"):
        load_splits(DatasetConfig(source=write(tmp_path / "data.csv", rows_of(a=1, b=1))))


def test_one_intent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="only one intent, 'a'"):
        load_splits(DatasetConfig(source=write(tmp_path / "data.csv", rows_of(a=5))))


def test_separate_files_are_taken_whole(tmp_path: Path) -> None:
    source = write(tmp_path / "train.csv", rows_of(a=10, b=10))
    test = write(tmp_path / "test.csv", [("new", "a"), ("odd", "z"), ("message 1 of b", "b"), ("old", "y")])
    validation = tmp_path / "validation.jsonl"
    validation.write_text('{"label": "b", "text": "another"}\n', "utf-8")
    splits = load_splits(DatasetConfig(source=source, test=test, validation=str(validation)))
    assert len(splits.train) == 20
    assert splits.validation == [Example("another", "b")]
    assert splits.test == [Example("new", "a"), Example("message 1 of b", "b")]
    assert splits.labels == ["a", "b"]
    assert sentences(splits) == [
        "Left out: 2 test rows whose intents ('y', 'z') no training row has, so these cannot be learnt.",
        "1 test message also in the training split, word for word. Kept, which makes the test result look better than it is.",
    ]
    unknown, leak = (problem.rows for problem in splits.problems)
    assert [(row.file, row.row, row.label) for row in unknown] == [("test.csv", 2, "z"), ("test.csv", 4, "y")]
    assert [(row.file, row.row) for row in leak] == [("test.csv", 3), ("train.csv", 12)]


def test_other_files_take_the_training_file_s_columns(tmp_path: Path) -> None:
    source = tmp_path / "train.csv"
    source.write_text("text,label,topic\n" + "".join(f"t{n},x{n},{'ab'[n % 2]}\n" for n in range(10)), "utf-8")
    test = tmp_path / "test.csv"
    test.write_text("text,label,topic\nnew,q,a\n", "utf-8")
    named = load_splits(DatasetConfig(source=str(source), test=str(test), label_column="topic"))
    assert named.test == [Example("new", "a")]
    test.write_text("text,intent\nnew,x1\n", "utf-8")
    guessed = load_splits(
        DatasetConfig(
            source=str(source), test=str(test), labels=["x0", "x1", "x2", "x3"], validation=write(tmp_path / "v.csv", [("v", "x0")])
        )
    )
    assert guessed.test == [Example("new", "x1")]


def test_a_test_file_of_unknown_intents_is_refused(tmp_path: Path) -> None:
    test = write(tmp_path / "test.csv", [("new", "z")])
    with pytest.raises(StudioError, match="No test row has an intent that occurs in the training rows"):
        load_splits(DatasetConfig(source=write(tmp_path / "train.csv", rows_of(a=9, b=9)), test=test))


def test_the_same_file_twice_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "data.csv", rows_of(a=9, b=9))
    with pytest.raises(StudioError, match=r"data\.csv is named for both train and test"):
        load_splits(DatasetConfig(source=source, test=str(tmp_path / "." / "data.csv")))


def test_only_the_named_intents_are_kept(tmp_path: Path) -> None:
    source = write(tmp_path / "data.csv", rows_of(card=10, pin=10, transfer=10))
    splits = load_splits(DatasetConfig(source=source, labels=["pin", "card"]))
    assert splits.labels == ["card", "pin"]
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 20
    with pytest.raises(StudioError, match=r"'Transfers' \(the nearest is 'transfer'\)"):
        load_splits(DatasetConfig(source=source, labels=["pin", "Transfers"]))
    for labels in ([], ["pin"]):
        with pytest.raises(StudioError, match=r"at least two|is empty"):
            load_splits(DatasetConfig(source=source, labels=labels))


def test_limit_takes_evenly_from_training_alone(tmp_path: Path) -> None:
    source = write(tmp_path / "data.csv", rows_of(a=100, b=100, c=5))
    whole = load_splits(DatasetConfig(source=source))
    thin = load_splits(DatasetConfig(source=source, limit=30))
    assert counted(thin.train) == {"a": 14, "b": 13, "c": 3}
    assert (thin.validation, thin.test) == (whole.validation, whole.test)
    assert set(thin.train) < set(whole.train)
    assert load_splits(DatasetConfig(source=source, limit=30)) == thin
    assert load_splits(DatasetConfig(source=source, limit=30, seed=1)).train != thin.train
    assert load_splits(DatasetConfig(source=source, limit=10_000)) == whole
    with pytest.raises(StudioError, match="2 training rows is too small for 3 intents"):
        load_splits(DatasetConfig(source=source, limit=2))


def test_messages_in_two_splits_are_told(tmp_path: Path) -> None:
    shared = [("s1", "a"), ("s2", "b")]
    files = {name: write(tmp_path / f"{name}.csv", shared) for name in ("validation", "test")}
    splits = load_splits(DatasetConfig(source=write(tmp_path / "train.csv", rows_of(a=9, b=9)), **files))
    assert sentences(splits, "leak") == [
        "2 test messages also in the validation split, word for word. Kept, which makes the test result look better than it is."
    ]


def test_rows_that_a_limit_leaves_out_are_in_no_split(tmp_path: Path) -> None:
    rows = rows_of(a=50, b=50)
    source, test = write(tmp_path / "train.csv", rows), write(tmp_path / "test.csv", rows)
    splits = load_splits(DatasetConfig(source=source, test=test, limit=4))
    shared = len({row.text for row in splits.train})
    assert sentences(splits, "leak")[0].startswith(f"{shared} test messages also in the training split, word for word.")


def test_doubtful_rows_are_told(tmp_path: Path) -> None:
    rows = [*rows_of(Card=6), *((f"another {n}", "card") for n in range(6)), ("both", "Card"), ("both", "card")]
    splits = load_splits(DatasetConfig(source=write(tmp_path / "data.csv", rows)))
    assert sentences(splits, "contradiction") == [
        "1 message with more than one intent, for example 'both' ('Card', 'card'). Kept, but a model cannot learn both."
    ]
    assert sentences(splits, "spelling") == ["The intents 'Card', 'card' differ only in spaces or capitals. Kept apart."]


def test_a_message_as_long_as_a_book_is_told_wherever_it_went(tmp_path: Path) -> None:
    rows = [*rows_of(a=10, b=10), ("word " * 200_000, "a")]
    source = write(tmp_path / "data.csv", rows)
    test = write(tmp_path / "test.csv", [*rows_of(a=2, b=2), ("x" * 10_000, "a"), ("x" * 10_001, "b")])
    told = sentences(load_splits(DatasetConfig(source=source)), "long")
    assert told == [
        "1 message of more than 10,000 characters; the longest has 1,000,000. "
        "Kept, but a model reads no more than the beginning. Look whether a quotation mark is missing."
    ]
    assert sentences(load_splits(DatasetConfig(source=source, test=test)), "long")[0].startswith("2 messages of more than")


def test_copies_but_for_capitals_and_spaces_are_one_message(tmp_path: Path) -> None:
    rows = [(text, label) for text, label in rows_of(a=10, b=10) for text in (text, f" {text.upper()} ")]
    splits = load_splits(DatasetConfig(source=write(tmp_path / "data.csv", rows)))
    assert sentences(splits) == [
        "20 messages differing from another only in capitals or spaces. Kept, all copies in the same split."
    ]
    assert [len(part) for part in splits.parts().values()] == [28, 4, 8]
    parts = [{row.text.strip().lower() for row in part} for part in splits.parts().values()]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 20
    own = {name: write(tmp_path / f"{name}.csv", [(f"MESSAGE  {n} of a", "a")]) for n, name in enumerate(("validation", "test"))}
    splits = load_splits(DatasetConfig(source=write(tmp_path / "data.csv", rows_of(a=10, b=10)), **own))
    assert sentences(splits, "leak") == [
        f"1 {name} message also in the training split, but for capitals and spaces. "
        f"Kept, which makes the {name} result look better than it is."
        for name in ("test", "validation")
    ]


@SAME_FILE_AGAIN
@given(rows=st.lists(st.builds(Example, *[st.text(st.characters(exclude_categories=["Cs"]))] * 2), max_size=6))
def test_stored_splits_come_back_exactly(tmp_path: Path, rows: list[Example]) -> None:
    whole = load_splits(DatasetConfig(source=write(tmp_path / "data.csv", rows_of(a=5, b=5))))
    run = RunFolder(tmp_path / "run")
    write_splits(run, Splits(rows, whole.validation, whole.test, whole.labels, whole.guess, []))
    assert read_split(run, "train") == rows
    assert read_split(run, "validation") == whole.validation
    assert read_split(run, "test") == whole.test
    assert sorted(path.name for path in (run.path / "data").iterdir()) == ["test.parquet", "train.parquet", "validation.parquet"]


def test_damaged_or_missing_split_is_told(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    for content in (None, b"", b"PAR1 nonsense PAR1"):
        if content is not None:
            run.split_path("test").parent.mkdir(parents=True, exist_ok=True)
            run.split_path("test").write_bytes(content)
        with pytest.raises(StudioError, match="test rows of the run run cannot be read") as caught:
            read_split(run, "test")
        assert caught.value.kind == "damaged_run"
        assert ("there is no " in caught.value.message) == (content is None)


def test_sample_has_its_own_test_file() -> None:
    splits = load_splits(DatasetConfig())
    assert len(splits.labels) == 13
    assert set(counted(splits.test).values()) == {14}
    assert set(counted(splits.validation)) == set(splits.labels)
    assert splits.problems == []


def test_banking77_with_its_own_test_file(banking77: Path) -> None:
    splits = load_splits(DatasetConfig(source=str(banking77 / "train.csv"), test=str(banking77 / "test.csv")))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (9_002, 1_001, 3_080)
    assert len(splits.labels) == 77
    assert set(counted(splits.validation)) == set(splits.labels)
    assert sentences(splits) == [
        "4 messages differing from another only in capitals or spaces. Kept, all copies in the same split.",
        "6 test messages also in the training split, but for capitals and spaces. "
        "Kept, which makes the test result look better than it is.",
        "1 test message also in the validation split, but for capitals and spaces. "
        "Kept, which makes the test result look better than it is.",
    ]
    assert splits.test == read_examples(banking77 / "test.csv")[0]
