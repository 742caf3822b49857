"""A base model in a .gguf file: the same weights after its conversion, made once, and refused in words."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from tqdm import tqdm
from transformers import AutoModelForCausalLM

from studio.core.config import ModelConfig
from studio.core.errors import StudioError
from studio.core.runs import Home
from studio.engine import gguf_models
from studio.engine.models import base_folder, describe_base, load_tokenizer
from tests.tiny import byte_tokenizer, save_tiny_gguf


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.locate(tmp_path / "home")


@pytest.fixture(autouse=True)
def no_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first progress bar of transformers would start a thread that never ends."""
    monkeypatch.setattr(tqdm, "monitor_interval", 0)


def folder_of(path: Path, home: Home, stages: list[str] | None = None) -> Path:
    told = stages if stages is not None else []
    return base_folder(ModelConfig(base=str(path)), home, lambda stage, _done, _total: told.append(stage))


def test_it_is_converted_exactly_and_once(tmp_path: Path, home: Home) -> None:
    path = tmp_path / "my tiny.gguf"
    original = save_tiny_gguf(path)
    stages: list[str] = []
    folder = folder_of(path, home, stages)
    assert folder.parent == home.models
    assert stages[-1] == "converting my tiny.gguf"
    converted = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
    ids = torch.tensor([[0, 7, 40, 41, 300]])
    with torch.no_grad():
        assert torch.allclose(converted(ids).logits, original(ids).logits, atol=1e-5)
    text = "where is my card"
    assert load_tokenizer(folder)(text)["input_ids"][-4:] == byte_tokenizer()(text)["input_ids"][-4:]

    described = describe_base(ModelConfig(base=str(path)), home, lambda *_: None)
    assert (described.name, described.revision) == ("my tiny.gguf", None)
    assert described.parameters == original.num_parameters()
    again: list[str] = []
    assert folder_of(path, home, again) == folder
    assert again == []


def test_the_same_file_elsewhere_is_not_converted_again(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tiny.gguf"
    save_tiny_gguf(path)
    folder = folder_of(path, home)
    (tmp_path / "elsewhere").mkdir()
    moved = path.rename(tmp_path / "elsewhere" / "tiny.gguf")
    monkeypatch.setattr(gguf_models, "save_as_hugging_face", lambda *_: pytest.fail("converted again"))
    assert folder_of(moved, home) == folder
    moved.unlink()  # a run on it can still be used
    assert folder_of(moved, home) == folder


def test_another_file_of_the_same_name_is_another_model(tmp_path: Path, home: Home) -> None:
    path = tmp_path / "tiny.gguf"
    save_tiny_gguf(path)
    first = folder_of(path, home)
    save_tiny_gguf(path, seed=1)
    assert folder_of(path, home) != first


@pytest.mark.parametrize(
    ("kind", "kept"),
    [(None, "float32"), (GGMLQuantizationType.F16, "float32"), (GGMLQuantizationType.Q8_0, "bfloat16")],
    ids=["f32", "f16", "q8"],
)
def test_the_weights_keep_what_the_file_has(tmp_path: Path, kind: GGMLQuantizationType | None, kept: str) -> None:
    save_tiny_gguf(tmp_path / "tiny.gguf", kind=kind)
    assert gguf_models._examine(tmp_path / "tiny.gguf") == kept


def no_gguf(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 something else")


def cut_off(path: Path) -> None:
    save_tiny_gguf(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def cut_header(path: Path) -> None:
    save_tiny_gguf(path)
    path.write_bytes(path.read_bytes()[:100])


def of_a_strange_version(path: Path) -> None:
    save_tiny_gguf(path)
    content = bytearray(path.read_bytes())
    content[4:8] = struct.pack("<I", 77)
    path.write_bytes(content)


def fields_only(architecture: str, split: int = 0, type: str | None = None) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        writer = GGUFWriter(path, architecture)
        if split:
            writer.add_uint16("split.count", split)
        if type is not None:
            writer.add_type(type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    return write


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _path: None, "does not exist"),
    "no gguf": (no_gguf, "is damaged, or no GGUF file"),
    "empty": (lambda path: path.write_bytes(b""), "is damaged, or no GGUF file"),
    "cut off": (cut_off, "is damaged, or no GGUF file"),
    "cut header": (cut_header, "is damaged, or no GGUF file"),
    "a strange version": (of_a_strange_version, "is damaged, or no GGUF file"),
    "an unknown kind": (fields_only("clip"), "'clip', which cannot be trained from a GGUF file"),
    "no language model": (fields_only("t5"), "'t5', which cannot be trained"),
    "an adapter": (fields_only("llama", type="adapter"), "which cannot be trained"),
    "one of several parts": (fields_only("llama", split=3), "one of 3 parts"),
    "no tokenizer": (fields_only("llama"), "holds no tokenizer"),
}


@pytest.mark.parametrize(("damage", "words"), BAD.values(), ids=BAD)
def test_what_is_no_base_is_told(tmp_path: Path, home: Home, damage: Callable[[Path], object], words: str) -> None:
    path = tmp_path / "model.gguf"
    damage(path)
    with pytest.raises(StudioError, match=words) as caught:
        folder_of(path, home)
    assert "model.gguf" in caught.value.message
    assert caught.value.message.endswith(".")
    assert caught.value.remedy.endswith(".")
    assert "Error" not in caught.value.message
    assert list(home.models.glob("gguf-*")) == []


def test_what_transformers_cannot_read_leaves_nothing(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tiny.gguf"
    save_tiny_gguf(path)

    def fail(_gguf: Path, folder: Path, _dtype: str) -> None:
        folder.mkdir()
        raise KeyError("blk.0.unheard_of")

    monkeypatch.setattr(gguf_models, "save_as_hugging_face", fail)
    with pytest.raises(StudioError, match=r"tiny\.gguf cannot be converted") as caught:
        folder_of(path, home)
    assert "unheard_of" in caught.value.detail
    assert [found for found in home.models.iterdir() if found.is_dir()] == []
