"""Free text from a model, token by token.

An own loop over the cache instead of transformers' ``generate``: it calls the model as classification does (in fp32, under
accelerate's autocast on CUDA), draws from a generator of its own, stops between two tokens, and no setting that lies in a
model's folder (Gemma's top_k, for one) has a say in it. Greedily it writes what ``generate(do_sample=False)`` writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

import torch

from studio.core.errors import StudioError
from studio.core.generation import EndReason, GenerationEnd, GenerationSettings
from studio.data.prompts import Tokenizer
from studio.engine.classify import predicting

_LOOKED_AT = 256
_UNDECODED = "\N{REPLACEMENT CHARACTER}"


def generate(
    model: torch.nn.Module,
    prompt: Sequence[int],
    settings: GenerationSettings,
    device: torch.device,
    *,
    end_tokens: Collection[int],
    longest: int,
    on_token: Callable[[int], object],
    should_stop: Callable[[], bool] = lambda: False,
) -> GenerationEnd:
    """Write on from ``prompt`` (token ids) and tell ``on_token`` each id but the end token's.

    ``longest`` is the number of tokens, prompt included, that the model can read. Raises StudioError when its scores are
    no numbers.
    """
    began = time.monotonic()
    chooser = _Chooser(settings)
    most = min(settings.max_tokens, longest - len(prompt))
    ids, cache, written = torch.tensor([list(prompt)], device=device), None, 0
    reason: EndReason = "length"
    with predicting(model):
        while written < most:
            if should_stop():
                reason = "stopped"
                break
            read = len(prompt) + written - ids.shape[1]
            positions = torch.arange(read, read + ids.shape[1], device=device)[None]
            outputs = model(input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = outputs.past_key_values
            token = chooser.choose(outputs.logits[0, -1])
            if token in end_tokens:
                reason = "end_token"
                break
            written += 1
            on_token(token)
            ids = torch.tensor([[token]], device=device)
    return GenerationEnd(reason=reason, prompt_tokens=len(prompt), tokens=written, seconds=time.monotonic() - began)


class _Chooser:
    """Takes the next token from its scores."""

    def __init__(self, settings: GenerationSettings) -> None:
        self._settings = settings
        # On the CPU whatever the device: there it gives the same numbers everywhere.
        self._random = torch.Generator().manual_seed(settings.seed)

    def choose(self, scores: torch.Tensor) -> int:
        """``scores``: (vocabulary,)."""
        scores = scores.float()
        best = scores.max()
        if not torch.isfinite(best):
            raise StudioError(
                "The model's scores are no numbers, so no text can be written.", "Train it again with a lower learning rate."
            )
        if self._settings.temperature == 0:
            return int(scores.argmax())
        # The best score taken off first: divided by a small temperature it would overflow.
        shares, tokens = _nucleus(((scores - best) / self._settings.temperature).softmax(-1), self._settings.top_p)
        # In fp64: rounded up to the whole sum, a number would stand for a token that cannot be.
        sums = shares.cpu().double().cumsum(-1)
        drawn = torch.rand(1, generator=self._random, dtype=torch.float64) * sums[-1]
        return int(tokens[int(torch.searchsorted(sums, drawn, right=True))])


def _nucleus(shares: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The fewest most probable tokens that reach ``top_p`` together, at least one: shares and ids (Holtzman et al., 2020)."""
    if top_p == 1:
        return shares, torch.arange(len(shares), device=shares.device)
    # Sorting all of Gemma's 262,144 tokens takes longer than computing their scores; a few hundred are nearly always enough.
    looked_at = _LOOKED_AT
    while True:
        likely, tokens = shares.topk(min(looked_at, len(shares)))
        sums = likely.cumsum(-1)
        if looked_at >= len(shares) or float(sums[-1]) >= top_p:
            break
        looked_at *= 8
    kept = max(1, int((sums - likely < top_p).sum()))  # those before which it is not reached
    return likely[:kept], tokens[:kept]


class TextStream:
    """Token ids → pieces of text, none of which ends within a character.

    The way of Hugging Face's text-generation-inference: what is new is decoded together with the tokens of the piece
    before, so that a space that belongs to a token is kept, and what is half decoded waits. tokenizers' own DecodeStream
    (0.23) raises on bytes that are no UTF-8 when the tokenizer falls back to bytes, as Gemma's does.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._before, self._new = list(prompt), list[int]()

    def add(self, token: int) -> str:
        """What can be told now that ``token`` is there; often nothing."""
        self._new.append(token)
        piece = self._undone()
        if not piece or piece.endswith(_UNDECODED):
            return ""
        self._before, self._new = self._new, []
        return piece

    def rest(self) -> str:
        """What is left at the end; a character that was never finished is left out."""
        return self._undone().rstrip(_UNDECODED)

    def _undone(self) -> str:
        return self._decoded(self._before + self._new)[len(self._decoded(self._before)) :]

    def _decoded(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
