"""What a person does all day in a window that holds much: tabs, runs, dialogs, help, chat, settings, looks."""

from __future__ import annotations

import json
from typing import TypeVar

from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit, QPlainTextEdit, QPushButton, QWidget

from studio.core.answers import LabelProbability, Predicted, Prediction
from studio.core.chat_history import CHAT, ChatAnswer, Exchange
from studio.core.config import RunConfig
from studio.core.events import Finished
from studio.core.runs import RunFolder
from studio.ui import theme
from studio.ui.main_window import TABS, MainWindow
from studio.ui.widgets.compare.compare_dialog import CompareDialog
from studio.ui.widgets.window.about import AboutDialog
from studio.ui.widgets.window.shortcuts_dialog import ShortcutsDialog
from tests.benchmarks.bench import Bench, wait_until
from tests.benchmarks.curves import write_run

RUNS, SWITCHED, EXCHANGES, LINES = 1000, 8, 1000, 200_000


W = TypeVar("W", bound=QWidget)


def whole_run(bench: Bench, rows: int = 20_000, intents: int = 77) -> RunFolder:
    """A run with results, steps, a checkpoint and a conversation: each of its tabs has something to show."""
    run = bench.results(rows, intents)
    other = write_run(bench.home, 2000, 1)
    run.events_path.write_bytes(other.events_path.read_bytes())
    for path in other.path.iterdir():
        path.unlink()
    other.path.rmdir()
    run.write_outcome(Finished(outcome="completed", rows=rows, accuracy=0.9, macro_f1=0.9, seconds=99))
    manifest = run.checkpoints / "step-2000" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"best": True}), "utf-8")
    (run.path / CHAT).write_text("".join(_exchange(number).model_dump_json() + "\n" for number in range(EXCHANGES)), "utf-8")
    return run


def _exchange(number: int) -> Exchange:
    top = [LabelProbability(label=f"an_intent_with_a_long_name_{row:03}", probability=0.2) for row in range(5)]
    text = f"message {number} about my card, " + "which was declined again today and yesterday " * (number % 5)
    predicted = Prediction(text=text, predicted=top[0].label, probability=0.2, top=top, left_set=False, outside_mass=0.1)
    return Exchange(
        id=number,
        text=text,
        answers=[ChatAnswer(predicted=Predicted(request=number, prediction=predicted, seconds=0.1, cut=False))],
    )


def child(window: QWidget, kind: type[W], name: str) -> W:
    found = window.findChild(kind, name)
    assert found is not None, name
    return found


def tabs(bench: Bench) -> None:
    """Each tab comes into sight for the first time, with nothing in it, then with a run."""
    for tab in TABS:
        with bench.measured(f"{tab}, for the first time, without a run"):
            bench.window.show_tab(tab)
            QTest.qWait(700)
    bench.window.show_tab("Setup")
    run = whole_run(bench)
    with bench.measured("a run of 20,000 test messages and 77 intents is opened"):
        bench.window.open_folder(run)
        QTest.qWait(700)
    for tab in TABS:
        with bench.measured(f"{tab}, for the first time, with that run"):
            bench.window.show_tab(tab)
            QTest.qWait(700)
    with bench.measured("the tabs are walked through, three times"):
        for tab in TABS * 3:
            bench.window.show_tab(tab)
            QTest.qWait(60)


def switching(bench: Bench) -> None:
    """One run after the other is opened, faster than each can be read."""
    runs = [whole_run(bench) for _ in range(SWITCHED)]
    bench.window.sidebar.refresh()
    for tab in TABS[1:]:
        bench.window.show_tab(tab)
        QTest.qWait(300)
        with bench.measured(f"{SWITCHED} runs are opened one after the other, on {tab}"):
            for run in runs:
                bench.window.open_folder(run)
                QTest.qWait(40)
            QTest.qWait(500)


def chat(bench: Bench) -> None:
    """A conversation of a thousand exchanges."""
    run = whole_run(bench)
    bench.window.show_tab("Chat")
    with bench.measured(f"a conversation of {EXCHANGES:,} exchanges is opened"):
        bench.window.open_folder(run)
        QTest.qWait(500)
    with bench.measured("its earlier messages are shown, 10 times"):
        for _ in range(10):
            child(bench.window, QPushButton, "chatEarlier").click()
            QTest.qWait(80)
    with bench.measured("all of it is copied"):
        child(bench.window, QPushButton, "chatCopyAll").click()
        QTest.qWait(50)


def files(bench: Bench) -> None:
    """What is saved from the results."""
    run = bench.results(100_000, 150)
    bench.window.open_folder(run)
    bench.window.show_tab("Results")
    QTest.qWait(500)
    assert bench.window.pages is not None
    results = bench.window.pages.results
    for action in results._save._menu.actions()[:4]:
        path = bench.root / f"saved{len(bench.figures)}"
        with bench.measured(f"100,000 messages, 150 intents: {action.text()}"):
            bench.save(action, path)
            QTest.qWait(100)
            wait_until(path.exists, 30)
            QTest.qWait(100)


def dialogs(bench: Bench) -> None:
    """Help and the dialogs of the window."""
    bench.window.show_tab("Setup")
    with bench.measured("help is opened, then the settings, then the glossary"):
        for place in ("setup", "settings", "glossary", "settings#training.epochs"):
            bench.window._shell.show_help(place)
            QTest.qWait(200)
    search = child(bench.window, QLineEdit, "helpSearch")
    with bench.measured("the help is searched, letter by letter"):
        search.setFocus()
        for letter in "learning rate":
            QTest.keyClick(search, letter)
            QTest.qWait(20)
    bench.window._shell.help.close_panel()
    for name, make in (("keyboard shortcuts", ShortcutsDialog), ("about", lambda window: AboutDialog(bench.home, window))):
        with bench.measured(f"the dialog: {name}"):
            dialog = make(bench.window)
            dialog.open()
            QTest.qWait(300)
            dialog.close()
            QTest.qWait(50)
    with bench.measured("the settings as run.toml"):
        bench.window.setup._show_run_file()
        QTest.qWait(300)
        for dialog in QApplication.topLevelWidgets():
            if dialog.objectName() == "runFile":
                dialog.close()


def typing(bench: Bench) -> None:
    """Settings are typed while a million rows are loaded."""
    setup = bench.window.setup
    bench.window.show_tab("Setup")
    setup.dataset.open_source(str(bench.million_rows()))
    wait_until(lambda: not setup.dataset.reading)
    QTest.qWait(500)
    with bench.measured("the advanced settings are unfolded for the first time"):
        setup.settings.show_advanced(True)
        QTest.qWait(300)
    with bench.measured("a million rows are loaded, and the template is typed"):
        _type(child(bench.window, QPlainTextEdit, "prompt_template"), " Intent of a message")
    with bench.measured("a million rows are loaded, and the learning rate is typed"):
        _type(child(bench.window, QLineEdit, "training_learning_rate"), "0.00012")
    with bench.measured("a million rows are loaded, and adapted layers are typed"):
        _type(child(bench.window, QLineEdit, "method_target_modules"), "q_proj, v_proj")
    with bench.measured("a preset is picked, and another, and a method"):
        for preset in setup.settings.presets.findChildren(QPushButton)[:3]:
            preset.click()
            QTest.qWait(200)
        for kind in ("full", "qlora", "lora"):
            setup.method.choose(kind)
            QTest.qWait(200)
    with bench.measured("the window is made narrow and wide again"):
        for width in (1300, 1100, 1024, 1500):
            bench.window.resize(width, 800)
            QTest.qWait(100)
    setup.settings.show_advanced(False)
    setup.start()


def _type(editor: QWidget, text: str) -> None:
    editor.setFocus()
    for letter in text:
        QTest.keyClick(editor, letter)
        QTest.qWait(30)
    QTest.qWait(400)


def log(bench: Bench) -> None:
    """A run whose log has two hundred thousand lines."""
    run = bench.home.create_run(RunConfig())
    line = '{{"time":1.0,"elapsed":{0}.0,"event":"log_line","level":"info","text":"step {0} of many is no better on validation"}}\n'
    run.events_path.write_text("".join(line.format(number) for number in range(1, LINES + 1)), "utf-8")
    bench.window.show_tab("Training")
    QTest.qWait(500)
    with bench.measured(f"a log of {LINES:,} lines is opened"):
        bench.window.open_folder(run)
        assert bench.window.open_run is not None
        wait_until(lambda: bench.window.open_run is not None and not bench.window.open_run.reading)
        QTest.qWait(500)
    search = child(bench.window, QLineEdit, "logSearch")
    with bench.measured("it is searched, letter by letter"):
        for letter in "better 9":
            QTest.keyClick(search, letter)
            QTest.qWait(30)
        search.clear()
        QTest.qWait(100)


def compare(bench: Bench) -> None:
    """Two runs of a million steps and as many messages as a test split has, side by side."""
    folders = [write_run(bench.home, 1_000_000, seed) for seed in (1, 2)]
    for number, folder in enumerate(folders):
        bench.results(20_000, 77 + number).predictions_path.replace(folder.predictions_path)
    runs = [(folder.name, folder) for folder in folders]
    with bench.measured("two runs of 1,000,000 steps and 20,000 messages are compared"):
        dialog = CompareDialog(runs, folders, bench.window)
        dialog.show()
        wait_until(lambda: dialog.comparison is not None, 60)
        QTest.qWait(500)
    with bench.measured("the tabs of the comparison are walked through"):
        for number in range(4):
            dialog._tabs.setCurrentIndex(number)
            QTest.qWait(400)
    with bench.measured("their curves are read and drawn"):
        dialog._tabs.setCurrentIndex(1)
        wait_until(lambda: not any(overlay.run.reading for overlay in dialog._curves._overlays.shown))
        QTest.qWait(500)
    with bench.measured("the messages they disagree on are searched"):
        _type(dialog._search, "card 99")
    dialog.close()
    QTest.qWait(200)


def looks(bench: Bench) -> None:
    """Every page has been made; the whole window changes its colours."""
    with bench.measured("the theme is switched, 4 times"):
        for mode in ("dark", "light", "dark", "light"):
            theme.apply(bench.application, theme.as_mode(mode))
            QTest.qWait(300)


def runs(bench: Bench) -> None:
    """A home with a thousand runs."""
    outcome = Finished(outcome="completed", rows=100, accuracy=0.9, macro_f1=0.9, seconds=99)
    for _ in range(RUNS):
        bench.home.create_run(RunConfig()).write_outcome(outcome)
    with bench.measured(f"{RUNS:,} runs are listed for the first time"):
        bench.window.sidebar.refresh()
        QTest.qWait(1000)
    with bench.measured("the list is read again, 5 times"):
        for _ in range(5):
            bench.window.sidebar.refresh()
            QTest.qWait(100)
    search = child(bench.window, QLineEdit, "searchRuns")
    with bench.measured("the runs are searched, letter by letter"):
        _type(search, "sample lora 99")
        search.clear()
        QTest.qWait(200)
    with bench.measured("a window is opened on them"):
        window = MainWindow(bench.home, bench.window._settings)
        window.show()
        QTest.qWait(3000)
    window.close()
    window.deleteLater()
    QTest.qWait(200)
