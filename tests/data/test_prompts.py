"""Prompts and labels as token ids, written out by hand for two families of tokenizers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, normalizers
from transformers import PreTrainedTokenizerFast

from studio.core.config import PromptConfig
from studio.core.errors import StudioError
from studio.data.prompts import Encoded, PromptEncoder
from studio.data.sources import Example
from tests.data.small_tokenizers import byte_level, metaspace, words

TEMPLATE = "{text}\n=>"
# "▁" is how the second family writes a space, so it comes back as one.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=60)


def encoder(
    tokenizer: Any, template: str = TEMPLATE, max_length: int = 64, labels: tuple[str, ...] = ("card", "cad")
) -> PromptEncoder:
    made = PromptEncoder(tokenizer, PromptConfig(template=template, max_length=max_length))
    made.label_set(labels)
    return made


def graded(encoded: Encoded) -> list[int]:
    return [index for index, supervised in zip(encoded.ids, encoded.supervised, strict=True) if supervised]


def test_byte_level_ids() -> None:
    encoded = encoder(byte_level(bos=True)).encode(Example("Hi", "card"))
    #                      begin  Hi   \n   =   >   Ġcard end
    assert encoded.ids == [262, 256, 198, 28, 29, 260, 261]
    assert encoded.supervised == [False] * 5 + [True] * 2
    assert graded(encoded) == [260, 261]
    assert not encoded.truncated


def test_metaspace_ids() -> None:
    encoded = encoder(metaspace()).encode(Example("Hi", "cad"))
    #                      bos Hi  \n  =   >   ▁ca d eos
    assert encoded.ids == [2, 18, 13, 11, 12, 15, 10, 1]
    assert encoded.supervised == [False] * 5 + [True] * 3
    assert graded(encoded) == [15, 10, 1]
    assert encoder(metaspace()).label_ids("card") == [17, 1]


def test_training_and_prediction_see_the_same_prompt() -> None:
    made = encoder(metaspace())
    encoded = made.encode(Example("Hi Hi card", "card"))
    assert encoded.ids == made.prompt_ids("Hi Hi card") + made.label_ids("card")
    assert made.end_token_id == 1


def test_beginning_token_is_the_tokenizer_s_own() -> None:
    assert encoder(byte_level(bos=False)).prompt_ids("Hi") == [256, 198, 28, 29]
    declared = byte_level(bos=False)
    declared._add_bos_token = True  # as when tokenizer_config.json says so but tokenizer.json lacks the rule
    assert encoder(declared).prompt_ids("Hi") == [262, 256, 198, 28, 29]


def test_an_appended_end_token_is_left_out() -> None:
    tokenizer = metaspace("<bos> $A <eos>")
    assert tokenizer("Hi").input_ids == [2, 18, 1]
    assert encoder(tokenizer).prompt_ids("Hi") == [2, 18, 13, 11, 12]


def test_special_tokens_act_in_the_template_but_not_twice_at_the_start() -> None:
    made = encoder(byte_level(bos=True), "<|begin|><|user|>{text}<|end|>=>")
    assert made.prompt_ids("Hi") == [262, 263, 256, 261, 28, 29]


@pytest.mark.parametrize(
    ("template", "prompt", "label"),
    [
        ("{text}\n=>", [2, 18, 13, 11, 12], [17, 1]),
        ("{text}\n=> ", [2, 18, 13, 11, 12], [17, 1]),
        ("{text}=>\n", [2, 18, 11, 12], [13, 7, 8, 9 + 7, 1]),
        ("=>{text}", [2, 11, 12, 18], [17, 1]),
        ("=>{text}  ", [2, 11, 12, 18], [4, 17, 1]),
    ],
)
def test_separator_belongs_to_the_label(template: str, prompt: list[int], label: list[int]) -> None:
    encoded = encoder(metaspace(), template).encode(Example("Hi", "card"))
    assert encoded.ids == prompt + label
    assert graded(encoded) == label


@pytest.mark.parametrize("tokenizer", [byte_level(bos=True), metaspace()], ids=["byte level", "metaspace"])
@pytest.mark.parametrize("name", ["bos_token", "eos_token"])
def test_special_tokens_in_a_message_are_text(tokenizer: Any, name: str) -> None:
    written = getattr(tokenizer, name)
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    for message in (written, f"Hi {written} Hi", f"{written}{written}", f"{written} Hi"):
        ids = encoder(tokenizer).prompt_ids(message)
        assert not special & set(ids[1:])
        assert tokenizer.decode(ids[1:]) == f"{message}\n=>"
    assert tokenizer(written, add_special_tokens=False).input_ids[0] in special


def test_an_end_token_that_is_also_the_unknown_one_is_text_in_a_message() -> None:
    tokenizer = byte_level(bos=False)
    tokenizer.unk_token = "<|end|>"
    assert tokenizer.unk_token_id == tokenizer.eos_token_id == 261
    assert 261 not in encoder(tokenizer).prompt_ids("Hi <|end|>")


def test_a_special_token_made_of_message_and_template_is_text() -> None:
    ids = encoder(byte_level(bos=True), "<|{text}|>=>").prompt_ids("end")
    assert 261 not in ids
    assert byte_level(bos=True).decode(ids[1:]) == "<|end|>=>"


def test_a_special_token_that_swallows_spaces_stays_the_template_s() -> None:
    tokenizer = byte_level(bos=False)
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken("<|wide|>", lstrip=True, rstrip=True, special=True)]})
    made = encoder(tokenizer, "<|wide|>{text}<|wide|>=>")
    assert made.prompt_ids(" Hi ") == [264, 256, 264, 28, 29]


def test_a_special_token_that_is_a_word_of_the_vocabulary_is_spelt_out() -> None:
    tokenizer = words(["<unk>", "<eos>", "<", "e", "o", "s", ">", "=>", "card", "cad", "Hi"], eos_token="<eos>", unk_token="<unk>")
    assert encoder(tokenizer, "{text} =>").prompt_ids("Hi <eos>") == [10, 2, 3, 4, 5, 6, 7]
    assert encoder(tokenizer, "{text} =>").prompt_ids("unheard of") == [0, 0, 7]


def test_braces_are_text() -> None:
    made = encoder(byte_level(bos=False))
    decoded = byte_level(bos=False).decode(made.prompt_ids("{text} {0} {} %s"))
    assert decoded == "{text} {0} {} %s\n=>"
    assert encoder(byte_level(bos=False), "{0} {text}=>").prompt_ids("Hi")[-3:] == [256, 28, 29]


def test_long_messages_are_cut_at_their_end_alone() -> None:
    # Room for 16 tokens: bos, 9 of the message, "\n", "=", ">", and "▁ca", "d", end of the longest label.
    made = encoder(metaspace(), max_length=16)
    fits = made.encode(Example("Hi" * 9, "card"))
    assert fits.ids == [2, *[18] * 9, 13, 11, 12, 17, 1]
    assert not fits.truncated
    cut = made.encode(Example("Hi" * 9 + " card", "card"))
    assert cut.ids == fits.ids
    assert cut.truncated
    assert made.prompt_ids("Hi" * 1000) == made.prompt_ids("Hi" * 9) == fits.ids[:-2]
    assert made.prompt_ids("Hi" * 1000 + "<eos>") == fits.ids[:-2]


@pytest.mark.parametrize("tokenizer", [byte_level(bos=True), metaspace()], ids=["byte level", "metaspace"])
@settings(deadline=None, max_examples=150)
@given(
    message=ANY_TEXT
    | st.lists(st.sampled_from(["Hi", " ", "<eos>", "<|end|>", "<bos>", "é", "😀", "card", "\n"]), max_size=30).map("".join)
)
def test_any_message_fits_and_leaves_the_template_whole(tokenizer: Any, message: str) -> None:
    made = encoder(tokenizer, "Hi {text}\n=>", max_length=24)
    ids = made.prompt_ids(message)
    assert len(ids) + 3 <= 24
    assert not (set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}) & set(ids[1:])
    shown = tokenizer.decode(ids[1:])
    assert shown.startswith("Hi ")
    assert shown.endswith("\n=>")
    kept = shown.removeprefix("Hi ").removesuffix("\n=>")
    assert message.startswith(kept)
    assert made.encode(Example(message, "card")).truncated == (kept != message)
    assert made.prompt_ids(kept) == ids


def test_a_template_that_leaves_no_room_is_refused() -> None:
    long = PromptConfig(template="Hi" * 11 + TEMPLATE, max_length=18)
    with pytest.raises(StudioError, match="longest intent, 'cad', take 18 tokens, so max_length = 18 leaves no room"):
        PromptEncoder(metaspace(), long).label_set(["card", "cad"])
    PromptEncoder(metaspace(), long.model_copy(update={"max_length": 19})).label_set(["card", "cad"])


def test_prompts_wait_for_the_labels() -> None:
    with pytest.raises(RuntimeError, match="label_set"):
        PromptEncoder(metaspace(), PromptConfig()).prompt_ids("Hi")


@settings(deadline=None, max_examples=100)
@given(name=ANY_TEXT.filter(str.strip))
def test_any_label_survives_bytes(name: str) -> None:
    tokenizer = byte_level(bos=True)
    ids = encoder(tokenizer).label_ids(name)
    assert ids[-1] == 261
    assert tokenizer.decode(ids[:-1]) == " " + name


def test_a_label_named_like_a_special_token_is_text() -> None:
    ids = encoder(metaspace(), labels=("<eos>", "<bos>")).label_ids("<eos>")
    assert ids[-1] == 1
    assert 1 not in ids[:-1]


def test_labels_that_cannot_be_written_are_refused() -> None:
    tokenizer = words(["<unk>", "<eos>", "card", "cad"], eos_token="<eos>", unk_token="<unk>")
    for name in ("cord", "card  cad", "<eos>", "<unk>"):
        with pytest.raises(StudioError, match="cannot write the intent") as caught:
            encoder(tokenizer).label_ids(name)
        assert repr(name) in caught.value.message
    lower = byte_level(bos=False)
    lower.backend_tokenizer.normalizer = normalizers.Lowercase()
    with pytest.raises(StudioError, match="cannot write the intent 'Card': it becomes 'card'"):
        encoder(lower, labels=("card", "Card"))


def test_labels_with_the_same_ids_are_refused() -> None:
    squeezing = byte_level(bos=False)
    squeezing.backend_tokenizer.normalizer = normalizers.Strip()
    with pytest.raises(StudioError, match="become the same tokens"):
        encoder(squeezing, labels=("card", "card "))


def test_unusable_tokenizers_are_refused() -> None:
    with pytest.raises(StudioError, match="no end token"):
        encoder(words(["<unk>", "card"], unk_token="<unk>"))
    slow = metaspace()
    slow.__class__ = type("Slow", (PreTrainedTokenizerFast,), {"is_fast": False})
    with pytest.raises(StudioError, match="no fast form"):
        encoder(slow)
