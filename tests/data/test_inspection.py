"""The answer behind the data preview."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from studio.core.answers import DataInspected, DownloadOffered
from studio.core.commands import InspectData
from studio.core.config import DatasetConfig
from studio.core.errors import StudioError
from studio.core.events import Event, StageChanged
from studio.core.wire import decode_event, encode
from studio.worker.channel import Channel, StopRequest
from studio.worker.inspection import inspect_data
from tests.hub_stand_in import HubStandIn, hub

__all__ = ["hub"]


class Recorder:
    """Stands in for the channel: what goes over the wire comes back from it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.stop = StopRequest()

    def emit(self, event: Event) -> None:
        self.events.append(decode_event(encode(event)))

    def stage(self, stage: str, done: int = 0, total: int = 0) -> None:
        self.emit(StageChanged(stage=stage, done=done, total=total))


def inspect(dataset: DatasetConfig, preview_rows: int = 100) -> DataInspected:
    recorder = Recorder()
    inspect_data(InspectData(dataset=dataset, preview_rows=preview_rows), cast(Channel, recorder))
    answer = recorder.events[-1]
    assert isinstance(answer, DataInspected)
    return answer


FEW = "1 intent with fewer than 10 messages to train on: 'b' (7). Kept, but such intents are rarely predicted right: add messages."


def test_answer_tells_columns_counts_and_problems(tmp_path: Path) -> None:
    lines = [f'{{"text": "message {n}", "label": "{"ab"[n % 5 == 0]}", "note": {"null" if n else 1}}}\n' for n in range(50)]
    path = tmp_path / "data.jsonl"
    path.write_text("".join(lines) + '{"text": "the one without an intent"}\n', "utf-8")
    answer = inspect(DatasetConfig(source=str(path)), preview_rows=2)
    assert answer.guess.columns == ["text", "label", "note"]
    assert (answer.guess.text_column, answer.guess.label_column) == ("text", "label")
    assert answer.preview == [
        {"text": "message 0", "label": "b", "note": "1"},
        {"text": "message 1", "label": "a", "note": ""},
    ]
    assert list(answer.train_counts.items()) == [("a", 29), ("b", 7)]
    assert answer.validation_counts == {"a": 3, "b": 1}
    assert answer.test_counts == {"a": 8, "b": 2}
    assert answer.drawn == ["test", "validation"]
    assert len(answer.longest_text) == len("message 10")
    assert [(problem.kind, problem.sentence, problem.rows, problem.rows_file) for problem in answer.problems] == [
        ("empty", "Left out: 1 row of data.jsonl without an intent.", 1, ""),
        ("few_rows", FEW, 7, ""),
    ]


def test_a_large_data_set_of_the_hub_is_offered_and_fetched_when_asked_for(hub: HubStandIn, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.csv").write_text("text,label\n" + "".join(f"m{n},{'ab'[n % 2]}\n" for n in range(40)), "utf-8")
    hub.add_dataset("people/letters", tmp_path / "set")
    dataset = DatasetConfig(source="hub:people/letters")
    recorder = Recorder()
    inspect_data(InspectData(dataset=dataset, largest_download=100), cast(Channel, recorder))
    (offer,) = (event for event in recorder.events if not isinstance(event, StageChanged))
    assert isinstance(offer, DownloadOffered)
    assert offer.missing.missing > 100
    assert hub.fetched(".csv") == []
    assert sum(inspect(dataset).train_counts.values()) > 0
    assert len(hub.fetched(".csv")) == 1


def test_equal_counts_are_ordered_by_name(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("text,label\n" + "".join(f"m{n},{'cab'[n % 3]}\n" for n in range(30)), "utf-8")
    assert list(inspect(DatasetConfig(source=str(path), validation_fraction=0.125)).train_counts) == ["a", "b", "c"]


def test_unusable_data_is_refused() -> None:
    with pytest.raises(StudioError, match="There is no file"):
        inspect(DatasetConfig(source="nowhere.csv"))


def test_banking77(banking77: Path) -> None:
    answer = inspect(DatasetConfig(source=str(banking77 / "train.csv"), test=str(banking77 / "test.csv")))
    assert sum(answer.train_counts.values()) + sum(answer.validation_counts.values()) == 10_003
    assert set(answer.test_counts.values()) == {40}
    assert len(answer.preview) == 100
    assert [problem.kind for problem in answer.problems] == ["similar", "leak", "leak"]
