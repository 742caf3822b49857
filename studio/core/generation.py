"""Free text: how it is drawn, and how it ended. The descriptions are the one text for tooltips and the command line."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from studio.core.words import counted

LARGEST_SEED = 2**31 - 1

Speaker = Literal["tuned", "base"]
"""Whose answer: the run's model, or the base that it was trained from."""
EndReason = Literal["end_token", "length", "stopped"]
END_WORDS: dict[EndReason, str] = {"end_token": "wrote its end token", "length": "reached the limit", "stopped": "stopped by you"}


class GenerationSettings(BaseModel):
    """How free text is drawn. The same settings and seed give the same text on the same device."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    temperature: float = Field(
        0.7, ge=0, le=5, description="How freely tokens are drawn: 0 always takes the most probable one, 1 draws as the model is."
    )
    top_p: float = Field(
        0.95, gt=0, le=1, description="Draw only from the most probable tokens that together have this share of the probability."
    )
    max_tokens: int = Field(200, ge=1, le=32768, description="End the answer after this many tokens at the latest.")
    seed: int = Field(42, ge=0, le=LARGEST_SEED, description="Decides what is drawn; the same seed gives the same text again.")
    raw: bool = Field(False, description="Let the model go on from the bare message, without the template of the run.")


class GenerationEnd(BaseModel):
    """What is known of a free text once it has ended."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: EndReason
    prompt_tokens: int
    tokens: int
    """Tokens written, the end token left out."""
    seconds: float
    """From the prompt handed in to the last token."""
    cut: bool = False
    """The message was longer than ``max_length`` of the run allows, so its end was not read."""

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


def written_facts(end: GenerationEnd, settings: GenerationSettings) -> str:
    """How a free text came about, in one line."""
    drawn = "greedy"
    if settings.temperature:
        drawn = f"temperature {settings.temperature:g}, top-p {settings.top_p:g}, seed {settings.seed}"
    parts = [counted(end.tokens, "token"), f"{end.tokens_per_second:.1f} tokens/s", END_WORDS[end.reason], drawn]
    return " · ".join([*parts, *(["without the template"] if settings.raw else [])])
