"""Model folders that are not what they should be: told in words, and nothing in them is ever run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import MambaConfig, MambaForCausalLM

from studio.core.config import MethodConfig, ModelConfig, PromptConfig
from studio.core.errors import StudioError
from studio.core.failures import is_out_of_memory
from studio.core.runs import Home
from studio.data.prompts import PromptEncoder
from studio.engine.devices import Compute
from studio.engine.methods import trainable_model
from studio.engine.models import base_folder, check_causal, describe, load_base, load_tokenizer, within_context


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.locate(tmp_path / "home")


@pytest.fixture
def broken(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be broken."""
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


def silent(_stage: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


def change(folder: Path, file: str = "config.json", **values: Any) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


def told(error: StudioError) -> None:
    """What a person reads: sentences, and not what a library said."""
    assert error.message.endswith(".")
    assert error.remedy.endswith(".")
    assert "Traceback" not in str(error)
    assert "Error" not in str(error)
    assert error.kind != "bug"


def test_a_good_folder_is_taken(tiny_model_folder: Path, home: Home) -> None:
    assert base_folder(ModelConfig(base=str(tiny_model_folder)), home, silent) == tiny_model_folder


def test_what_is_no_weight_file_of_the_model_does_not_matter(broken: Path, home: Home) -> None:
    (broken / "consolidated.safetensors").write_bytes(b"half")
    assert base_folder(ModelConfig(base=str(broken)), home, silent) == broken


def only_pickles(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def folder_for_settings(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()


def file_for_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("text,label\n")


def lose_a_shard(folder: Path) -> None:
    names = list(load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(names)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))


def cut_index(folder: Path) -> None:
    lose_a_shard(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {')


def cut_weights(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def cut_last_byte(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-1])


Damage = Callable[[Path], object]
NOT_A_BASE: dict[str, tuple[Damage, str]] = {
    "missing": (shutil.rmtree, "does not exist"),
    "a file": (file_for_folder, "is a file, but no .gguf file"),
    "no settings": (lambda folder: (folder / "config.json").unlink(), "no config.json"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "no .safetensors"),
    "only pickled weights": (only_pickles, "could run code"),
    "settings cut off": (lambda folder: (folder / "config.json").write_text('{"model_type": "lla'), "cannot be read"),
    "settings that are a list": (lambda folder: (folder / "config.json").write_text("[1, 2]"), "cannot be read"),
    "settings in no encoding": (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe\x00{"), "cannot be read"),
    "settings that are a folder": (folder_for_settings, "no config.json"),
    "an encoder": (lambda folder: change(folder, model_type="vit"), "no causal language model"),
    "one that fills gaps": (
        lambda folder: change(folder, model_type="bert", architectures=["BertForMaskedLM"]),
        "no causal language model",
    ),
    "no type": (lambda folder: change(folder, model_type=None), "no causal language model"),
    "a strange type": (lambda folder: change(folder, model_type=["llama"]), "no causal language model"),
    "an unknown type": (lambda folder: change(folder, model_type="llama-9000"), "no causal language model"),
    "a shard is lost": (lose_a_shard, "holds only a part of the model"),
    "weights cut off": (cut_weights, "model.safetensors is not whole"),
    "the last byte cut off": (cut_last_byte, "model.safetensors is not whole"),
    "weights of no bytes": (lambda folder: (folder / "model.safetensors").write_bytes(b""), "model.safetensors is not whole"),
    "an index cut off": (cut_index, "is damaged"),
    "an adapter beside it": (lambda folder: (folder / "adapter_config.json").write_text("{}"), "an adapter beside the model"),
    "quantised": (lambda folder: change(folder, quantization_config={"quant_method": "gptq", "bits": 4}), "quantised"),
}


@pytest.mark.parametrize(("damage", "words"), NOT_A_BASE.values(), ids=NOT_A_BASE)
def test_what_is_no_base_is_told(broken: Path, home: Home, damage: Damage, words: str) -> None:
    damage(broken)
    with pytest.raises(StudioError, match=words) as caught:
        base_folder(ModelConfig(base=str(broken)), home, silent)
    assert str(broken) in caught.value.message
    told(caught.value)


def lose_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


BAD_WEIGHTS: dict[str, Damage] = {
    "cut off": cut_weights,
    "empty": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "a page of a web site": lambda folder: (folder / "model.safetensors").write_text("<html>not found</html>" * 9),
    "a shard is lost": lose_a_shard,
    "a weight is lost": lose_a_weight,
    "of another shape": lambda folder: change(folder, intermediate_size=48),
    "of another model": lambda folder: change(folder, model_type="gpt2", architectures=["GPT2LMHeadModel"]),
}


@pytest.mark.parametrize(
    ("name", "quantised"),
    # A 4-bit layer takes its shape from the file.
    [(name, quantised) for name in BAD_WEIGHTS for quantised in (False, True) if (name, quantised) != ("of another shape", True)],
)
def test_weights_that_do_not_fit_are_told(broken: Path, cpu: Compute, name: str, quantised: bool) -> None:
    """Above all those that are not there: transformers would make up random ones and only log it."""
    BAD_WEIGHTS[name](broken)
    with pytest.raises(StudioError, match="cannot be loaded") as caught:
        load_base(broken, cpu, trained=not quantised, quantised=quantised)
    assert caught.value.detail
    told(caught.value)


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


BAD_TOKENIZERS: dict[str, Damage] = {
    "missing": no_tokenizer,
    "cut off": lambda folder: (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text("utf-8")[:500]),
    "something else": lambda folder: (folder / "tokenizer.json").write_text("[]"),
    "settings cut off": lambda folder: (folder / "tokenizer_config.json").write_text('{"eos'),
}


@pytest.mark.parametrize("damage", BAD_TOKENIZERS.values(), ids=BAD_TOKENIZERS)
def test_a_tokenizer_that_cannot_be_read_is_told(broken: Path, damage: Damage) -> None:
    damage(broken)
    with pytest.raises(StudioError, match="tokenizer") as caught:
        PromptEncoder(load_tokenizer(broken), PromptConfig())
    told(caught.value)


BAD_SETTINGS: dict[str, dict[str, Any]] = {
    "text for a number": {"hidden_size": "many"},
    "no heads": {"num_attention_heads": 0},
    "a negative size": {"intermediate_size": -5},
    "too many heads": {"num_attention_heads": 5, "head_dim": None},
    "an unknown activation": {"hidden_act": "imaginary"},
    "layers that are a list": {"num_hidden_layers": [3]},
    "a size that is null": {"vocab_size": None},
}


@pytest.mark.parametrize("values", BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_settings_that_describe_no_model_are_told(broken: Path, cpu: Compute, values: dict[str, Any]) -> None:
    change(broken, **values)
    with pytest.raises(StudioError) as caught:
        describe(broken, str(broken))
    told(caught.value)
    with pytest.raises(StudioError) as caught:
        load_base(broken, cpu, trained=True, quantised=False)
    told(caught.value)


def test_a_model_of_another_build_is_told(tmp_path: Path) -> None:
    config = MambaConfig(vocab_size=300, hidden_size=16, state_size=4, num_hidden_layers=1)
    MambaForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(StudioError, match="no model that can be used") as caught:
        describe(tmp_path, str(tmp_path))
    told(caught.value)


def test_exhausted_memory_is_not_taken_for_a_bad_model(broken: Path, cpu: Compute, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory"

    def fail(*_arguments: object, **_options: object) -> None:
        raise RuntimeError(words)

    monkeypatch.setattr("studio.engine.models.AutoModelForCausalLM.from_pretrained", fail)
    with pytest.raises(RuntimeError, match="can't allocate") as caught:
        load_base(broken, cpu, trained=True, quantised=False)
    assert is_out_of_memory(caught.value)


def test_a_missing_library_is_named(broken: Path, cpu: Compute, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise ImportError("Using `bitsandbytes` 4-bit quantization requires bitsandbytes", name="bitsandbytes")

    monkeypatch.setattr("studio.engine.models.AutoModelForCausalLM.from_pretrained", fail)
    with pytest.raises(StudioError, match="bitsandbytes") as caught:
        load_base(broken, cpu, trained=False, quantised=True)
    assert (caught.value.kind, "doctor" in caught.value.remedy) == ("broken_install", True)


@pytest.mark.parametrize(("asked", "given"), [(100, 100), (256, 256), (4_000, 256)])
def test_no_prompt_is_longer_than_the_model_reads(folder: Path, asked: int, given: int) -> None:
    assert within_context(PromptConfig(max_length=asked), folder).max_length == given


def test_nothing_in_a_folder_is_run(broken: Path, home: Home, cpu: Compute, tmp_path: Path) -> None:
    marker = tmp_path / "was-run"
    code = f"open({str(marker)!r}, 'w').close()\n"
    for name in ("modeling_evil", "configuration_evil", "tokenization_evil", "tokenizers", "torch", "sitecustomize", "conftest"):
        (broken / f"{name}.py").write_text(code)
    change(
        broken,
        auto_map={"AutoConfig": "configuration_evil.Evil", "AutoModelForCausalLM": "modeling_evil.Evil"},
        trust_remote_code=True,
        custom_generate="modeling_evil.py",
    )
    change(
        broken,
        "tokenizer_config.json",
        auto_map={"AutoTokenizer": ["tokenization_evil.Evil", "tokenization_evil.Evil"]},
        trust_remote_code=True,
    )
    (broken / "chat_template.jinja").write_text("{{ cycler.__init__.__globals__.os.system('touch " + str(marker) + "') }}", "utf-8")
    (broken / "custom_generate").mkdir()
    (broken / "custom_generate" / "generate.py").write_text(code)
    (broken / "pytorch_model.bin").write_bytes(b"cposix\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR.")

    folder = base_folder(ModelConfig(base=str(broken)), home, silent)
    describe(folder, str(folder))
    with pytest.raises(StudioError, match="chat template cannot write"):
        PromptEncoder(load_tokenizer(folder), PromptConfig())
    encoder = PromptEncoder(load_tokenizer(folder), PromptConfig(use_chat_template=False))
    encoder.label_set(["a", "b"])
    encoder.prompt_ids("hello")
    model = trainable_model(folder, MethodConfig(kind="lora"), cpu, seed=1)
    check_causal(model, cpu.device)
    assert not marker.exists()


def test_a_folder_that_needs_its_own_code_is_refused(broken: Path, home: Home, tmp_path: Path) -> None:
    marker = tmp_path / "was-run"
    (broken / "configuration_evil.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    change(broken, model_type="evil", auto_map={"AutoConfig": "configuration_evil.Evil"})
    with pytest.raises(StudioError, match="no causal language model"):
        base_folder(ModelConfig(base=str(broken)), home, silent)
    with pytest.raises(StudioError) as caught:
        describe(broken, str(broken))
    told(caught.value)
    assert not marker.exists()


def test_a_model_that_fits_is_accepted(folder: Path, cpu: Compute) -> None:
    check_causal(load_base(folder, cpu, trained=True, quantised=False), cpu.device)


def test_a_model_that_looks_right_is_refused(tmp_path: Path, cpu: Compute) -> None:
    """BERT can be loaded as a causal model; unless told to be a decoder it sees the label that it should write."""
    from transformers import BertConfig, BertLMHeadModel

    sizes: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertLMHeadModel(BertConfig(vocab_size=64, **sizes, is_decoder=False)).save_pretrained(tmp_path / "bert")
    model = load_base(tmp_path / "bert", cpu, trained=True, quantised=False)
    with pytest.raises(StudioError) as caught:
        check_causal(model, cpu.device)
    told(caught.value)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "not stated"),
        ({"LICENSE": "text"}, "see LICENSE"),
        ({"README.md": "---\nlicense: apache-2.0\n---\n"}, "apache-2.0"),
        ({"README.md": "---\nlicense: 'mit'\n---\n"}, "mit"),
        ({"README.md": "---\nlicense:\n- mit\n---\n"}, "not stated"),
        ({"README.md": "no front matter", "LICENCE.txt": "text"}, "see LICENCE.txt"),
    ],
)
def test_the_licence_is_named(broken: Path, files: dict[str, str], expected: str) -> None:
    for name, text in files.items():
        (broken / name).write_text(text)
    assert describe(broken, str(broken)).licence == expected


def test_a_chat_template_is_seen(broken: Path) -> None:
    assert not describe(broken, str(broken)).chat_template
    change(broken, "tokenizer_config.json", chat_template="{{ messages }}")
    assert describe(broken, str(broken)).chat_template
    change(broken, "tokenizer_config.json", chat_template=None)
    (broken / "chat_template.jinja").write_text("{{ messages }}", "utf-8")
    assert describe(broken, str(broken)).chat_template
