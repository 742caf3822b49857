"""The benchmark of classification does what it says, on a tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.data.prompts import PromptEncoder
from studio.engine.devices import Compute
from studio.engine.models import load_base
from studio.engine.predictor import Predictor
from tests.benchmarks.classification import OURS, differences, measure, ways
from tests.engine.conftest import LABELS, MESSAGES


@pytest.fixture
def predictor(folder: Path, encoder: PromptEncoder, cpu: Compute) -> Predictor:
    return Predictor(load_base(folder, cpu, trained=False, quantised=False), encoder, encoder.label_set(LABELS), cpu)


def test_every_way_is_measured_on_every_block(predictor: Predictor) -> None:
    contenders = ways(predictor)
    table = measure(contenders, MESSAGES[:5], 2)
    assert [row["way"] for row in table] == list(contenders)
    assert len(contenders) == 4
    assert all(row["ms"] > 0 and row["times"] > 0 for row in table)
    assert next(row["times"] for row in table if row["way"] == OURS) == 1


def test_brute_force_agrees_and_would_find_an_error(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    found = differences(predictor, MESSAGES[:3])
    assert found["other_answers"] == 0
    assert found["largest_difference"] < 1e-4
    wrong = predictor.classify(MESSAGES[3:6])
    monkeypatch.setattr(Predictor, "classify", lambda *_arguments: wrong)
    assert differences(predictor, MESSAGES[:3])["largest_difference"] > 1e-4
