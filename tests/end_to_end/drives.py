"""A person's way through the real window with real workers, from data to an export that is proved.

test_window.py and test_starter.py run these in a process of their own; pytest does not collect them by this file's name.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QRadioButton, QWidget
from pytestqt.qtbot import QtBot

from studio.core.runs import Home, RunFolder
from studio.supervise.threads import WorkerThread
from studio.ui.application import make_application, window_settings
from studio.ui.main_window import MainWindow
from tests.end_to_end.hands import Hands
from tests.end_to_end.steps import (
    WORDS,
    ask_by_keyboard,
    ask_from_results,
    choose_data,
    choose_model,
    compare_losses,
    compare_matrix,
    figure,
    leave,
    losses_of,
    read_rows,
    read_wrong_messages,
    take_adapter,
    train,
    unload,
    wait_for_results,
    watch_points_grow,
    write_messages,
)


@pytest.fixture
def window(qapp: QApplication, qtbot: QtBot) -> Iterator[MainWindow]:
    home = Home.locate()
    assert make_application(home) is qapp
    window = MainWindow(home, window_settings(home))
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    yield window
    if window.isVisible():  # the drive failed half-way
        window.session.shut_down()
        window.close()
    WorkerThread.cancel_all()


@pytest.fixture
def hands(window: MainWindow, qtbot: QtBot) -> Hands:
    return Hands(window, qtbot)


def test_own_messages(window: MainWindow, hands: Hands, tmp_path: Path) -> None:
    messages = write_messages(tmp_path / "messages.csv")
    choose_data(hands, tmp_path / "messages.csv", messages)
    choose_model(hands, os.environ["DRIVE_MODEL"])
    hands.click_named("fullCard")
    assert hands.see("fullMethod", QRadioButton).isChecked()
    hands.click_named("loraCard")
    # Long enough to be watched on a busy machine.
    hands.type_into("training_epochs", "40")
    hands.type_into("training_batch_size", "2")
    hands.type_into("training_learning_rate", "0.002")
    hands.click_named("advancedToggle")
    hands.type_into("method_rank", "4")
    # So that chat's probabilities are those of the test to the last digits.
    hands.choose("training_precision", "fp32")

    run = train(window, hands)
    config = run.config()
    assert (config.dataset.source, config.model.base) == (str(tmp_path / "messages.csv"), os.environ["DRIVE_MODEL"])
    assert (config.method.kind, config.method.rank) == ("lora", 4)
    training = config.training
    assert (training.epochs, training.batch_size, training.learning_rate, training.precision) == (40, 2, 0.002, "fp32")
    watch_points_grow(window, hands)
    wait_for_results(window, hands, 300)
    compare_losses(run, window, hands)

    wrong = compare_matrix(run, hands)
    assert wrong, "some messages contradict the others"
    asked = read_wrong_messages(run, hands, wrong[0])
    ask_from_results(hands, asked, tolerance=1e-4)
    ask_by_keyboard(hands, "will it rain at the pier", set(WORDS))
    unload(hands)
    take_adapter(hands, tmp_path / "taken")
    leave(window, hands)
    report(run, losses=len(losses_of(run)))


def test_sample(window: MainWindow, hands: Hands, tmp_path: Path) -> None:
    """The starter on the sample, as the window opens with them."""
    hands.wait(hands.see("trainButton", QWidget).isEnabled, 400)  # the starter is converted first
    began = time.monotonic()
    run = train(window, hands)
    wait_for_results(window, hands, 1200)
    seconds = time.monotonic() - began
    compare_losses(run, window, hands)

    wrong = compare_matrix(run, hands)
    accuracy, base = (figure(hands, name) for name in ("figure_accuracy", "figure_base"))
    rows = read_rows(run)
    assert accuracy == pytest.approx(sum(row["label"] == row["predicted"] for row in rows) / len(rows), abs=5e-4)
    if wrong:
        ask_from_results(hands, read_wrong_messages(run, hands, wrong[0]), tolerance=1e-3)
    else:
        hands.open_tab("Chat")
    ask_by_keyboard(hands, "I lost my card yesterday", {row["label"] for row in rows})
    unload(hands)
    take_adapter(hands, tmp_path / "taken")
    leave(window, hands)
    report(run, seconds=seconds, accuracy=accuracy, base_accuracy=base)


def report(run: RunFolder, **facts: float) -> None:
    told = {"platform": QGuiApplication.platformName(), "run": str(run.path), **facts}
    Path(os.environ["DRIVE_REPORT"]).write_text(json.dumps(told), "utf-8")
