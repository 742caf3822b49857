"""The memory gauge: its parts add up, and the figures of workers come and go."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pynvml
import pytest
from pytestqt.qtbot import QtBot

from studio.core.answers import Exported
from studio.core.events import Crashed, Finished, Heartbeat, RunStarted
from studio.supervise import gauges
from studio.supervise.gauges import MemoryGauge

GIB = 2**30


def started(device: str) -> RunStarted:
    return RunStarted(
        run="r",
        device=device,
        precision="fp32",
        trainable_parameters=1,
        total_parameters=1,
        forecast_bytes=1,
        total_steps=1,
        train_rows=1,
        validation_rows=1,
        test_rows=1,
    )


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda handle: f"GPU-{handle}abc")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda handle: f"Card {handle}")
    monkeypatch.setattr(
        pynvml, "nvmlDeviceGetMemoryInfo", lambda handle: SimpleNamespace(total=24 * GIB, used=(handle + 1) * 5 * GIB)
    )


@pytest.mark.usefixtures("no_card")
def test_without_a_card_it_shows_ram(qtbot: QtBot) -> None:
    gauge = MemoryGauge()
    before = gauge.take()
    assert before.device == "RAM"
    assert before.total == before.host_total == psutil.virtual_memory().total
    assert before.ours + before.others + before.free == before.total
    assert before.ours == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    gauge.watch(Heartbeat(memory_bytes=GIB, host_bytes=GIB))
    with qtbot.waitSignal(gauge.sampled) as sampled:
        gauge.take()
    assert sampled.args[0].ours - before.ours == pytest.approx(GIB, rel=0.05)


@pytest.mark.usefixtures("no_card")
def test_two_workers_are_added_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    gauge = MemoryGauge()
    alone = gauge.take().ours
    gauge.watch(Heartbeat(memory_bytes=GIB), worker="training")
    gauge.watch(Heartbeat(memory_bytes=GIB), worker="chat")
    assert gauge.take().ours - alone == pytest.approx(2 * GIB, rel=0.05)
    gauge.watch(Finished(outcome="completed"), worker="training")
    assert gauge.take().ours - alone == pytest.approx(GIB, rel=0.05)
    now = gauges.time.monotonic()
    monkeypatch.setattr(gauges.time, "monotonic", lambda: now + 60)
    assert gauge.take().ours == pytest.approx(alone, rel=0.2)


@pytest.mark.usefixtures("two_cards")
def test_a_card_shows_the_workers_own_figure() -> None:
    gauge = MemoryGauge()
    gauge.watch(started("cuda:1 Card 1"))
    gauge.watch(Heartbeat(memory_bytes=3 * GIB, host_bytes=GIB, device="cuda"))
    gauge.watch(Heartbeat(memory_bytes=GIB // 2, host_bytes=GIB // 2), worker="data")
    sample = gauge.take()
    assert sample.device == "cuda:1 Card 1"
    assert (sample.total, sample.ours, sample.others, sample.free) == (24 * GIB, 3 * GIB, 7 * GIB, 14 * GIB)
    assert sample.host_total == psutil.virtual_memory().total
    assert sample.ours_host > GIB


@pytest.mark.usefixtures("two_cards")
@pytest.mark.parametrize(
    ("visible", "shown"),
    [("1", "cuda:0 Card 1"), ("1,0", "cuda:0 Card 1"), ("GPU-1", "cuda:0 Card 1"), ("", "RAM"), ("-1", "RAM"), ("7", "RAM")],
)
def test_hidden_cards_are_not_counted(visible: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert MemoryGauge().take().device == shown


@pytest.mark.usefixtures("two_cards")
def test_a_card_is_known_by_its_name_where_cuda_counts_otherwise() -> None:
    gauge = MemoryGauge()
    gauge.watch(started("cuda:0 Card 1"))
    assert gauge.take().ours + gauge.take().others == 10 * GIB


@pytest.mark.usefixtures("no_card")
def test_a_worker_that_is_told_to_go_no_longer_counts() -> None:
    gauge = MemoryGauge()
    alone = gauge.take().ours
    for ending in (Exported.model_construct(), Crashed.model_construct()):
        gauge.watch(Heartbeat(memory_bytes=GIB), worker="export")
        gauge.watch(ending, worker="export")
        assert gauge.take().ours == pytest.approx(alone, rel=0.2)
    gauge.watch(Heartbeat(memory_bytes=GIB), worker="chat")
    gauge.forget("chat")
    assert gauge.take().ours == pytest.approx(alone, rel=0.2)


@pytest.mark.usefixtures("two_cards")
def test_a_run_on_the_cpu_shows_ram_beside_a_card() -> None:
    gauge = MemoryGauge()
    gauge.watch(started("CPU, 2 threads"))
    assert gauge.take().device == "RAM"


@pytest.mark.usefixtures("no_card")
def test_a_mac_shows_what_the_allocator_holds() -> None:
    gauge = MemoryGauge()
    gauge.watch(started("Apple GPU (mps)"))
    gauge.watch(Heartbeat(memory_bytes=4 * GIB, host_bytes=GIB, device="mps"))
    sample = gauge.take()
    assert sample.device == "unified memory"
    assert 4 * GIB < sample.ours < 6 * GIB


@pytest.mark.usefixtures("no_card")
def test_it_samples_by_itself(qtbot: QtBot) -> None:
    gauge = MemoryGauge(interval_ms=10)
    gauge.start()
    for _ in range(3):
        with qtbot.waitSignal(gauge.sampled, timeout=2_000):
            pass
    gauge.stop()
