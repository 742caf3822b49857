"""The settings of the Setup page, and the forecast that follows them."""

from __future__ import annotations

from PySide6.QtWidgets import QLineEdit
from pytestqt.qtbot import QtBot

from studio.core.config import RunConfig
from studio.core.model_description import ModelDescription
from studio.core.settings import describe
from studio.supervise.gauges import MemorySample
from studio.ui.pages.setup import SetupPage
from tests.ui.conftest import GIB, FakeJobs
from tests.ui.staging import editor, ram, reread


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

    def test_how_many_messages_fit_at_once_stands_beside_the_methods(self, ready: SetupPage) -> None:
        ready.show_machine(ram(60))
        assert f"Up to {ready.config().training.batch_size} messages at once fit." in ready.method._note.text()
        ready.show_machine(ram(0.1))
        assert "choose a smaller model" in ready.method._note.text()

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
        limit = editor(ready, "dataset.limit")
        assert isinstance(limit, QLineEdit)
        limit.selectAll()
        qtbot.keyClicks(limit, "50")
        assert reread(ready, jobs, qtbot).dataset.limit == 50

    def test_a_micro_batch_is_a_number_or_auto(self, ready: SetupPage) -> None:
        field = ready.settings.fields["training.micro_batch"]
        assert ready.config().training.micro_batch == "auto"
        for value in (4, None, "auto"):
            field.set_value(value)
            assert ready.config().training.micro_batch == (value or "auto")
        field.set_value("many")
        ready.refresh()
        assert field.error

    def test_tooltips_are_the_documentation_of_the_settings(self, ready: SetupPage) -> None:
        assert describe("training.batch_size") in editor(ready, "training.batch_size").toolTip()

    def test_a_config_can_be_shown(self, ready: SetupPage) -> None:
        config = RunConfig().with_training(epochs=7, learning_rate=3e-4, scheduler="linear", max_steps=9)
        ready.settings.replace_preset(ready.config(), config)
        assert ready.config() == config
