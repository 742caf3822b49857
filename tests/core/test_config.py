"""run.toml: in, out, and every mistake told at once."""

from __future__ import annotations

import gc
import tomllib
import weakref
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from studio.core.config import DatasetConfig, MethodConfig, ModelConfig, PromptConfig, RunConfig, TrainingConfig
from studio.core.errors import StudioError
from studio.core.run_file import dump_run_config, load_run_config, parse_run_config, sample_run_config, validate_run_config
from studio.core.settings import describe

TABLES = ("dataset", "model", "method", "prompt", "training", "device")


def table_of(name: str) -> type[BaseModel]:
    table = RunConfig.model_fields[name].annotation
    assert isinstance(table, type)
    assert issubclass(table, BaseModel)
    return table


def test_defaults_come_back() -> None:
    assert parse_run_config(dump_run_config(RunConfig())) == RunConfig()
    assert parse_run_config("") == RunConfig()
    assert set(tomllib.loads(dump_run_config(RunConfig()))) == set(TABLES)


@given(
    labels=st.none() | st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3),
    template=st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: "{text}" not in text),
    rate=st.none() | st.floats(1e-9, 1, exclude_min=True),
    epochs=st.floats(0.01, 1000),
    modules=st.just("all-linear") | st.lists(st.sampled_from(["q_proj", "v_proj"]), min_size=1),
    micro=st.just("auto") | st.integers(1, 16),
)
def test_every_setting_comes_back(
    labels: list[str] | None, template: str, rate: float | None, epochs: float, modules: object, micro: object
) -> None:
    config = RunConfig(
        dataset=DatasetConfig(source="x.csv", labels=labels),
        method=MethodConfig.model_validate({"kind": "qlora", "target_modules": modules}),
        prompt=PromptConfig(template=template + "{text}"),
        training=TrainingConfig.model_validate({"learning_rate": rate, "epochs": epochs, "micro_batch": micro}),
    )
    assert parse_run_config(dump_run_config(config)) == config


def test_all_problems_are_told_at_once() -> None:
    text = """
        [dataset]
        sorce = "x.csv"
        validation_fraction = 1.5
        [method]
        kind = "lorra"
        [prompt]
        template = "no slot"
        [training]
        micro_batch = 0
        lerning_rate = 1
        [trainin]
        epochs = 1
    """
    with pytest.raises(StudioError) as caught:
        parse_run_config(text)
    problems = caught.value.detail.splitlines()
    assert caught.value.message.startswith("The run settings have 7 problems: ")
    assert len(problems) == 7
    told = "\n".join(problems)
    assert "unknown key dataset.sorce (the nearest known key is source)" in told
    assert "unknown key training.lerning_rate (the nearest known key is learning_rate)" in told
    assert "unknown key trainin (the nearest known key is training)" in told
    assert "dataset.validation_fraction: input should be less than 1 (given: 1.5)" in told
    assert "method.kind: " in told
    assert "(given: 'lorra')" in told
    assert "prompt.template: must contain {text} exactly once: " in told
    assert "training.micro_batch: must be 1 or more (given: 0)" in told


@pytest.mark.parametrize("template", ["", "text", "{text}{text}", "{ text }"])
def test_template_needs_one_slot(template: str) -> None:
    with pytest.raises(StudioError, match="exactly once"):
        validate_run_config({"prompt": {"template": template}})


@pytest.mark.parametrize("value", ["true", "inf", "nan", '"16"', "16.5"])
def test_numbers_are_numbers(value: str) -> None:
    for key in ("micro_batch", "batch_size", "max_steps", "evaluate_every"):
        with pytest.raises(StudioError, match=rf"have a problem: training\.{key}: input should be .*\(given: "):
            parse_run_config(f"[training]\n{key} = {value}\n")


@pytest.mark.parametrize("place", [("dataset", "seed"), ("training", "seed"), ("training", "batch_size"), ("device", "index")])
def test_whole_numbers_are_those_that_every_field_can_hold(place: tuple[str, str]) -> None:
    table, name = place
    with pytest.raises(StudioError, match=rf"{table}\.{name}: .*2147483647"):
        validate_run_config({table: {name: 2**31}})


def test_no_setting_is_infinite() -> None:
    for key in ("epochs", "learning_rate", "weight_decay", "max_grad_norm"):
        with pytest.raises(StudioError, match=rf"have a problem: training\.{key}: input should be a finite number"):
            parse_run_config(f"[training]\n{key} = inf\n")


def test_micro_batch_must_fit_the_batch() -> None:
    with pytest.raises(StudioError, match=r"micro_batch \(8\) is larger than batch_size \(4\)"):
        validate_run_config({"training": {"batch_size": 4, "micro_batch": 8}})


def test_file_names_are_taken_from_the_run_file_s_folder(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('[dataset]\nsource = "train.csv"\ntest = "/data/test.csv"\n[model]\nbase = "models/mine"\n', "utf-8")
    config = load_run_config(path)
    assert config.dataset.source == str((tmp_path / "train.csv").resolve())
    assert config.dataset.test == str(Path("/data/test.csv").resolve())
    assert config.dataset.validation is None
    assert config.model.base == str((tmp_path / "models" / "mine").resolve())
    path.write_text("", "utf-8")
    assert load_run_config(path).dataset.source == "sample"
    assert load_run_config(path).model == ModelConfig(base="starter")


def test_unreadable_run_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="cannot be read"):
        load_run_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudioError, match="is no run file: it is not text"):
        load_run_config(tmp_path / "bad.toml")
    with pytest.raises(StudioError, match=r"not valid TOML: .*line 2"):
        parse_run_config("[dataset]\nsource = \n")


def test_the_sample_s_preset_trains_the_starter_on_hundreds_of_messages() -> None:
    preset = sample_run_config()
    assert (preset.dataset.source, preset.model.base, preset.method.kind) == ("sample", "starter", "lora")
    # Without a limit the sample's 632 training rows are all used.
    assert preset.dataset.limit is None or preset.dataset.limit >= 400
    assert preset.warnings() == []


def test_a_table_that_is_none_is_told_in_words() -> None:
    with pytest.raises(StudioError, match="training: must be a table \\(given: 3\\)"):
        validate_run_config({"training": 3})


def test_learning_rate_follows_the_method() -> None:
    assert validate_run_config({"method": {"kind": "full"}}).learning_rate == 5e-5
    assert validate_run_config({"method": {"kind": "lora"}}).learning_rate == 2e-4
    assert validate_run_config({"method": {"kind": "full"}, "training": {"learning_rate": 1e-5}}).learning_rate == 1e-5


def test_a_high_rate_is_warned_about_for_full_alone() -> None:
    def warnings(kind: str, rate: float) -> list[str]:
        return validate_run_config({"method": {"kind": kind}, "training": {"learning_rate": rate}}).warnings()

    assert "2e-4" in warnings("full", 2e-4)[0]
    assert warnings("full", 1e-4) == []
    assert warnings("lora", 2e-4) == []


def test_with_training_checks_again() -> None:
    assert RunConfig().with_training(micro_batch=4).training.micro_batch == 4
    with pytest.raises(ValueError, match="larger than batch_size"):
        RunConfig().with_training(micro_batch=64)


@pytest.mark.parametrize("name", TABLES)
def test_every_setting_is_described(name: str) -> None:
    table = table_of(name)
    for field in table.model_fields:
        assert describe(f"{name}.{field}").endswith("."), f"{name}.{field}"


def test_which_runs_can_share_a_loaded_base() -> None:
    def run(kind: str = "lora", **tables: object) -> RunConfig:
        return RunConfig.model_validate({"method": {"kind": kind}, **tables})

    assert run().shares_base(run(dataset={"source": "other.csv"}, prompt={"max_length": 64}, training={"seed": 1}))
    assert run("qlora").shares_base(run("qlora"))
    others = {"model": {"base": "/b"}, "device": {"kind": "mps"}, "training": {"precision": "fp32"}}
    assert not any(run().shares_base(run(**{table: value})) for table, value in others.items())
    assert not run("lora").shares_base(run("qlora"))
    assert not run("full").shares_base(run("full"))


def test_a_caller_that_keeps_the_problem_does_not_stay_in_memory() -> None:
    class Held:
        """Something of the caller's."""

    def ask() -> tuple[weakref.ref[Held], StudioError | None]:
        held, problem = Held(), None
        try:
            validate_run_config({"prompt": {"template": "no place for the message"}})
        except StudioError as error:
            problem = error
        return weakref.ref(held), problem

    left, problem = ask()
    assert problem is not None
    del problem
    gc.collect()
    assert left() is None
