"""Where to compute: device, number type, threads and what memory they hold."""

from __future__ import annotations

import ctypes
import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import torch
from accelerate import Accelerator
from accelerate.utils.memory import clear_device_cache

from studio.core.config import DeviceConfig, Precision
from studio.core.errors import StudioError
from studio.core.machine import cpu_has_bf16
from studio.engine.matmul import multiply_with_onednn

Kind = Literal["cpu", "cuda", "mps"]


@dataclass(frozen=True)
class Compute:
    """A device that was chosen, with accelerate's wrapping for it."""

    accelerator: Accelerator
    kind: Kind
    index: int
    precision: Literal["fp32", "bf16", "fp16"]

    @property
    def device(self) -> torch.device:
        device: torch.device = self.accelerator.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the arithmetic, and of frozen weights."""
        return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision, torch.float32)

    @property
    def name(self) -> str:
        if self.kind == "cuda":
            return f"cuda:{self.index} {torch.cuda.get_device_name(self.index)}"
        return "Apple GPU (mps)" if self.kind == "mps" else f"CPU, {torch.get_num_threads()} threads"

    def memory_bytes(self) -> int:
        """Bytes held now: the allocator's on CUDA and MPS, the process's resident set on a CPU."""
        if self.kind == "cuda":
            return int(torch.cuda.memory_reserved(self.index))
        if self.kind == "mps":
            return int(torch.mps.driver_allocated_memory())
        return int(psutil.Process().memory_info().rss)

    def available_bytes(self) -> int:
        """Bytes that this process could still take."""
        if self.kind == "cuda":
            return int(torch.cuda.mem_get_info(self.index)[0])
        return int(psutil.virtual_memory().available)

    def prepare_model(self, model: torch.nn.Module, *, training: bool) -> torch.nn.Module:
        """accelerate's wrapping: placement, autocast around ``forward``, scores returned as fp32."""
        prepared: torch.nn.Module = self.accelerator.prepare_model(model, evaluation_mode=not training)
        return prepared

    def release_models(self) -> None:
        """Give back the memory of prepared models that nobody else holds; accelerate remembers each of them."""
        self.accelerator.free_memory()
        # accelerate collects garbage before it forgets the models, which prepared ones are: they refer to themselves.
        clear_device_cache(garbage_collection=True)


def choose_compute(device: DeviceConfig, precision: Precision = "auto", threads: int | Literal["auto"] = "auto") -> Compute:
    """Pick the device that is asked for, or the best there is. Raises StudioError when it is not there."""
    kind = _choose_kind(device)
    if kind == "cuda":
        if device.index >= torch.cuda.device_count():
            raise StudioError(
                f"There is no CUDA device {device.index}; this machine has {torch.cuda.device_count()}.",
                "Set device.index to one of them, counted from 0.",
                kind="no_device",
            )
        torch.cuda.set_device(device.index)
    if threads != "auto":
        torch.set_num_threads(threads)
    if kind == "cpu":
        multiply_with_onednn()
    chosen = _choose_precision(kind, precision)
    try:
        accelerator = Accelerator(cpu=kind == "cpu", mixed_precision="no" if chosen == "fp32" else chosen)
    except ValueError as error:
        raise StudioError(
            f"This {kind.upper()} device cannot compute in {chosen}.",
            "Set training.precision to 'fp32' or 'auto'.",
            detail=str(error),
            kind="unsupported_precision",
        ) from error
    return Compute(accelerator, kind, device.index, chosen)


class PeakMemory:
    """The largest memory use since it was made, in bytes.

    CUDA counts its own allocations; Linux keeps a high-water mark that can be reset (VmHWM, proc(5)); elsewhere the
    caller's samples are all there is.
    """

    def __init__(self, compute: Compute) -> None:
        self._compute = compute
        self._sampled = 0
        self._resettable = False
        gc.collect()
        if compute.kind == "cuda":
            torch.cuda.reset_peak_memory_stats(compute.index)
        elif compute.kind == "cpu":
            trim_heap()
            try:
                Path("/proc/self/clear_refs").write_text("5")
                self._resettable = True
            except OSError:
                self._resettable = False

    def sample(self) -> int:
        """Memory in use now; remembered if it is the largest so far."""
        now = self._compute.memory_bytes()
        self._sampled = max(self._sampled, now)
        return now

    def peak_bytes(self) -> int:
        if self._compute.kind == "cuda":
            return int(torch.cuda.max_memory_allocated(self._compute.index))
        self.sample()
        if self._resettable:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return self._sampled


def trim_heap() -> None:
    """Give freed memory back to the system, where glibc can; what loading left would count as training's otherwise."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return


def _choose_kind(device: DeviceConfig) -> Kind:
    present: dict[Kind, bool] = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device.kind == "auto":
        return next(kind for kind, there in present.items() if there)
    if not present[device.kind]:
        raise StudioError(
            f"This machine offers torch no {device.kind.upper()} device.",
            "Set device.kind to 'auto', or run `finetune-studio doctor` to see why it is not found.",
            kind="no_device",
        )
    return device.kind


def _choose_precision(kind: Kind, precision: Precision) -> Literal["fp32", "bf16", "fp16"]:
    if precision == "fp16" and kind != "cuda":
        # A CPU computes it by way of fp32; on MPS torch's loss scaling is not tried here, and scores are predicted in fp32.
        here = "this CPU" if kind == "cpu" else "the Apple GPU"
        raise StudioError(
            f"fp16 is for CUDA devices: on {here} it would be no faster and less exact.",
            "Set training.precision to 'auto', which takes the best that this device has, or to 'fp32'.",
            kind="unsupported_precision",
        )
    if precision != "auto":
        return precision
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if kind == "cpu":
        # Without native instructions bf16 is emulated and slower than fp32.
        return "bf16" if cpu_has_bf16() else "fp32"
    return "fp32"
