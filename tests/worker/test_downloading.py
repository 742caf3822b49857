"""Base models of the hub: looked at, downloaded, trained and used without a network afterwards."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download
from safetensors.torch import load_file, save_file

from studio.core.answers import DownloadProgressed, Exported, Forecasted, ModelDescribed, ModelsListed, Predicted
from studio.core.commands import Command, DescribeModel, DownloadModel, Export, Forecast, ListModels, Predict
from studio.core.config import ModelConfig, RunConfig
from studio.core.events import Event, Failed, Finished
from studio.core.runs import Home
from studio.supervise.process import WorkerProcess
from studio.worker import main as worker_main
from tests.hub_stand_in import HubStandIn, Repository, hub
from tests.worker.jobs import config_for, train_here, work, work_here

__all__ = ["hub"]

ID = "people/tiny"
HUB_BASE = f"hub:{ID}"
SETTINGS = {"config.json", "tokenizer_config.json", "chat_template.jinja"}
NEVER_FETCHED = (
    "pytorch_model.bin",
    "modeling_tiny.py",
    "model.onnx",
    "model.gguf",
    "consolidated.safetensors",
    "training_args.bin",
)


@pytest.fixture
def published(base: Path, tmp_path: Path) -> Path:
    """The tiny model as people publish models: with pickles, code and other formats beside it."""
    folder = Path(shutil.copytree(base, tmp_path / "published"))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    (folder / "onnx").mkdir()
    for name in NEVER_FETCHED:
        (folder / "onnx" / name if name == "model.onnx" else folder / name).write_bytes(b"never to be opened")
    return folder


@pytest.fixture
def model(hub: HubStandIn, published: Path) -> Repository:
    return hub.add_model(ID, published)


@pytest.fixture
def local(published: Path) -> str:
    """The same model as a folder."""
    return str(published)


def describe(home: Home, base: str, revision: str | None = None, *, online: bool = False) -> DescribeModel:
    return DescribeModel(model=ModelConfig(base=base, revision=revision), home=str(home.path), online=online)


def download(home: Home, revision: str | None = None, base: str = HUB_BASE) -> DownloadModel:
    return DownloadModel(model=ModelConfig(base=base, revision=revision), home=str(home.path))


def last(events: list[Event], kind: type[Event]) -> Event:
    assert isinstance(events[-1], kind), events[-1]
    return events[-1]


def failure(command: Command) -> Failed:
    failed = last(work_here(command), Failed)
    assert isinstance(failed, Failed)
    assert failed.message.endswith(".")
    assert failed.remedy.endswith((".", "?"))
    return failed


def on_hub(config: RunConfig, revision: str | None = None) -> RunConfig:
    return config.model_copy(update={"model": ModelConfig(base=HUB_BASE, revision=revision)})


def test_nothing_is_asked_of_the_hub_unless_it_is_wanted(hub: HubStandIn, model: Repository, home: Home) -> None:
    assert model
    failed = failure(describe(home, HUB_BASE))
    assert failed.kind == "not_downloaded"
    assert f"finetune-studio download {HUB_BASE}" in failed.remedy
    assert hub.requests == []


def test_a_model_is_described_from_its_settings_alone(hub: HubStandIn, model: Repository, home: Home, local: str) -> None:
    far = last(work_here(describe(home, HUB_BASE, online=True)), ModelDescribed)
    near = last(work_here(describe(home, local)), ModelDescribed)
    assert isinstance(far, ModelDescribed)
    assert isinstance(near, ModelDescribed)
    assert set(hub.fetched()) == SETTINGS
    assert far.description.revision == model.head
    # The folder's size counts a weight file that a download leaves out.
    same = {
        "base": near.description.base,
        "name": near.description.name,
        "revision": None,
        "disk_bytes": near.description.disk_bytes,
    }
    assert far.description.model_copy(update=same) == near.description
    assert far.description.disk_bytes == (Path(local) / "model.safetensors").stat().st_size
    assert far.missing is not None
    assert far.missing.missing == far.missing.total > far.description.disk_bytes
    assert far.missing.free > 0
    assert near.missing is None


def test_a_download_brings_what_is_used_and_nothing_that_could_run(hub: HubStandIn, model: Repository, home: Home) -> None:
    events = work_here(download(home))
    described = last(events, ModelDescribed)
    assert isinstance(described, ModelDescribed)
    assert (described.description.revision, described.missing) == (model.head, None)
    fetched = {request.path.rsplit("/", 1)[-1] for request in hub.requests if "/resolve/" in request.path}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "chat_template.jinja"} <= fetched
    assert not fetched & set(NEVER_FETCHED)
    progress = [event for event in events if isinstance(event, DownloadProgressed)]
    assert progress[-1].done == progress[-1].total > 0
    assert [event.done for event in progress] == sorted(event.done for event in progress)

    hub.close()
    again = last(work_here(describe(home, HUB_BASE)), ModelDescribed)
    assert isinstance(again, ModelDescribed)
    assert again.description == described.description
    assert isinstance(work_here(download(home))[-1], ModelDescribed)


def test_a_shard_without_the_index_is_not_the_whole_model(hub: HubStandIn, published: Path, home: Home) -> None:
    weights = load_file(published / "model.safetensors")
    (published / "model.safetensors").unlink()
    halves = {f"model-0000{number}-of-00002.safetensors": dict(list(weights.items())[number - 1 :: 2]) for number in (1, 2)}
    for name, part in halves.items():
        save_file(part, published / name, metadata={"format": "pt"})
    places = {key: name for name, part in halves.items() for key in part}
    (published / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    hub.add_model(ID, published)
    first, second = halves
    # Another program was interrupted.
    snapshot_download(ID, ignore_patterns=[second, "*.index.json", *NEVER_FETCHED])
    seen = last(work_here(describe(home, HUB_BASE, online=True)), ModelDescribed)
    assert isinstance(seen, ModelDescribed)
    assert seen.missing is not None
    assert seen.missing.missing > 0
    assert isinstance(work_here(download(home))[-1], ModelDescribed)
    assert first not in hub.fetched()


def test_a_cancelled_download_goes_on_later(hub: HubStandIn, model: Repository, home: Home, tmp_path: Path) -> None:
    """With a real process: what the window's Cancel button does."""
    assert model
    size = len(model.commits[model.head]["model.safetensors"].data)
    hub.bytes_per_second = 60_000.0

    def cancel(process: WorkerProcess, event: Event) -> None:
        if isinstance(event, DownloadProgressed) and event.file == "model.safetensors" and event.done > 20_000:
            process.cancel()

    work(download(home), cancel)
    (partial,) = (tmp_path / "hf").rglob("*.incomplete")
    kept = partial.stat().st_size
    assert 0 < kept < size
    hub.bytes_per_second = None
    seen = last(work_here(describe(home, HUB_BASE, online=True)), ModelDescribed)
    assert isinstance(seen, ModelDescribed)
    assert seen.missing is not None
    assert seen.missing.missing <= seen.missing.total - kept
    assert isinstance(work_here(download(home))[-1], ModelDescribed)
    assert f"bytes={kept}-" in {request.range for request in hub.requests}


def test_a_run_keeps_the_commit_and_needs_no_hub_any_more(
    hub: HubStandIn, model: Repository, published: Path, messages: Path, home: Home, base: Path, tmp_path: Path
) -> None:
    first = model.head
    config = on_hub(config_for(messages, base, "lora", epochs=1, evaluate_base=False))
    run = train_here(home, config)
    assert any(isinstance(event, DownloadProgressed) for event in run.events)
    assert isinstance(run.events[-1], Finished)
    assert run.run.config().model == ModelConfig(base=HUB_BASE, revision=first)

    (published / "config.json").write_text("{}")  # the branch moves on to something unusable, and the hub goes away
    model.commit(published)
    hub.requests.clear()
    answers = work_here(Predict(run=str(run.run.path), home=run.home_name, texts=["where is my card"]))
    assert isinstance(answers[-2], Predicted)
    folder = tmp_path / "adapter"
    exported = work_here(Export(run=str(run.run.path), home=run.home_name, folder=str(folder), kind="adapter"))[-1]
    assert isinstance(exported, Exported)
    assert exported.verified
    assert hub.requests == []
    adapter = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    assert (adapter["base_model_name_or_path"], adapter["revision"]) == (ID, first)
    card = (folder / "README.md").read_text("utf-8")
    assert f'base_model: "{ID}"' in card
    assert 'license: "mit"' in card
    assert f"- Base: {ID}, revision {first}." in card
    assert f'from_pretrained("{ID}", revision="{first}")' in card

    shutil.rmtree(tmp_path / "hf")
    gone = failure(Predict(run=str(run.run.path), home=run.home_name, texts=["hello"]))
    assert gone.kind == "not_downloaded"
    assert f"finetune-studio download {HUB_BASE} --revision {first}" in gone.remedy
    assert hub.requests == []


def test_a_forecast_downloads_and_says_so(hub: HubStandIn, model: Repository, messages: Path, home: Home, base: Path) -> None:
    assert model
    config = on_hub(config_for(messages, base, "full"))
    events = work_here(Forecast(config=config, home=str(home.path)))
    assert isinstance(events[-1], Forecasted)
    assert any(isinstance(event, DownloadProgressed) for event in events)
    assert hub.fetched(".safetensors") == ["model.safetensors"]


def test_a_local_base_never_reaches_the_network(hub: HubStandIn, local: str, messages: Path, home: Home) -> None:
    """Neither in this process, nor in one that read its environment anew."""
    run = train_here(home, config_for(messages, Path(local), "lora", epochs=1, evaluate_base=False))
    assert isinstance(run.events[-1], Finished)
    assert isinstance(work(describe(home, local, online=True))[-1], ModelDescribed)
    assert hub.requests == []


def test_a_person_who_forbids_the_network_is_heard(
    hub: HubStandIn, model: Repository, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model
    monkeypatch.setattr(os, "environ", {**os.environ, "HF_HUB_OFFLINE": "1"})
    for _process in ("a worker", "one that it starts"):
        worker_main.prepare_environment()
    assert failure(describe(home, HUB_BASE, online=True)).kind == "offline"
    assert hub.requests == []


def only_pickles(folder: Path) -> None:
    for path in folder.glob("*.safetensors"):
        path.unlink()


def only_gguf(folder: Path) -> None:
    for path in folder.glob("*.json"):
        path.unlink()


def only_an_adapter(folder: Path) -> None:
    only_gguf(folder)
    (folder / "adapter_config.json").write_text("{}")


def no_language_model(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "vit"}')


UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "pickles": (only_pickles, "only pickled ones, which could run code"),
    "gguf": (only_gguf, "no config.json"),
    "an adapter": (only_an_adapter, "an adapter, not a model"),
    "pictures": (no_language_model, "no causal language model"),
}


@pytest.mark.parametrize(("change", "words"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_be_trained_is_told_before_anything_is_downloaded(
    hub: HubStandIn, published: Path, home: Home, change: Callable[[Path], object], words: str
) -> None:
    change(published)
    hub.add_model(ID, published)
    for command in (describe(home, HUB_BASE, online=True), download(home)):
        failed = failure(command)
        assert words in failed.message
        assert failed.message.startswith(ID)
    assert set(hub.fetched()) <= SETTINGS


def test_weights_that_were_published_damaged_are_told(hub: HubStandIn, published: Path, messages: Path, home: Home) -> None:
    weights = published / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    hub.add_model(ID, published)
    run = train_here(home, on_hub(config_for(messages, published, "full")))
    failed = run.one(Failed)
    assert "is not whole" in failed.message
    assert "Error" not in failed.message


def test_a_gated_model_says_where_its_terms_are(hub: HubStandIn, published: Path, home: Home) -> None:
    hub.add_model(ID, published, access="gated")
    failed = failure(describe(home, HUB_BASE, online=True))
    assert failed.kind == "gated"
    assert f"{hub.endpoint}/{ID}" in failed.remedy


def test_the_cache_lists_what_can_be_trained(hub: HubStandIn, published: Path, home: Home, tmp_path: Path) -> None:
    nothing = work_here(ListModels())[-1]
    assert isinstance(nothing, ModelsListed)
    assert nothing.models == []
    model = hub.add_model(ID, published)
    model.tag("v1")
    no_language_model(published)
    hub.add_model("people/eyes", published)
    for revision in (None, "v1"):
        work_here(download(home, revision))
    snapshot_download("people/eyes")
    (listed,) = (event for event in work_here(ListModels()) if isinstance(event, ModelsListed))
    (found,) = listed.models
    assert (found.base, found.revision, found.whole) == (HUB_BASE, None, True)
    assert found.disk_bytes > 50_000
    hub.close()

    (weights,) = (tmp_path / "hf" / "hub" / "models--people--tiny").rglob("model.safetensors")
    weights.unlink()
    (listed,) = (event for event in work_here(ListModels()) if isinstance(event, ModelsListed))
    assert [model.whole for model in listed.models] == [False]
    half = failure(describe(home, HUB_BASE))
    assert half.kind == "not_downloaded"
    assert "only partly on this computer" in half.message
