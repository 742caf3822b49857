"""Encoded examples cut into batches of tensors, in a seeded order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from studio.core.batch_sizes import LENGTH_STEP, rounded_up
from studio.data.prompts import Encoded


@dataclass(frozen=True)
class PaddedBatch:
    """Messages that are computed together, padded on the right.

    ``ids`` (messages, length) token ids; ``graded`` (messages, length) True at the positions whose *next* token is supervised,
    which is where the head has to score; ``targets`` (graded positions,) those next tokens, message by message.
    """

    ids: torch.Tensor
    graded: torch.Tensor
    targets: torch.Tensor


def steps_per_epoch(rows: int, batch_size: int) -> int:
    return math.ceil(rows / batch_size)


def supervised_tokens(examples: Sequence[Encoded]) -> int:
    return sum(sum(example.supervised) for example in examples)


def cut_batch(examples: Sequence[Encoded], micro_batch: int) -> list[Sequence[Encoded]]:
    """One batch in groups of at most ``micro_batch`` messages of similar length, which changes nothing learnt."""
    by_length = sorted(examples, key=lambda example: len(example.ids))
    return [by_length[start : start + micro_batch] for start in range(0, len(by_length), micro_batch)]


def padded_batch(examples: Sequence[Encoded], device: torch.device, longest: int) -> PaddedBatch:
    """Messages padded to the longest of them, rounded up, but not above ``longest``."""
    length = min(longest, rounded_up(max(len(example.ids) for example in examples), LENGTH_STEP))
    # Causal attention never looks right, so what stands in the padding cannot reach a graded position: any id will do.
    ids = torch.zeros(len(examples), length, dtype=torch.long)
    graded = torch.zeros(len(examples), length, dtype=torch.bool)
    for row, example in enumerate(examples):
        size = len(example.ids)
        ids[row, :size] = torch.tensor(example.ids)
        graded[row, : size - 1] = torch.tensor(example.supervised[1:])
    targets = ids.roll(-1, dims=1)[graded]
    return PaddedBatch(ids.to(device), graded.to(device), targets.to(device))


def shuffled_batches(examples: Sequence[Encoded], batch_size: int, seed: int, done: int = 0) -> Iterator[list[Encoded]]:
    """Batches without end: every epoch is one pass in a new order, which ``seed`` and the epoch's number decide.

    The first ``done`` batches are left out: they were taken before the run was resumed.
    """
    epoch, taken = divmod(done, steps_per_epoch(len(examples), batch_size))
    while True:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(examples), generator=generator).tolist()
        for start in range(taken * batch_size, len(order), batch_size):
            yield [examples[index] for index in order[start : start + batch_size]]
        epoch, taken = epoch + 1, 0
