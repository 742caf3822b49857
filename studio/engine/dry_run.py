"""The largest batch of a run, tried before its first step: what would run out of memory after an hour does so at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch

from studio.core.errors import StudioError
from studio.core.failures import OUT_OF_MEMORY, is_out_of_memory
from studio.data.prompts import Encoded
from studio.engine.batches import cut_batch
from studio.engine.optimizers import is_paged
from studio.engine.training_state import random_states_kept

Groups = Sequence[Sequence[Encoded]]


def try_largest_batch(
    optimizer: torch.optim.Optimizer, batches: Iterable[Sequence[Encoded]], micro_batch: int, backward: Callable[[Groups], object]
) -> None:
    """Compute the gradient of the largest of ``batches`` as a step does, and leave weights and random states as they were.

    Tried are the one with most tokens, and the one with most places where messages are padded to the longest, as they are in
    attention. Raises StudioError of the kind ``out_of_memory``, which names the batch.
    """
    cut = [cut_batch(batch, micro_batch) for batch in batches]
    tokens, padded = max(cut, key=_most_tokens), max(cut, key=_most_places)
    for groups in [tokens] if tokens is padded else [tokens, padded]:
        _try(optimizer, groups, backward)


def _try(optimizer: torch.optim.Optimizer, groups: Groups, backward: Callable[[Groups], object]) -> None:
    with random_states_kept():
        try:
            backward(groups)
            # Pages are no part of what a GPU runs out of, and bitsandbytes never gives them back.
            if not optimizer.state and not is_paged(optimizer):
                with _optimizer_state(optimizer):
                    backward(groups)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            largest = max(groups, key=_places)
            raise StudioError(
                f"The largest batch of this run does not fit into memory: {len(largest)} messages at once with "
                f"{_tokens(largest):,} tokens, of which the longest has {max(len(row.ids) for row in largest):,}.",
                ("Retry with a smaller micro-batch" if len(largest) > 1 else "Turn on activation checkpointing")
                + ", cut messages shorter, choose LoRA or QLoRA, or close other programs.",
                detail=str(error),
                kind=OUT_OF_MEMORY,
            ) from error
        finally:
            optimizer.zero_grad(set_to_none=True)


@contextmanager
def _optimizer_state(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """The optimizer's state, which a step makes once there are gradients, and which is gone afterwards.

    In that order, as every run does it: the other way round memory has other gaps, an eighth more of full fine-tuning's.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            # Whatever they are: a number that is none would reach the weights.
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.zero_()
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


def _places(group: Sequence[Encoded]) -> int:
    return len(group) * max(len(row.ids) for row in group)


def _most_places(groups: Groups) -> int:
    return max(map(_places, groups))


def _most_tokens(groups: Groups) -> int:
    return max(map(_tokens, groups))
