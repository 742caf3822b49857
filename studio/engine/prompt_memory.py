"""The keys and values of the prompts that are being asked about, whoever came or went meanwhile."""

from __future__ import annotations

from collections.abc import Sequence, Set

import torch

from studio.core.batch_sizes import LENGTH_STEP, rounded_up
from studio.engine.token_tree import Memory


class PromptMemory:
    """Each prompt has a slot in one tensor for each layer, which the next prompt takes when its message is done."""

    def __init__(self) -> None:
        self.memory: Memory = {}
        """Keys and values by attention layer, each (slots, heads, length, size); what lies behind a prompt's end is nobody's."""
        self.slots: dict[int, int] = {}
        """By message."""
        self.lengths: dict[int, int] = {}
        """Tokens of each message's prompt."""
        self._free: list[int] = []
        self.length = 0

    @property
    def token_bytes(self) -> int:
        """What a token takes in all layers; 0 until the first prompt was read."""
        return sum(kept.shape[1] * kept.shape[3] * kept.itemsize for pair in self.memory.values() for kept in pair)

    def add(self, messages: Sequence[int], lengths: Sequence[int], read: Memory, left: Set[int]) -> None:
        """``read`` are the keys and values of new ``messages``; of those before only the ones that are ``left`` stay."""
        for message in self.slots.keys() - left:
            self._free.append(self.slots.pop(message))
            del self.lengths[message]
        longest = rounded_up(max(lengths), LENGTH_STEP)
        if longest > self.length or len(messages) > len(self._free):
            self._make_room(len(messages), longest)
        taken = [self._free.pop() for _ in messages]
        self.slots.update(zip(messages, taken, strict=True))
        self.lengths.update(zip(messages, lengths, strict=True))
        for module, new in read.items():
            index = torch.tensor(taken, device=new[0].device)
            if module not in self.memory:
                slots = len(self.slots) + len(self._free)
                self.memory[module] = (
                    new[0].new_zeros(_shape(new[0], slots, self.length)),
                    new[1].new_zeros(_shape(new[1], slots, self.length)),
                )
            for kept, each in zip(self.memory[module], new, strict=True):
                kept[:, :, : each.shape[2]].index_copy_(0, index, each)

    def _make_room(self, new: int, length: int) -> None:
        """Move what is there to tensors with slots for ``new`` messages more, for prompts of up to ``length`` tokens."""
        self.length = max(self.length, length)
        stay = list(self.slots.values())
        slots = len(stay) + new
        for module, pair in self.memory.items():
            moved = []
            for kept in pair:
                room = kept.new_zeros(_shape(kept, slots, self.length))
                room[: len(stay), :, : kept.shape[2]] = kept[stay]
                moved.append(room)
            self.memory[module] = moved[0], moved[1]
        self.slots = {message: slot for slot, message in enumerate(self.slots)}
        self._free = list(range(len(stay), slots))


def _shape(states: torch.Tensor, slots: int, length: int) -> tuple[int, int, int, int]:
    return slots, states.shape[1], length, states.shape[3]
