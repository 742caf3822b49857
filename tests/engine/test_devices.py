"""Which device, which number type and how much memory; other computers are played by stand-ins for torch's own answers."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from studio.core.config import DeviceConfig, Precision
from studio.core.errors import StudioError
from studio.engine import devices
from studio.engine.devices import Compute, PeakMemory, choose_compute

MB = 2**20


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda _major, _minor: True)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 700 * MB)


class Cards:
    """Two CUDA cards, as torch tells of them; index 1 is the one in use."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.chosen: int | None = None
        self.native_bf16 = True
        self.reserved = {0: 0, 1: 300 * MB}
        self.free = {0: 0, 1: 5000 * MB}
        self.peak = {0: 0, 1: 450 * MB}
        self.resets: list[int] = []

        def choose(index: int) -> None:
            self.chosen = index

        def bf16(including_emulation: bool = True) -> bool:
            return including_emulation or self.native_bf16

        answers: dict[str, Callable[..., Any]] = {
            "is_available": lambda: True,
            "device_count": lambda: 2,
            "set_device": choose,
            "current_device": lambda: self.chosen or 0,
            "get_device_name": lambda index: f"Card {index}",
            "is_bf16_supported": bf16,
            "memory_reserved": self.reserved.__getitem__,
            "mem_get_info": lambda index: (self.free[index], 24000 * MB),
            "reset_peak_memory_stats": self.resets.append,
            "max_memory_allocated": self.peak.__getitem__,
        }
        for name, answer in answers.items():
            monkeypatch.setattr(torch.cuda, name, answer)


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Cards:
    return Cards(monkeypatch)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_told(kind: str) -> None:
    with pytest.raises(StudioError) as caught:
        choose_compute(DeviceConfig(kind=kind))  # type: ignore[arg-type]  # parametrised
    assert caught.value.kind == "no_device"
    assert kind.upper() in caught.value.message
    assert "doctor" in caught.value.remedy


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("native", [True, False])
def test_the_cpu_takes_bf16_only_where_it_is_fast(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: native)
    compute = choose_compute(DeviceConfig(), threads=1)
    assert (compute.kind, compute.device.type, compute.name) == ("cpu", "cpu", "CPU, 1 threads")
    assert compute.precision == ("bf16" if native else "fp32")
    assert compute.dtype == (torch.bfloat16 if native else torch.float32)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_given_number_type_is_taken(precision: Precision) -> None:
    assert choose_compute(DeviceConfig(), precision).precision == precision


@pytest.mark.parametrize("device", ["no_gpu", "a_mac"])
def test_fp16_is_for_cuda_and_elsewhere_it_says_what_works(device: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(device)
    with pytest.raises(StudioError, match="fp16 is for CUDA") as caught:
        choose_compute(DeviceConfig(), "fp16")
    assert caught.value.kind == "unsupported_precision"
    assert "'auto'" in caught.value.remedy


def test_fp16_is_computed_on_a_card(cards: Cards) -> None:
    compute = choose_compute(DeviceConfig(index=1), "fp16")
    assert cards.chosen == 1
    assert (compute.kind, compute.precision, compute.dtype) == ("cuda", "fp16", torch.float16)


@pytest.mark.usefixtures("no_gpu")
def test_threads_are_those_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    choose_compute(DeviceConfig(), "fp32")
    assert asked == []
    choose_compute(DeviceConfig(), "fp32", threads=3)
    assert asked == [3]


def test_cpu_memory_is_this_process_and_what_is_left(cpu: Compute) -> None:
    assert cpu.memory_bytes() == pytest.approx(psutil.Process().memory_info().rss, rel=0.05)
    assert 0 < cpu.available_bytes() < psutil.virtual_memory().total


@pytest.mark.usefixtures("a_mac")
def test_a_mac_is_found_and_computes_in_fp32() -> None:
    compute = choose_compute(DeviceConfig())
    assert (compute.kind, compute.device.type, compute.precision) == ("mps", "mps", "fp32")
    assert "Apple" in compute.name
    assert compute.memory_bytes() == 700 * MB
    # Its GPU shares the computer's memory.
    assert compute.available_bytes() == pytest.approx(psutil.virtual_memory().available, rel=0.2)


@pytest.mark.usefixtures("a_mac")
def test_a_mac_takes_bf16_when_told_to() -> None:
    assert choose_compute(DeviceConfig(), "bf16").precision == "bf16"


@pytest.mark.usefixtures("a_mac")
def test_a_mac_that_knows_no_bf16_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda _major, _minor: False)
    with pytest.raises(StudioError, match="bf16") as caught:
        choose_compute(DeviceConfig(), "bf16")
    assert caught.value.kind == "unsupported_precision"
    assert "fp32" in caught.value.remedy


@pytest.mark.usefixtures("a_mac")
def test_a_mac_has_no_peak_counter_so_samples_count(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = PeakMemory(choose_compute(DeviceConfig()))
    assert memory.sample() == 700 * MB
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 900 * MB)
    assert memory.sample() == 900 * MB
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 600 * MB)
    assert memory.sample() == 600 * MB
    assert memory.peak_bytes() == 900 * MB


@pytest.mark.usefixtures("a_mac")
def test_the_cpu_of_a_mac_can_be_chosen() -> None:
    assert choose_compute(DeviceConfig(kind="cpu"), "fp32").device.type == "cpu"


def test_a_card_comes_first_and_is_the_one_asked_for(cards: Cards) -> None:
    compute = choose_compute(DeviceConfig(index=1))
    assert (compute.kind, compute.index, compute.device.type) == ("cuda", 1, "cuda")
    assert cards.chosen == 1
    assert compute.name == "cuda:1 Card 1"
    assert (compute.memory_bytes(), compute.available_bytes()) == (300 * MB, 5000 * MB)


@pytest.mark.parametrize("index", [2, 7])
def test_a_card_that_is_not_there_is_told(cards: Cards, index: int) -> None:
    with pytest.raises(StudioError, match=rf"no CUDA device {index}; this machine has 2") as caught:
        choose_compute(DeviceConfig(kind="cuda", index=index))
    assert caught.value.kind == "no_device"
    assert cards.chosen is None


@pytest.mark.parametrize(
    ("native", "asked", "expected"),
    [(True, "auto", "bf16"), (False, "auto", "fp32"), (True, "fp32", "fp32"), (False, "bf16", "bf16")],
)
def test_a_card_takes_bf16_where_it_multiplies_it_itself(cards: Cards, native: bool, asked: Precision, expected: str) -> None:
    cards.native_bf16 = native
    compute = choose_compute(DeviceConfig(kind="cuda"), asked)
    assert compute.precision == expected
    assert compute.accelerator.mixed_precision == ("bf16" if expected == "bf16" else "no")


def test_a_card_counts_its_own_peak(cards: Cards) -> None:
    memory = PeakMemory(choose_compute(DeviceConfig(index=1)))
    assert cards.resets == [1]
    assert memory.sample() == 300 * MB
    assert memory.peak_bytes() == 450 * MB


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a peak that can be reset")
def test_the_peak_of_a_cpu_is_seen_between_samples_and_forgotten_by_the_next_watch(cpu: Compute) -> None:
    first = PeakMemory(cpu)
    before = first.peak_bytes()
    block = bytearray(200 * MB)
    block[:: 2**12] = b"x" * len(block[:: 2**12])  # every page is touched
    del block
    assert first.peak_bytes() - before == pytest.approx(200 * MB, rel=0.1)
    second = PeakMemory(cpu)
    assert second.peak_bytes() - before < 100 * MB


def test_without_a_counter_the_samples_count(cpu: Compute, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, or in a container whose /proc cannot be written."""

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", refuse)
    memory = PeakMemory(cpu)
    now = [100 * MB, 300 * MB, 200 * MB]
    monkeypatch.setattr(Compute, "memory_bytes", lambda _self: now.pop(0))
    memory.sample()
    memory.sample()
    assert memory.peak_bytes() == 300 * MB


def test_released_models_are_gone(cpu: Compute) -> None:
    model = cpu.prepare_model(torch.nn.Linear(4, 4), training=True)
    alive = weakref.ref(model)
    cpu.release_models()
    assert alive() is model, "somebody still holds it"
    del model
    cpu.release_models()
    assert alive() is None
