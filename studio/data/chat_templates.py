"""What stands around a message and its answer: the template of run.toml alone, or a turn of the model's own chat template.

A chat template is a program in Jinja that came with the model. transformers runs it in a sandbox without files, imports
or Python's inner parts, and this happens in the worker process alone. It is run once with stand-ins for message and
answer, so no message can be taken for a part of the template, and training and prediction get the same frame.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from studio.core.config import SLOT, PromptConfig
from studio.core.errors import StudioError

# Private-use characters: no template looks for them, and what is trimmed around them is not a message's own.
_MESSAGE, _ANSWER = "\ue000message\ue001", "\ue000answer\ue001"
# Some templates write the date of today. A model would then be asked otherwise tomorrow than it was trained today, so the
# date is always the one that Llama 3's template names where there is no clock.
_STILL_CLOCK = "{% macro strftime_now(format) %}26 Jul 2024{% endmacro %}{{ '' }}"
_REMEDY = "Set use_chat_template = false to have the prompt written as it stands, or choose another model."


class Frame(NamedTuple):
    """Text before the message, between message and answer, and after the answer.

    ``separator`` is the whitespace between the prompt and its answer that is graded with the answer, because tokenizers
    join a space to the word behind it.
    """

    head: str
    tail: str
    separator: str
    after: str


def uses_chat_template(tokenizer: Any, prompt: PromptConfig) -> bool:
    """Whether messages become turns of a chat: as configured, or where the tokenizer has a template for it.

    Raises StudioError when one is asked for that the tokenizer does not have.
    """
    present = bool(getattr(tokenizer, "chat_template", None))
    if prompt.use_chat_template is True and not present:
        raise StudioError(
            "This model's tokenizer has no chat template, and use_chat_template = true asks for one.",
            'Set use_chat_template to "auto" or false, or choose an instruct model.',
            kind="bad_chat_template",
        )
    return present and prompt.use_chat_template is not False


def plain_frame(template: str) -> Frame:
    """The template alone. The whitespace that ends it, or one space, belongs to the answer."""
    head, _, rest = template.partition(SLOT)
    tail = rest.rstrip()
    return Frame(head, tail, rest[len(tail) :] or " ", "")


def chat_frame(tokenizer: Any, template: str) -> Frame:
    """The template as a user's turn, the answer as the assistant's. Raises StudioError when the model's template fails.

    The prompt is what the model's template writes before a finished answer. Where that differs from what it writes to have
    an answer generated (an opened block for thoughts, for one), a label is no thought, so the former is right.
    """
    turns = [
        {"role": "user", "content": template.rstrip().replace(SLOT, _MESSAGE)},
        {"role": "assistant", "content": _ANSWER},
    ]
    try:
        program = str(tokenizer.get_chat_template())
        if "strftime_now" in program:
            program = _STILL_CLOCK + program
        rendered = str(tokenizer.apply_chat_template(turns, chat_template=program, tokenize=False))
    except MemoryError:
        raise
    except Exception as error:  # a template may raise whatever it likes
        raise StudioError(
            f"This model's chat template cannot write a message and its answer: {error}.",
            _REMEDY,
            kind="bad_chat_template",
            detail=f"{type(error).__name__}: {error}",
        ) from error
    head, found, rest = rendered.partition(_MESSAGE)
    between, answered, after = rest.partition(_ANSWER)
    if not (found and answered) or _MESSAGE in rest or _ANSWER in after:
        raise StudioError(
            "This model's chat template does not write the message once and its answer once behind it.",
            _REMEDY,
            kind="bad_chat_template",
            detail=rendered.replace(_MESSAGE, SLOT).replace(_ANSWER, "{answer}"),
        )
    tail = between.rstrip(" ")
    return Frame(head, tail, between[len(tail) :], after)
