"""The Setup page: what it reads, forecasts, refuses, and hands to training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QComboBox, QLabel, QLineEdit, QPlainTextEdit, QWidget
from pytestqt.qtbot import QtBot

from studio.core.commands import DescribeModel, InspectData
from studio.core.config import RunConfig, TrainingConfig, field_description
from studio.core.events import DataInspected, Failed, StageChanged
from studio.core.memory import ModelDescription
from studio.core.runs import Home
from studio.supervise.gauges import MemorySample
from studio.ui.pages.setup import SetupPage
from studio.ui.widgets.fields import Field
from tests.ui.conftest import GIB, FakeJobs

FAILURE = Failed(kind="bad_input", message="The file is empty.", remedy="Choose another.", detail="byte 0")


def ram(free_gib: float) -> MemorySample:
    total, free = 32 * GIB, round(free_gib * GIB)
    return MemorySample("RAM", total, GIB, total - GIB - free, free, total, total - free, 0)


@pytest.fixture
def page(home: Home, jobs: FakeJobs, light: QApplication, qtbot: QtBot) -> SetupPage:
    assert light.styleSheet()
    page = SetupPage(home)
    qtbot.addWidget(page)
    page.resize(1024, 700)
    page.show_machine(ram(24))
    page.start()
    page.show()
    qtbot.waitUntil(lambda: bool(jobs.open(InspectData) and jobs.open(DescribeModel)))
    return page


@pytest.fixture
def ready(page: SetupPage, answer_all: Callable[[], None]) -> SetupPage:
    answer_all()
    page.refresh()
    return page


def editor(page: SetupPage, path: str) -> QWidget:
    return page.settings.fields[path].editor


def reread(page: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> InspectData:
    """The one question about data that is now open."""
    qtbot.waitUntil(lambda: len(jobs.open(InspectData)) == 1)
    command = jobs.open(InspectData)[0].command
    assert isinstance(command, InspectData)
    assert page.dataset.reading
    return command


def test_it_starts_with_the_sample_and_the_starter(page: SetupPage, jobs: FakeJobs) -> None:
    data, model = jobs.open(InspectData)[0].command, jobs.open(DescribeModel)[0].command
    assert isinstance(data, InspectData)
    assert isinstance(model, DescribeModel)
    assert (data.dataset.source, model.base) == ("sample", "starter")
    assert not page.train_button.isEnabled()
    assert "being read" in page.train_button.toolTip()


def test_train_hands_over_what_was_set_up(ready: SetupPage, qtbot: QtBot) -> None:
    ready.method.choose("qlora")
    ready.settings.fields["training.epochs"].set_value(2)
    ready.settings.fields["training.learning_rate"].set_value(1e-3)
    ready.settings.fields["method.rank"].set_value(4)
    assert ready.train_button.isEnabled()
    with qtbot.waitSignal(ready.train_requested) as caught:
        qtbot.mouseClick(ready.train_button, Qt.MouseButton.LeftButton)
    config = caught.args[0]
    assert isinstance(config, RunConfig)
    assert (config.method.kind, config.method.rank) == ("qlora", 4)
    assert (config.training.epochs, config.learning_rate) == (2, 1e-3)
    assert (config.dataset.source, config.model.base) == ("sample", "starter")


def test_untouched_settings_are_the_defaults(ready: SetupPage) -> None:
    assert ready.config() == RunConfig()


def test_the_preview_is_plain_and_the_intents_are_counted(ready: SetupPage) -> None:
    assert ready.dataset.views.preview_model.index(0, 0).data() == "<b>where</b> is my card?"
    assert "120 messages, 2 intents" in ready.dataset.views.summary.text()
    counts = ready.dataset.views.intents.counts
    assert (counts.index(0, 0).data(), counts.index(0, 1).data()) == ("card_arrival", "108")
    ready.dataset.views.intents.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    assert counts.index(0, 0).data() == "lost_card"


def test_problems_are_listed_three_at_first(ready: SetupPage, qtbot: QtBot) -> None:
    assert ready.dataset.views.problems.text().count("\n") == 2
    qtbot.mouseClick(ready.dataset.views.more_problems, Qt.MouseButton.LeftButton)
    assert "Row 11 is empty." in ready.dataset.views.problems.text()


def test_a_file_offers_its_columns_and_another_choice_is_read_again(
    ready: SetupPage, jobs: FakeJobs, inspected: DataInspected, tmp_path: Path, qtbot: QtBot
) -> None:
    ready.dataset.file.choose(str(tmp_path / "data.csv"))
    command = reread(ready, jobs, qtbot)
    assert command.dataset.source == str(tmp_path / "data.csv")
    assert command.dataset.text_column is None
    jobs.open(InspectData)[0].answer(inspected)
    column = ready.dataset.text_column
    assert (column.currentText(), column.count()) == ("message", 3)
    column.setCurrentText("id")
    column.activated.emit(0)
    assert reread(ready, jobs, qtbot).dataset.text_column == "id"


def test_only_the_last_of_several_changes_is_read(ready: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> None:
    asked = len(jobs.asked)
    for name in ("/a.csv", "/b.csv", "/c.csv"):
        ready.dataset.file.choose(name)
    assert reread(ready, jobs, qtbot).dataset.source == "/c.csv"
    assert len(jobs.asked) == asked + 1


def test_unusable_data_says_why_and_lets_columns_be_named(page: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> None:
    page.dataset.file.choose("/some.csv")
    reread(page, jobs, qtbot)
    jobs.open(InspectData)[0].answer(FAILURE, failed=True)
    page.refresh()
    assert page.dataset.error.message == FAILURE.message
    assert not page.train_button.isEnabled()
    column = page.dataset.label_column.lineEdit()
    qtbot.keyClicks(column, "topic")
    qtbot.keyClick(column, Qt.Key.Key_Return)
    assert reread(page, jobs, qtbot).dataset.label_column == "topic"


def test_a_model_that_cannot_be_read_says_why(page: SetupPage, jobs: FakeJobs) -> None:
    jobs.open(DescribeModel)[0].answer(FAILURE, failed=True)
    page.refresh()
    assert page.model.error.message == FAILURE.message
    assert any("model" in words for words in page.missing())


def test_the_conversion_of_the_starter_is_shown(page: SetupPage, jobs: FakeJobs) -> None:
    progress = jobs.open(DescribeModel)[0].progress
    assert progress is not None
    progress(StageChanged(stage="converting the starter", done=1, total=4))
    assert page.model.stage.text() == "Converting the starter (25%)"
    assert page.model.stage.isVisibleTo(page)


def test_the_starter_shows_its_terms_and_a_folder_does_not(ready: SetupPage, qtbot: QtBot) -> None:
    assert "ai.google.dev/gemma/terms" in ready.model.terms.text()
    assert ready.model.terms.isVisibleTo(ready)
    qtbot.mouseClick(ready.model.other, Qt.MouseButton.LeftButton)
    assert not ready.model.terms.isVisibleTo(ready)
    assert "Choose a model folder." in ready.missing()


def test_a_model_folder_is_described(ready: SetupPage, jobs: FakeJobs, tmp_path: Path, qtbot: QtBot) -> None:
    ready.model.open_base(str(tmp_path))
    qtbot.waitUntil(lambda: len(jobs.open(DescribeModel)) == 1)
    command = jobs.open(DescribeModel)[0].command
    assert isinstance(command, DescribeModel)
    assert command.base == str(tmp_path)
    assert ready.model.description is None


class TestForecast:
    def test_all_three_methods_are_forecast_at_once(self, ready: SetupPage, description: ModelDescription) -> None:
        found = ready.method.forecasts
        assert found["full"].trainable_parameters == description.parameters
        assert found["lora"].total < found["full"].total
        assert found["qlora"].weights < found["lora"].weights
        assert {card.badge.text() for card in ready.method.cards.values()} == {"fits"}

    def test_the_badges_follow_the_memory_of_the_machine(self, ready: SetupPage) -> None:
        full = ready.method.forecasts["full"].total / GIB
        badge = ready.method.cards["full"].badge
        ready.show_machine(ram(full * 1.05))
        assert badge.text() == "tight"
        ready.show_machine(ram(full * 0.9))
        assert badge.text() == "too big"
        assert ready.train_button.isEnabled()

    def test_a_higher_rank_trains_more(self, ready: SetupPage, qtbot: QtBot) -> None:
        before = ready.method.forecasts["lora"].trainable_parameters
        ready.settings.fields["method.rank"].set_value(32)
        qtbot.waitUntil(lambda: ready.method.forecasts["lora"].trainable_parameters == 2 * before)

    def test_a_cuda_card_is_measured_by_its_own_memory(self, ready: SetupPage) -> None:
        ready.show_machine(MemorySample("cuda:0 Card", 2 * GIB, 0, GIB, GIB, 64 * GIB, 0, 0))
        assert ready.method.cards["full"].badge.text() == "too big"
        ready.settings.fields["device.kind"].set_value("cpu")
        ready.refresh()
        assert ready.method.cards["full"].badge.text() == "fits"

    def test_without_a_model_nothing_is_made_up(self, page: SetupPage) -> None:
        page.refresh()
        assert page.method.forecasts == {}
        assert not page.method.cards["full"].badge.isVisibleTo(page)


class TestSettings:
    def test_a_learning_rate_too_high_for_full_is_told(self, ready: SetupPage, qtbot: QtBot) -> None:
        ready.method.choose("full")
        assert not ready.settings.warning.isVisibleTo(ready)
        qtbot.keyClicks(editor(ready, "training.learning_rate"), "2e-4")
        qtbot.waitUntil(lambda: "Use 5e-5" in ready.settings.warning.text())
        assert ready.train_button.isEnabled()

    def test_the_placeholder_is_the_default_of_the_method(self, ready: SetupPage) -> None:
        rate = editor(ready, "training.learning_rate")
        assert isinstance(rate, QLineEdit)
        assert rate.placeholderText() == "2e-4 (LoRA)"
        ready.method.choose("full")
        assert rate.placeholderText() == "5e-5 (Full)"
        assert not editor(ready, "method.rank").isEnabled()

    def test_a_template_without_its_slot_is_refused_in_words(self, ready: SetupPage) -> None:
        ready.settings.fields["prompt.template"].set_value("Intent:")
        ready.refresh()
        assert "{text} exactly once" in ready.settings.fields["prompt.template"].error
        assert editor(ready, "prompt.template").isVisibleTo(ready)
        assert not ready.train_button.isEnabled()
        assert ready.method.forecasts == {}

    def test_a_learning_rate_that_is_no_number_is_refused(self, ready: SetupPage, qtbot: QtBot) -> None:
        qtbot.keyClicks(editor(ready, "training.learning_rate"), "fast")
        ready.refresh()
        assert "number" in ready.settings.fields["training.learning_rate"].error
        ready.settings.fields["training.learning_rate"].set_value(None)
        ready.refresh()
        assert ready.settings.fields["training.learning_rate"].error == ""

    def test_a_row_limit_is_read_again(self, ready: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> None:
        qtbot.keyClicks(editor(ready, "dataset.limit"), "50")
        assert reread(ready, jobs, qtbot).dataset.limit == 50

    def test_tooltips_are_the_documentation_of_the_settings(self, ready: SetupPage) -> None:
        assert field_description(TrainingConfig, "batch_size") in editor(ready, "training.batch_size").toolTip()

    def test_a_config_can_be_shown(self, ready: SetupPage) -> None:
        config = RunConfig().with_training(epochs=7, learning_rate=3e-4, scheduler="linear", max_steps=9)
        ready.settings.show_config(config)
        assert ready.config() == config


def test_one_run_at_a_time(ready: SetupPage, qtbot: QtBot) -> None:
    ready.show_running("sample-lora-1")
    assert not ready.train_button.isEnabled()
    assert "sample-lora-1" in ready.train_button.toolTip()
    with qtbot.assertNotEmitted(ready.train_requested):
        ready.request_training()
    ready.show_running(None)
    assert ready.train_button.isEnabled()


@pytest.mark.parametrize("width", [800, 1500])
def test_nothing_is_cut_at_the_sides(ready: SetupPage, width: int, qtbot: QtBot) -> None:
    ready.settings.show_advanced(True)
    ready.resize(width, 640)
    qtbot.wait(20)
    content = ready.scroll_area.widget()
    assert content.width() <= ready.scroll_area.viewport().width()
    assert content.minimumSizeHint().width() <= ready.scroll_area.viewport().width()


def test_every_control_has_a_name_a_tooltip_and_an_accessible_name(ready: SetupPage) -> None:
    kinds = (QAbstractButton, QComboBox, QAbstractSpinBox, QLineEdit, QPlainTextEdit)
    controls = [
        child
        for child in ready.findChildren(QWidget)
        if isinstance(child, kinds) and not isinstance(child.parent(), QAbstractSpinBox | QComboBox | QLineEdit)
    ]
    controls = [
        child for child in controls if not child.objectName().startswith("qt_") and type(child).__name__ != "QTableCornerButton"
    ]
    assert len(controls) > 25
    for control in controls:
        assert control.objectName(), control
        assert control.accessibleName(), control.objectName()
    for field in ready.findChildren(Field):
        assert field.editor.toolTip(), field.path
    names = [control.objectName() for control in controls]
    assert len(set(names)) == len(names)


def test_words_from_data_are_never_markup(ready: SetupPage) -> None:
    ours = {"gemmaTerms", "memoryLegend", "splitLegend"}
    for label in ready.findChildren(QLabel):
        assert label.textFormat() == Qt.TextFormat.PlainText or label.objectName() in ours, label.text()
