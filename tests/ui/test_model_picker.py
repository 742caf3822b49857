"""The model picker: where a base comes from, what is asked of the hub and when, and the download with its way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, Qt
from PySide6.QtWidgets import QFileDialog, QLabel
from pytestqt.qtbot import QtBot

from studio.core.answers import CachedModel, DownloadProgressed, MissingFiles, ModelDescribed, ModelsListed
from studio.core.commands import DescribeModel, DownloadModel, ListModels
from studio.core.config import ModelConfig, RunConfig
from studio.core.events import Failed
from studio.core.model_description import ModelDescription
from studio.core.runs import Home
from studio.supervise.threads import WorkerThread
from studio.ui.pages.setup import SetupPage
from studio.ui.widgets.setup.known_models import read_models, write_models
from studio.ui.widgets.setup.model_picker import ModelPicker
from tests.hub_stand_in import HubStandIn, hub
from tests.ui.conftest import GIB, FakeJob, FakeJobs

__all__ = ["hub"]

ID = "people/tiny"
TINY = ModelConfig(base=f"hub:{ID}")
MISSING = MissingFiles(total=4 * 2**20, missing=4 * 2**20, free=GIB)
NOT_DOWNLOADED = Failed(kind="not_downloaded", message=f"The model {ID} is not on this computer yet.", remedy="Download it.")


@pytest.fixture
def picker(ready: SetupPage) -> ModelPicker:
    return ready.model


def asked(jobs: FakeJobs, qtbot: QtBot, kind: type[DescribeModel | DownloadModel] = DescribeModel) -> FakeJob:
    """The one open question of a kind."""
    qtbot.waitUntil(lambda: len(jobs.open(kind)) == 1)
    return jobs.open(kind)[0]


def type_id(picker: ModelPicker, qtbot: QtBot, text: str = ID) -> None:
    qtbot.mouseClick(picker.sources.hub, Qt.MouseButton.LeftButton)
    qtbot.keyClicks(picker.sources.id, text)


def look_up(picker: ModelPicker, jobs: FakeJobs, qtbot: QtBot) -> FakeJob:
    type_id(picker, qtbot)
    qtbot.keyClick(picker.sources.id, Qt.Key.Key_Return)
    return asked(jobs, qtbot)


@pytest.fixture
def offered(picker: ModelPicker, jobs: FakeJobs, description: ModelDescription, qtbot: QtBot) -> ModelPicker:
    """A picker with a model of the hub that was looked up and is not on this computer."""
    look_up(picker, jobs, qtbot).answer(ModelDescribed(description=description, missing=MISSING))
    return picker


def start(picker: ModelPicker, jobs: FakeJobs, qtbot: QtBot) -> FakeJob:
    qtbot.mouseClick(picker.download.start_button, Qt.MouseButton.LeftButton)
    return asked(jobs, qtbot, DownloadModel)


def progress(job: FakeJob, done: int) -> None:
    assert job.progress is not None
    job.progress(
        DownloadProgressed(file="model.safetensors", done=done, total=MISSING.total, bytes_per_second=2.0**20, seconds_left=3.0)
    )


def test_typing_asks_nobody(picker: ModelPicker, jobs: FakeJobs, qtbot: QtBot) -> None:
    before = len(jobs.asked)
    type_id(picker, qtbot)
    picker.sources.revision.setFocus()
    qtbot.wait(20)
    assert len(jobs.asked) == before
    assert picker.model == TINY
    assert "Nothing is downloaded" in picker.hint.text()
    assert picker.hint.isVisibleTo(picker)


@pytest.mark.parametrize("way", ["return", "button", "return in the revision"])
def test_a_look_up_is_asked_for(picker: ModelPicker, jobs: FakeJobs, qtbot: QtBot, way: str) -> None:
    type_id(picker, qtbot, "https://huggingface.co/people/tiny")
    if way == "button":
        qtbot.mouseClick(picker.sources.look_up, Qt.MouseButton.LeftButton)
    else:
        qtbot.keyClick(picker.sources.revision if "revision" in way else picker.sources.id, Qt.Key.Key_Return)
    command = asked(jobs, qtbot).command
    assert isinstance(command, DescribeModel)
    assert (command.model, command.online) == (TINY, True)


def test_what_is_no_id_cannot_be_looked_up(picker: ModelPicker, jobs: FakeJobs, qtbot: QtBot) -> None:
    type_id(picker, qtbot, "two words")
    assert not picker.sources.look_up.isEnabled()
    assert "org/name" in picker.sources.look_up.toolTip()
    qtbot.keyClick(picker.sources.id, Qt.Key.Key_Return)
    qtbot.wait(20)
    assert not jobs.open(DescribeModel)
    assert picker.obstacle() == "Name a model of the hub, as in org/name."


def test_a_model_that_was_remembered_is_looked_for_on_this_computer_alone(
    picker: ModelPicker, jobs: FakeJobs, qtbot: QtBot
) -> None:
    picker.open_model(ModelConfig(base=TINY.base, revision="v1"))
    job = asked(jobs, qtbot)
    assert isinstance(job.command, DescribeModel)
    assert (job.command.model.revision, job.command.online) == ("v1", False)
    job.answer(NOT_DOWNLOADED, failed=True)
    assert picker.error.isHidden()
    assert "not on this computer yet. Look it up" in picker.hint.text()
    assert picker.obstacle() == "Look the model up; see Model."


def test_the_size_is_shown_and_forecast_before_the_download(
    offered: ModelPicker, ready: SetupPage, description: ModelDescription, jobs: FakeJobs
) -> None:
    ready.refresh()
    assert "4.0 MB to download. 1.0 GB are free" in offered.download.words.text()
    assert {kind for kind, card in ready.method.cards.items() if card.badge.text() == "fits"} == {"full", "lora", "qlora"}
    assert not jobs.open(DownloadModel)
    assert not ready.train_button.isEnabled()
    assert "Download the model first (4.0 MB)" in ready.train_button.toolTip()
    assert offered.description == description
    assert "Tokens are shown once the model is downloaded." in {label.text() for label in ready.findChildren(QLabel)}


def test_a_download_tells_its_way_and_then_the_run_can_start(
    offered: ModelPicker, ready: SetupPage, description: ModelDescription, jobs: FakeJobs, qtbot: QtBot
) -> None:
    job = start(offered, jobs, qtbot)
    assert isinstance(job.command, DownloadModel)
    assert job.command.model == TINY
    progress(job, 3 * 2**20)
    assert offered.download.words.text() == "3.0 MB of 4.0 MB, 1.0 MB/s, about 3 s left"
    assert offered.download.bar.value() == 750
    assert offered.obstacle() == "The model is being downloaded."
    job.answer(ModelDescribed(description=description))
    ready.refresh()
    assert offered.download.isHidden()
    assert ready.train_button.isEnabled()
    assert ready.config().model == TINY


def test_a_cancelled_download_can_go_on(offered: ModelPicker, jobs: FakeJobs, qtbot: QtBot) -> None:
    job = start(offered, jobs, qtbot)
    progress(job, 2**20)
    qtbot.mouseClick(offered.download.cancel_button, Qt.MouseButton.LeftButton)
    assert not job.active
    assert offered.download.start_button.text() == "Continue download"
    assert "3.0 MB to download of 4.0 MB; the rest came earlier" in offered.download.words.text()
    assert offered.download.start_button.isVisibleTo(offered)
    assert not offered.download.cancel_button.isVisibleTo(offered)


def test_a_download_that_fails_says_why_and_can_be_tried_again(offered: ModelPicker, jobs: FakeJobs, qtbot: QtBot) -> None:
    job = start(offered, jobs, qtbot)
    progress(job, 2**20)
    job.answer(Failed(kind="no_network", message="The hub cannot be reached.", remedy="Try again."), failed=True)
    assert offered.error.message == "The hub cannot be reached."
    assert "3.0 MB to download" in offered.download.words.text()
    start(offered, jobs, qtbot)
    assert offered.error.isHidden()


def test_a_disk_without_room_is_told_on_the_button(
    picker: ModelPicker, jobs: FakeJobs, description: ModelDescription, qtbot: QtBot
) -> None:
    little = MISSING.model_copy(update={"free": 2**20})
    look_up(picker, jobs, qtbot).answer(ModelDescribed(description=description, missing=little))
    assert not picker.download.start_button.isEnabled()
    assert "It needs 4.0 MB and 256 MB to spare; only 1.0 MB are free." in picker.download.start_button.toolTip()


def test_another_model_ends_a_download(offered: ModelPicker, jobs: FakeJobs, qtbot: QtBot) -> None:
    job = start(offered, jobs, qtbot)
    qtbot.mouseClick(offered.sources.starter, Qt.MouseButton.LeftButton)
    assert not job.active
    assert offered.download.isHidden()
    assert offered.missing is None
    assert asked(jobs, qtbot).command.model_dump()["model"]["base"] == "starter"


def test_an_edited_id_is_another_model(offered: ModelPicker, ready: SetupPage, qtbot: QtBot) -> None:
    qtbot.keyClicks(offered.sources.id, "-2")
    assert offered.description is None
    assert offered.download.isHidden()
    assert "Look the model up" in "; ".join(ready.missing())


def test_a_gguf_file_is_chosen_in_a_dialog(
    picker: ModelPicker, jobs: FakeJobs, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "tiny.gguf")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_arguments: (path, ""))
    qtbot.mouseClick(picker.sources.other, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(picker.sources.gguf, Qt.MouseButton.LeftButton)
    command = asked(jobs, qtbot).command
    assert isinstance(command, DescribeModel)
    assert command.model == ModelConfig(base=path)


def test_a_run_is_repeated_on_its_model(ready: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> None:
    config = RunConfig(model=ModelConfig(base=TINY.base, revision="c0ffee"))
    ready.show_config(config)
    asked(jobs, qtbot)
    assert ready.config().model == config.model
    assert ready.model.sources.revision.text() == "c0ffee"


class TestKnownModels:
    def open(self, picker: ModelPicker, jobs: FakeJobs, *models: CachedModel) -> list[str]:
        """What the menu shows once the cache was read."""
        picker.known.models_menu.aboutToShow.emit()
        (job,) = jobs.open(ListModels)
        job.answer(ModelsListed(models=list(models)))
        return [action.text() for action in picker.known.models_menu.actions() if action.text()]

    def test_the_cache_is_listed_with_sizes(self, picker: ModelPicker, jobs: FakeJobs) -> None:
        whole = CachedModel(base=TINY.base, revision=None, disk_bytes=2**29, whole=True)
        half = CachedModel(base="hub:people/half", revision="v1", disk_bytes=2**20, whole=False)
        shown = self.open(picker, jobs, whole, half)
        assert shown == ["Downloaded from the hub", f"{ID}   512 MB", "people/half   1.0 MB   not complete   v1"]

    def test_an_empty_cache_says_so(self, picker: ModelPicker, jobs: FakeJobs) -> None:
        assert self.open(picker, jobs) == ["Downloaded from the hub", "None yet"]

    def test_a_cache_that_cannot_be_read_says_so(self, picker: ModelPicker, jobs: FakeJobs) -> None:
        picker.known.models_menu.aboutToShow.emit()
        assert "Looking…" in [action.text() for action in picker.known.models_menu.actions()]
        jobs.open(ListModels)[0].answer(Failed(kind="disk", message="The cache is locked.", remedy=""), failed=True)
        assert "The cache is locked." in [action.text() for action in picker.known.models_menu.actions()]

    def test_a_known_model_is_picked_without_the_network(self, picker: ModelPicker, jobs: FakeJobs, qtbot: QtBot) -> None:
        self.open(picker, jobs, CachedModel(base=TINY.base, revision="v1", disk_bytes=2**29, whole=True))
        picker.known.models_menu.actions()[-1].trigger()
        command = asked(jobs, qtbot).command
        assert isinstance(command, DescribeModel)
        assert (command.model, command.online) == (ModelConfig(base=TINY.base, revision="v1"), False)
        assert picker.sources.hub.isChecked()

    def test_models_used_lately_come_first_and_once(self, picker: ModelPicker, jobs: FakeJobs) -> None:
        for base in ("/models/a", "/models/b.gguf", TINY.base, "/models/a", "starter"):
            picker.known.remember(ModelConfig(base=base))
        assert self.open(picker, jobs)[:4] == ["Used lately", "a", ID, "b.gguf"]

    def test_they_are_remembered(self) -> None:
        recent = [TINY, ModelConfig(base="/models/a")]
        assert read_models(write_models(TINY, recent)) == (TINY, recent)
        assert read_models("{nonsense") == (ModelConfig(), [])


def test_a_model_is_downloaded_by_a_real_worker(
    hub: HubStandIn, tiny_model_folder: Path, home: Home, light: object, qtbot: QtBot
) -> None:
    """From the id that is typed to a model that is ready, with processes and HTTP."""
    assert light
    hub.add_model(ID, tiny_model_folder)
    picker = ModelPicker(home)
    qtbot.addWidget(picker)
    picker.show()
    picker.sources.hub.setChecked(True)
    picker.sources.id.setText(ID)
    picker.sources._typed()
    with qtbot.waitSignal(picker.described, timeout=90_000):
        picker.sources.look_up.click()
    assert picker.missing is not None, picker.error.message
    assert "model.safetensors" not in hub.fetched()
    with qtbot.waitSignal(picker.described, timeout=90_000):
        picker.download.start_button.click()
    assert picker.error.message == ""
    assert picker.missing is None
    assert picker.description is not None
    assert hub.fetched(".safetensors") == ["model.safetensors"]
    qtbot.waitUntil(lambda: not WorkerThread._running, timeout=20_000)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
