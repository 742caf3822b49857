"""The token inspector's job: what it shows is what training makes, and it loads no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from studio.core.answers import TokensInspected
from studio.core.commands import Ask, Command, InspectTokens, LabelledMessage
from studio.core.config import PromptConfig, RunConfig
from studio.core.events import Event, Failed, LogLine, StageChanged
from studio.core.problem_rows import ProblemRows
from studio.core.runs import Home
from studio.data.prompts import PromptEncoder
from studio.data.sources import Example
from studio.data.splits import load_splits
from tests.worker.jobs import config_for, work, work_here


@pytest.fixture
def config(messages: Path, base: Path) -> RunConfig:
    return config_for(messages, base, "lora")


def ask_all(*commands: Command) -> list[Event]:
    """What the job says to some questions, after which no more come."""
    return work_here(*commands, closed=True)


def with_prompt(config: RunConfig, **values: Any) -> RunConfig:
    return config.model_copy(update={"prompt": PromptConfig.model_validate({**config.prompt.model_dump(), **values})})


def with_limit(question: InspectTokens, limit: int) -> InspectTokens:
    return question.model_copy(update={"config": with_prompt(question.config, max_length=limit)})


def answers(events: list[Event]) -> list[TokensInspected]:
    return [event for event in events if isinstance(event, TokensInspected)]


def test_rows_are_shown_as_training_sees_them(config: RunConfig, home: Home, base: Path) -> None:
    def ask(request: int, **how: Any) -> InspectTokens:
        return InspectTokens(request=request, config=config, home=str(home.path), **how)

    own = LabelledMessage(text="i lost </s>", label="card_lost")
    events = ask_all(ask(1, row=3), ask(2, row=10**6), ask(3, message=own), ask(4, row=0))
    told = answers(events)
    assert [(answer.request, answer.row) for answer in told] == [(1, 3), (2, told[0].totals.rows - 1), (3, None), (4, 0)]

    splits = load_splits(config.dataset)
    encoder = PromptEncoder(AutoTokenizer.from_pretrained(base), config.prompt)
    encoder.label_set(splits.labels)
    for answer, example in zip(
        told, [splits.train[3], splits.train[-1], Example(own.text, own.label), splits.train[0]], strict=True
    ):
        wanted = encoder.encode(example)
        assert (answer.text, answer.label, answer.cut) == (example.text, example.label, "")
        assert [token.id for token in answer.tokens] == wanted.ids
        assert [token.supervised for token in answer.tokens] == wanted.supervised
        assert "".join(token.text for token in answer.tokens if token.supervised) == f" {example.label}</s>"
    assert "".join(token.text for token in told[2].tokens) == (
        "<s>user: Message: i lost </s>\nIntent:\nassistant: card_lost</s>"
    ), "each token writes its own piece, the one that looks like an end too"
    assert (told[0].chat, told[0].prompt) == (True, "user: Message: {text}\nIntent:\nassistant:")
    assert told[0].labels == splits.labels

    lengths = [encoder.encode(example) for example in splits.train]
    totals = told[0].totals
    assert totals.rows == len(splits.train)
    assert totals.longest == max(len(row.ids) for row in lengths) == len(lengths[totals.longest_row].ids)
    assert totals.mean == pytest.approx(sum(len(row.ids) for row in lengths) / len(lengths))
    assert totals.supervised == pytest.approx(sum(sum(row.supervised) for row in lengths) / len(lengths))
    assert (totals.cut, totals.cut_rows, totals.alike) == (0, [], [])
    assert 0.1 < totals.shared < 0.9
    assert all(answer.totals == totals for answer in told)
    stages = [event.stage for event in events if isinstance(event, StageChanged)]
    assert stages == ["reading the data", "loading the tokenizer"], "the second question needs neither again"


def test_what_changes_is_made_anew(config: RunConfig, home: Home) -> None:
    plain = with_prompt(config, use_chat_template=False, template="{text}\n=>", max_length=32)
    commands = [InspectTokens(request=n, config=given, home=str(home.path)) for n, given in enumerate((config, plain, config))]
    events = ask_all(*commands)
    first, second, third = answers(events)
    assert first.model_copy(update={"request": 2, "time": 0, "elapsed": 0}) == third.model_copy(update={"time": 0, "elapsed": 0})
    assert (second.chat, second.prompt, second.max_length) == (False, "{text}\n=>", 32)
    assert len(second.tokens) < len(first.tokens)


def test_cut_messages_are_counted_listed_and_shown(config: RunConfig, home: Home, tmp_path: Path) -> None:
    short = with_prompt(config, use_chat_template=False, template="{text}\n=>", max_length=28)
    asked = InspectTokens(config=short, home=str(home.path))
    (answer,) = answers(ask_all(asked))
    assert 0 < answer.totals.cut < answer.totals.rows
    assert len(answer.totals.cut_rows) == answer.totals.cut
    row = answer.totals.cut_rows[0]
    assert answer.problems[0].rows_file == ""
    listing = asked.model_copy(update={"row": row, "rows_folder": str(tmp_path)})
    cut, again, other = answers(ask_all(listing, listing, with_limit(listing, 30)))
    assert again.problems == cut.problems
    assert not Path(cut.problems[0].rows_file).exists(), "those of other settings take their place"
    splits = load_splits(short.dataset)
    rows = ProblemRows(Path(other.problems[0].rows_file))
    found = rows.rows(range(len(rows)))
    assert [row.text for row in found] == [splits.train[position].text for position in other.totals.cut_rows]
    assert [row.row for row in found] == [splits.train[position].row for position in other.totals.cut_rows]
    assert 0 < len(found) < cut.problems[0].rows == cut.totals.cut
    assert cut.problems[0].sentence.startswith(f"{cut.totals.cut} of {cut.totals.rows} training messages are longer than 28 ")
    assert cut.cut
    assert cut.text.endswith(cut.cut)
    assert cut.cut not in "".join(token.text for token in cut.tokens)


def test_no_room_is_told(config: RunConfig, home: Home) -> None:
    tight = with_prompt(config, template="a long way round to say {text} and what it is meant to be:", max_length=16)
    failed = ask_all(InspectTokens(config=tight, home=str(home.path)))[-1]
    assert isinstance(failed, Failed)
    assert "leaves no room for the message" in failed.message


def test_labels_that_become_the_same_tokens_are_told(home: Home, base: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, normalizers

    folder = tmp_path / "squeezing"
    folder.mkdir()
    for path in base.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    squeezing = Tokenizer.from_file(str(folder / "tokenizer.json"))
    squeezing.normalizer = normalizers.Strip()
    squeezing.save(str(folder / "tokenizer.json"))
    source = tmp_path / "alike.csv"
    rows = [f'"message {n} {name}","{name}"\n' for n in range(12) for name in ("card", "card ", "other")]
    source.write_text("text,label\n" + "".join(rows), "utf-8")
    given = config_for(source, folder, "lora")
    (answer,) = answers(ask_all(InspectTokens(config=given, home=str(home.path))))
    assert answer.totals.alike == [["card", "card "]]


def test_other_questions_are_no_end(config: RunConfig, home: Home) -> None:
    asked = InspectTokens(config=config, home=str(home.path))
    events = ask_all(asked, Ask(request=1, text="hello"), asked)
    assert len(answers(events)) == 2
    assert [event.level for event in events if isinstance(event, LogLine)] == ["error"]


def test_a_process_answers_and_ends_in_good_order(config: RunConfig, home: Home) -> None:
    events = work(
        InspectTokens(request=7, config=config, home=str(home.path)),
        lambda process, event: process.close() if isinstance(event, TokensInspected) else None,
    )
    assert isinstance(events[-1], TokensInspected)
    assert events[-1].request == 7
