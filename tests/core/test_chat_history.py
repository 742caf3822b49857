"""The conversations with a run, kept in its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core import chat_history
from studio.core.answers import LabelProbability, Predicted, Prediction
from studio.core.chat_history import CHAT, ChatAnswer, Exchange, append_exchange, clear_history, read_history
from studio.core.errors import StudioError
from studio.core.generation import GenerationEnd, GenerationSettings


def classified(number: int, text: str = "where is my card?\nplease 😀 \u2028 مرحبا") -> Exchange:
    top = [LabelProbability(label="card_arrival", probability=0.9), LabelProbability(label="card_lost", probability=0.1)]
    prediction = Prediction(text=text, predicted="card_arrival", probability=0.9, top=top, left_set=False, outside_mass=0.0)
    return Exchange(
        id=number, text=text, answers=[ChatAnswer(predicted=Predicted(request=number, prediction=prediction, cut=True))]
    )


def written(number: int, text: str = "Once upon\na time") -> Exchange:
    end = GenerationEnd(reason="length", prompt_tokens=3, tokens=4, seconds=2.0)
    answers = [ChatAnswer(text=text, end=end), ChatAnswer(speaker="base", text="half", problem="The model was unloaded.")]
    return Exchange(id=number, text="Tell me", settings=GenerationSettings(seed=9), answers=answers)


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    kept = [classified(1), written(2), classified(3, "")]
    for exchange in kept:
        append_exchange(tmp_path, exchange)
    assert read_history(tmp_path) == chat_history.History(kept)
    clear_history(tmp_path)
    assert read_history(tmp_path).exchanges == []
    clear_history(tmp_path)


def test_an_answer_written_anew_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    for exchange in (written(1, "first"), classified(2), written(1, "again")):
        append_exchange(tmp_path, exchange)
    found = read_history(tmp_path).exchanges
    assert [exchange.id for exchange in found] == [1, 2]
    assert found[0].answers[0].text == "again"


def test_damaged_lines_are_left_out_and_counted(tmp_path: Path) -> None:
    append_exchange(tmp_path, classified(1))
    whole = (tmp_path / CHAT).read_bytes()
    (tmp_path / CHAT).write_bytes(b"\xff\xfe junk\n" + b'{"id": 3}\n[]\n\n' + whole + whole[: len(whole) // 2])
    append_exchange(tmp_path, classified(2))  # behind a line that was cut off
    found = read_history(tmp_path)
    assert [exchange.id for exchange in found.exchanges] == [1, 2]
    assert found.damaged == 4
    assert not found.older


def test_only_the_last_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        append_exchange(tmp_path, classified(number))
    monkeypatch.setattr(chat_history, "MOST_EXCHANGES", 10)
    found = read_history(tmp_path)
    assert ([exchange.id for exchange in found.exchanges], found.older) == (list(range(2, 12)), True)
    line = len((tmp_path / CHAT).read_bytes()) // 12
    monkeypatch.setattr(chat_history, "_MOST_BYTES", line * 3 + line // 2)
    found = read_history(tmp_path)
    assert ([exchange.id for exchange in found.exchanges], found.older, found.damaged) == ([9, 10, 11], True, 0)


def test_what_cannot_be_kept_is_told(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="cannot be kept"):
        append_exchange(tmp_path / "gone", classified(1))
    (tmp_path / CHAT).mkdir()
    with pytest.raises(StudioError, match="cannot be read"):
        read_history(tmp_path)
    with pytest.raises(StudioError, match="cannot be deleted"):
        clear_history(tmp_path)


def test_what_is_copied() -> None:
    assert classified(1, "Where?").as_text() == "You: Where?\n\nThis run: card_arrival\t90.0 %\ncard_lost\t10.0 %"
    assert written(1).as_text() == "You: Tell me\n\nThis run: Once upon\na time\n\nThe base: half"
    assert ChatAnswer(problem="Too long.").as_text() == "Too long."


def test_how_far_an_answer_is() -> None:
    assert (ChatAnswer().waiting, ChatAnswer().empty) == (True, True)
    growing = ChatAnswer(text="On")
    assert (growing.waiting, growing.empty) == (True, False)
    assert not written(1).waiting
    assert Exchange(text="a", answers=[ChatAnswer(problem="no"), ChatAnswer()]).waiting
