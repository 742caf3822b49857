"""How full the memory is, each second: other programs, ours, free."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass

import psutil
import pynvml  # type: ignore[import-untyped]  # nvidia-ml-py ships no types
from PySide6.QtCore import QObject, QTimer, Signal, Slot

from studio.core.events import FINAL_EVENTS, Event, Heartbeat, ModelLoaded, RunStarted

INTERVAL_MS = 1000
# A worker sends a heartbeat every two seconds; one that has missed this many is gone or its memory is unknown.
_FRESH_SECONDS = 7.0


@dataclass(frozen=True)
class MemorySample:
    """Bytes. ``total`` = ``ours`` + ``others`` + ``free`` of the memory that training uses; ``host_*`` are the RAM."""

    device: str
    """What ``total`` is the memory of, e.g. "cuda:0 NVIDIA GeForce RTX 3090" or "RAM"."""
    total: int
    ours: int
    others: int
    free: int
    host_total: int
    host_used: int
    ours_host: int


@dataclass
class _Worker:
    memory_bytes: int
    host_bytes: int
    seen: float


class MemoryGauge(QObject):
    """Samples the memory of the device in use: a CUDA card through NVML, else the RAM (on a Mac the GPU's too).

    What is ours on a card is what the workers say of themselves: NVML often cannot tell per process.
    """

    sampled = Signal(object)
    """A MemorySample."""

    def __init__(self, parent: QObject | None = None, interval_ms: int = INTERVAL_MS) -> None:
        super().__init__(parent)
        self._device = ""
        self._workers: dict[str, _Worker] = {}
        self._nvml: bool | None = None  # not tried yet
        self._app = psutil.Process()
        self._timer = QTimer(self)
        self._timer.setInterval(interval_ms)
        self._timer.timeout.connect(self.take)

    def start(self) -> None:
        """Sample now and then each second."""
        self.take()
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def watch(self, event: Event, worker: str = "") -> None:
        """Learn from a worker's event. ``worker`` tells several workers apart, e.g. training and chat."""
        if isinstance(event, Heartbeat):
            self._workers[worker] = _Worker(event.memory_bytes, event.host_bytes or event.memory_bytes, time.monotonic())
        elif isinstance(event, RunStarted | ModelLoaded):
            self._device = event.device.lower()
        elif isinstance(event, FINAL_EVENTS):
            self._workers.pop(worker, None)

    @Slot()
    def take(self) -> MemorySample:
        """Measure once, emit and return it."""
        oldest = time.monotonic() - _FRESH_SECONDS
        self._workers = {name: worker for name, worker in self._workers.items() if worker.seen >= oldest}
        ram = psutil.virtual_memory()
        ours_host = int(self._app.memory_info().rss) + sum(worker.host_bytes for worker in self._workers.values())
        ours_device = sum(worker.memory_bytes for worker in self._workers.values())
        host = (int(ram.total), int(ram.total - ram.available), ours_host)
        # Before the first run the card is shown, where there is one.
        card = self._card() if not self._device or self._device.startswith("cuda") else None
        if card is not None:
            name, total, used = card
            sample = _sample(name, total, used, ours_device, host)
        elif "mps" in self._device:
            # One memory for CPU and GPU: what the allocator holds is not in the worker's resident bytes.
            sample = _sample("unified memory", host[0], host[1], int(self._app.memory_info().rss) + ours_device, host)
        else:
            sample = _sample("RAM", host[0], host[1], ours_host, host)
        self.sampled.emit(sample)
        return sample

    def _card(self) -> tuple[str, int, int] | None:
        """Name, total and used bytes of the CUDA card in use, or of the first; None without a card or driver."""
        if self._nvml is False:
            return None
        try:
            if self._nvml is None:
                pynvml.nvmlInit()
                self._nvml = True
            index = _card_index(self._device)
            handle = pynvml.nvmlDeviceGetHandleByIndex(_physical_index(index))
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            return f"cuda:{index} {pynvml.nvmlDeviceGetName(handle)}", int(memory.total), int(memory.used)
        except pynvml.NVMLError:
            self._nvml = False
            return None


def _sample(device: str, total: int, used: int, ours: int, host: tuple[int, int, int]) -> MemorySample:
    # Shared pages and files in the page cache are resident without counting as used.
    ours = min(ours, total)
    others = max(0, min(used, total) - ours)
    return MemorySample(device, total, ours, others, total - ours - others, *host)


def _card_index(device: str) -> int:
    found = re.match(r"cuda:(\d+)", device)
    return int(found[1]) if found else 0


def _physical_index(index: int) -> int:
    """NVML counts all cards, CUDA those that CUDA_VISIBLE_DEVICES leaves."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return int(visible[index]) if index < len(visible) and visible[index].strip().isdigit() else index
