"""A chat with a trained run: free text, its base, other runs on the same base, and what cannot be answered."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from studio.core.answers import ModelLoaded, NoAnswer, Predicted, Prediction, TokenGenerated
from studio.core.commands import Ask, Cancel, Command, Evaluate, Generate, LoadModel
from studio.core.config import PromptConfig
from studio.core.errors import StudioError
from studio.core.events import Event, LogLine, StageChanged
from studio.core.generation import GenerationSettings, Speaker
from studio.core.predictions import read_predictions
from studio.core.runs import Home
from studio.core.wire import encode
from studio.engine import methods
from studio.engine.chat_models import ChatModels
from studio.engine.devices import Compute
from studio.worker.channel import Channel
from studio.worker.chatting import chat
from tests.worker.jobs import WORDS, Trained, await_no_thread, config_for, train_here

pytestmark = pytest.mark.timeout(300)  # the first test waits for all the runs
TEXTS = ["i lost my card today", "wo bleibt die Überweisung 😀", "what is the exchange rate " * 30]
GREEDY = GenerationSettings(temperature=0, max_tokens=12)


def silent(_stage: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="session")
def others(home: Home, base: Path, messages: Path, trained: dict[str, Trained]) -> dict[str, Trained]:
    """For each way to hold a frozen base another run on it, which learnt something else with another rank."""
    assert trained
    made = {}
    for kind in ("lora", "qlora"):
        config = config_for(messages, base, kind, "bf16", seed=7, learning_rate=0.01)
        method = config.method.model_copy(update={"rank": 4})
        made[kind] = train_here(home, config.model_copy(update={"method": method, "prompt": PromptConfig(max_length=80)}))
    return made


def predictions(models: ChatModels, speaker: Speaker = "tuned") -> list[Prediction]:
    with models.speaking(speaker) as predictor:
        return [row.prediction for row in predictor.classify(TEXTS)]


def fresh(run: Trained) -> ChatModels:
    models = ChatModels(run.home, silent)
    models.open(run.run)
    return models


def hear(
    run: Trained, asked: list[Command], answers: int, act: Callable[[Channel, int, Event], object] = lambda *_: None
) -> list[Event]:
    """What the chat job says in this process until it gave as many last words on requests.

    ``act`` is called with the channel, the pipe to it and each event.
    """
    commands, app = os.pipe()
    os.write(app, b"".join(map(encode, asked)))
    events: list[Event] = []
    nothing = os.open(os.devnull, os.O_WRONLY)
    channel = Channel(commands, nothing)
    emit, left = channel.emit, answers

    def keep(event: Event) -> None:
        nonlocal left
        emit(event)
        events.append(event)
        act(channel, app, event)
        left -= isinstance(event, Predicted | NoAnswer) or (isinstance(event, TokenGenerated) and event.end is not None)
        if not left:
            left = -1
            os.close(app)

    channel.emit = keep  # type: ignore[method-assign]  # a listener between the job and the wire
    try:
        chat(LoadModel(run=str(run.run.path), home=run.home_name), channel)
    finally:
        if left > 0:
            os.close(app)
        channel.close()
        await_no_thread("commands")
        os.close(commands)
        os.close(nothing)
    return events


def text_of(events: list[Event], request: int) -> str:
    return "".join(event.text for event in events if isinstance(event, TokenGenerated) and event.request == request)


def ends(events: list[Event]) -> dict[int, TokenGenerated]:
    return {event.request: event for event in events if isinstance(event, TokenGenerated) and event.end is not None}


@pytest.mark.parametrize("kind", ["lora", "qlora"])
def test_another_run_on_the_same_base_changes_only_the_adapter(
    trained: dict[str, Trained], others: dict[str, Trained], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = trained[f"{kind}-bf16"], others[kind]
    expected = [predictions(fresh(run)) for run in (one, other)]
    assert expected[0] != expected[1]
    loaded = []
    load_base = methods.load_base

    def counted(folder: Path, compute: Compute, *, trained: bool, quantised: bool) -> torch.nn.Module:
        loaded.append(folder)
        return load_base(folder, compute, trained=trained, quantised=quantised)

    monkeypatch.setattr(methods, "load_base", counted)
    models = fresh(one)
    assert predictions(models) == expected[0]
    for run, wanted in ((other, expected[1]), (one, expected[0]), (other, expected[1])):
        models.open(run.run)
        assert predictions(models) == wanted, "to the last bit"
        assert len(models.tuned.model.peft_config) == 1
    assert len(loaded) == 1
    cut = len(models.tuned.encoder.prompt_ids("x" * 500))
    models.open(one.run)
    assert len(models.tuned.encoder.prompt_ids("x" * 500)) > cut, "its own max_length"


@pytest.mark.parametrize("name", ["full-bf16", "lora-bf16", "qlora-bf16"])
def test_the_base_answers_as_it_did_before_training(trained: dict[str, Trained], name: str) -> None:
    run = trained[name]
    known = read_predictions(run.run.base_predictions_path).predictions
    models = fresh(run)
    before = predictions(models)
    with models.speaking("base") as base:
        found = [row.prediction for row in base.classify([row.text for row in known])]
    for prediction, expected in zip(found, known, strict=True):
        assert prediction.predicted == expected.predicted
        assert prediction.probability == pytest.approx(expected.probability, abs=1e-4)
    assert predictions(models) == before, "the adapter is back"
    assert predictions(models, "base") != before
    with models.speaking("base") as again:
        assert again.model is base.model, "loaded once"


def test_a_base_that_does_not_fit_beside_is_told(trained: dict[str, Trained], monkeypatch: pytest.MonkeyPatch) -> None:
    models = fresh(trained["full-bf16"])
    monkeypatch.setattr(Compute, "available_bytes", lambda _self: 1000)
    with pytest.raises(StudioError, match="1000 bytes of memory are free") as caught, models.speaking("base"):
        pass
    assert caught.value.kind == "out_of_memory"
    assert predictions(models), "the tuned model is still there"


@pytest.mark.parametrize("name", ["full-bf16", "lora-fp32", "qlora-bf16"])
def test_a_run_on_another_base_needs_a_worker_of_its_own(trained: dict[str, Trained], name: str) -> None:
    models = fresh(trained["lora-bf16"])
    with pytest.raises(StudioError, match="another base"):
        models.open(trained[name].run)


@pytest.mark.parametrize("name", ["full-bf16", "lora-bf16", "qlora-bf16"])
def test_free_text_is_an_intent_just_where_classification_says_so(trained: dict[str, Trained], name: str) -> None:
    models = fresh(trained[name])
    left = []
    for text in [*WORDS.values(), *TEXTS, "x", "hello there"]:
        (scored,) = models.tuned.classify([text])
        pieces: list[str] = []
        end = models.tuned.write(text, GenerationSettings(temperature=0, max_tokens=40), pieces.append)
        inside = end.reason == "end_token" and "".join(pieces).strip() in WORDS
        assert inside != scored.prediction.left_set
        left.append(scored.prediction.left_set)
    assert not all(left)


def test_a_conversation(trained: dict[str, Trained], others: dict[str, Trained]) -> None:
    run = trained["lora-bf16"]
    sampled = GenerationSettings(temperature=1.5, top_p=1, seed=3, max_tokens=12)
    raw = GREEDY.model_copy(update={"raw": True})
    asked: list[Command] = [
        Generate(request=1, text=TEXTS[0], settings=GREEDY),
        Generate(request=2, text=TEXTS[0], settings=GREEDY, speaker="base"),
        Ask(request=3, text=TEXTS[0], speaker="base"),
        Generate(request=4, text=TEXTS[0], settings=sampled),
        Generate(request=5, text=TEXTS[0], settings=sampled),
        Generate(request=6, text=TEXTS[0], settings=raw),
        Generate(request=7, text="x" * 2000, settings=raw),
        Generate(request=8, text=TEXTS[2], settings=GREEDY),
        Ask(request=9, text=TEXTS[2]),
        Evaluate(run="", home=""),
        LoadModel(run=str(others["lora"].run.path), home=run.home_name),
        Ask(request=10, text=TEXTS[0]),
    ]
    events = hear(run, asked, 10)
    final = ends(events)
    assert sorted(final) == [1, 2, 4, 5, 6, 8]
    assert text_of(events, 1) != text_of(events, 2)
    assert text_of(events, 4) == text_of(events, 5)
    assert text_of(events, 1) != text_of(events, 6)
    assert all(event.end is not None and event.end.cut == (request == 8) for request, event in final.items())
    (refused,) = (event for event in events if isinstance(event, NoAnswer))
    assert refused.request == 7
    assert "256" in refused.message
    found = {event.request: event for event in events if isinstance(event, Predicted)}
    assert {request: event.cut for request, event in found.items()} == {3: False, 9: True, 10: False}
    assert found[10].prediction == fresh(others["lora"]).tuned.classify([TEXTS[0]])[0].prediction
    assert [event.run for event in events if isinstance(event, ModelLoaded)] == [run.run.name, others["lora"].run.name]
    stages = [event.stage for event in events if isinstance(event, StageChanged)]
    assert stages.count("loading the model") == stages.count("changing the adapter") == 1
    assert any(isinstance(event, LogLine) and "'evaluate'" in event.text for event in events)


def test_what_was_cancelled_before_it_began_is_not_answered(trained: dict[str, Trained]) -> None:
    asked = [Generate(request=1, text="a"), Ask(request=2, text="b"), Ask(request=3, text="c"), Cancel(request=2)]
    events = hear(trained["lora-bf16"], asked, 3)
    given_up = [event for event in events if isinstance(event, NoAnswer)]
    assert [(event.request, event.kind) for event in given_up] == [(1, "stopped"), (2, "stopped")]
    assert [event.request for event in events if isinstance(event, Predicted)] == [3]


def test_free_text_is_stopped_while_it_is_written(trained: dict[str, Trained]) -> None:
    def stop(channel: Channel, app: int, event: Event) -> None:
        if isinstance(event, TokenGenerated) and event.end is None:
            os.write(app, encode(Cancel(request=1)))
            while not channel.given_up(1):
                time.sleep(0.001)

    endless = GenerationSettings(temperature=5, top_p=1, max_tokens=32768)
    events = hear(trained["lora-bf16"], [Generate(request=1, text="a", settings=endless), Ask(request=2, text="b")], 2, stop)
    pieces = [event for event in events if isinstance(event, TokenGenerated)]
    (last,) = ends(events).values()
    assert last.end is not None
    assert last.end.reason == "stopped"
    assert len(pieces) == 2, "nothing is said between the stop and the end"
    assert last.end.tokens < 10
    assert isinstance(events[-1], Predicted), "the next message is answered"


def test_fast_tokens_are_told_together(trained: dict[str, Trained]) -> None:
    """However fast the model, no more than twenty pieces a second."""
    drawn = GenerationSettings(temperature=5, top_p=1, max_tokens=200)
    began = time.monotonic()
    events = hear(trained["lora-bf16"], [Generate(request=1, text="a", settings=drawn)], 1)
    pieces = [event for event in events if isinstance(event, TokenGenerated)]
    assert len(pieces) <= 2 + (time.monotonic() - began) * 20
    (last,) = ends(events).values()
    assert last.end is not None
    assert last.end.tokens > len(pieces)
