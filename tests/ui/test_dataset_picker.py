"""The dataset picker: what was guessed can be corrected, problems open their rows, and what was used before is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QSettings, Qt
from pytestqt.qtbot import QtBot

from studio.core.answers import ColumnGuess, DataInspected, DownloadOffered, DownloadProgressed, MissingFiles
from studio.core.commands import InspectData
from studio.core.config import DatasetConfig, RunConfig
from studio.core.events import Failed, StageChanged
from studio.supervise.threads import WorkerThread
from studio.ui.pages.setup import SetupPage
from studio.ui.widgets.setup.dataset_picker import LARGEST_DOWNLOAD, DatasetPicker
from studio.ui.widgets.setup.source_menu import RecentSources, SourceMenu
from tests.hub_stand_in import HubStandIn, hub
from tests.ui.conftest import GIB, FakeJob, FakeJobs, Opened
from tests.ui.staging import reread
from tests.ui.widget_walker import cut_texts

__all__ = ["hub"]

MISSING = MissingFiles(total=400 * 2**20, missing=400 * 2**20, free=GIB)


@pytest.fixture
def text_file(inspected: DataInspected) -> DataInspected:
    return inspected.model_copy(update={"encoding": "cp1252", "delimiter": ";"})


class TestReading:
    def test_the_guess_is_shown(self, ready: SetupPage, opened: Opened, text_file: DataInspected) -> None:
        opened(text_file)
        choices = ready.dataset.inputs.reading_choices
        assert choices.encoding.currentText() == "Guess: Windows-1252, Western"
        assert choices.delimiter.currentText() == "Guess: Semicolon"
        assert choices.names.currentText() == "Guess: none"
        assert choices.encoding.isEnabled()
        assert not {"encoding", "delimiter", "label_name_column"} & set(ready.dataset.table())

    def test_a_share_is_no_choice_where_the_data_has_that_split(
        self, ready: SetupPage, opened: Opened, text_file: DataInspected, jobs: FakeJobs, qtbot: QtBot
    ) -> None:
        opened(text_file)
        validation, test = ready.dataset.inputs.validation.editor, ready.dataset.inputs.test_fraction.editor
        assert (validation.isEnabled(), test.isEnabled()) == (True, True)
        for drawn, allowed in ((["validation"], (True, False)), ([], (False, False)), (["test", "validation"], (True, True))):
            ready.dataset.read_again()
            reread(ready, jobs, qtbot)
            jobs.open(InspectData)[0].answer(text_file.model_copy(update={"drawn": drawn}))
            assert (validation.isEnabled(), test.isEnabled()) == allowed
            assert ("has its own test messages" in test.toolTip()) != test.isEnabled()

    @pytest.mark.parametrize("width", [824, 1200])
    def test_the_guesses_are_not_cut(
        self, ready: SetupPage, opened: Opened, text_file: DataInspected, qtbot: QtBot, width: int
    ) -> None:
        ready.resize(width, 700)
        opened(text_file)
        qtbot.wait(20)
        assert cut_texts(ready.dataset) == []

    def test_another_choice_is_read_again(
        self, ready: SetupPage, opened: Opened, text_file: DataInspected, jobs: FakeJobs, qtbot: QtBot
    ) -> None:
        opened(text_file)
        choices = ready.dataset.inputs.reading_choices
        for choice, value in ((choices.encoding, "utf-16"), (choices.delimiter, "\t"), (choices.names, "id")):
            choice.setCurrentIndex(choice.findData(value))
            choice.activated.emit(choice.currentIndex())
        dataset = reread(ready, jobs, qtbot).dataset
        assert (dataset.encoding, dataset.delimiter, dataset.label_name_column) == ("utf-16", "\t", "id")
        jobs.open(InspectData)[0].answer(text_file)
        assert choices.encoding.currentData() == "utf-16"
        assert choices.encoding.itemText(0) == "Guess: Windows-1252, Western"
        choices.encoding.setCurrentIndex(0)
        choices.encoding.activated.emit(0)
        assert reread(ready, jobs, qtbot).dataset.encoding is None

    @pytest.mark.parametrize(("typed", "taken"), [("^", "^"), ("::", None), ('"', None), ("", None)])
    def test_any_character_can_be_typed_as_delimiter(
        self, ready: SetupPage, opened: Opened, text_file: DataInspected, qtbot: QtBot, typed: str, taken: str | None
    ) -> None:
        opened(text_file)
        edit = ready.dataset.inputs.reading_choices.delimiter.lineEdit()
        assert edit is not None
        edit.selectAll()
        qtbot.keyClick(edit, Qt.Key.Key_Delete)
        qtbot.keyClicks(edit, typed)
        qtbot.keyClick(edit, Qt.Key.Key_Return)
        assert ready.dataset.table().get("delimiter") == taken
        assert edit.text() == (taken or "Guess: Semicolon")

    def test_a_kind_of_file_without_a_choice_says_so(self, ready: SetupPage, opened: Opened, inspected: DataInspected) -> None:
        choices = ready.dataset.inputs.reading_choices
        assert not choices.encoding.isEnabled()
        assert "sample" in choices.encoding.toolTip()
        opened(inspected)
        assert "tells its encoding itself" in choices.encoding.toolTip()
        assert choices.names.isEnabled()

    def test_a_file_that_cannot_be_read_lets_everything_be_chosen(
        self, ready: SetupPage, jobs: FakeJobs, qtbot: QtBot, tmp_path: Path
    ) -> None:
        ready.dataset.inputs.file.choose(str(tmp_path / "data.csv"))
        reread(ready, jobs, qtbot)
        jobs.open(InspectData)[0].answer(Failed(kind="bad_input", message="One column.", remedy="Name it."), failed=True)
        choices = ready.dataset.inputs.reading_choices
        assert all(choice.isEnabled() for choice in choices.all.values())
        assert choices.delimiter.currentText() == "Guess"
        assert choices.delimiter.findData("|") > 0

    def test_another_source_is_guessed_anew_and_another_run_keeps_its_choices(
        self, ready: SetupPage, opened: Opened, text_file: DataInspected, jobs: FakeJobs, qtbot: QtBot
    ) -> None:
        dataset = DatasetConfig(
            source="/a.csv", encoding="koi8-u", delimiter="^", text_column="t", label_name_column="names", labels=["a", "b"]
        )
        ready.show_config(RunConfig(dataset=dataset))
        assert reread(ready, jobs, qtbot).dataset == dataset
        jobs.open(InspectData)[0].answer(text_file)
        assert ready.dataset.inputs.reading_choices.encoding.currentText() == "koi8-u"
        opened(text_file)
        assert ready.config().dataset.model_dump(exclude_defaults=True, exclude={"source"}) == {}

    def test_another_source_comes_without_the_files_and_the_rows_of_the_one_before(
        self, ready: SetupPage, opened: Opened, inspected: DataInspected, jobs: FakeJobs, qtbot: QtBot
    ) -> None:
        opened(inspected)
        for file in (ready.dataset.inputs.validation_file, ready.dataset.inputs.test_file):
            file.choose("/held out.csv")
        reread(ready, jobs, qtbot)
        jobs.open(InspectData)[0].answer(inspected)
        assert ready.dataset.views.isVisibleTo(ready)
        ready.dataset.inputs.file.choose("/other.csv")
        assert not ready.dataset.views.isVisibleTo(ready), "these are the rows of other data"
        command = reread(ready, jobs, qtbot)
        assert (command.dataset.validation, command.dataset.test) == (None, None)
        ready.refresh()
        assert "card_arrival" not in ready.prompt.preview.toPlainText()

    def test_names_of_numbered_intents_are_what_is_shown(self, ready: SetupPage, opened: Opened, inspected: DataInspected) -> None:
        guess = ColumnGuess(
            columns=["text", "label", "label_text"], text_column="text", label_column="label", label_name_column="label_text"
        )
        opened(inspected.model_copy(update={"guess": guess, "preview": [{"text": "hi", "label": "0", "label_text": "greeting"}]}))
        model = ready.dataset.views.preview_model
        assert [model.headerData(column, Qt.Orientation.Horizontal) for column in range(3)] == [
            "text (message)",
            "label_text (intent)",
            "label",
        ]
        assert model.index(0, 1).data() == "greeting"
        assert ready.dataset.inputs.reading_choices.names.currentText() == "Guess: label_text"


class TestIntents:
    @pytest.mark.parametrize("number", [3, 150])
    def test_few_and_many_intents_are_shown(
        self, ready: SetupPage, opened: Opened, inspected: DataInspected, number: int, qtbot: QtBot
    ) -> None:
        counts = {f"intent {n}": 400 - n for n in range(number)}
        opened(inspected.model_copy(update={"train_counts": counts, "validation_counts": {}, "test_counts": {"intent 0": 1}}))
        bars = ready.dataset.views.intents
        assert bars.counts.rowCount() == number
        assert bars.counts.index(0, 1).data() == "401"
        assert f"{number} intents" in ready.dataset.views.summary.text()
        bars.scrollToBottom()
        qtbot.waitUntil(lambda: bars.rowAt(bars.viewport().height() - 12) in (number - 1, -1))
        assert bars.height() >= 19 * 8

    @pytest.mark.parametrize("order", [Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder])
    def test_intents_of_one_size_are_in_the_order_of_their_names(
        self, ready: SetupPage, opened: Opened, inspected: DataInspected, order: Qt.SortOrder
    ) -> None:
        split = {"train_counts": {"c": 9, "a": 8, "B": 7}, "validation_counts": {"a": 1, "B": 2}, "test_counts": {}}
        opened(inspected.model_copy(update=split))
        counts = ready.dataset.views.intents.counts
        assert [counts.index(row, 0).data() for row in range(3)] == ["a", "B", "c"]
        counts.sort(1, order)
        names = [counts.index(row, 0).data() for row in range(3)]
        assert [name for name in names if name != "c"] == ["a", "B"]


class TestRecent:
    def test_what_was_read_is_kept_and_what_is_gone_is_greyed(
        self, ready: SetupPage, opened: Opened, inspected: DataInspected, tmp_path: Path
    ) -> None:
        (tmp_path / "data.csv").write_text("text,label\n", "utf-8")
        ready.dataset.menu.recent.add(str(tmp_path / "gone.csv"))
        opened(inspected)
        menu = ready.dataset.menu.menu()
        menu.aboutToShow.emit()
        known = {action.text(): action.isEnabled() for action in menu.actions() if action.text().endswith(".csv")}
        assert known == {"data.csv": True, "gone.csv": False}

    def test_one_is_opened_again(self, ready: SetupPage, jobs: FakeJobs, qtbot: QtBot, tmp_path: Path) -> None:
        path = tmp_path / "this & that.csv"
        path.write_text("text,label\n", "utf-8")
        ready.dataset.menu.recent.add(str(path))
        ready.dataset.menu.fill()
        (action,) = (action for action in ready.dataset.menu.menu().actions() if action.text() == "this && that.csv")
        action.trigger()
        assert reread(ready, jobs, qtbot).dataset.source == str(path)

    def test_the_list_outlives_the_window_and_is_short(self, tmp_path: Path) -> None:
        file = str(tmp_path / "window.ini")
        recent = RecentSources(QSettings(file, QSettings.Format.IniFormat))
        assert recent.names == []
        recent.add("/one.csv")
        assert RecentSources(QSettings(file, QSettings.Format.IniFormat)).names == ["/one.csv"]
        for number in range(12):
            recent.add(f"/data {number % 10}, old.csv")
        again = RecentSources(QSettings(file, QSettings.Format.IniFormat))
        assert again.names == [f"/data {number % 10}, old.csv" for number in range(11, 3, -1)]
        again.clear()
        assert RecentSources(QSettings(file, QSettings.Format.IniFormat)).names == []

    def test_a_source_that_cannot_be_read_is_not_kept(self, ready: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> None:
        ready.dataset.inputs.file.choose("/some.csv")
        reread(ready, jobs, qtbot)
        jobs.open(InspectData)[0].answer(Failed(kind="bad_input", message="No.", remedy="Yes."), failed=True)
        assert ready.dataset.menu.recent.names == []

    def test_a_folder_can_be_chosen(self, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("studio.ui.widgets.setup.source_menu.QFileDialog.getExistingDirectory", lambda *_args: str(tmp_path))
        menu = SourceMenu(RecentSources())
        qtbot.addWidget(menu)
        with qtbot.waitSignal(menu.chosen) as chosen:
            menu.menu().actions()[0].trigger()
        assert chosen.args == [str(tmp_path)]


class TestHub:
    @pytest.mark.parametrize(
        "typed", ["hub:mteb/banking77", "hf://datasets/mteb/banking77", "https://huggingface.co/datasets/mteb/banking77/viewer"]
    )
    def test_a_data_set_is_read_by_its_id(self, ready: SetupPage, jobs: FakeJobs, qtbot: QtBot, typed: str) -> None:
        ready.dataset.inputs.file.choose(typed)
        assert reread(ready, jobs, qtbot).dataset.source == "hub:mteb/banking77"

    def test_configuration_and_revision_are_asked_for_the_hub_alone(
        self, ready: SetupPage, opened: Opened, inspected: DataInspected, jobs: FakeJobs, qtbot: QtBot
    ) -> None:
        assert not ready.dataset.inputs.hub_config.isVisibleTo(ready)
        ready.dataset.inputs.file.choose("hub:mteb/massive")
        assert ready.dataset.inputs.hub_config.isVisibleTo(ready)
        qtbot.keyClicks(ready.dataset.inputs.hub_config, "de")
        qtbot.keyClicks(ready.dataset.inputs.hub_revision, "v1")
        qtbot.keyClick(ready.dataset.inputs.hub_revision, Qt.Key.Key_Return)
        dataset = reread(ready, jobs, qtbot).dataset
        assert (dataset.config, dataset.revision) == ("de", "v1")
        ready.dataset.open_dataset(dataset)
        assert reread(ready, jobs, qtbot).dataset == dataset
        opened(inspected)
        assert {"config", "revision"}.isdisjoint(ready.dataset.table())

    def test_the_menu_lets_an_id_be_typed_and_one_that_cannot_be_is_refused(self, ready: SetupPage, qtbot: QtBot) -> None:
        ready.dataset.menu.menu().actions()[1].trigger()
        assert ready.dataset.inputs.file.edit.text() == "hub:"
        qtbot.keyClick(ready.dataset.inputs.file.edit, Qt.Key.Key_Return)
        qtbot.waitUntil(lambda: "must be hub: and the data set's id" in ready.dataset.error.message)
        assert not ready.train_button.isEnabled()


class TestDownload:
    """A large data set of the hub is shown with its size; it is fetched when that is asked for."""

    @pytest.fixture
    def offered(self, ready: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> DatasetPicker:
        ready.dataset.inputs.file.choose("hub:people/large")
        assert reread(ready, jobs, qtbot).largest_download == LARGEST_DOWNLOAD
        jobs.open(InspectData)[0].answer(DownloadOffered(missing=MISSING))
        return ready.dataset

    def start(self, picker: DatasetPicker, jobs: FakeJobs, qtbot: QtBot) -> FakeJob:
        qtbot.mouseClick(picker.download.start_button, Qt.MouseButton.LeftButton)
        (job,) = jobs.open(InspectData)
        assert isinstance(job.command, InspectData)
        assert job.command.largest_download is None
        return job

    def test_the_size_is_shown_before(self, offered: DatasetPicker, ready: SetupPage, jobs: FakeJobs) -> None:
        assert "400 MB to download. 1.0 GB are free" in offered.download.words.text()
        assert offered.download.start_button.isVisibleTo(ready)
        assert not offered.busy.isVisibleTo(ready)
        assert jobs.open(InspectData) == []
        ready.refresh()
        assert "Download the data set first (400 MB); see Dataset." in ready.train_button.toolTip()
        assert cut_texts(offered) == []

    def test_the_way_is_told_and_then_it_is_read(
        self, offered: DatasetPicker, ready: SetupPage, jobs: FakeJobs, inspected: DataInspected, qtbot: QtBot
    ) -> None:
        job = self.start(offered, jobs, qtbot)
        assert job.progress is not None
        job.progress(
            DownloadProgressed(file="a", done=100 * 2**20, total=MISSING.total, bytes_per_second=2.0**20, seconds_left=300)
        )
        assert offered.download.words.text() == "100 MB of 400 MB, 1.0 MB/s, about 5 min 0 s left"
        assert offered.download.bar.value() == 250
        assert "The data set is being downloaded." in ready.missing()
        job.answer(inspected)
        assert not offered.download.isVisibleTo(ready)
        assert offered.answer == inspected
        assert offered.menu.recent.names == ["hub:people/large"]

    def test_cancelled_or_broken_off_it_goes_on(self, offered: DatasetPicker, jobs: FakeJobs, qtbot: QtBot) -> None:
        job = self.start(offered, jobs, qtbot)
        assert job.progress is not None
        job.progress(DownloadProgressed(file="a", done=2**28, total=MISSING.total, bytes_per_second=0.0, seconds_left=None))
        qtbot.mouseClick(offered.download.cancel_button, Qt.MouseButton.LeftButton)
        assert not job.active
        assert "144 MB to download of 400 MB; the rest came earlier" in offered.download.words.text()
        assert offered.download.start_button.text() == "Continue download"
        job = self.start(offered, jobs, qtbot)
        job.answer(Failed(kind="no_network", message="The hub cannot be reached.", remedy="Try again."), failed=True)
        assert offered.error.message == "The hub cannot be reached."
        assert offered.download.start_button.isVisibleTo(offered)

    def test_other_data_ends_it(self, offered: DatasetPicker, ready: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> None:
        job = self.start(offered, jobs, qtbot)
        offered.inputs.file.choose("/other.csv")
        assert not job.active
        assert not offered.download.isVisibleTo(ready)
        assert reread(ready, jobs, qtbot).largest_download == LARGEST_DOWNLOAD

    def test_a_small_one_is_fetched_at_once_with_its_amount(self, ready: SetupPage, jobs: FakeJobs, qtbot: QtBot) -> None:
        ready.dataset.inputs.file.choose("hub:people/small")
        reread(ready, jobs, qtbot)
        (job,) = jobs.open(InspectData)
        assert job.progress is not None
        job.progress(StageChanged(stage="downloading the data set"))
        job.progress(DownloadProgressed(file="a", done=2**20, total=2**22, bytes_per_second=1.0, seconds_left=1.0))
        assert ready.dataset.busy.stage.text() == "Downloading the data set 1.0 MB of 4.0 MB"


def test_a_data_set_is_offered_downloaded_and_read(
    hub: HubStandIn, light: object, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its id to its rows, with processes and HTTP."""
    assert light
    (tmp_path / "set").mkdir()
    rows = "".join(f"m{n},{'ab'[n % 2]}\n" for n in range(40))
    (tmp_path / "set" / "train.csv").write_text(f"text,label\n{rows}", "utf-8")
    hub.add_dataset("people/letters", tmp_path / "set")
    monkeypatch.setattr("studio.ui.widgets.setup.dataset_picker.LARGEST_DOWNLOAD", 100)
    picker = DatasetPicker()
    qtbot.addWidget(picker)
    picker.show()
    with qtbot.waitSignal(picker.inspected, timeout=90_000):
        picker.open_source("hub:people/letters")
    assert picker.obstacle().startswith("Download the data set first"), picker.error.message
    assert hub.fetched(".csv") == []
    with qtbot.waitSignal(picker.inspected, timeout=90_000):
        picker.download.start_button.click()
    assert picker.error.message == ""
    assert picker.answer is not None
    assert sum(picker.answer.train_counts.values()) > 0
    assert hub.fetched(".csv") == ["train.csv"]
    with qtbot.waitSignal(picker.inspected, timeout=90_000):
        picker.open_source("hub:people/letters")
    assert picker.answer is not None, "what is here is not offered again"
    qtbot.waitUntil(lambda: not WorkerThread._running, timeout=20_000)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
