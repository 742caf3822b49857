"""How full the memory is, each second: other programs, ours, free."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from typing import Any

import psutil
import pynvml  # type: ignore[import-untyped]  # nvidia-ml-py ships no types
from PySide6.QtCore import QObject, QTimer, Signal, SignalInstance, Slot

from studio.core.answers import ModelLoaded
from studio.core.events import Crashed, Event, Heartbeat, RunStarted
from studio.core.machine import DeviceName, device_kind
from studio.supervise.process import LAST_WORDS

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
    device: DeviceName
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

    def follow(self, worker: str, event_received: SignalInstance, ended: SignalInstance | None = None) -> None:
        """Learn from all events of a worker, as ``watch`` does; ``ended``: it is gone, whatever it said last."""
        event_received.connect(lambda event: self.watch(event, worker))
        if ended is not None:
            ended.connect(lambda: self.forget(worker))

    def watch(self, event: Event, worker: str = "") -> None:
        """Learn from a worker's event. ``worker`` tells several workers apart, e.g. training and chat."""
        if isinstance(event, Heartbeat):
            host_bytes = event.host_bytes or event.memory_bytes
            self._workers[worker] = _Worker(event.memory_bytes, host_bytes, event.device, time.monotonic())
        elif isinstance(event, RunStarted | ModelLoaded):
            self._device = event.device.lower()
        elif isinstance(event, (*LAST_WORDS, Crashed)):
            self.forget(worker)

    def forget(self, worker: str) -> None:
        """The worker is gone, or was told to go."""
        self._workers.pop(worker, None)

    @Slot()
    def take(self) -> MemorySample:
        """Measure once, emit and return it."""
        oldest = time.monotonic() - _FRESH_SECONDS
        self._workers = {name: worker for name, worker in self._workers.items() if worker.seen >= oldest}
        ram = psutil.virtual_memory()
        ours_host = int(self._app.memory_info().rss) + sum(worker.host_bytes for worker in self._workers.values())
        host = (int(ram.total), int(ram.total - ram.available), ours_host)
        # Before the first run the card is shown, where there is one.
        card = self._card() if not self._device or self._device.startswith("cuda") else None
        if card is not None:
            name, total, used = card
            sample = _sample(name, total, used, self._held_on("cuda"), host)
        elif device_kind(self._device) == "mps":
            # One memory for CPU and GPU: what the allocator holds is not in the worker's resident bytes.
            on_cpu = sum(worker.host_bytes for worker in self._workers.values() if worker.device != "mps")
            ours = int(self._app.memory_info().rss) + on_cpu + self._held_on("mps")
            sample = _sample("unified memory", host[0], host[1], ours, host)
        else:
            sample = _sample("RAM", host[0], host[1], ours_host, host)
        self.sampled.emit(sample)
        return sample

    def _held_on(self, device: DeviceName) -> int:
        return sum(worker.memory_bytes for worker in self._workers.values() if worker.device == device)

    def _card(self) -> tuple[str, int, int] | None:
        """Name, total and used bytes of the CUDA card in use, or of the first; None without a card or driver."""
        if self._nvml is False:
            return None
        try:
            if self._nvml is None:
                pynvml.nvmlInit()
                self._nvml = True
            index = _card_index(self._device)
            handle = _card_handle(self._device)
            if handle is None:
                return None
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


def _visible_cards() -> list[Any]:
    """NVML's handles of the cards that CUDA sees: NVML counts all of them, CUDA those that CUDA_VISIBLE_DEVICES leaves."""
    cards = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return cards
    visible = []
    for entry in map(str.strip, chosen.split(",")):
        if entry.isdigit():
            found = cards[int(entry) : int(entry) + 1]
        else:
            found = [card for card in cards if entry and pynvml.nvmlDeviceGetUUID(card).startswith(entry)]
        if not found:  # CUDA leaves out an entry it does not know, and all after it
            break
        visible.append(found[0])
    return visible


def _card_handle(device: str) -> Any | None:
    """NVML's handle of "cuda:1 name", or None when CUDA sees no such card."""
    cards, index = _visible_cards(), _card_index(device)
    if index >= len(cards):
        return None
    # CUDA counts the fastest card first and NVML goes by slot, so among different cards the name decides.
    name = device.partition(" ")[2]
    names = [pynvml.nvmlDeviceGetName(card).lower() for card in cards]
    return cards[names.index(name) if name in names and names[index] != name else index]
