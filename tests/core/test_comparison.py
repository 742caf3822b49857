"""Runs side by side: figures, settings, messages, and the test that says what is chance."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.core.answers import LabelProbability, Prediction
from studio.core.compare_runs import compare_runs
from studio.core.comparison import PairCounts, common_rows, comparison_csv, figure_rows, flattened, mcnemar_exact
from studio.core.errors import StudioError
from studio.core.notes import RunNotes
from studio.core.predictions import write_predictions
from studio.core.run_file import validate_run_config
from studio.core.runs import Home, RunFolder
from studio.core.wire import decode_event, encode
from tests.ui.sample_runs import finished, make_run

LABELS = ["card", "cash", "loan"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.locate(tmp_path)


def predicted(rows: list[tuple[str, str, str]]) -> list[Prediction]:
    return [
        Prediction(
            text=text,
            label=label,
            predicted=said,
            probability=0.75,
            top=[LabelProbability(label=said, probability=0.75)],
            left_set=False,
            outside_mass=0.0,
            label_probability=0.75,
        )
        for text, label, said in rows
    ]


def run_that_says(home: Home, rows: list[tuple[str, str, str]], method: str = "lora") -> RunFolder:
    run = make_run(home, method=method, final=finished(macro_f1=0.8, accuracy_low=0.7, accuracy_high=0.95))
    write_predictions(run.predictions_path, LABELS, predicted(rows))
    return run


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_two_sided_binomial_test(fixed: int, broken: int) -> None:
    tossed = fixed + broken
    exact = sum(math.comb(tossed, heads) for heads in range(min(fixed, broken) + 1)) / 2**tossed
    assert mcnemar_exact(fixed, broken) == pytest.approx(min(1.0, 2 * exact), abs=1e-12)


def test_mcnemar_of_many_messages_stays_a_number() -> None:
    assert mcnemar_exact(50_000, 50_000) == 1.0
    assert 0.0 <= mcnemar_exact(60_000, 40_000) < 1e-100


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (PairCounts(name="B", both_right=9), "right on exactly the messages that A is right on"),
        (
            PairCounts(name="B", fixed=1, broken=5),
            "right on 1 message that A gets wrong, and wrong on 5 that it gets right: chance",
        ),
        (PairCounts(name="B", fixed=3, broken=4), "may well do that (p = 1.000"),
        (PairCounts(name="B", fixed=30, broken=2), "rarely makes such a difference (p < 0.001"),
    ],
)
def test_the_sentence(pair: PairCounts, words: str) -> None:
    assert words in pair.sentence("A")


def test_messages_are_matched_by_text_and_intent_and_counted(home: Home) -> None:
    said = [("a", "card", "card"), ("b", "card", "cash"), ("b", "card", "card"), ("c", "cash", "loan"), ("only", "cash", "cash")]
    first = run_that_says(home, said)
    other = run_that_says(home, [("c", "cash", "card"), ("b", "card", "card"), ("b", "card", "cash"), ("a", "card", "card")])
    found = compare_runs([first, other])
    assert found.common_messages == 4
    assert not found.same_messages
    (pair,) = found.pairs
    assert (pair.both_right, pair.fixed, pair.broken, pair.both_wrong) == (1, 1, 1, 1)
    assert [(row.text, row.predicted) for row in found.disagreements] == [
        ("b", ["cash", "card"]),
        ("b", ["card", "cash"]),
        ("c", ["loan", "card"]),
    ]
    assert found.disagreeing == 3
    assert compare_runs([first, run_that_says(home, said)]).same_messages


@given(st.lists(st.integers(0, 3), max_size=20), st.lists(st.integers(0, 3), max_size=20))
def test_common_rows_pair_equals_once_each(left: list[int], right: list[int]) -> None:
    rows = common_rows([left, right])
    assert all(left[here] == right[there] for here, there in rows)
    assert len({here for here, _there in rows}) == len({there for _here, there in rows}) == len(rows)
    assert len(rows) == sum(min(left.count(value), right.count(value)) for value in set(left))


def test_figures_settings_and_titles(home: Home) -> None:
    first, other = run_that_says(home, [("a", "card", "card")]), run_that_says(home, [("a", "card", "card")], "full")
    other.write_config(validate_run_config({"method": {"kind": "full"}, "training": {"learning_rate": 1e-4}}))
    other.write_notes(RunNotes(title="All weights"))
    found = compare_runs([first, other])
    figures = dict(figure_rows(found.runs))
    assert [run.title for run in found.runs] == [first.name, "All weights"]
    assert figures["Test accuracy"] == ["90.0 %", "90.0 %"]
    assert figures["95 % interval (Wilson)"] == ["70.0 to 95.0 %"] * 2
    assert figures["Peak memory"] == ["1.0 GB", "1.0 GB"]
    assert figures["Forecast of the peak"] == ["2.0 GB", "2.0 GB"]
    assert figures["Duration"] == ["2:05", "2:05"]
    assert figures["Trained parameters"] == ["1,000", "1,000"]
    assert figures["Size on disk"] == ["3.0 MB", "3.0 MB"]
    assert figures["Device"] == ["cpu, bf16"] * 2
    differing = {setting.key: setting.values for setting in found.settings if setting.differs}
    assert differing == {"method.kind": ["lora", "full"], "training.learning_rate": ["—", "0.0001"]}
    assert any(setting.key == "dataset.source" and not setting.differs for setting in found.settings)


def test_what_a_run_does_not_tell_is_a_dash(home: Home) -> None:
    bare, other = make_run(home, [], checkpoint=False), run_that_says(home, [("a", "card", "card")])
    found = compare_runs([bare, other])
    assert [values[0] for name, values in figure_rows(found.runs) if name not in ("Method", "Base model")] == ["—"] * 10
    assert found.problems == [f"{bare.name} has no predictions of its test messages."]
    assert found.common_messages == 0


def test_nothing_in_common_and_damage_are_told(home: Home) -> None:
    first, other = run_that_says(home, [("a", "card", "card")]), run_that_says(home, [("b", "card", "card")])
    assert compare_runs([first, other]).problems == [
        "No test message was predicted by all of these runs: their test splits differ."
    ]
    other.predictions_path.write_bytes(b"PAR1")
    assert "cannot be read" in compare_runs([first, other]).problems[0]
    with pytest.raises(StudioError, match="One run alone"):
        compare_runs([first])
    with pytest.raises(StudioError, match=f"{first.name} is named twice: a run cannot be compared with itself"):
        compare_runs([first, other, RunFolder(first.path / "..." / ".." / ".." / first.name)])


def test_it_crosses_the_wire_whole(home: Home) -> None:
    from studio.core.answers import RunsCompared

    found = compare_runs([run_that_says(home, [("a", "card", "card")]), run_that_says(home, [("a", "card", "cash")])])
    event = decode_event(encode(RunsCompared(comparison=found)))
    assert isinstance(event, RunsCompared)
    assert event.comparison == found


def test_the_csv_holds_every_part(home: Home) -> None:
    found = compare_runs(
        [run_that_says(home, [('say "a", b', "card", "card")]), run_that_says(home, [('say "a", b', "card", "cash")], "full")]
    )
    rows = list(csv.reader(io.StringIO(comparison_csv(found))))
    assert rows[0][:3] == ["part", "name", "true intent"]
    assert ["message", 'say "a", b', "card", "card", "cash"] in rows
    assert ["setting that differs", "method.kind", "", "lora", "full"] in rows
    assert ["figure", "Test accuracy", "", "90.0 %", "90.0 %"] in rows


def test_nested_settings_become_dotted_keys() -> None:
    assert flattened({"a": {"b": 1, "c": ["x", "y"]}, "d": None}) == {"a.b": "1", "a.c": "x, y", "d": "—"}
