"""The largest batch of a run, tried before its first step: what would run out of memory after an hour does so in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch

from studio.core.errors import StudioError
from studio.core.failures import OUT_OF_MEMORY, is_out_of_memory
from studio.data.prompts import Encoded
from studio.engine.batches import cut_batch
from studio.engine.training_state import random_states_kept

Groups = Sequence[Sequence[Encoded]]


def try_largest_batch(
    optimizer: torch.optim.Optimizer, batches: Iterable[Sequence[Encoded]], micro_batch: int, backward: Callable[[Groups], object]
) -> None:
    """Compute the gradient of the largest of ``batches`` as a step does, and leave weights and random states as they were.

    Raises StudioError of the kind ``out_of_memory``, which names the batch.
    """
    groups = max((cut_batch(batch, micro_batch) for batch in batches), key=_most_tokens)
    with random_states_kept():
        try:
            with _optimizer_state(optimizer):
                backward(groups)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            largest = max(groups, key=_tokens)
            raise StudioError(
                f"The largest batch of this run does not fit into memory: {len(largest)} messages at once with "
                f"{_tokens(largest):,} tokens, of which the longest has {max(len(row.ids) for row in largest):,}.",
                "Retry with a smaller micro-batch, cut messages shorter, choose LoRA or QLoRA, or close other programs.",
                detail=str(error),
                kind=OUT_OF_MEMORY,
            ) from error
        finally:
            optimizer.zero_grad(set_to_none=True)


@contextmanager
def _optimizer_state(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """The optimizer's state, which the first step makes, is there already, and gone afterwards."""
    if optimizer.state:
        yield
        return
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    rates = [group["lr"] for group in optimizer.param_groups]
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    for group in optimizer.param_groups:
        group["lr"] = 0.0  # a step of this length moves no weight, decay included
    try:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield
    finally:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        optimizer.state.clear()


def _tokens(group: Sequence[Encoded]) -> int:
    return sum(len(row.ids) for row in group)


def _most_tokens(groups: Groups) -> int:
    return max(map(_tokens, groups))
