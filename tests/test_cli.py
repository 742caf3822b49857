"""The command line: usage, exit codes, what it writes where. The worker is a small program that speaks the wire."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from studio import cli
from studio.core.config import MethodConfig, RunConfig
from studio.core.events import Finished
from studio.core.predictions import PredictionTable, write_confusion, write_predictions
from studio.core.run_file import dump_run_config, validate_run_config
from tests.terminal import FAILURE, FINISHED, LABELS, STARTED, TRAINED, Terminal, predictions


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(tmp_path, capsys, monkeypatch)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["train"],
        ["predict", "run"],
        ["predict", "run", "text", "--data", "a.csv", "--out", "b.csv"],
        ["predict", "run", "--data", "a.csv"],
        ["predict", "run", "text", "--out", "b.csv"],
        ["export", "run", "--to", "x"],
        ["export", "run", "--as", "gguf", "--to", "x"],
        ["resume"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        cli.parse(arguments)
    assert exit_info.value.code == 2
    assert "usage: finetune-studio" in capsys.readouterr().err


def test_home_may_stand_before_or_after_the_command() -> None:
    assert cli.parse(["--home", "a", "runs"]).home == "a"
    assert cli.parse(["runs", "--home", "a"]).home == "a"
    assert cli.parse(["runs"]).home is None
    assert cli.parse(["--home", "a"]).command is None


def test_the_help_explains_every_key_of_a_run_file() -> None:
    text = cli.describe_settings()
    for table in RunConfig.model_fields.values():
        assert table.annotation is not None
        for key, field in table.annotation.model_fields.items():
            assert f"  {key} = " in text
            assert str(field.description) in text


def test_training_shows_the_way_the_result_and_what_to_do_next(terminal: Terminal) -> None:
    terminal.worker_is(STARTED + TRAINED + terminal.copy_predictions() + FINISHED)
    assert terminal.run("train", "sample") == 0
    (run,) = terminal.home.list_runs()
    for words in (
        "Reading the data",
        "step 4/4",
        "loss 0.2500",
        "Accuracy: 75.0 % of 4 messages (95 % interval 30.0 % to 95.0 %)",
        "Macro-F1: 0.700",
        "Untrained base: accuracy 12.5 %",
        "left the label set on 25.0 %",
        "Memory: peak 1.8 GB, forecast 1.9 GB",
        str(run.path),
        f"finetune-studio predict {run.name} ",
        f"finetune-studio export {run.name} --as adapter",
        f"--home {terminal.home.path}",
    ):
        assert words in terminal.out
    assert terminal.err == ""
    rows = list(csv.reader((run.path / "confusion.csv").open(encoding="utf-8")))
    assert rows == [
        ["true intent", *LABELS],
        ["card_lost", "1", "1", "0"],
        ["card_stolen", "0", "1", "0"],
        ["transfer", "0", "0", "1"],
    ]
    assert run.state() == "completed"


def test_training_as_json_is_one_event_a_line(terminal: Terminal) -> None:
    terminal.worker_is(STARTED + TRAINED + terminal.copy_predictions() + FINISHED)
    assert terminal.run("train", "sample", "--json") == 0
    events = [json.loads(line) for line in terminal.out.splitlines()]
    assert [event["event"] for event in events][:3] == ["hello", "stage_changed", "run_started"]
    assert events[-1]["event"] == "finished"
    assert (terminal.home.list_runs()[0].path / "confusion.csv").exists()


def test_a_run_file_is_read_and_its_warnings_come_first(terminal: Terminal) -> None:
    terminal.worker_is(STARTED + FINISHED.replace("rows=4", "rows=0"))
    config = RunConfig(method=MethodConfig(kind="full")).with_training(learning_rate=2e-4)
    path = terminal.folder / "run.toml"
    path.write_text(dump_run_config(config))
    assert terminal.run("train", str(path)) == 0
    assert "Warning: A learning rate of 0.0002 is high for full fine-tuning" in terminal.err
    assert terminal.home.list_runs()[0].config().learning_rate == 2e-4


def test_a_run_that_was_not_evaluated_is_told_so(terminal: Terminal) -> None:
    terminal.worker_is(STARTED + "say('finished', outcome='stopped')")
    assert terminal.run("train", "sample") == 0
    assert "Stopped before anything was learnt. It took 0 s." in terminal.out, "nothing was kept"
    assert "nan" not in terminal.out.lower()
    assert "finetune-studio evaluate" in terminal.out
    assert terminal.home.list_runs()[0].state() == "stopped"


def test_evaluate_writes_the_matrix_into_the_run_folder(terminal: Terminal) -> None:
    run = terminal.a_run()
    terminal.worker_is("command = json.loads(sys.stdin.readline())\n" + terminal.copy_predictions() + FINISHED)
    assert terminal.run("evaluate", run.name) == 0
    assert "Accuracy: 75.0 %" in terminal.out
    assert (run.path / "confusion.csv").exists()
    data = terminal.folder / "march.csv"
    assert terminal.run("evaluate", run.name, "--data", str(data), "--json") == 0
    document = json.loads(terminal.out)
    assert document["accuracy"] == 0.75
    assert document["confusion"] == str(run.path / "confusion-march.csv")
    assert (run.path / "confusion-march.csv").exists()


def test_evaluate_makes_up_for_the_scores_that_a_stopped_run_lacks(terminal: Terminal) -> None:
    run = terminal.a_run()
    run.write_outcome(Finished(outcome="stopped", peak_bytes=7, seconds=3.0))
    terminal.worker_is("command = json.loads(sys.stdin.readline())\n" + terminal.copy_predictions() + FINISHED)
    assert terminal.run("evaluate", run.name, "--data", str(terminal.folder / "march.csv")) == 0
    assert run.summary().accuracy is None, "another file's scores are not the run's"
    assert terminal.run("evaluate", run.name) == 0
    assert (run.summary().state, run.summary().accuracy) == ("stopped", 0.75)


ANSWERS = """
command = json.loads(sys.stdin.readline())
for number, text in enumerate(command["texts"]):
    top = [dict(label="a[b]", probability=0.75), dict(label="b", probability=0.25)]
    row = dict(text=text, predicted="a[b]", probability=0.75, top=top, left_set=False, outside_mass=0.0)
    say("predicted", request=number, prediction=row)
finish()
"""


def test_predictions_are_shown_as_they_are_never_as_markup(terminal: Terminal) -> None:
    terminal.worker_is(ANSWERS)
    assert terminal.run("predict", terminal.a_run().name, "[red]hi[/red]", "\x1b[2J") == 0
    assert "[red]hi[/red]" in terminal.out
    assert "a[b]" in terminal.out
    assert "75.0 %" in terminal.out
    assert "\x1b" not in terminal.out


def test_predictions_as_json_are_one_document(terminal: Terminal) -> None:
    terminal.worker_is(ANSWERS)
    assert terminal.run("predict", terminal.a_run().name, "one", "two", "--json") == 0
    document = json.loads(terminal.out)
    assert [row["text"] for row in document["predictions"]] == ["one", "two"]


def test_a_file_is_predicted_by_the_worker(terminal: Terminal) -> None:
    terminal.worker_is("say('finished', outcome='completed', output=sys.stdin.readline())")
    out = terminal.folder / "out.csv"
    assert terminal.run("predict", terminal.a_run().name, "--data", "in.csv", "--out", str(out)) == 0
    assert str(out) in terminal.out


EXPORTED = """
say("exported", folder="/x", files={"a.safetensors": 5_000_000}, compared=3, agreeing=3, largest_difference=1e-6, tolerance=1e-4,
    verified=True, messages=[{"text": "hello\\nthere", "run_predicted": "a", "run_probability": 0.9, "export_predicted": "b",
    "export_probability": 0.8, "difference": 0.7}])
"""


def test_export_tells_that_it_was_verified(terminal: Terminal) -> None:
    terminal.worker_is(EXPORTED)
    assert terminal.run("export", terminal.a_run().name, "--as", "adapter", "--to", "/x") == 0
    assert "4.8 MB" in terminal.out
    assert "Verified in a clean process: 3 of 3" in terminal.out
    assert "hello" not in terminal.out


def test_an_export_that_differs_is_a_failure(terminal: Terminal) -> None:
    terminal.worker_is(EXPORTED.replace("agreeing=3", "agreeing=1").replace("verified=True", "verified=False"))
    assert terminal.run("export", terminal.a_run().name, "--as", "adapter", "--to", "/x") == 1
    assert "NOT verified" in terminal.out
    assert "run a 90.0 %, export b 80.0 %: hello there" in terminal.out


@pytest.mark.parametrize(("kind", "wanted", "remedy"), [("full", "adapter", "--as model"), ("qlora", "model", "--as adapter")])
def test_export_refuses_what_the_run_has_not(terminal: Terminal, kind: str, wanted: str, remedy: str) -> None:
    assert terminal.run("export", terminal.a_run(kind).name, "--as", wanted, "--to", "x") == 1
    assert remedy in terminal.err


def test_forecast_gives_parts_total_and_verdict(terminal: Terminal) -> None:
    parts = dict.fromkeys(
        ("weights", "adapter", "gradients", "optimizer", "activations", "logits", "predictions", "framework"), 1_000_000_000
    )
    forecast = {"method": "lora", "trainable_parameters": 1234, "output_bytes": 5_000_000, **parts}
    fit = {"micro_batch": None, "change": "QLoRA would fit"}
    terminal.worker_is(f"say('forecasted', forecast={forecast!r}, fit={fit!r}, device='cpu', available_bytes=6_000_000_000)")
    assert terminal.run("forecast", "sample") == 0
    assert "7.5 GB" in terminal.out
    assert "too big" in terminal.out
    assert "label scores" in terminal.out, "the words of the window"
    assert "Too large even for one message: QLoRA would fit." in terminal.out
    assert terminal.run("forecast", "sample", "--json") == 0
    assert json.loads(terminal.out)["forecast"]["weights"] == 1_000_000_000


def test_runs_lists_newest_first_and_survives_a_damaged_one(terminal: Terminal) -> None:
    assert terminal.run("runs") == 0
    assert "No runs yet" in terminal.out
    first, second, damaged = terminal.a_run(), terminal.a_run("full"), terminal.a_run("qlora")
    os.utime(first.path / "run.toml", (1, 1))
    (damaged.path / "run.toml").write_text("not toml")
    second.write_outcome(Finished(outcome="completed", rows=10, accuracy=0.9))
    assert terminal.run("runs") == 0
    assert terminal.out.index(second.name) < terminal.out.index(first.name)
    assert "90.0 %" in terminal.out
    assert damaged.name in terminal.err
    assert terminal.run("runs", "--json") == 0
    assert [entry["name"] for entry in json.loads(terminal.out)] == [second.name, first.name]


def test_a_narrow_terminal_breaks_no_word_of_the_runs(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    run = terminal.home.create_run(validate_run_config({"model": {"base": "/models/of/mine/tiny-llama"}}))
    run.write_outcome(Finished(outcome="completed", rows=10, accuracy=0.9))
    monkeypatch.setenv("COLUMNS", "80")
    assert terminal.run("runs") == 0
    heading, line = terminal.out.splitlines()
    assert {"state", "accuracy", "method", "started"} <= set(heading.split())
    assert {run.name, "completed", "tiny-llama"} <= set(line.split())


def test_runs_are_compared(terminal: Terminal) -> None:
    first, second = terminal.a_run(), terminal.a_run("full")
    write_predictions(first.predictions_path, LABELS, predictions())
    right = [row.model_copy(update={"predicted": row.label}) for row in predictions()]
    write_predictions(second.predictions_path, LABELS, right)
    assert terminal.run("runs", "--compare", first.name, second.name) == 0
    assert "method.kind" in terminal.out
    assert f"{second.name} is right on 1 message that {first.name} gets wrong, and wrong on 0" in terminal.out
    assert "message 1" in terminal.out
    assert terminal.run("runs", "--compare", first.name, second.name, "--json") == 0
    document = json.loads(terminal.out)
    assert document["pairs"] == [{"name": second.name, "both_right": 3, "fixed": 1, "broken": 0, "both_wrong": 0}]
    assert [row["text"] for row in document["disagreements"]] == ["message 1"]
    assert terminal.run("runs", "--compare", first.name) == 1
    assert "at least two runs" in terminal.err
    assert terminal.run("runs", "--compare", first.name, str(first.path)) == 1
    assert "cannot be compared with itself" in terminal.err


def test_the_demo_trains_and_exports(terminal: Terminal) -> None:
    train = STARTED.split("\n", 2)[2] + TRAINED + terminal.copy_predictions() + FINISHED
    body = "command = json.loads(sys.stdin.readline())\nif command['command'] == 'train':\n"
    body += "".join(f"    {line}\n" for line in train.splitlines() if line) + f"else:\n    {EXPORTED.strip()}\n"
    terminal.worker_is(body)
    assert terminal.run("demo") == 0
    assert "Accuracy: 75.0 %" in terminal.out
    assert "Verified" in terminal.out
    assert "Next:" in terminal.out
    assert terminal.run("demo", "--json") == 0
    assert json.loads(terminal.out)["exported"]["verified"] is True


def test_without_a_display_it_says_so_or_runs_the_demo(
    terminal: Terminal, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = ["--home", str(terminal.home.path)]
    assert cli.run_without_display(cli.parse(home), "There is no display.") == 1
    assert "finetune-studio demo" in capsys.readouterr().err
    terminal.worker_is(STARTED + FAILURE)
    assert cli.run_without_display(cli.parse(["--demo-without-display", *home]), "There is no display.") == 1
    assert "The file has no rows." in capsys.readouterr().err
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    if sys.platform == "linux":
        ended = subprocess.run([sys.executable, "-m", "studio", *home], capture_output=True, text=True, timeout=60)
        assert ended.returncode == 1
        assert "There is no display" in ended.stderr


def test_many_intents_are_shown_as_ranked_pairs(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    labels = [f"intent {number}" for number in range(30)]
    rows = [
        predictions()[0].model_copy(update={"label": labels[true], "predicted": labels[true + (true % 3 == 0)]})
        for true in range(29)
    ]
    table = PredictionTable.of(labels, rows * 2)
    cli.Output(as_json=False).confusion(table)
    shown = capsys.readouterr().out
    assert "Most confused intents" in shown
    assert len([line for line in shown.splitlines() if "intent 3 " in line and "intent 4" in line]) == 1
    write_confusion(terminal.folder / "matrix.csv", table)
    assert len((terminal.folder / "matrix.csv").read_text().splitlines()) == 31
