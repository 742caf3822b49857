"""The training benchmark measures what it says: the same messages, the same weights, the same losses."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

from studio.core.config import MethodConfig
from tests.benchmarks.training import ROOT, in_turn, main, measure
from tests.benchmarks.training_inputs import TRL_VERSION, find_base, run_config, tokenised
from tests.benchmarks.training_job import Contender, Job, Record, Report, Run
from tests.benchmarks.training_report import lines, seconds_a_step, summary

CONTENDERS: list[Contender] = ["trainer", "ours", "ours-bf16", "trainer-grouped"]
WORK = ROOT / "build" / "bench-training"
TRL: list[Contender] = ["trl-plain", "trl"] if (WORK / f"trl-{TRL_VERSION}" / "trl").is_dir() else []
"""Measured here where the benchmark has installed it before."""


@pytest.fixture(autouse=True)
def forgotten_accelerator() -> Iterator[None]:
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.timeout(900)  # processes that each load the libraries, on a machine that may be busy
def test_everybody_learns_the_same(tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--methods", "lora", "--rounds", "1", "--rows", "20", "--batch-size", "8", "--threads", "1"]
    work = WORK if TRL else tmp_path
    places = ["--models", str(tiny_model_folder), "--work", str(work), "--out", str(tmp_path / "out.json")]
    report = main([*small, *places, "--contenders", *CONTENDERS, *TRL])

    assert Report.model_validate_json((tmp_path / "out.json").read_text("utf-8")) == report
    assert [run.failure for run in report.runs] == [None] * len(CONTENDERS + TRL)
    records = {run.contender: run.record for run in report.runs if run.record is not None}
    ordinary = records["trainer"]
    for contender, record in records.items():
        assert len(record.seconds) == len(record.cpu_seconds) == len(record.losses) == 3, contender
        assert min(record.seconds) > 0
        assert record.peak_bytes >= record.before_bytes > 2**20
        assert sum(record.graded) == sum(ordinary.graded)
        assert record.notes == []
        if contender in ("ours", "trl-plain"):
            assert record.losses == pytest.approx(ordinary.losses, rel=1e-5), contender
            assert record.graded == ordinary.graded
    figures = summary(report.runs, warm_up=1)
    assert figures["ours"]["loss_off"] < 1e-5
    assert 1e-5 < figures["ours-bf16"]["loss_off"] < 1e-2
    assert figures["trainer-grouped"]["epoch_off"] < 1e-3
    assert records["trainer-grouped"].losses != pytest.approx(ordinary.losses, rel=1e-4), "its batches are others"
    if TRL:
        assert figures["trl"]["loss_off"] < 1e-2, "bf16"
    assert "Finetune Studio" in capsys.readouterr().out


def test_who_fails_is_told(tmp_path: Path) -> None:
    config = run_config(MethodConfig(kind="full"), "fp32", 8, 1)
    missing = str(tmp_path / "nothing here")
    job = Job(contender="trainer", folder=missing, tokenizer=missing, adapter=None, rows=missing, config=config)
    record, failure, seconds = measure(job, tmp_path, None)
    assert record is None
    assert seconds > 0
    assert failure is not None
    assert "nothing here" in failure
    assert "nothing here" in "\n".join(lines("t", [run("trainer", None, failure)], 1))


def test_messages_are_of_all_lengths(tiny_model_folder: Path, tmp_path: Path) -> None:
    base = find_base(str(tiny_model_folder), None, None, tmp_path)
    few, all_of_them = tokenised(base, "sample", 16), tokenised(base, "sample", 500)
    assert few == tokenised(base, "sample", 16)
    lengths, every = [len(row.ids) for row in few], [len(row.ids) for row in all_of_them]
    assert all(shorter <= longer for shorter, longer in pairwise(lengths))
    assert sum(lengths) / 16 == pytest.approx(sum(every) / 500, rel=0.05)
    assert lengths[0] <= sorted(every)[40]
    assert lengths[-1] >= sorted(every)[-40]


def test_everybody_is_first_in_some_round() -> None:
    turns = list(in_turn(CONTENDERS, 4))
    assert [contender for _, contender in turns[::4]] == CONTENDERS
    assert sorted(turns[4:8]) == [(2, "ours"), (2, "ours-bf16"), (2, "trainer"), (2, "trainer-grouped")]


def test_figures_are_medians_and_ratios_to_the_ordinary() -> None:
    runs = [run("trainer", record([9, 4, 4], [2, 1, 1], 400)), run("ours", record([5, 1, 1], [2, 1, 1.01], 100))]
    runs += [run("ours", record([50, 2, 2], [2, 1, 1], 200)), run("ours", record([5, 9, 9], [2, 1, 1], 300))]
    runs += [run("trainer-grouped", record([1, 1, 1], [1, 1, 1], 100))]
    found = summary(runs, warm_up=1)
    assert found["ours"]["seconds"] == 2
    assert found["ours"]["whole"] == 23
    assert found["ours"]["faster"] == 2
    assert found["ours"]["memory"] == 0.5
    assert found["ours"]["loss_off"] == pytest.approx(0.01)
    assert "loss_off" not in found["trainer-grouped"], "its batches are others"
    assert found["trainer-grouped"]["epoch_off"] == pytest.approx(0.25)
    assert seconds_a_step(record([3, 5], [1, 1], 1), warm_up=2) == 4, "all steps, where none are left"
    (told,) = [line for line in lines("t", runs, 1) if "Finetune Studio" in line]
    assert told.split()[3:] == ["2.000", "23.0", "0.200", "2.00", "1.00", "0.00", "50%", "1.0e-02", "0.0e+00", "1.0"]


def record(seconds: list[float], losses: list[float], peak: int) -> Record:
    return Record(
        seconds=seconds,
        cpu_seconds=[0.2] * len(seconds),
        losses=losses,
        graded=[1] * len(seconds),
        peak_bytes=peak,
        before_bytes=1,
        versions={},
    )


def run(contender: Contender, found: Record | None, failure: str | None = None) -> Run:
    return Run(
        model="m",
        method="lora",
        contender=contender,
        round=1,
        load=[1, 1, 1],
        started="now",
        whole_seconds=1,
        record=found,
        failure=failure,
    )
