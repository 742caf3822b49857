"""Every setting of a run has its one control on Setup; presets, ranks and layers."""

from __future__ import annotations

from collections import Counter

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDoubleSpinBox, QLabel, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from studio.core.commands import InspectData
from studio.core.config import ModelConfig, RunConfig
from studio.core.model_description import LinearShape, ModelDescription, adapter_parameters
from studio.core.presets import PRESETS, load_presets
from studio.core.run_file import validate_run_config
from studio.core.settings import declared as settings
from studio.core.settings import describe
from studio.ui.pages.setup import SetupPage
from studio.ui.widgets.setup.advanced_settings import ELSEWHERE, group_of
from studio.ui.widgets.setup.preset_row import changes_in_words
from tests.ui.conftest import FakeJobs
from tests.ui.staging import editor, reread
from tests.ui.widget_walker import press

# A run in which no setting is what it would be by itself, and none is round.
OTHER = {
    "dataset": {
        "source": "/a.csv", "validation": "/v.csv", "validation_fraction": 0.0333, "test": "/t.csv", "test_fraction": 0.995,
        "text_column": "said", "label_column": "meant", "label_name_column": "name", "encoding": "latin-1", "delimiter": ";",
        "labels": ["a, b", "c"], "limit": 50, "seed": 7,
    },
    "model": {"base": "hub:org/name", "revision": "abc"},
    "method": {"kind": "qlora", "rank": 5, "alpha": 5000.25, "dropout": 0.97, "target_modules": ["q_proj", "v_proj"]},
    "prompt": {"template": "{text}\n=>", "use_chat_template": False, "max_length": 200_000},
    "training": {
        "epochs": 0.05, "max_steps": 99, "batch_size": 70_000, "micro_batch": 3, "learning_rate": 0.001, "scheduler": "linear",
        "warmup_ratio": 0.123456, "weight_decay": 0.00005, "max_grad_norm": 0.001,
        "precision": "fp32", "seed": 8, "evaluate_every": 10,
        "evaluate_base": False, "log_every": 4, "threads": 2, "checkpoint_every": 20,
        "keep_checkpoints": 3, "early_stopping_patience": 5, "activation_checkpointing": True,
    },
    "device": {"kind": "cpu", "index": 1},
}  # fmt: skip


def test_each_setting_has_exactly_one_control(ready: SetupPage) -> None:
    ready.settings.show_advanced(True)
    declared = [*ready.settings.fields, *ready.dataset.controls, *ready.model.controls, *ready.method.controls]
    assert {path: number for path, number in Counter(declared).items() if number > 1} == {}
    assert sorted(declared) == sorted(settings())
    ready.model.open_model(ModelConfig(base="hub:org/name"))
    seen = set()
    for source in ("/some.csv", "hub:org/data"):  # each has controls of its own
        ready.dataset.open_source(source)
        seen |= {path for path, control in ready.controls.items() if control.isVisibleTo(ready)}
    assert seen == set(settings())
    names = Counter(child.objectName() for child in ready.findChildren(QWidget) if child.objectName())
    for path, control in ready.controls.items():
        assert names[control.objectName()] == 1, path
        assert names[path.replace(".", "_")] <= 1, path


def config_paths(config: RunConfig) -> set[str]:
    """The places that say something other than they do by themselves."""
    plain = RunConfig().model_dump()
    told = config.model_dump()
    return {f"{table}.{name}" for table, values in told.items() for name, value in values.items() if value != plain[table][name]}


def test_what_the_controls_say_is_the_run(page: SetupPage) -> None:
    config = validate_run_config(OTHER)
    # The one has a single value so far, the others are for data of the hub.
    only = {"training.optimizer", "dataset.revision", "dataset.config"}
    assert config_paths(config) ^ set(settings()) == only, "the run above names every setting"
    page.show_config(config)
    assert page.config() == config
    page.show_config(RunConfig())
    assert page.config() == RunConfig(), "nothing of the other run is left"


def test_numbers_beyond_what_the_arrows_lead_to_are_kept(page: SetupPage) -> None:
    dataset = {"source": "/a.csv", "validation_fraction": 0.0005, "test_fraction": 0.9995, "seed": 2**31 - 1}
    training = {"epochs": 200_000, "batch_size": 2_000_000, "weight_decay": 5000.0, "max_grad_norm": 5e6, "seed": 2**31 - 1}
    config = validate_run_config({"dataset": dataset, "method": {"alpha": 0.0001}, "training": training})
    page.show_config(config)
    assert page.config() == config


def test_data_of_the_hub_keep_their_revision(page: SetupPage) -> None:
    dataset = {"source": "hub:org/data", "revision": "abc", "config": "small"}
    config = validate_run_config({"dataset": dataset})
    page.show_config(config)
    assert page.config() == config
    page.dataset.open_source("/some.csv")
    assert page.config().dataset.model_dump(exclude_defaults=True) == {"source": "/some.csv"}


def test_what_data_cannot_be_read_with_is_told_and_not_tried(ready: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> None:
    for path, value in (("dataset.limit", 0), ("dataset.limit", "few")):
        ready.settings.fields[path].set_value(value)
        qtbot.wait(300)
        assert jobs.open(InspectData) == []
        assert any("wrong" in words for words in ready.missing()), path
        ready.settings.fields[path].set_value(None)
    ready.refresh()
    assert not [words for words in ready.missing() if "wrong" in words]


def test_a_setting_that_was_cleared_is_left_out(ready: SetupPage) -> None:
    ready.show_config(RunConfig().with_training(learning_rate=3e-4, max_steps=9))
    for path in ("training.learning_rate", "training.max_steps"):
        line = editor(ready, path)
        assert isinstance(line, QLineEdit)
        line.clear()
    assert (ready.config().training.learning_rate, ready.config().training.max_steps) == (None, None)


def test_the_drawer_has_its_headings_and_explains_each_setting(ready: SetupPage) -> None:
    ready.settings.show_advanced(True)
    labels = [label for label in ready.settings.findChildren(QLabel) if label.isVisibleTo(ready)]
    assert [label.text() for label in labels if label.property("role") == "strong"] == list(ELSEWHERE)
    for field in ready.settings._folded:
        assert group_of(field.path) in ELSEWHERE
        assert field.help.isVisibleTo(ready), field.path
        assert field.help.text().startswith(describe(field.path)), field.path


class TestPresets:
    def test_they_are_valid_and_say_what_they_change(self) -> None:
        found = load_presets()
        assert [preset.name for preset in found] == list(PRESETS)
        for preset in found:
            assert preset.purpose.endswith(".")
            assert changes_in_words(preset).count(",") == len(preset.changes) - 1
            assert " = " not in changes_in_words(preset), "each setting of a preset has words"

    def test_one_sets_what_it_names_and_nothing_else(self, ready: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> None:
        ready.settings.fields["training.weight_decay"].set_value(0.125)
        before = ready.config()
        press(ready.settings.presets.buttons["quick-look"])
        config = ready.config()
        assert (config.dataset.limit, config.method.rank, config.training.epochs) == (300, 8, 1)
        assert config.training.weight_decay == 0.125
        assert config.prompt == before.prompt
        assert reread(ready, jobs, qtbot).dataset.limit == 300
        assert ready.settings.presets.buttons["quick-look"].isChecked()
        assert "At most 300 training messages" in ready.settings.presets.words.text()

    def test_another_takes_back_what_the_first_had_set(self, ready: SetupPage) -> None:
        press(ready.settings.presets.buttons["quick-look"])
        press(ready.settings.presets.buttons["careful"])
        config = ready.config()
        assert (config.dataset.limit, config.method.rank, config.training.warmup_ratio) == (None, 32, 0.05)
        press(ready.settings.presets.buttons["balanced"])
        assert ready.config().training.warmup_ratio == 0
        checked = [name for name, button in ready.settings.presets.buttons.items() if button.isChecked()]
        assert checked == ["balanced"]

    def test_what_a_person_changed_since_stays(self, ready: SetupPage) -> None:
        press(ready.settings.presets.buttons["quick-look"])
        ready.settings.fields["dataset.limit"].set_value(120)
        assert not ready.settings.presets.buttons["quick-look"].isChecked()
        press(ready.settings.presets.buttons["careful"])
        assert ready.config().dataset.limit == 120

    def test_another_file_does_not_undo_it(self, ready: SetupPage) -> None:
        press(ready.settings.presets.buttons["careful"])
        ready.dataset.inputs.file.choose("/some.csv")
        assert (ready.config().training.epochs, ready.config().method.rank) == (6, 32)

    def test_pressing_it_again_keeps_it(self, ready: SetupPage) -> None:
        careful = ready.settings.presets.buttons["careful"]
        press(careful)
        press(careful)
        assert careful.isChecked()


class TestAdapter:
    def test_each_rank_says_what_it_trains_in_this_model(
        self, ready: SetupPage, description: ModelDescription, qtbot: QtBot
    ) -> None:
        ranks = ready.settings.ranks
        ready.refresh()
        assert ranks.buttons[16].text() == "16\n479k"
        assert ranks.buttons[64].text() == "64\n1.9M"
        assert f"{4 * 18 * (640 + 1024):,} parameters" in ranks.buttons[4].toolTip()
        press(ranks.buttons[32])
        assert ready.config().method.rank == 32
        qtbot.waitUntil(lambda: "Rank 32 trains 958k parameters" in ranks.words.text())
        assert "alpha / rank = 1." in ranks.words.text()
        count = ready.method.forecasts["lora"].trainable_parameters
        assert count == adapter_parameters(description, ready.config().method)

    def test_full_fine_tuning_has_no_rank(self, ready: SetupPage) -> None:
        ready.method.choose("full")
        assert ready.settings.ranks.isHidden()
        assert not editor(ready, "method.target_modules").isEnabled()

    def test_the_layers_can_be_named(self, ready: SetupPage, description: ModelDescription, qtbot: QtBot) -> None:
        ready.model.description = description.model_copy(
            update={"linears": [*description.linears, LinearShape(name="v_proj", inputs=640, outputs=256, count=18)]}
        )
        ready.refresh()
        field = ready.settings.fields["method.target_modules"]
        assert field.help.text().endswith("This model has q_proj, v_proj.")
        both = ready.method.forecasts["lora"].trainable_parameters
        field.set_value(["v_proj"])
        assert ready.config().method.target_modules == ["v_proj"]
        qtbot.waitUntil(lambda: ready.method.forecasts["lora"].trainable_parameters < both)
        line = field.editor
        assert isinstance(line, QLineEdit)
        for typed, meant in (("q_proj, v_proj ,", ["q_proj", "v_proj"]), ("", "all-linear"), ("all-linear", "all-linear")):
            line.setText(typed)
            assert ready.config().method.target_modules == meant

    def test_layers_that_the_model_lacks_are_told(self, ready: SetupPage) -> None:
        field = ready.settings.fields["method.target_modules"]
        field.set_value(["q_prjo"])
        ready.refresh()
        assert "no layer named 'q_prjo'" in field.error
        assert "q_proj" in field.error
        assert not ready.train_button.isEnabled()
        field.set_value("all-linear")
        ready.refresh()
        assert field.error == ""


def test_the_intents_to_keep_are_read_line_by_line(ready: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> None:
    keep = editor(ready, "dataset.labels")
    qtbot.keyClicks(keep, "card, lost")
    qtbot.keyClick(keep, Qt.Key.Key_Return)
    qtbot.keyClicks(keep, " card_arrival ")
    assert reread(ready, jobs, qtbot).dataset.labels == ["card, lost", "card_arrival"]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_leaves_a_run_that_can_start(ready: SetupPage, name: str) -> None:
    press(ready.settings.presets.buttons[name])
    ready.refresh()
    assert not [words for words in ready.missing() if "wrong" in words]


def test_a_number_is_shown_with_the_digits_that_it_has(ready: SetupPage, qtbot: QtBot) -> None:
    field = ready.settings.fields["method.dropout"]
    spin = field.editor
    assert isinstance(spin, QDoubleSpinBox)
    for value, text in ((0.05, "0.05"), (0.1, "0.10"), (0.125, "0.125"), (0.3, "0.30")):
        field.set_value(value)
        assert (spin.text(), ready.config().method.dropout) == (text, value)
    spin.selectAll()
    qtbot.keyClicks(spin, "0.0725")
    assert ready.config().method.dropout == 0.0725
