"""How much is computed at once: the engine keeps to these sizes, and the forecast counts with them."""

from __future__ import annotations

from studio.core.config import RunConfig
from studio.core.machine import DeviceName

# What messages share is computed once for all of a micro-batch, and large matrices are multiplied faster than small ones.
AUTO_MICRO_BATCH: dict[DeviceName, int] = {"cpu": 16, "mps": 16, "cuda": 16}
# Lengths, tokens and graded positions are rounded up to these, so that few shapes differ: on a CPU torch compiles and keeps
# code for each new shape of a bf16 product, gigabytes of it over a few hundred steps.
LENGTH_STEP, NODES_STEP, GRADED_STEP = 8, 16, 16
# Up to this length attention in bf16 on a CPU is computed product by product.
SHORT_LENGTH = 128
# Scores (positions x vocabulary) of a training step whose fp32 copies exist together: on a CPU few enough to stay in its cache.
GRADED_SCORES: dict[DeviceName, int] = {"cpu": 2**20, "mps": 2**26, "cuda": 2**26}
# The same of a classification; the messages that it searches at once, the bytes of their prompts' keys and values, and how many
# tokens of prompts it reads together, or of labels keeps.
PREDICTED_SCORES: dict[DeviceName, int] = {"cpu": 2**20, "mps": 2**26, "cuda": 2**26}
PREDICTED_MESSAGES, PREDICTED_BYTES, PREDICTED_TOKENS = 512, 2**28, 4096


def micro_batch_for(config: RunConfig, device: DeviceName) -> int:
    """Messages computed at once: as configured, or a size that suits the device."""
    chosen = config.training.micro_batch
    return min(config.training.batch_size, AUTO_MICRO_BATCH[device]) if chosen == "auto" else chosen


def with_half_the_micro_batch(config: RunConfig) -> RunConfig | None:
    """What is learnt stays the same; None where a message is computed by itself already, or the size is still open."""
    chosen = config.training.micro_batch
    return None if chosen == "auto" or chosen < 2 else config.with_training(micro_batch=chosen // 2)


def rounded_up(number: int, step: int) -> int:
    """The least multiple of ``step`` that is not below ``number``."""
    return -(-number // step) * step
