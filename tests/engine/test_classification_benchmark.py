"""The benchmark of classification does what it says, on a tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.data.prompts import PromptEncoder
from studio.engine.devices import Compute
from studio.engine.models import load_base
from studio.engine.predictor import Predictor
from tests.benchmarks.classification import WAYS, differences, seconds_of, table_of, ways
from tests.engine.conftest import LABELS, MESSAGES


@pytest.fixture
def predictor(folder: Path, encoder: PromptEncoder, cpu: Compute) -> Predictor:
    return Predictor(load_base(folder, cpu, trained=False, quantised=False), encoder, encoder.label_set(LABELS), cpu)


def test_every_way_is_measured(predictor: Predictor) -> None:
    spent = {name: [seconds_of(way, MESSAGES[:3])] for name, way in ways(predictor).items()}
    assert list(spent) == WAYS
    assert all(seconds > 0 for (seconds,) in spent.values())
    table = table_of({name: [number + 1.0, 2 * number + 2.0] for number, name in enumerate(WAYS)})
    assert [row["times"] for row in table] == [1, 2, 3, 4]
    assert table[1]["ms"] == 3000


def test_brute_force_agrees_and_would_find_an_error(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    found = differences(predictor, MESSAGES[:3])
    assert found["other_answers"] == 0
    assert found["largest_difference"] < 1e-4
    wrong = predictor.classify(MESSAGES[3:6])
    monkeypatch.setattr(Predictor, "classify", lambda *_arguments: wrong)
    assert differences(predictor, MESSAGES[:3])["largest_difference"] > 1e-4
