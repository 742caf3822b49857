"""Free text: what transformers writes greedily, the distribution that is drawn from, stopping, whole characters."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast

from studio.core.errors import StudioError
from studio.core.generation import GenerationEnd, GenerationSettings
from studio.data.prompts import PromptEncoder
from studio.engine import generate as module
from studio.engine.classify import predicting
from studio.engine.devices import Compute
from studio.engine.generate import TextStream, _Chooser, generate
from studio.engine.models import load_base
from tests.tiny import byte_tokenizer, metaspace_tokenizer

GREEDY = GenerationSettings(temperature=0, max_tokens=24)
TEXT = "Überweisung 😀👩\u200d👩\u200d👧 日本語 مرحبا  two  spaces\n\n\tif x: go()"


@pytest.fixture
def model(folder: Path, cpu: Compute) -> torch.nn.Module:
    return load_base(folder, cpu, trained=False, quantised=False)


@pytest.fixture
def prompt(encoder: PromptEncoder) -> list[int]:
    return encoder.raw_ids("where is my card, it has not arrived")


def write(
    model: torch.nn.Module, prompt: list[int], settings: GenerationSettings, *, ends: tuple[int, ...] = (), longest: int = 256
) -> tuple[list[int], GenerationEnd]:
    ids: list[int] = []
    device = torch.device("cpu")
    return ids, generate(model, prompt, settings, device, end_tokens=ends, longest=longest, on_token=ids.append)


def by_transformers(model: Any, prompt: list[int], tokens: int, end: int | None) -> list[int]:
    """What ``generate(do_sample=False)`` writes after ``prompt``, without an end token."""
    plan = GenerationConfig(do_sample=False, max_new_tokens=tokens, eos_token_id=end, pad_token_id=0, use_cache=True)
    with predicting(model):
        ids = model.generate(torch.tensor([prompt]), generation_config=plan, attention_mask=torch.ones(1, len(prompt)))
    written = [int(token) for token in ids[0, len(prompt) :]]
    return written[:-1] if written[-1] == end else written


def test_greedily_it_writes_what_transformers_writes(model: torch.nn.Module, prompt: list[int]) -> None:
    """Longer than the tiny Gemma's sliding window of 12."""
    expected = by_transformers(model, prompt, 24, None)
    found, end = write(model, prompt, GREEDY)
    assert found == expected
    assert (end.reason, end.tokens, end.prompt_tokens) == ("length", 24, len(prompt))
    assert end.tokens_per_second > 0


def test_it_ends_at_an_end_token_that_is_not_told(model: torch.nn.Module, prompt: list[int]) -> None:
    whole, _ = write(model, prompt, GREEDY)
    last = whole[10]
    found, end = write(model, prompt, GREEDY, ends=(last, 10**9))
    assert found == whole[: whole.index(last)] == by_transformers(model, prompt, 24, last)
    assert (end.reason, end.tokens) == ("end_token", len(found))


def test_the_models_own_length_is_never_exceeded(model: torch.nn.Module, prompt: list[int]) -> None:
    found, end = write(model, prompt, GREEDY, longest=len(prompt) + 5)
    assert len(found) == 5
    assert end.reason == "length"


def test_a_stop_comes_before_the_next_token(model: torch.nn.Module, prompt: list[int], cpu: Compute) -> None:
    ids: list[int] = []
    end = generate(
        model, prompt, GREEDY, cpu.device, end_tokens=(), longest=256, on_token=ids.append, should_stop=lambda: len(ids) == 3
    )
    assert len(ids) == end.tokens == 3
    assert end.reason == "stopped"


def test_the_same_seed_gives_the_same_text(model: torch.nn.Module, prompt: list[int]) -> None:
    first, _ = write(model, prompt, GenerationSettings(temperature=1, top_p=1, seed=7, max_tokens=24))
    torch.manual_seed(123)  # the generator is its own
    again, _ = write(model, prompt, GenerationSettings(temperature=1, top_p=1, seed=7, max_tokens=24))
    other, _ = write(model, prompt, GenerationSettings(temperature=1, top_p=1, seed=8, max_tokens=24))
    assert first == again
    assert first != other


def test_the_model_is_left_as_it_was(model: torch.nn.Module, prompt: list[int]) -> None:
    model.train()
    write(model, prompt, GREEDY)
    assert model.training
    assert torch.is_grad_enabled()


def drawn(settings: GenerationSettings, probabilities: list[float], times: int = 4000) -> Counter[int]:
    chooser = _Chooser(settings)
    scores = torch.tensor(probabilities).log()
    return Counter(chooser.choose(scores) for _ in range(times))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_they_are_probable(temperature: float) -> None:
    probabilities = [0.1, 0.6, 0.0, 0.3]
    expected = torch.tensor(probabilities).pow(1 / temperature)
    expected = expected / expected.sum()
    counts = drawn(GenerationSettings(temperature=temperature, top_p=1), probabilities)
    for token, share in enumerate(expected.tolist()):
        assert counts[token] / 4000 == pytest.approx(share, abs=0.03)  # over four standard deviations
    assert counts[2] == 0


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.01, {1}), (0.49, {1}), (0.51, {1, 3}), (0.87, {1, 3}), (0.88, {0, 1, 3}), (1, {0, 1, 3})]
)
def test_top_p_keeps_the_fewest_tokens_that_reach_it(top_p: float, kept: set[int]) -> None:
    probabilities = [0.125, 0.5, 0.0, 0.375]
    counts = drawn(GenerationSettings(temperature=1, top_p=top_p), probabilities)
    assert set(counts) == kept
    mass = sum(probabilities[token] for token in kept)
    for token in kept:
        assert counts[token] / 4000 == pytest.approx(probabilities[token] / mass, abs=0.03)


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.9999, 1.0])
@pytest.mark.parametrize("looked_at", [1, 3, 256])
def test_the_nucleus_is_found_without_sorting_all(top_p: float, looked_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOKED_AT", looked_at)
    shares = torch.randn(1000, generator=torch.Generator().manual_seed(1)).mul(3).softmax(-1)
    ordered = sorted(((float(share), token) for token, share in enumerate(shares)), reverse=True)
    expected: set[int] = set()
    reached = 0.0
    for share, token in ordered:
        if reached >= top_p:
            break
        expected.add(token)
        reached += share
    kept, tokens = module._nucleus(shares, top_p)
    assert set(tokens.tolist()) == expected
    assert torch.equal(shares[tokens], kept)


def test_a_tiny_temperature_takes_the_best() -> None:
    assert set(drawn(GenerationSettings(temperature=1e-6), [0.3, 0.4, 0.3], 50)) == {1}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_scores_that_are_no_numbers_are_told(temperature: float) -> None:
    with pytest.raises(StudioError, match="no numbers"):
        _Chooser(GenerationSettings(temperature=temperature)).choose(torch.tensor([1.0, float("nan")]))


@pytest.fixture(params=[byte_tokenizer, metaspace_tokenizer], ids=["bytes", "byte fallback"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    made: PreTrainedTokenizerFast = request.param()
    return made


def test_pieces_are_whole_characters_and_make_the_text(tokenizer: PreTrainedTokenizerFast) -> None:
    prompt, ids = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("my card 😀", TEXT))
    stream = TextStream(tokenizer, prompt)
    pieces = [stream.add(token) for token in ids]
    assert len(ids) > len([piece for piece in pieces if piece]) > 20, "characters of several tokens came in one piece"
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)
    assert "".join(pieces) + stream.rest() == TEXT


def test_a_character_that_is_never_finished_is_left_out(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer("card 😀", add_special_tokens=False)["input_ids"]
    stream = TextStream(tokenizer, [])
    assert "".join(map(stream.add, ids[:-1])) + stream.rest() == "card "


def test_bytes_that_are_no_text_do_not_end_it(tokenizer: PreTrainedTokenizerFast) -> None:
    """tokenizers' DecodeStream raises on most of these."""
    numbers = random.Random(0)
    for _ in range(50):
        stream = TextStream(tokenizer, tokenizer("card")["input_ids"])
        told = "".join(stream.add(numbers.randrange(len(tokenizer))) for _ in range(40)) + stream.rest()
        assert told.encode()


def test_special_tokens_are_not_shown() -> None:
    tokenizer = byte_tokenizer()
    ids = [tokenizer.bos_token_id, *tokenizer("card", add_special_tokens=False)["input_ids"], tokenizer.pad_token_id]
    stream = TextStream(tokenizer, [])
    assert "".join(map(stream.add, ids)) + stream.rest() == "card"
