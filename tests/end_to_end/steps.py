"""The steps of a person's way through the window, each with what must be seen after it."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from PySide6.QtCore import QAbstractItemModel, Qt
from PySide6.QtWidgets import QLabel, QPlainTextEdit, QTableView, QTableWidget, QWidget

from studio.core.runs import Home, RunFolder
from studio.supervise.threads import WorkerThread
from studio.ui.main_window import MainWindow
from studio.ui.widgets.chat.chat_bubble import AnswerBubble
from studio.ui.widgets.figures import Figure
from tests.end_to_end.hands import Hands

ADAPTER = {"adapter_model.safetensors", "adapter_config.json", "labels.json", "prompt.json", "README.md", "tokenizer.json"}
NEVER_HERE = ("torch", "transformers", "datasets", "pandas", "peft", "accelerate", "studio.engine", "studio.data", "studio.worker")
WORDS = {"greeting": "good morning to you", "weather": "will it rain on", "farewell": "see you at"}
PLACES = ("noon", "the lake", "seven", "home", "the pier", "dusk", "work", "the fair", "school", "night", "the gate", "tea", "sea")
Row = tuple[str, str]


def write_messages(path: Path) -> list[Row]:
    """42 messages of 3 intents. Every fourth has another's intent, so that whatever is learnt, some are predicted wrong."""
    intents = list(WORDS)
    rows = []
    for number in range(42):
        words, shift = WORDS[intents[number % 3]], number % 4 == 0
        rows.append((f"{words} {PLACES[number % 13]}, {number}", intents[(number + shift) % 3]))
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["message", "intent"])
        table.writerows(rows)
    return rows


def choose_data(hands: Hands, path: Path, rows: list[Row]) -> None:
    hands.type_into("datasetPath", str(path), Qt.Key.Key_Return)
    hands.wait(lambda: hands.read("datasetSummary").startswith(f"{len(rows)} messages, {len(WORDS)} intents: "))
    hands.type_into("dataset_test_fraction", "0.4")
    hands.wait(lambda: hands.read("datasetSummary").endswith("17 to test"))
    assert contents(hands.see("dataPreview", QTableView).model()) == [list(row) for row in rows]
    counts = Counter(intent for _, intent in rows)
    assert dict(contents(hands.see("intentBars", QTableView).model())) == {name: str(number) for name, number in counts.items()}


def choose_model(hands: Hands, folder: str) -> None:
    hands.click_named("folderModel")
    hands.type_into("modelPath", folder, Qt.Key.Key_Return)
    hands.wait(lambda: hands.read("modelArchitecture") == "LlamaForCausalLM")


def train(window: MainWindow, hands: Hands) -> RunFolder:
    button = hands.see("trainButton", QWidget)
    hands.wait(button.isEnabled)
    hands.click(button)
    assert window.current_tab == "Training"
    assert window.open_run is not None
    assert window.open_run.folder in Home.locate().list_runs()
    return window.open_run.folder


def wait_for_results(window: MainWindow, hands: Hands, seconds: float) -> None:
    hands.wait(lambda: not window.session.active, seconds)
    assert window.current_tab == "Results", [label.text() for label in window.findChildren(QLabel) if label.isVisible()]


def plotted(window: MainWindow) -> tuple[list[float], list[float]]:
    """Steps and losses of the raw curve, as they stand in the plot itself."""
    plots: Any = window.findChild(QWidget, "lossPlot")
    if plots is None:  # made in the moment after Training is first shown
        return [], []
    (curve,) = [item for item in plots.getPlotItem().listDataItems() if item.name() == "raw"]
    steps, losses = curve.getOriginalDataset()
    return ([], []) if steps is None else (steps.tolist(), losses.tolist())


def watch_points_grow(window: MainWindow, hands: Hands) -> None:
    """Points come one after the other while the worker lives, not all at its end."""
    lengths: list[int] = []

    def grown() -> bool:
        length = len(plotted(window)[0])
        if worker_lives() and window.session.active and length > (lengths[-1] if lengths else 0):
            lengths.append(length)
        return len(lengths) >= 3 or not window.session.active

    hands.wait(grown, 120)
    assert len(lengths) >= 3, lengths


def worker_lives() -> bool:
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # it has just ended
            if "--worker" in child.cmdline():
                return True
    return False


def losses_of(run: RunFolder) -> list[float]:
    """Read without the app's own code."""
    events = [json.loads(line) for line in run.events_path.read_text("utf-8").splitlines()]
    return [loss for event in events if event["event"] == "steps_completed" for loss in event["losses"]]


def compare_losses(run: RunFolder, window: MainWindow, hands: Hands) -> None:
    """The curve shows exactly what the run recorded."""
    hands.open_tab("Training")
    written = losses_of(run)
    hands.see("lossPlot", QWidget)
    steps, losses = plotted(window)
    assert losses == written
    assert steps == list(range(1, len(written) + 1))
    assert len(written) >= 30
    assert all(math.isfinite(loss) for loss in written)
    hands.open_tab("Results")


def read_rows(run: RunFolder) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(run.predictions_path).to_pylist()
    return rows


def compare_matrix(run: RunFolder, hands: Hands) -> list[tuple[str, str]]:
    """Every cell holds what the predictions say; returns the wrong ones, (true, predicted), most messages first."""
    counts = Counter((row["label"], row["predicted"]) for row in read_rows(run))
    model = hands.see("confusionMatrix", QTableView).model()
    labels = header(model, Qt.Orientation.Vertical)
    assert labels == header(model, Qt.Orientation.Horizontal)
    assert set(labels) >= {label for pair in counts for label in pair}
    assert contents(model) == [[str(counts[true, predicted] or "") for predicted in labels] for true in labels]
    return [pair for pair, _ in counts.most_common() if pair[0] != pair[1]]


def read_wrong_messages(run: RunFolder, hands: Hands, cell: tuple[str, str]) -> dict[str, Any]:
    """Click on a cell, read its messages one by one, and leave the last one chosen."""
    true, predicted = cell
    rows = [row for row in read_rows(run) if (row["label"], row["predicted"]) == cell]
    matrix = hands.see("confusionMatrix", QTableView)
    labels = header(matrix.model(), Qt.Orientation.Vertical)
    hands.click_row(matrix, matrix.model().index(labels.index(true), labels.index(predicted)))
    assert hands.read("messagesScope") == f"{true}, predicted as {predicted}"
    table = hands.see("messagesTable", QTableView)
    model = table.model()
    listed = contents(model)
    assert listed == [["✗", " ".join(row["text"].split()), true, predicted, percent(row["probability"])] for row in rows]
    for number, row in enumerate(rows):
        hands.click_row(table, model.index(number, 1))
        assert hands.see("messageText", QPlainTextEdit).toPlainText() == row["text"]
        verdict = f"✗ True {true} ({percent(row['label_probability'])}), predicted {predicted} ({percent(row['probability'])})"
        assert hands.read("messageVerdict").startswith(verdict)
    return rows[-1]


def ask_from_results(hands: Hands, row: dict[str, Any], tolerance: float) -> None:
    """Chat gives the answer that the test gave; ``tolerance`` is of a probability."""
    hands.click_named("askInChat")
    answer = wait_for_answer(hands, 1)
    assert answer.predicted is not None
    prediction = answer.predicted.prediction
    assert prediction.text == row["text"]
    tested = dict(zip(row["top_labels"], row["top_probabilities"], strict=True))
    told = {entry.label: entry.probability for entry in prediction.top}
    least_tested, least_told = min(tested.values()), min(told.values())
    for label in tested.keys() | told.keys():  # what one of the lists leaves out is below its last entry
        assert told.get(label, least_told) == pytest.approx(tested.get(label, least_tested), abs=tolerance), label
    probabilities = [*tested.values(), 0.0]
    if probabilities[0] - probabilities[1] > 2 * tolerance:
        assert prediction.predicted == row["predicted"]


def ask_by_keyboard(hands: Hands, text: str, intents: set[str]) -> None:
    asked = len(answers(hands))
    hands.type_into("chatInput", text, Qt.Key.Key_Return)
    answer = wait_for_answer(hands, asked + 1)
    assert answer.predicted is not None
    assert answer.predicted.prediction.text == text
    assert answer.predicted.prediction.predicted in intents


def answers(hands: Hands) -> list[AnswerBubble]:
    return hands.see("conversation", QWidget).findChildren(AnswerBubble)


def wait_for_answer(hands: Hands, number: int) -> AnswerBubble:
    """The bubble once it is answered; it shows the predicted intent and the probabilities."""
    hands.wait(lambda: len(answers(hands)) == number and not answers(hands)[-1].waiting, 180)
    bubble = answers(hands)[-1]
    assert bubble.predicted is not None, [label.text() for label in bubble.findChildren(QLabel)]
    prediction = bubble.predicted.prediction
    intent, bars = bubble.findChild(QLabel, "chatIntent"), bubble.findChild(QWidget, "chatBars")
    assert intent is not None
    assert intent.text() == prediction.predicted == prediction.top[0].label
    assert bars is not None
    assert bars.isVisible()
    shown = ", ".join(f"{entry.label} {percent(entry.probability)}" for entry in prediction.top)
    assert bars.accessibleDescription() == shown
    return bubble


def unload(hands: Hands) -> None:
    """The model's process goes with it."""
    hands.click_named("chatUnload")
    assert hands.read("chatState") == "Not loaded"
    hands.wait(lambda: not psutil.Process().children())


def take_adapter(hands: Hands, folder: Path) -> None:
    hands.open_tab("Export")
    hands.type_into("exportFolder", str(folder))
    hands.click_named("exportButton")
    hands.wait(lambda: bool(hands.find("exportVerdict", QLabel) or hands.find("exportError", QWidget)), 400)
    assert hands.read("exportVerdict") == "verified"
    assert "predictions the same" in hands.read("exportVerification")
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert files.keys() >= ADAPTER
    assert all(files.values())
    table = hands.see("exportFiles", QTableWidget)
    assert {row[0] for row in contents(table.model())} == files.keys() | {"Together"}


def leave(window: MainWindow, hands: Hands) -> None:
    """Quit; no process stays, and this one has never loaded what only workers need."""
    hands.press(Qt.Key.Key_Q, Qt.KeyboardModifier.ControlModifier)
    hands.wait(lambda: not window.isVisible())
    WorkerThread.cancel_all()
    assert not psutil.Process().children()
    loaded = [name for name in sys.modules if any(name == never or name.startswith(f"{never}.") for never in NEVER_HERE)]
    assert loaded == []


def figure(hands: Hands, name: str) -> float:
    """A share among the headline figures."""
    return float(hands.see(name, Figure).value.removesuffix(" %")) / 100


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def contents(model: QAbstractItemModel) -> list[list[str]]:
    return [[model.index(row, column).data() for column in range(model.columnCount())] for row in range(model.rowCount())]


def header(model: QAbstractItemModel, orientation: Qt.Orientation) -> list[str]:
    count = model.columnCount() if orientation == Qt.Orientation.Horizontal else model.rowCount()
    return [model.headerData(section, orientation) for section in range(count)]
