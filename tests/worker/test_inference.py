"""A trained run at work: evaluated, asked for files of messages, and in a chat."""

from __future__ import annotations

import csv
import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest

from studio.core.answers import ModelLoaded, Predicted
from studio.core.commands import Ask, Command, Evaluate, Export, LoadModel, Predict, Stop
from studio.core.config import DeviceConfig
from studio.core.events import Event, Failed, Finished, LogLine, StageChanged
from studio.core.predictions import read_predictions
from studio.core.runs import Home, RunFolder
from studio.data.splits import read_split
from studio.engine.predictor import Predictor
from studio.supervise.process import WorkerProcess
from studio.supervise.starting import start_job
from studio.worker import inference
from tests.worker.jobs import WORDS, Trained, config_for, work, work_here

pytestmark = pytest.mark.timeout(300)  # the first test waits for all the runs
TEXTS = ["i lost my card today", "wo bleibt die Überweisung 😀", "x", "what is the exchange rate " * 30]


@pytest.fixture
def home_name(home: Home) -> str:
    return str(home.path)


ANSWERS = ("predicted", "probability", "second", "second_probability", "left_set")


def failed(events: list[Event]) -> Failed:
    """The last word, which has to be a reason that a person can act on."""
    last = events[-1]
    assert isinstance(last, Failed)
    assert last.message
    assert last.remedy
    assert last.kind != "bug", last.detail
    return last


def answers(events: list[Event]) -> list[Predicted]:
    return [event for event in events if isinstance(event, Predicted)]


def test_the_test_split_is_evaluated_again(own_run: RunFolder, home_name: str) -> None:
    before = read_predictions(own_run.predictions_path)
    own_run.predictions_path.unlink()
    finished = work(Evaluate(run=str(own_run.path), home=home_name))[-1]
    assert isinstance(finished, Finished)
    assert finished.output == str(own_run.predictions_path)
    again = read_predictions(own_run.predictions_path)
    assert again.labels == before.labels
    assert [row.predicted for row in again.predictions] == [row.predicted for row in before.predictions]
    outcome = own_run.outcome()
    assert outcome is not None
    assert isinstance(outcome.final, Finished)
    assert (finished.rows, finished.accuracy) == (outcome.final.rows, outcome.final.accuracy)


def test_a_labelled_file_is_evaluated_without_the_intents_that_the_run_does_not_know(
    own_run: RunFolder, home_name: str, tmp_path: Path
) -> None:
    data = tmp_path / "new ones.csv"
    data.write_text("text,label\ni lost it,card_lost\nhello,greeting\nthe rate,exchange_rate\nbye,farewell\n", "utf-8")
    events = work_here(Evaluate(run=str(own_run.path), home=home_name, data=str(data)))
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.rows == 2
    (warning,) = (event for event in events if isinstance(event, LogLine) and "left out" in event.text)
    assert warning.level == "warning"
    assert all(word in warning.text for word in ("2", "'greeting'", "'farewell'"))
    table = read_predictions(Path(finished.output))
    assert [(row.text, row.label) for row in table.predictions] == [("i lost it", "card_lost"), ("the rate", "exchange_rate")]
    assert table.labels == sorted(WORDS)
    assert Path(finished.output) != own_run.predictions_path
    assert Path(finished.output).parent == own_run.path
    assert finished.accuracy == sum(row.predicted == row.label for row in table.predictions) / 2


def test_columns_of_the_run_s_own_data_hold_where_another_file_has_them(own_run: RunFolder, home_name: str, tmp_path: Path) -> None:
    dataset = own_run.config().dataset.model_copy(update={"text_column": "body", "label_column": "kind"})
    own_run.write_config(own_run.config().model_copy(update={"dataset": dataset}))
    data = tmp_path / "other.csv"
    for header in ("text,label,body,kind", "text,label,note,day"):
        data.write_text(f"{header}\ni lost it,card_lost,the rate,exchange_rate\n", "utf-8")
        work_here(Evaluate(run=str(own_run.path), home=home_name, data=str(data)))
        (row,) = read_predictions(own_run.predictions_of("other")).predictions
        named = "body" in header
        assert (row.text, row.label) == (("the rate", "exchange_rate") if named else ("i lost it", "card_lost"))
    assert own_run.predicted_files() == ["other"]


def test_a_file_without_the_numbers_of_the_intents_is_read_by_their_names(
    own_run: RunFolder, home_name: str, tmp_path: Path
) -> None:
    dataset = own_run.config().dataset.model_copy(update={"label_column": "label", "label_name_column": "intent_name"})
    own_run.write_config(own_run.config().model_copy(update={"dataset": dataset}))
    data = tmp_path / "other.csv"
    data.write_text("id,text,intent_name\n1,i lost it,card_lost\n2,gone it is,card_lost\n", "utf-8")
    work_here(Evaluate(run=str(own_run.path), home=home_name, data=str(data)))
    assert [row.label for row in read_predictions(own_run.predictions_of("other")).predictions] == ["card_lost"] * 2


def test_a_file_of_unknown_intents_is_refused(own_run: RunFolder, home_name: str, tmp_path: Path) -> None:
    data = tmp_path / "other.csv"
    data.write_text("text,label\nhello,greeting\nbye,farewell\n", "utf-8")
    found = failed(work_here(Evaluate(run=str(own_run.path), home=home_name, data=str(data))))
    assert "2 rows" in found.message
    assert not list(own_run.path.glob("predictions-*"))


def test_messages_are_predicted_one_by_one(trained: dict[str, Trained]) -> None:
    run = trained["full-bf16"]
    known = read_predictions(run.run.predictions_path).predictions
    texts = [row.text for row in known] + TEXTS
    events = work_here(Predict(run=str(run.run.path), home=run.home_name, texts=texts))
    found = answers(events)
    assert [event.request for event in found] == list(range(len(texts)))
    assert [event.prediction.text for event in found] == texts
    assert all(event.prediction.label is None and event.prediction.label_probability is None for event in found)
    for event, expected in zip(found, known, strict=False):
        assert event.prediction.predicted == expected.predicted
        # Other rows beside it, so other padding: exact in exact arithmetic, close in bf16.
        assert event.prediction.probability == pytest.approx(expected.probability, abs=0.05)
    assert all(event.prediction.predicted in WORDS for event in found)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.rows == len(texts)


def test_a_file_is_predicted_into_a_file(trained: dict[str, Trained], tmp_path: Path) -> None:
    run = trained["full-fp32"]
    data, out = tmp_path / "in.csv", tmp_path / "out.csv"
    rows = [*TEXTS, 'with "quotes", commas\nand a line']
    with data.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "message", "second"], *([number, row, "mine"] for number, row in enumerate(rows))])
    events = work_here(Predict(run=str(run.run.path), home=run.home_name, data=str(data), text_column="message", out=str(out)))
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert (finished.rows, finished.output) == (len(rows), str(out))
    assert not answers(events)
    with out.open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert list(written[0]) == ["id", "message", "second", *(f"{name}_2" for name in ANSWERS)]
    assert [(row["id"], row["message"], row["second"]) for row in written] == [(str(n), row, "mine") for n, row in enumerate(rows)]
    one_by_one = answers(work_here(Predict(run=str(run.run.path), home=run.home_name, texts=rows)))
    for row, answer in zip(written, one_by_one, strict=True):
        assert row["predicted_2"] == answer.prediction.predicted
        assert float(row["probability_2"]) == pytest.approx(answer.prediction.probability, abs=1e-5)
        assert row["second_2"] == answer.prediction.top[1].label
        assert row["left_set_2"] == str(answer.prediction.left_set).lower()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_a_predicted_file_can_be_predicted_again(trained: dict[str, Trained], tmp_path: Path) -> None:
    run = trained["full-fp32"]
    paths = [tmp_path / f"{number}.csv" for number in range(3)]
    paths[0].write_text("text,note\ni lost it,null\nthe rate,\n", "utf-8")
    for before, after in itertools.pairwise(paths):
        work_here(Predict(run=str(run.run.path), home=run.home_name, data=str(before), out=str(after)))
    with paths[2].open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["text", "note", *ANSWERS, *(f"{name}_2" for name in ANSWERS)]
    assert [row[:2] for row in rows] == [["i lost it", "null"], ["the rate", ""]]
    assert all(row[2:4] == row[7:9] for row in rows)


def test_nothing_to_predict_is_told(trained: dict[str, Trained], tmp_path: Path) -> None:
    run = trained["lora-bf16"]
    names = {"run": str(run.run.path), "home": run.home_name}
    assert "no message" in failed(work_here(Predict(**names))).message
    data = tmp_path / "empty.csv"
    data.write_text("text,label\n")
    assert "empty.csv" in failed(work_here(Predict(**names, data=str(data), out=str(tmp_path / "out.csv")))).message
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("folder", ["nowhere", "a_file"])
def test_a_file_that_cannot_be_written_is_told(trained: dict[str, Trained], tmp_path: Path, folder: str) -> None:
    run = trained["lora-bf16"]
    (tmp_path / "a_file").write_text("")
    out = tmp_path / folder / "out.csv"
    assert "out.csv" in failed(work_here(Predict(run=str(run.run.path), home=run.home_name, texts=["a"], out=str(out)))).message


def test_a_chat_answers_until_stdin_closes(trained: dict[str, Trained]) -> None:
    run = trained["lora-bf16"]
    process = start_job(LoadModel(run=str(run.run.path), home=run.home_name))
    process.send(Ask(request=7, text=TEXTS[0]))  # before it is loaded
    asked = {8: TEXTS[1], 9: TEXTS[0], 10: TEXTS[3]}
    events: list[Event] = []

    def on_answer(process: WorkerProcess, event: Predicted) -> None:
        if event.request == 7:
            process.send(Predict(run="", home=""))  # no job for a loaded model
            for request, text in asked.items():
                process.send(Ask(request=request, text=text))
        if event.request == 10:
            process.close()

    for event in process.events():
        events.append(event)
        if isinstance(event, Predicted):
            on_answer(process, event)
    assert process.wait(10)
    (loaded,) = (event for event in events if isinstance(event, ModelLoaded))
    assert (loaded.run, loaded.labels) == (run.run.name, sorted(WORDS))
    assert any(isinstance(event, StageChanged) and event.stage == "loading the model" for event in events)
    found = answers(events)
    assert {event.request: event.prediction.text for event in found} == {7: TEXTS[0], **asked}
    assert [event.request for event in found] == [7, 8, 9, 10]
    assert found[0].prediction == found[2].prediction
    assert all(event.seconds > 0 and sum(entry.probability for entry in event.prediction.top) <= 1.0001 for event in found)
    assert any(isinstance(event, LogLine) and event.level == "error" and "'predict'" in event.text for event in events)
    assert not [event for event in events if isinstance(event, Failed)]
    assert isinstance(process.last_word, Predicted)


def every_use(run: RunFolder, home: str, out: Path) -> list[Command]:
    return [
        Evaluate(run=str(run.path), home=home),
        Predict(run=str(run.path), home=home, texts=["hello"]),
        LoadModel(run=str(run.path), home=home),
        Export(run=str(run.path), home=home, folder=str(out), kind="adapter"),
    ]


def test_a_run_that_kept_nothing_is_told(home: Home, base: Path, messages: Path, tmp_path: Path) -> None:
    run = home.create_run(config_for(messages, base, "lora"))
    for command in every_use(run, str(home.path), tmp_path / "out"):
        found = failed(work_here(command))
        assert (found.kind, run.name in found.message) == ("no_checkpoint", True)
        assert "Train it again" in found.remedy


@pytest.mark.parametrize("position", [0, 100, -1])
def test_one_changed_byte_is_noticed(own_run: RunFolder, home_name: str, tmp_path: Path, position: int) -> None:
    checkpoint = own_run.checkpoint()
    assert checkpoint is not None
    weights = checkpoint / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[position] ^= 1
    weights.write_bytes(content)
    for command in every_use(own_run, home_name, tmp_path / "out"):
        found = failed(work_here(command))
        assert found.kind == "damaged_run"
        assert weights.name in found.message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("lost", ["data/train.parquet", "data/test.parquet"])
def test_lost_rows_are_told(own_run: RunFolder, home_name: str, lost: str) -> None:
    (own_run.path / lost).unlink()
    assert failed(work_here(Evaluate(run=str(own_run.path), home=home_name))).kind == "damaged_run"


def test_a_base_that_has_moved_is_told(base: Path, messages: Path, home: Home, own_run: RunFolder, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(base, tmp_path / "moved"))
    own_run.write_config(config_for(messages, moved, "lora", "bf16"))
    shutil.rmtree(moved)
    found = failed(work_here(Predict(run=str(own_run.path), home=str(home.path), texts=["a"])))
    assert str(moved) in found.message


def test_a_stopped_evaluation_says_so_and_writes_nothing(own_run: RunFolder, home_name: str) -> None:
    before = own_run.predictions_path.read_bytes()
    found = failed(work_here(Evaluate(run=str(own_run.path), home=home_name), Stop()))
    assert found.kind == "stopped"
    assert own_run.predictions_path.read_bytes() == before
    assert len(read_split(own_run, "test")) == 12


def test_a_stopped_file_keeps_what_was_written(
    own_run: RunFolder, home_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = tmp_path / "in.csv", tmp_path / "out.csv"
    data.write_text("text\n" + "".join(f"i lost it {number}\n" for number in range(10)), "utf-8")
    out.write_text("of before", "utf-8")
    classify = Predictor.classify
    asked: list[int] = []

    def stopped_in_the_third(self: Predictor, texts: list[str], **options: Any) -> Any:
        asked.append(len(texts))
        return classify(self, texts, **options | {"should_stop": lambda: len(asked) == 3})

    monkeypatch.setattr(inference, "_ROWS_AT_ONCE", 4)
    monkeypatch.setattr(Predictor, "classify", stopped_in_the_third)
    events = work_here(Predict(run=str(own_run.path), home=home_name, data=str(data), out=str(out)))
    found = failed(events)
    partial = tmp_path / "out.partial.csv"
    assert found.kind == "stopped"
    assert "8 of 10 messages" in found.message
    assert str(partial) in found.message
    with partial.open(encoding="utf-8", newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == [f"i lost it {number}" for number in range(8)]
    assert out.read_text("utf-8") == "of before"
    assert sorted(path.name for path in tmp_path.glob("*out*")) == ["out.csv", "out.partial.csv"]
    told = [event.done for event in events if isinstance(event, StageChanged) and event.stage == "predicting"]
    assert told[-1] == 8


def test_a_run_of_a_device_that_is_not_here_can_be_asked(own_run: RunFolder, home_name: str) -> None:
    config = own_run.config()
    own_run.write_config(config.model_copy(update={"device": DeviceConfig(kind="mps")}))
    process = start_job(LoadModel(run=str(own_run.path), home=home_name))
    for event in process.events():
        if isinstance(event, ModelLoaded | Failed):
            process.close()
    assert process.wait(10)
    assert isinstance(process.last_word, ModelLoaded), process.last_word


def test_the_columns_of_another_file_can_be_named(own_run: RunFolder, home_name: str, tmp_path: Path) -> None:
    data = tmp_path / "other.csv"
    data.write_text("a,b\n" + "".join(f"{text},{label}\n" for text, label in zip(TEXTS, sorted(WORDS), strict=False)), "utf-8")
    command = Evaluate(
        run=str(own_run.path), home=home_name, data=str(data), text_column="a", label_column="b", out=str(tmp_path / "p.parquet")
    )
    finished = work_here(command)[-1]
    assert isinstance(finished, Finished), finished
    assert finished.rows > 0


def test_what_is_wrong_with_a_file_is_told_before_the_model_is_loaded(own_run: RunFolder, home_name: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "none.csv")
    for command in (
        Evaluate(run=str(own_run.path), home=home_name, data=missing),
        Predict(run=str(own_run.path), home=home_name, data=missing, out=str(tmp_path / "out.csv")),
    ):
        events = work_here(command)
        assert "none.csv" in failed(events).message
        assert not [event for event in events if isinstance(event, StageChanged) and event.stage == "loading the model"]


def test_a_run_in_progress_is_not_called_ended(home: Home, base: Path, messages: Path, tmp_path: Path) -> None:
    run = home.create_run(config_for(messages, base, "lora"))
    with run.lock():
        for command in every_use(run, str(home.path), tmp_path / "out"):
            found = failed(work_here(command))
            assert (found.kind, "still being trained" in found.message) == ("busy", True)
