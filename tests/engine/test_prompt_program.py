"""The lines of a model card that make a prompt: run as they stand, they give the ids that training saw."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from studio.core.config import PromptConfig
from studio.data.prompts import PromptEncoder
from studio.engine.cards import prompt_program
from tests.data.small_tokenizers import byte_level
from tests.data.test_chat_templates import INSTRUCTIONS, LLAMA3, SHAPES, chat

FORCED_THOUGHTS = """{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}
{%- if add_generation_prompt %}<|user|><think>{% endif %}"""
RAISES_WHEN_ASKED = """{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}
{%- if add_generation_prompt %}{{ raise_exception('no') }}{% endif %}"""


@pytest.mark.parametrize(
    ("make", "prompt", "way"),
    [
        (SHAPES["gemma"][0], {}, "add_generation_prompt=True, return_dict"),
        (SHAPES["chatml with thoughts"][0], {}, "enable_thinking=False"),
        # The date that a Llama writes is that of the day on which it is asked.
        (lambda: chat(LLAMA3, "<|head|>", "<|/head|>", "<|eot|>"), {}, "add_special_tokens=False"),
        (lambda: chat(INSTRUCTIONS), {}, "apply_chat_template"),
        (lambda: chat(FORCED_THOUGHTS), {}, "tokenizer(prompt, return_tensors"),
        (lambda: chat(RAISES_WHEN_ASKED), {}, "tokenizer(prompt, return_tensors"),
        (SHAPES["gemma"][0], {"use_chat_template": False}, "tokenizer(prompt, return_tensors"),
        (lambda: byte_level(bos=True), {}, "tokenizer(prompt, return_tensors"),
        (lambda: byte_level(bos=True), {"template": "<|begin|>{text} => "}, "add_special_tokens=False"),
        (lambda: byte_level(bos=False), {}, "tokenizer(prompt, return_tensors"),
    ],
)
def test_it_gives_the_ids_of_training(make: Any, prompt: dict[str, Any], way: str) -> None:
    tokenizer = make()
    config = PromptConfig.model_validate({"template": "Hi {text}\n'=>'", **prompt})
    encoder = PromptEncoder(tokenizer, config)
    encoder.label_set(["card", "cad"])
    program = "\n".join(prompt_program(tokenizer, encoder, config))
    assert way in program
    scope: dict[str, Any] = {"tokenizer": tokenizer, "model": SimpleNamespace(device="cpu")}
    exec(program.replace("'the message'", "'my \"card\"'"), scope)
    assert scope["inputs"]["input_ids"].tolist() == [encoder.prompt_ids('my "card"')]
