"""What a file or folder is, told from its name and its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.dropped import Dropped, what_is


def put(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("messages.csv", "data"),
        ("MESSAGES.TSV", "data"),
        ("notes.txt", "data"),
        ("rows.jsonl.gz", "data"),
        ("rows.parquet", "data"),
        ("rows.json", "data"),
        ("config.json", "model"),
        ("run.toml", "settings"),
        ("my settings.toml", "settings"),
        ("gemma-q4.gguf", "model"),
        ("picture.png", "other"),
        ("archive.gz", "other"),
    ],
)
def test_a_file_is_told_by_its_name(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).touch()
    assert what_is([tmp_path / name]).kind == kind


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("run.toml", "events.jsonl"), "run"),
        (("config.json", "model.safetensors", "tokenizer.json"), "model"),
        (("train.csv", "test.csv", "readme.md"), "data"),
        (("rows.jsonl.gz",), "data"),
        (("readme.md",), "other"),
        ((), "other"),
    ],
)
def test_a_folder_is_told_by_what_lies_in_it(tmp_path: Path, names: tuple[str, ...], kind: str) -> None:
    folder = put(tmp_path / "it", *names)
    found = what_is([folder])
    assert (found.kind, found.path) == (kind, folder)
    assert bool(found.reason) == (kind == "other")


def test_the_files_of_a_model_stand_for_its_folder(tmp_path: Path) -> None:
    folder = put(tmp_path / "model", "config.json", "model.safetensors")
    for name in ("config.json", "model.safetensors"):
        assert what_is([folder / name]) == Dropped(folder, "model")


def test_a_folder_with_one_gguf_stands_for_it(tmp_path: Path) -> None:
    folder = put(tmp_path / "model", "Gemma.Q8_0.gguf", "readme.md")
    assert what_is([folder]) == Dropped(folder / "Gemma.Q8_0.gguf", "model")


def test_an_adapter_alone_is_refused_in_words(tmp_path: Path) -> None:
    folder = put(tmp_path / "adapter", "adapter_config.json", "adapter_model.safetensors")
    for path in (folder, folder / "adapter_model.safetensors"):
        found = what_is([path])
        assert found.kind == "other"
        assert "no model by itself" in found.reason


def test_weights_among_tables_are_neither(tmp_path: Path) -> None:
    folder = put(tmp_path / "mixed", "rows.csv", "weights.safetensors")
    assert what_is([folder / "weights.safetensors"]).kind == "other"


def test_what_is_gone_many_or_unreadable_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not there any more" in what_is([tmp_path / "gone.csv"]).reason
    assert "One file or folder at a time" in what_is([tmp_path, tmp_path]).reason
    assert what_is([]).kind == "other"

    def refuse(_path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert what_is([tmp_path]).reason == f"{tmp_path.name} cannot be read: Permission denied."
