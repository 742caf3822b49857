"""Events and commands on the wire."""

from __future__ import annotations

import json
import math
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.core.answers import ColumnGuess, DataInspected, LabelProbability, Predicted, Prediction
from studio.core.commands import Ask, Checkpoint, Command, Generate, InspectData, Pause, Resume, Stop, Train
from studio.core.config import DatasetConfig
from studio.core.errors import StudioError
from studio.core.events import Evaluated, Event, Finished, Heartbeat, Hello, LogLine, ProtocolError, StepsCompleted
from studio.core.wire import decode_command, decode_event, encode

STEPS = StepsCompleted(
    first_step=1,
    losses=[1.5, math.inf, 0.0],
    seconds=[0.1, 0.2, 0.3],
    steps=9,
    epoch=0.5,
    learning_rate=2e-4,
    gradient_norm=1.0,
    tokens=12,
    memory_bytes=2**40,
)
PREDICTION = Prediction(
    text="zwei\nZeilen \u2028 😀 \0",
    predicted="a",
    probability=1 / 3,
    top=[LabelProbability(label="a", probability=1 / 3)],
    left_set=False,
    outside_mass=1e-300,
)
EVENTS: list[Event] = [
    Hello(protocol=1, pid=3, time=1.25, elapsed=0.5),
    STEPS,
    Predicted(request=4, prediction=PREDICTION),
    DataInspected(
        guess=ColumnGuess(columns=["text", "label"], text_column="text", label_column="label"),
        preview=[{"text": "x", "label": "None"}],
        train_counts={"b": 2, "a": 1},
        validation_counts={},
        test_counts={},
        longest_text="x",
    ),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.event)
def test_events_come_back(event: Event) -> None:
    line = encode(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_event(line) == event


def test_counts_keep_their_order() -> None:
    back = decode_event(encode(EVENTS[-1]))
    assert isinstance(back, DataInspected)
    assert list(back.train_counts) == ["b", "a"]


def test_numbers_that_json_lacks_survive() -> None:
    for value in (math.nan, math.inf, -math.inf):
        line = encode(Evaluated(step=1, split="test", loss=value, accuracy=0, macro_f1=0, outside_rate=0, rows=1))
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        back = decode_event(line)
        assert isinstance(back, Evaluated)
        assert back.loss == value or (math.isnan(back.loss) and math.isnan(value))
    finished = decode_event(encode(Finished(outcome="completed")))
    assert isinstance(finished, Finished)
    assert math.isnan(finished.accuracy)
    assert finished.base_accuracy is None


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_stays_on_one_line(text: str) -> None:
    event = LogLine(level="info", text=text)
    assert encode(event).count(b"\n") == 1
    assert decode_event(encode(event)) == event


@given(line=st.binary())
def test_junk_never_raises(line: bytes) -> None:
    assert isinstance(decode_event(line), ProtocolError)


@pytest.mark.parametrize(
    "line",
    [
        b"Loading weights: 100%\n",
        b"\n",
        b"[]",
        b"null",
        b'{"event": "unheard_of"}',
        b'{"event": "heartbeat"}',
        b'{"event": "heartbeat", "memory_bytes": 1, "more": 2}',
        b'{"event": "heartbeat", "memory_bytes": 1}{"event"',
        b"\xff\xfe" * 1000,
    ],
)
def test_junk_is_quoted(line: bytes) -> None:
    event = decode_event(line)
    assert isinstance(event, ProtocolError)
    assert event.reason
    assert len(event.line) <= 500
    assert line[:20].decode("utf-8", "replace").strip() in event.line


def test_every_event_has_a_name_of_its_own() -> None:
    kinds: list[Any] = list(get_args(get_args(Event)[0]))
    names = [kind.model_fields["event"].default for kind in kinds]
    assert len(set(names)) == len(names) > 10
    assert isinstance(decode_event(encode(Heartbeat(memory_bytes=1))), Heartbeat)


COMMANDS = [Train(run="r", home="h"), Resume(run="r", home="h"), Stop(), Pause(), Checkpoint(), Ask(request=1, text="ü\n")]


@pytest.mark.parametrize("command", [*COMMANDS, Generate(request=2, text="a"), InspectData(dataset=DatasetConfig(limit=3))])
def test_commands_come_back(command: Command) -> None:
    assert decode_command(encode(command)) == command


@pytest.mark.parametrize("line", [b"", b"{}", b'{"command": "train"}', b'{"command": "dance"}', b"\xff"])
def test_what_is_no_command_is_refused(line: bytes) -> None:
    with pytest.raises(StudioError, match="no command") as caught:
        decode_command(line)
    assert caught.value.kind == "protocol"
