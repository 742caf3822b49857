"""The Setup page: what it reads, forecasts, refuses, and hands to training."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QBoxLayout,
    QComboBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QWidget,
)
from pytestqt.qtbot import QtBot

from studio.core.answers import DataInspected
from studio.core.commands import DescribeModel, InspectData
from studio.core.config import ModelConfig, RunConfig
from studio.core.data_problems import DataProblem
from studio.core.events import Failed, StageChanged
from studio.core.run_file import sample_run_config
from studio.ui.pages.setup import SetupPage
from studio.ui.theme import GRID
from studio.ui.widgets.fields import Field
from tests.ui.conftest import FakeJobs, Opened
from tests.ui.staging import editor, reread

FAILURE = Failed(kind="bad_input", message="The file is empty.", remedy="Choose another.", detail="byte 0")


def test_it_starts_with_the_sample_and_the_starter(page: SetupPage, jobs: FakeJobs) -> None:
    data, model = jobs.open(InspectData)[0].command, jobs.open(DescribeModel)[0].command
    assert isinstance(data, InspectData)
    assert isinstance(model, DescribeModel)
    assert (data.dataset.source, model.model.base) == ("sample", "starter")
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


class TestPreset:
    def test_the_sample_is_trained_as_the_command_line_trains_it(self, ready: SetupPage) -> None:
        assert ready.config() == sample_run_config()

    def test_a_file_takes_the_defaults(self, ready: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> None:
        ready.dataset.inputs.file.choose("/some.csv")
        assert reread(ready, jobs, qtbot).dataset.limit is None
        defaults = RunConfig()
        config = ready.config()
        assert (config.method, config.prompt, config.training) == (defaults.method, defaults.prompt, defaults.training)
        qtbot.mouseClick(ready.dataset.sample_button, Qt.MouseButton.LeftButton)
        assert ready.config() == sample_run_config()

    def test_what_a_person_changed_stays(self, ready: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> None:
        limit = editor(ready, "dataset.limit")
        assert isinstance(limit, QLineEdit)
        limit.selectAll()
        qtbot.keyClicks(limit, "130")
        ready.settings.fields["training.epochs"].set_value(1)
        ready.dataset.open_source("sample")
        command = reread(ready, jobs, qtbot)
        assert command.dataset.limit == 130
        assert ready.config().training.epochs == 1
        ready.dataset.inputs.file.choose("/some.csv")
        assert ready.config().dataset.limit == 130


def test_the_preview_is_plain_and_the_intents_are_counted(ready: SetupPage) -> None:
    assert ready.dataset.views.preview_model.index(0, 0).data() == "<b>where</b> is my card?"
    assert "120 messages, 2 intents" in ready.dataset.views.summary.text()
    counts = ready.dataset.views.intents.counts
    assert (counts.index(0, 0).data(), counts.index(0, 1).data()) == ("card_arrival", "108")
    ready.dataset.views.intents.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    assert counts.index(0, 0).data() == "lost_card"


def test_a_file_offers_its_columns_and_another_choice_is_read_again(
    ready: SetupPage, jobs: FakeJobs, inspected: DataInspected, tmp_path: Path, qtbot: QtBot
) -> None:
    ready.dataset.inputs.file.choose(str(tmp_path / "data.csv"))
    command = reread(ready, jobs, qtbot)
    assert command.dataset.source == str(tmp_path / "data.csv")
    assert command.dataset.text_column is None
    jobs.open(InspectData)[0].answer(inspected)
    column = ready.dataset.inputs.reading_choices.text_column
    assert (column.currentText(), column.count()) == ("message", 3)
    column.setCurrentText("id")
    column.activated.emit(0)
    assert reread(ready, jobs, qtbot).dataset.text_column == "id"


def test_only_the_last_of_several_changes_is_read(ready: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> None:
    asked = len(jobs.asked)
    for name in ("/a.csv", "/b.csv", "/c.csv"):
        ready.dataset.inputs.file.choose(name)
    assert reread(ready, jobs, qtbot).dataset.source == "/c.csv"
    assert len(jobs.asked) == asked + 1


def test_unusable_data_says_why_and_lets_columns_be_named(page: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> None:
    page.dataset.inputs.file.choose("/some.csv")
    reread(page, jobs, qtbot)
    jobs.open(InspectData)[0].answer(FAILURE, failed=True)
    page.refresh()
    assert page.dataset.error.message == FAILURE.message
    assert not page.train_button.isEnabled()
    column = page.dataset.inputs.reading_choices.label_column.lineEdit()
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
    assert "ai.google.dev/gemma/terms" in ready.model.facts.terms.text()
    assert ready.model.facts.terms.isVisibleTo(ready)
    qtbot.mouseClick(ready.model.sources.other, Qt.MouseButton.LeftButton)
    assert not ready.model.facts.terms.isVisibleTo(ready)
    assert "Choose a model folder or a .gguf file." in ready.missing()


def test_a_folder_that_is_yet_to_be_chosen_is_not_read(page: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> None:
    page.model.read_again()
    page.model.sources.other.setChecked(True)
    qtbot.wait(20)
    assert not jobs.open(DescribeModel)
    assert not page.model.reading
    assert "Choose a model folder or a .gguf file." in page.missing()
    page.refresh()
    # Its run.toml would name the starter.
    assert not page.run_file_button.isEnabled()
    assert "Choose a model folder" in page.run_file_button.toolTip()


def test_a_model_folder_is_described(ready: SetupPage, jobs: FakeJobs, tmp_path: Path, qtbot: QtBot) -> None:
    ready.model.open_model(ModelConfig(base=str(tmp_path)))
    qtbot.waitUntil(lambda: len(jobs.open(DescribeModel)) == 1)
    command = jobs.open(DescribeModel)[0].command
    assert isinstance(command, DescribeModel)
    assert command.model.base == str(tmp_path)
    assert ready.model.description is None


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


def test_the_cards_of_one_column_follow_each_other(ready: SetupPage, qtbot: QtBot) -> None:
    ready.resize(800, 640)
    qtbot.wait(20)
    cards = [ready.dataset, ready.model, ready.prompt, ready.method, ready.settings]
    gaps = [lower.geometry().top() - upper.geometry().bottom() - 1 for upper, lower in itertools.pairwise(cards)]
    assert gaps == [2 * GRID] * 4


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
    ours = {"gemmaTerms", "memoryLegend", "splitLegend", "tokenLegend"}
    for label in ready.findChildren(QLabel):
        assert label.textFormat() == Qt.TextFormat.PlainText or label.objectName() in ours, label.text()


@pytest.mark.parametrize("width", [824, 1300])
def test_tab_goes_down_the_page_as_it_is_laid_out(
    ready: SetupPage, opened: Opened, inspected: DataInspected, width: int, tmp_path: Path
) -> None:
    problem = DataProblem(kind="duplicate", sentence="Twice.", rows=2, rows_file=str(tmp_path / "rows.arrow"))
    ready.resize(width, 900)
    ready.show()
    opened(inspected.model_copy(update={"problems": [problem] * 5}))
    stops = _tab_stops(ready)
    wide = ready._columns.direction() == QBoxLayout.Direction.LeftToRight
    middle = (ready.prompt, ready.model) if wide else (ready.model, ready.prompt)
    cards = (ready.dataset, *middle, ready.method, ready.settings)
    order = [next(card for card in cards if card.isAncestorOf(stop)) for stop in stops if ready.scroll_area.isAncestorOf(stop)]
    assert tuple(dict.fromkeys(order)) == cards
    assert len([card for card, after in itertools.pairwise(order) if card is not after]) == len(cards) - 1
    names = [stop.objectName() for stop in stops]
    at = names.index("datasetProblemsMore")
    assert names[at - 3 : at] == ["datasetProblemsRows1", "datasetProblemsRows2", "datasetProblemsRows3"]


def _tab_stops(page: SetupPage) -> list[QWidget]:
    """What Tab comes to, from the first card on."""
    page.activateWindow()
    page.dataset.sample_button.setFocus()
    stops: list[QWidget] = []
    while (at := QApplication.focusWidget()) is not None and at not in stops:
        stops.append(at)
        for _link in range(4):
            if QApplication.focusWidget() is at:
                QTest.keyClick(at, Qt.Key.Key_Tab)
    return stops
