"""The training loop, from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path
from typing import Literal

import torch

from studio.core.config import TrainingConfig
from studio.core.errors import StudioError
from studio.core.events import StepsCompleted
from studio.data.prompts import Encoded
from studio.engine.batches import cut_batch, shuffled_batches, steps_per_epoch, supervised_tokens
from studio.engine.devices import Compute, PeakMemory
from studio.engine.dry_run import try_largest_batch
from studio.engine.objective import Objective
from studio.engine.optimizers import make_optimizer, optimizer_for, trained_parameters
from studio.engine.training_state import TrainingState

Wish = Literal["go on", "checkpoint", "pause", "stop"]
Verdict = Literal["go on", "better", "enough", "cut short"]
# fp16 halves the scale of the loss whenever a gradient overflows; below 1 it is not the scale that is wrong.
_LEAST_SCALE = 1.0
_MOST_TRIED = 10_000
"""Batches of which the largest is tried before the first step."""


@dataclass
class TrainingHooks:
    """What the loop tells and asks while it runs."""

    report: Callable[[StepsCompleted], None]
    evaluate: Callable[[int], Verdict]
    """Validate after this step, unless that was done before the run was resumed. "better": the best so far; "enough": no
    further step is worth it; "cut short": a pause was asked for meanwhile."""
    save: Callable[[int, TrainingState], object]
    """Write a checkpoint after this step."""
    wish: Callable[[], Wish] = field(default=lambda: "go on")
    """What the person wants now; "checkpoint" is answered once."""
    tried: Callable[[], object] = field(default=lambda: None)
    """The largest batch was tried."""


def total_steps(rows: int, training: TrainingConfig) -> int:
    """Optimizer steps of a whole run over ``rows`` training messages."""
    steps = math.ceil(steps_per_epoch(rows, training.batch_size) * training.epochs)
    return min(steps, training.max_steps) if training.max_steps else steps


def train(
    model: torch.nn.Module,
    objective: Objective,
    examples: Sequence[Encoded],
    training: TrainingConfig,
    learning_rate: float,
    micro_batch: int,
    compute: Compute,
    memory: PeakMemory,
    hooks: TrainingHooks,
    resumed: Path | None = None,
) -> int:
    """Train until the last step, a stop or a pause; returns the number of steps taken. Raises StudioError on a non-finite update.

    ``resumed`` is the checkpoint to go on from; the model has its weights already. The steps after it are those that would
    have come, to the last bit where the device computes the same thing twice.
    """
    steps = total_steps(len(examples), training)
    per_epoch = steps_per_epoch(len(examples), training.batch_size)
    evaluate_every = per_epoch if training.evaluate_every == "epoch" else training.evaluate_every
    checkpoint_every = evaluate_every if training.checkpoint_every == "evaluation" else training.checkpoint_every
    log_every = _log_interval(training, compute)
    kind, _slow = optimizer_for(training.optimizer, compute.kind)
    optimizer = make_optimizer(model, learning_rate, training.weight_decay, kind)
    schedule = make_schedule(optimizer, training, steps)
    scaler = torch.amp.GradScaler(compute.kind, enabled=compute.precision == "fp16")
    state = TrainingState(model, optimizer, schedule, scaler)
    torch.manual_seed(training.seed)
    done = 0 if resumed is None else state.read(resumed)
    if done and (done % evaluate_every == 0 or done == steps):
        # A pause may have come before this validation was done.
        verdict = hooks.evaluate(done)
        if verdict == "better":
            hooks.save(done, state)
        elif verdict != "go on":
            return done

    model.train()
    if done < steps:
        first = islice(shuffled_batches(examples, training.batch_size, training.seed, done), min(_MOST_TRIED, steps - done))
        try_largest_batch(optimizer, first, micro_batch, partial(backward, objective))
        hooks.tried()
    pending = _Pending(scaled=scaler.is_enabled())
    order = shuffled_batches(examples, training.batch_size, training.seed, done)
    for step in range(done + 1, steps + 1):
        batch = next(order)
        loss = backward(objective, cut_batch(batch, micro_batch), scaler)
        scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(trained_parameters(model), training.max_grad_norm)
        rate = float(schedule.get_last_lr()[0])
        if _step_if_finite(optimizer, norm, scaler):
            schedule.step()
        optimizer.zero_grad(set_to_none=True)
        pending.add(step, loss, norm, sum(len(example.ids) for example in batch))

        wish = hooks.wish()
        validating = wish == "stop" or (wish != "pause" and (step % evaluate_every == 0 or step == steps))
        saving = wish != "go on" or step % checkpoint_every == 0 or step == steps
        if validating or saving or step % log_every == 0:
            # Before anything is kept: it raises when an update was not finite.
            hooks.report(pending.flush(steps, step / per_epoch, rate, memory.sample(), scaler.get_scale()))
        verdict = hooks.evaluate(step) if validating else "go on"
        if saving or verdict != "go on":
            hooks.save(step, state)
        if wish in ("pause", "stop") or verdict in ("enough", "cut short"):
            return step
        if validating or saving:
            model.train()
            pending.restart_clock()
    return steps


def backward(objective: Objective, groups: Sequence[Sequence[Encoded]], scaler: torch.amp.GradScaler | None = None) -> torch.Tensor:
    """Add a batch's gradient to the parameters and return its loss: the mean over all supervised tokens, in nats.

    Each of the ``groups`` it was cut into adds its summed loss divided by the *whole* batch's supervised tokens, so that how a
    batch is cut does not change the gradient (a mean of means would, whenever labels differ in length). A ``scaler``
    multiplies what is added, so that small gradients do not vanish in fp16; the loss that is returned is not scaled.
    """
    supervised = sum(map(supervised_tokens, groups))
    losses = []
    for group in groups:
        loss = objective(group) / supervised
        (loss if scaler is None else scaler.scale(loss)).backward()
        losses.append(loss.detach())
        # The nodes of its graph lie between what the activations leave: the next group would have to be put elsewhere.
        del loss
    return torch.stack(losses).sum()


def make_schedule(optimizer: torch.optim.Optimizer, training: TrainingConfig, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """The share of the peak learning rate at each step: linear warm-up, then cosine, linear or constant."""
    warmup = math.ceil(steps * training.warmup_ratio)

    def share(step: int) -> float:
        if step < warmup:
            return step / warmup
        progress = (step - warmup) / max(1, steps - warmup)
        if training.scheduler == "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))
        return 1 - progress if training.scheduler == "linear" else 1.0

    return torch.optim.lr_scheduler.LambdaLR(optimizer, share)


@dataclass
class _Pending:
    """Steps whose losses are still on the device: reading one back makes the host wait for it."""

    scaled: bool = False
    """In fp16 a gradient that overflows is no fault: that update is left out and the next one scaled less."""
    first: int = 0
    losses: list[torch.Tensor] = field(default_factory=list)
    norms: list[torch.Tensor] = field(default_factory=list)
    tokens: int = 0
    since: float = field(default_factory=time.monotonic)

    def add(self, step: int, loss: torch.Tensor, norm: torch.Tensor, tokens: int) -> None:
        if not self.losses:
            self.first = step
        self.losses.append(loss)
        self.norms.append(norm)
        self.tokens += tokens

    def flush(self, steps: int, epoch: float, rate: float, memory_bytes: int, scale: float) -> StepsCompleted:
        losses = torch.stack(self.losses).tolist()
        norms = torch.stack(self.norms).tolist()
        # Only now have the steps ended: on a GPU they are queued long before they run. So they share the time evenly.
        seconds = (time.monotonic() - self.since) / len(losses)
        for offset, (loss, norm) in enumerate(zip_longest(losses, norms)):
            overflowed = self.scaled and scale >= _LEAST_SCALE
            if not (math.isfinite(loss) and (math.isfinite(norm) or overflowed)):
                raise StudioError(
                    f"Training became unstable: at step {self.first + offset} the loss is {loss:g} and the gradient norm {norm:g}.",
                    "That update was not applied. Lower the learning rate, or use fp32, and train again.",
                    kind="not_finite",
                )
        event = StepsCompleted(
            first_step=self.first,
            losses=losses,
            seconds=[seconds] * len(losses),
            steps=steps,
            epoch=epoch,
            learning_rate=rate,
            # The newest that says something: in fp16 one may have overflowed.
            gradient_norm=next((norm for norm in reversed(norms) if math.isfinite(norm)), math.nan),
            tokens=self.tokens,
            memory_bytes=memory_bytes,
        )
        self.losses, self.norms, self.tokens = [], [], 0
        self.restart_clock()
        return event

    def restart_clock(self) -> None:
        """What happens between steps, such as validation, is no step's time."""
        self.since = time.monotonic()


def _step_if_finite(optimizer: torch.optim.Optimizer, norm: torch.Tensor, scaler: torch.amp.GradScaler) -> bool:
    """Take the step, unless the gradient is not finite, which ends the run at the next report. False: known not to be taken.

    In fp16 it ends no run: the scaler leaves the update out and the learning rate goes on falling.
    """
    if scaler.is_enabled():
        scaler.step(optimizer)
        scaler.update()
        return True
    if norm.device.type == "cuda" and isinstance(optimizer, torch.optim.AdamW):
        # torch's fused AdamW skips the update on the device when found_inf is set, so the host need not wait for the norm.
        optimizer.found_inf = (~torch.isfinite(norm)).float()  # type: ignore[attr-defined]  # as torch.amp.GradScaler sets it
        optimizer.step()
        return True
    if not bool(torch.isfinite(norm)):
        return False
    optimizer.step()
    return True


def _log_interval(training: TrainingConfig, compute: Compute) -> int:
    if training.log_every != "auto":
        return training.log_every
    return 10 if compute.kind == "cuda" else 1
