"""Data sets of the hub: from a stand-in on this computer, with a network, without one, and refused in words."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studio.core.answers import DownloadProgressed
from studio.core.config import DatasetConfig
from studio.core.errors import InterruptedByUserError, StudioError
from studio.core.run_file import parse_run_config, validate_run_config
from studio.data.downloads import Downloads, DownloadTooLargeError
from studio.data.splits import Splits, load_splits
from tests.hub_stand_in import TOKEN, HubStandIn, hub

__all__ = ["hub"]

NAMES = ["card_arrival", "None", "001"]
CARD = """---
license: mit
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': card_arrival
          '1': None
          '2': '001'
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: data/test-*
---
# A data set
"""


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf" / "datasets")
    yield
    logging.getLogger("fsspec").handlers.clear()


def parquet(folder: Path) -> Path:
    """Train in two shards, and test: integer labels, their names in the card."""
    (folder / "data").mkdir(parents=True)
    for name, rows in {"train-00000-of-00002": 30, "train-00001-of-00002": 30, "test-00000-of-00001": 6}.items():
        texts = [f"{name} message {n}" for n in range(rows)]
        pq.write_table(pa.table({"text": texts, "label": [n % 3 for n in range(rows)]}), folder / "data" / f"{name}.parquet")
    (folder / "README.md").write_text(CARD, "utf-8")
    return folder


def lines(folder: Path, names: Callable[[int], dict[str, object]] = lambda n: {"label": n % 3, "label_text": NAMES[n % 3]}) -> Path:
    """JSON Lines beside each other, as mteb/banking77 has them."""
    folder.mkdir(parents=True)
    for split, rows in {"train": 60, "test": 6}.items():
        written = [json.dumps({"text": f"{split} {n}", **names(n)}) for n in range(rows)]
        (folder / f"{split}.jsonl").write_text("\n".join(written), "utf-8")
    (folder / "README.md").write_text("A data set\n", "utf-8")
    return folder


def load(id: str = "mteb/banking77", **settings: str) -> Splits:
    return load_splits(DatasetConfig.model_validate({"source": f"hub:{id}", **settings}))


def refusal(id: str = "mteb/banking77", **settings: str) -> StudioError:
    with pytest.raises(StudioError) as caught:
        load(id, **settings)
    assert caught.value.remedy
    return caught.value


def test_shards_splits_and_names_of_labels(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add_dataset("mteb/banking77", parquet(tmp_path / "set"))
    splits = load()
    assert splits.labels == sorted(NAMES)
    assert len(splits.train) + len(splits.validation) == 60
    assert [(row.text, row.label) for row in splits.test[:2]] == [
        ("test-00000-of-00001 message 0", "card_arrival"),
        ("test-00000-of-00001 message 1", "None"),
    ]
    assert {row.file for row in splits.train} == {"train-00000-of-00002.parquet", "train-00001-of-00002.parquet"}


def test_names_beside_the_numbers(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add_dataset("mteb/banking77", lines(tmp_path / "set"))
    splits = load()
    assert splits.guess.label_name_column == "label_text"
    assert splits.labels == sorted(NAMES)


def test_tables_are_read_as_text(hub: HubStandIn, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for split in ("train", "test"):
        rows = "".join(f"{split} {n},{('NA', '001', 'true')[n % 3]}\n" for n in range(30))
        (folder / f"{split}.csv").write_text(f"text,label\n{rows}", "utf-8")
    (folder / "README.md").write_text("", "utf-8")
    hub.add_dataset("someone/labels", folder)
    assert load("someone/labels").labels == ["001", "NA", "true"]


def test_names_that_are_digits_are_given_once(hub: HubStandIn, tmp_path: Path) -> None:
    folder = parquet(tmp_path / "set")
    names = ["1", "2", "3"]
    card = CARD.replace("card_arrival", "'1'").replace("'1': None", "'1': '2'").replace("'001'", "'3'")
    (folder / "README.md").write_text(card, "utf-8")
    told = json.dumps({"info": {"features": {"label": {"_type": "ClassLabel", "names": names}}}})
    for path in (folder / "data").iterdir():
        pq.write_table(pq.read_table(path).replace_schema_metadata({"huggingface": told}), path)
    hub.add_dataset("mteb/banking77", folder)
    assert [row.label for row in load().test] == names * 2


def test_letters_and_delimiter_are_read_as_they_are_set(hub: HubStandIn, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for split in ("train", "test"):
        rows = "".join(f"{split} {n}^{('käse', 'süß')[n % 2]}\n" for n in range(30))
        (folder / f"{split}.csv").write_text(f"text^label\n{rows}", "cp850")
    (folder / "README.md").write_text("", "utf-8")
    hub.add_dataset("someone/labels", folder)
    assert load("someone/labels", encoding="cp850", delimiter="^").labels == ["käse", "süß"]


@pytest.mark.parametrize(("name", "around"), [("README.md", "---\n"), (".huggingface.yaml", "")])
def test_a_description_leads_to_no_other_host(hub: HubStandIn, tmp_path: Path, name: str, around: str) -> None:
    folder = lines(tmp_path / "set")
    address = f"{hub.other_host}/elsewhere.csv"
    told = f"configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: ['{address}']\n"
    (folder / name).write_text(f"{around}{told}{around}", "utf-8")
    hub.add_dataset("mteb/banking77", folder)
    assert f"names a file as its own that is not in its repository: {address}" in refusal().message
    assert "/elsewhere.csv" not in {request.path for request in hub.requests}


def test_a_description_that_contains_itself_is_read(hub: HubStandIn, tmp_path: Path) -> None:
    folder = lines(tmp_path / "set")
    (folder / "README.md").write_text("---\nconfigs: &all\n- path: https://example.org\n  more: *all\n---\n", "utf-8")
    hub.add_dataset("mteb/banking77", folder)
    assert "names a file as its own that is not in its repository: https://example.org" in refusal().message


@pytest.mark.parametrize("name", ["{own}", "../../../../../own.csv"])
def test_a_description_names_no_file_outside_its_repository(hub: HubStandIn, tmp_path: Path, name: str) -> None:
    (tmp_path / "own.csv").write_text("text,label\n" + "".join(f"private {n},{'ab'[n % 2]}\n" for n in range(30)), "utf-8")
    folder = lines(tmp_path / "set")
    path = name.replace("{own}", str(tmp_path / "own.csv"))
    card = f"---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: {path}\n---\n"
    (folder / "README.md").write_text(card, "utf-8")
    hub.add_dataset("mteb/banking77", folder)
    assert "names a file as its own that is not in its repository" in refusal().message


def test_the_cache_may_lie_behind_a_link(hub: HubStandIn, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "hf").symlink_to(tmp_path / "elsewhere")
    hub.add_dataset("mteb/banking77", lines(tmp_path / "set"))
    first = load()
    assert first.labels == sorted(NAMES)
    assert load() == first


def test_what_another_program_left_in_the_cache_is_made_whole(hub: HubStandIn, tmp_path: Path) -> None:
    from huggingface_hub import hf_hub_download

    hub.add_dataset("mteb/banking77", parquet(tmp_path / "set"))
    for name in ("README.md", "data/train-00000-of-00002.parquet", "data/test-00000-of-00001.parquet"):
        hf_hub_download("mteb/banking77", name, repo_type="dataset")
    splits = load()
    assert len(splits.train) + len(splits.validation) == 60
    assert not hub.fetched("train-00000-of-00002.parquet"), "what is there is not fetched again"


def test_what_another_program_left_is_used_without_a_network_and_said(hub: HubStandIn, tmp_path: Path) -> None:
    from huggingface_hub import snapshot_download

    hub.add_dataset("mteb/banking77", parquet(tmp_path / "set"))
    snapshot_download("mteb/banking77", repo_type="dataset")
    hub.close()
    splits = load()
    assert len(splits.train) + len(splits.validation) == 60
    assert "perhaps not all of it" in splits.problems[0].sentence


def test_what_was_downloaded_works_without_a_network(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add_dataset("mteb/banking77", parquet(tmp_path / "set"))
    first = load()
    asked = len(hub.requests)
    assert load() == first
    assert len(hub.requests) == asked, "nothing is asked when everything is there"
    hub.close()
    assert load() == first


def test_without_a_network_it_says_so_and_what_to_do(hub: HubStandIn) -> None:
    hub.close()
    problem = refusal()
    assert problem.kind == "no_network"
    assert "cannot be reached" in problem.message
    assert "What was downloaded before works without a network." in problem.remedy


def test_wrong_ids_are_told_with_the_nearest(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add_dataset("mteb/banking77", lines(tmp_path / "set"))
    problem = refusal("mteb/banking7")
    assert "has no data set 'mteb/banking7'" in problem.message
    assert "mteb/banking77" in problem.remedy


def test_gated_data_is_told(hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_dataset("mteb/banking77", lines(tmp_path / "set"), access="gated")
    assert refusal().kind == "gated"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert load().labels == sorted(NAMES)


def test_revisions(hub: HubStandIn, tmp_path: Path) -> None:
    repository = hub.add_dataset("mteb/banking77", lines(tmp_path / "old"))
    repository.tag("v1")
    repository.commit(lines(tmp_path / "new", lambda n: {"label": "ab"[n % 2]}))
    assert load(revision="v1").labels == sorted(NAMES)
    assert load().labels == ["a", "b"]
    assert load(revision="v1").labels == sorted(NAMES)
    problem = refusal(revision="v2")
    assert "no revision 'v2'" in problem.message
    assert "v1" in problem.remedy


def test_configurations(hub: HubStandIn, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    card = "---\nconfigs:\n"
    for config, labels in (("en", "ab"), ("de", "cd")):
        lines(folder / config, lambda n, labels=labels: {"label": labels[n % 2]})
        card += f"- config_name: {config}\n  data_files:\n  - split: train\n    path: {config}/train.jsonl\n"
    (folder / "README.md").write_text(f"{card}---\n", "utf-8")
    hub.add_dataset("mteb/massive", folder)
    assert load("mteb/massive", config="de").labels == ["c", "d"]
    several = refusal("mteb/massive")
    assert "comes in 2 configurations: 'en', 'de'" in several.message
    assert "as config" in several.remedy
    assert "no configuration 'fr'; the nearest is" in refusal("mteb/massive", config="fr").message


def test_a_set_without_a_training_split_is_told(hub: HubStandIn, tmp_path: Path) -> None:
    folder = lines(tmp_path / "set")
    (folder / "train.jsonl").unlink()
    hub.add_dataset("mteb/banking77", folder)
    assert refusal().message == "The data set mteb/banking77 has no training split; its splits are 'test'."


def test_a_set_without_a_table_is_told(hub: HubStandIn, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "banking77.py").write_text("raise SystemExit", "utf-8")
    hub.add_dataset("PolyAI/banking77", tmp_path / "set")
    problem = refusal("PolyAI/banking77")
    assert "holds no table: it has 'banking77.py'" in problem.message
    assert "refs/convert/parquet" in problem.remedy


def test_a_set_that_is_too_large_is_not_fetched(hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.data.hub_sets._LARGEST", 1000)
    hub.add_dataset("mteb/banking77", lines(tmp_path / "set"))
    assert "which is more than the" in refusal().message
    assert hub.fetched(".jsonl") == []


def test_a_card_that_cannot_be_understood_is_told(hub: HubStandIn, tmp_path: Path) -> None:
    folder = lines(tmp_path / "set")
    (folder / "README.md").write_text("---\nconfigs:\n- data_files: nowhere/*.csv\n  config_name: default\n---\n", "utf-8")
    hub.add_dataset("mteb/banking77", folder)
    assert "cannot be understood" in refusal().message


def test_the_way_is_told_and_a_download_can_be_stopped(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add_dataset("mteb/banking77", parquet(tmp_path / "set"))
    stages: list[str] = []
    told: list[DownloadProgressed] = []
    dataset = DatasetConfig(source="hub:mteb/banking77")
    with pytest.raises(InterruptedByUserError):
        load_splits(dataset, lambda stage, _done, _total: stages.append(stage), lambda: True)
    load_splits(dataset, lambda stage, _done, _total: stages.append(stage), downloads=Downloads(told.append))
    assert stages == [*["asking the Hugging Face hub", "downloading the data set"] * 2, "reading the data"]
    total = sum(path.stat().st_size for path in (tmp_path / "set").rglob("*") if path.is_file())
    assert told[-1].done == told[-1].total == total
    assert all(0 <= event.done <= event.total for event in told)


def test_more_than_is_allowed_is_not_fetched(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add_dataset("mteb/banking77", lines(tmp_path / "set"))
    dataset = DatasetConfig(source="hub:mteb/banking77")
    total = sum(path.stat().st_size for path in (tmp_path / "set").iterdir())
    with pytest.raises(DownloadTooLargeError) as caught:
        load_splits(dataset, downloads=Downloads(largest=total - 1))
    assert (caught.value.missing.missing, caught.value.missing.total) == (total, total)
    assert hub.fetched(".jsonl") == []
    assert len(load_splits(dataset, downloads=Downloads(largest=total)).test) == 6
    assert len(load_splits(dataset, downloads=Downloads(largest=0)).test) == 6, "all of it is here"


def test_a_file_of_one_s_own_stands_in_for_a_split(hub: HubStandIn, tmp_path: Path) -> None:
    hub.add_dataset("mteb/banking77", lines(tmp_path / "set"))
    own = tmp_path / "own.csv"
    own.write_text("text,label_text\nmine,001\n", "utf-8")
    assert [row.text for row in load(test=str(own)).test] == ["mine"]


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ({"source": "hub:"}, "must be hub: and the data set's id"),
        ({"source": "hub:../etc"}, "must be hub: and the data set's id"),
        ({"source": "a.csv", "config": "en"}, "belong to a hub data set"),
        ({"revision": "main"}, "belong to a hub data set"),
    ],
)
def test_settings_that_cannot_be_are_refused(dataset: dict[str, str], words: str) -> None:
    with pytest.raises(StudioError, match=words):
        validate_run_config({"dataset": dataset})


def test_an_id_is_no_path_beside_the_run_file(tmp_path: Path) -> None:
    config = parse_run_config('[dataset]\nsource = "hub:mteb/banking77"\nconfig = "default"\n', tmp_path)
    assert (config.dataset.source, config.dataset.config) == ("hub:mteb/banking77", "default")
