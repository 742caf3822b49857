"""What the window's tests share: a home folder, the theme, and jobs whose answers the test gives itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QObject, Signal
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from studio.core.answers import ColumnGuess, DataInspected, ModelDescribed, TokensInspected
from studio.core.commands import Command, DescribeModel, InspectData, InspectTokens
from studio.core.data_problems import DataProblem
from studio.core.events import Event
from studio.core.model_description import LinearShape, ModelDescription
from studio.core.runs import Home
from studio.supervise.gauges import MemorySample
from studio.supervise.threads import WorkerThread
from studio.ui import theme
from studio.ui.application import window_settings
from studio.ui.main_window import MainWindow
from studio.ui.pages.setup import SetupPage
from tests.fake_workers import write_worker

GIB = 2**30
Opened = Callable[[DataInspected], None]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.locate(tmp_path / "home")


@pytest.fixture
def light(qapp: QApplication) -> QApplication:
    """The application in the light theme."""
    theme.apply(qapp, "light")
    return qapp


@dataclass
class FakeJob:
    command: Command
    succeed: Callable[[Event], None]
    fail: Callable[[Event], None]
    progress: Callable[[Event], None] | None
    active: bool = True

    def cancel(self) -> None:
        self.active = False

    def answer(self, event: Event, *, failed: bool = False) -> None:
        assert self.active
        self.active = False
        (self.fail if failed else self.succeed)(event)


@dataclass
class FakeJobs:
    """Stands in for ``run_job``: starts no process and remembers what was asked."""

    asked: list[FakeJob] = field(default_factory=list)

    def run_job(
        self,
        _parent: QObject,
        command: Command,
        on_success: Callable[[Event], None],
        on_failure: Callable[[Event], None],
        on_progress: Callable[[Event], None] | None = None,
        *,
        saves: bool = False,  # noqa: ARG002
    ) -> FakeJob:
        self.asked.append(FakeJob(command, on_success, on_failure, on_progress))
        return self.asked[-1]

    def open(self, kind: type[Command]) -> list[FakeJob]:
        """The jobs of a kind that have no answer yet and were not cancelled."""
        return [job for job in self.asked if isinstance(job.command, kind) and job.active]


class FakeTokens(QObject):
    """Stands in for ``TokenSession``: starts no process and remembers what was asked."""

    answered, failed, progressed, event_received, released = (
        Signal(object),
        Signal(object),
        Signal(object),
        Signal(object),
        Signal(),
    )

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.asked: list[InspectTokens] = []
        self.asking = False

    def ask(self, command: InspectTokens) -> None:
        self.asked.append(command)
        self.asking = True

    def release(self) -> None:
        self.asking = False
        self.released.emit()

    def answer(self, **changes: object) -> TokensInspected:
        """Answer the last question as a worker would whose messages all are alike."""
        command = self.asked[-1]
        totals = {
            "rows": 88,
            "longest": 57,
            "longest_row": 6,
            "mean": 31.2,
            "supervised": 4.2,
            "most_supervised": 6,
            "largest": (16, 56, 600, 70, 5, 7),
        }
        totals |= {"cut": 0, "cut_rows": [], "shared": 0.12, "alike": []}
        totals |= {name: changes.pop(name) for name in list(changes) if name in totals}
        message = command.message
        told = {
            "request": len(self.asked),
            "row": None if message else min(command.row, 87),
            "text": message.text if message else f"where is my card, {command.row + 1}?",
            "label": message.label if message else "card_arrival",
            "cut": "",
            "chat": False,
            "prompt": command.config.prompt.template.rstrip(),
            "max_length": command.config.prompt.max_length,
            "labels": ["card_arrival", "lost_card"],
            "totals": totals,
        }
        written = f"<bos>|Message|:| {told['text']}|\n|Int|ent|:".split("|")
        graded = [" card", "_", "arrival", "<eos>"] if told["label"] == "card_arrival" else [" lost", "_", "card", "<eos>"]
        told["tokens"] = [
            {"id": 100 + place, "text": text, "supervised": place >= len(written)} for place, text in enumerate(written + graded)
        ]
        answer = TokensInspected.model_validate({**told, **changes})
        self.asking = False
        self.answered.emit(answer)
        return answer


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> FakeJobs:
    fake = FakeJobs()
    for module in (
        "setup.dataset_picker",
        "setup.model_picker",
        "setup.known_models",
        "results.evaluation",
        "compare.compare_dialog",
        "save_menu",
    ):
        monkeypatch.setattr(f"studio.ui.widgets.{module}.run_job", fake.run_job)
    monkeypatch.setattr("studio.ui.widgets.setup.token_inspector.TokenSession", FakeTokens)
    return fake


@pytest.fixture
def tokens(ready: SetupPage, qtbot: QtBot) -> FakeTokens:
    """The token inspector's session, once the page has asked it for the first time."""
    session = ready.prompt.tokens.session
    assert isinstance(session, FakeTokens)
    qtbot.waitUntil(lambda: bool(session.asked))
    return session


@pytest.fixture
def inspected() -> DataInspected:
    return DataInspected(
        guess=ColumnGuess(columns=["id", "message", "topic"], text_column="message", label_column="topic"),
        preview=[{"id": "1", "message": "<b>where</b> is my card?", "topic": "card_arrival"}],
        train_counts={"card_arrival": 80, "lost_card": 8},
        validation_counts={"card_arrival": 8, "lost_card": 1},
        test_counts={"card_arrival": 20, "lost_card": 3},
        longest_text="where is my card? " * 10,
        problems=[
            DataProblem(kind="empty", sentence=sentence, rows=rows)
            for rows, sentence in enumerate(
                ("Row 4 has no message.", "Row 9 has no intent.", "Rows 3 and 5 are the same.", "Row 11 is empty.")
            )
        ],
    )


@pytest.fixture
def description() -> ModelDescription:
    return ModelDescription(
        base="starter",
        name="Gemma 3 270M",
        architecture="Gemma3ForCausalLM",
        licence="Gemma Terms of Use",
        parameters=268_098_176,
        linears=[LinearShape(name="q_proj", inputs=640, outputs=1024, count=18)],
        hidden=640,
        intermediate=2048,
        layers=18,
        heads=4,
        vocabulary=262_144,
        disk_bytes=536_000_000,
        context_length=32768,
    )


@pytest.fixture
def answer_all(jobs: FakeJobs, inspected: DataInspected, description: ModelDescription) -> Callable[[], None]:
    """Give every open job the answer that a good data set and a good model have."""

    def answer() -> None:
        for job in jobs.open(InspectData):
            job.answer(inspected)
        for job in jobs.open(DescribeModel):
            job.answer(ModelDescribed(description=description))

    return answer


@pytest.fixture
def the_worker_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """From now on runs are trained by the program ``body``."""

    def replace(body: str) -> None:
        monkeypatch.setattr("studio.supervise.process.WORKER_COMMAND", write_worker(tmp_path, body))

    return replace


@pytest.fixture
def make_window(home: Home, jobs: FakeJobs, light: QApplication, qtbot: QtBot) -> Iterator[Callable[[], MainWindow]]:
    assert light.styleSheet()

    def make() -> MainWindow:
        window = MainWindow(home, window_settings(home))
        qtbot.addWidget(window, before_close_func=lambda window: window.session.shut_down(0))
        window.show()
        window.activateWindow()
        qtbot.waitUntil(window.isActiveWindow)
        qtbot.waitUntil(lambda: window.pages is not None)
        qtbot.waitUntil(lambda: bool(jobs.open(InspectData)))
        return window

    yield make
    qtbot.waitUntil(lambda: not WorkerThread._running, timeout=20_000)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def window(make_window: Callable[[], MainWindow]) -> MainWindow:
    return make_window()


@pytest.fixture
def page(home: Home, jobs: FakeJobs, light: QApplication, qtbot: QtBot) -> SetupPage:
    assert light.styleSheet()
    page = SetupPage(home)
    qtbot.addWidget(page)
    page.resize(1024, 700)
    page.show_machine(MemorySample("RAM", 32 * GIB, GIB, 7 * GIB, 24 * GIB, 32 * GIB, 8 * GIB, 0))
    page.start()
    page.show()
    qtbot.waitUntil(lambda: bool(jobs.open(InspectData) and jobs.open(DescribeModel)))
    return page


@pytest.fixture
def ready(page: SetupPage, answer_all: Callable[[], None]) -> SetupPage:
    answer_all()
    page.refresh()
    return page


@pytest.fixture
def opened(ready: SetupPage, jobs: FakeJobs, qtbot: QtBot, tmp_path: Path) -> Opened:
    """Choose a file whose reading has this answer."""

    def choose(answer: DataInspected) -> None:
        ready.dataset.inputs.file.choose(str(tmp_path / "data.csv"))
        qtbot.waitUntil(lambda: len(jobs.open(InspectData)) == 1)
        jobs.open(InspectData)[0].answer(answer)

    return choose
