"""Encoded examples cut into batches of tensors, in a seeded order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from studio.data.prompts import Encoded

_LENGTH_STEP = 8


@dataclass(frozen=True)
class MicroBatch:
    """Rows that are computed together, padded on the right.

    ``ids`` (rows, length) token ids; ``graded`` (rows, length) True at the positions whose *next* token is supervised,
    which is where the head has to score; ``targets`` (graded positions,) those next tokens, row by row; ``tokens`` how
    many ids are no padding.
    """

    ids: torch.Tensor
    graded: torch.Tensor
    targets: torch.Tensor
    tokens: int


@dataclass(frozen=True)
class Batch:
    """One optimizer step's examples. ``supervised`` counts its graded tokens over all micro-batches."""

    micro_batches: list[MicroBatch]
    supervised: int
    tokens: int


def steps_per_epoch(rows: int, batch_size: int) -> int:
    return math.ceil(rows / batch_size)


def make_batch(examples: Sequence[Encoded], micro_batch: int, device: torch.device, longest: int) -> Batch:
    """Cut one batch into micro-batches of similar length, which wastes less on padding and changes nothing learnt.

    Lengths are rounded up, but not above ``longest``, so that few differ: on a CPU torch compiles and keeps code for each
    new shape of a bf16 product, gigabytes of it over a few hundred steps.
    """
    by_length = sorted(examples, key=lambda example: len(example.ids))
    groups = [by_length[start : start + micro_batch] for start in range(0, len(by_length), micro_batch)]
    cut = [make_micro_batch(group, device, min(longest, _rounded(len(group[-1].ids)))) for group in groups]
    return Batch(cut, sum(len(micro.targets) for micro in cut), sum(micro.tokens for micro in cut))


def padded_batch(examples, device, longest):
    return make_micro_batch(examples, device, min(longest, _rounded(max(len(e.ids) for e in examples))))

def make_micro_batch(examples: Sequence[Encoded], device: torch.device, length: int) -> MicroBatch:
    """Rows padded to ``length``, which no row exceeds."""
    # Causal attention never looks right, so what stands in the padding cannot reach a graded position: any id will do.
    ids = torch.zeros(len(examples), length, dtype=torch.long)
    graded = torch.zeros(len(examples), length, dtype=torch.bool)
    for row, example in enumerate(examples):
        size = len(example.ids)
        ids[row, :size] = torch.tensor(example.ids)
        graded[row, : size - 1] = torch.tensor(example.supervised[1:])
    targets = ids.roll(-1, dims=1)[graded]
    tokens = sum(len(example.ids) for example in examples)
    return MicroBatch(ids.to(device), graded.to(device), targets.to(device), tokens)


def _rounded(length: int) -> int:
    return -(-length // _LENGTH_STEP) * _LENGTH_STEP


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
