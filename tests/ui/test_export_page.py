"""The Export page with a real process at the other end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QRadioButton
from pytestqt.qtbot import QtBot

from studio.core.commands import Export
from studio.core.compare_runs import compare_runs
from studio.core.events import StageChanged
from studio.core.resuming import TRAINING_FACTS, TRAINING_TENSORS
from studio.core.runs import Home
from studio.supervise import jobs
from studio.ui.models.open_run import OpenRun
from studio.ui.pages.export import ExportPage
from tests.ui.sample_runs import assert_usable, finished, make_run, started
from tests.ui.staging import Stage, button


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage("export")
    monkeypatch.setattr(jobs, "start_job", stage.start)
    return stage


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "person")
    return Home.locate(tmp_path / "data")


@pytest.fixture
def page(qtbot: QtBot, home: Home, stage: Stage) -> Iterator[ExportPage]:
    page = ExportPage(home)
    qtbot.addWidget(page)
    page.resize(824, 610)
    page.show()
    page.show_run(OpenRun(make_run(home, final=finished())))
    yield page
    page.cancel()
    for process in stage.started:
        assert process.wait(10), "a cancelled export's process ends"


def click(page: ExportPage, qtbot: QtBot, name: str) -> None:
    qtbot.mouseClick(button(page, name), Qt.MouseButton.LeftButton)


def test_without_a_run_it_says_what_to_do_next(page: ExportPage, qtbot: QtBot) -> None:
    page.show_run(None)
    with qtbot.waitSignal(page.setup_requested):
        click(page, qtbot, "exportEmptyButton")


@pytest.mark.parametrize(("method", "kind"), [("lora", "Adapter"), ("qlora", "Adapter"), ("full", "Full model")])
def test_only_what_the_method_made_is_offered(page: ExportPage, home: Home, method: str, kind: str) -> None:
    run = OpenRun(make_run(home, method=method, final=finished()))
    page.show_run(run)
    offered = [choice for choice in page._kinds.values() if choice.isVisible()]
    assert [choice.text() for choice in offered if choice.isChecked()] == [kind]
    assert len(offered) == (1 if method == "full" else 2)
    assert ("together with" in page._explanation.text()) == (kind == "Adapter")
    assert page._size.text().startswith("3.0 MB of weights"), "the manifest is not exported"
    assert page._folder.path == str(Path.home() / "finetune-studio-exports" / run.name)
    assert button(page, "exportButton").isEnabled()


def test_a_file_where_the_exports_would_go_is_told(page: ExportPage, home: Home) -> None:
    Path.home().mkdir()
    (Path.home() / "finetune-studio-exports").write_text("")
    run = OpenRun(make_run(home, final=finished()))
    page.show_run(run)
    assert Path(page._folder.path).name == run.name
    assert "is a file" in page._refusal.text()
    assert not button(page, "exportButton").isEnabled()


def test_the_size_is_that_of_the_weights_without_what_a_resumed_run_needs(page: ExportPage, home: Home) -> None:
    folder = make_run(home, final=finished(outcome="stopped"))
    checkpoint = folder.checkpoint()
    assert checkpoint is not None
    (checkpoint / TRAINING_TENSORS).write_bytes(b"0" * 7 * 2**20)
    (checkpoint / TRAINING_FACTS).write_bytes(b"0" * 2**20)
    page.show_run(OpenRun(folder))
    assert page._size.text().startswith("3.0 MB of weights")
    assert [run.disk_bytes for run in compare_runs([folder, make_run(home, final=finished())]).runs] == [3 * 2**20] * 2


def test_a_merged_model_is_whole_and_as_big(page: ExportPage, home: Home, qtbot: QtBot) -> None:
    page.show_run(OpenRun(make_run(home, final=finished())))
    merged = page.findChild(QRadioButton, "export_merged")
    assert merged is not None
    qtbot.mouseClick(merged, Qt.MouseButton.LeftButton)
    assert page._size.text().replace("\u00a0", " ").startswith("1.0 GB of weights")
    assert "needs no adapter" in page._explanation.text()
    run = OpenRun(make_run(home, final=finished()))
    assert run.started is not None
    run.started = run.started.model_copy(update={"total_parameters": 3 * 2**20, "trainable_parameters": 2**20})
    page.show_run(run)
    assert not merged.isChecked()
    qtbot.mouseClick(merged, Qt.MouseButton.LeftButton)
    assert page._size.text().startswith("8.0 MB of weights"), "what was learnt is added to weights that are there"


def test_whoever_cancels_by_keyboard_can_export_again(page: ExportPage, qtbot: QtBot, tmp_path: Path) -> None:
    page.activateWindow()
    qtbot.waitUntil(page.isActiveWindow)
    page._folder.edit.setText(str(tmp_path / "mine"))
    go, cancel = button(page, "exportButton"), button(page, "exportCancel")
    go.setFocus()
    qtbot.keyClick(go, Qt.Key.Key_Space)
    cancel.setFocus()
    qtbot.keyClick(cancel, Qt.Key.Key_Space)
    assert not page.working
    assert go.hasFocus()


def test_an_export_is_written_and_verified(page: ExportPage, stage: Stage, home: Home, qtbot: QtBot, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    page._folder.edit.setText(str(target))
    click(page, qtbot, "exportButton")
    assert not button(page, "exportButton").isEnabled()
    assert button(page, "exportCancel").isVisible()
    qtbot.waitUntil(page._result.isVisible)
    assert page.run is not None
    expected = Export(run=str(page.run.folder.path), home=str(home.path), folder=str(target), kind="adapter")
    assert stage.commands == [expected]
    assert page._result._badge.text() == "verified"
    assert "200 of 200 predictions the same; largest probability difference 3e-7" in page._result._words.text()
    files = page._result._files
    rows = [[files.item(row, column).text() for column in range(2)] for row in range(files.rowCount())]
    assert rows == [["adapter_model.safetensors", "3.0 MB"], ["<b>card</b>.md", "10 bytes"], ["Together", "3.0 MB"]]
    assert not button(page, "exportCancel").isVisible()
    assert page._refusal.text() == "Exported. Choose another folder to export again."
    assert not page._folder.edit.property("invalid")
    assert not button(page, "exportButton").isEnabled()
    page._folder.edit.setText(str(tmp_path / "other"))
    assert button(page, "exportButton").isEnabled()
    assert_usable(page)


def test_the_folder_can_be_opened(page: ExportPage, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "mine"
    page._folder.edit.setText(str(target))
    click(page, qtbot, "exportButton")
    qtbot.waitUntil(page._result.isVisible)
    click(page, qtbot, "exportOpenFolder")
    assert f"The folder {target} is not there any more." in page._problem.message
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()) or True)
    target.mkdir()
    click(page, qtbot, "exportOpenFolder")
    assert opened == [str(target)]


def test_an_export_that_is_not_the_same_is_not_called_verified(page: ExportPage, stage: Stage, qtbot: QtBot) -> None:
    stage.script = "bad export"
    click(page, qtbot, "exportButton")
    qtbot.waitUntil(page._result.isVisible)
    assert page._result._badge.text() == "not the same"
    assert "183 of 200" in page._result._words.text()
    assert "Don't use it" in page._result._words.text()


def test_a_failure_says_what_to_do(page: ExportPage, stage: Stage, qtbot: QtBot) -> None:
    stage.script = "fail"
    click(page, qtbot, "exportButton")
    qtbot.waitUntil(page._problem.isVisible)
    assert page._problem.message == "The checkpoint is damaged."
    assert not page._result.isVisible()
    assert button(page, "exportButton").isEnabled()


def test_progress_is_shown_and_cancel_ends_the_worker(page: ExportPage, stage: Stage, qtbot: QtBot) -> None:
    stage.script = "hang"
    click(page, qtbot, "exportButton")
    qtbot.waitUntil(lambda: page._progress.stage.text() == "Predicting with the run 64 of 200")
    assert (page._progress.bar.value(), page._progress.bar.maximum()) == (64, 200)
    click(page, qtbot, "exportCancel")
    assert stage.started[0].wait(10)
    assert button(page, "exportButton").isEnabled()
    assert not page._problem.isVisible(), "who cancels knows it"
    assert not page._progress.isVisible()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: (path.mkdir(), (path / "a").touch()), "This folder is not empty."),
        (lambda path: path.touch(), "This is a file."),
    ],
)
def test_a_folder_that_holds_something_is_refused(page: ExportPage, qtbot: QtBot, tmp_path: Path, make: object, words: str) -> None:
    target = tmp_path / "target"
    assert callable(make)
    make(target)
    edit = page._folder.edit
    edit.selectAll()
    qtbot.keyClicks(edit, str(target))
    assert words in page._refusal.text()
    assert not button(page, "exportButton").isEnabled()
    edit.clear()
    assert page._refusal.text() == "Choose a folder."
    qtbot.keyClicks(edit, str(tmp_path / "new"))
    assert not page._refusal.isVisible()
    assert button(page, "exportButton").isEnabled()


def test_a_home_that_is_not_there_can_be_typed(page: ExportPage, qtbot: QtBot) -> None:
    page._folder.edit.clear()
    qtbot.keyClicks(page._folder.edit, "~no-such-user/out")
    assert page._folder.path.endswith("/~no-such-user/out")


def test_a_folder_that_filled_up_meanwhile_is_refused_too(page: ExportPage, stage: Stage, qtbot: QtBot, tmp_path: Path) -> None:
    target = tmp_path / "target"
    page._folder.edit.setText(str(target))
    target.mkdir()
    (target / "something").touch()
    click(page, qtbot, "exportButton")
    assert stage.started == []
    assert "not empty" in page._refusal.text()


def test_a_full_disk_is_refused(page: ExportPage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("studio.ui.pages.export.free_bytes", lambda _folder: 1000)
    page._folder.edit.setText(str(tmp_path / "new"))
    assert page._refusal.text() == "That disk has 1000 bytes left, but 3.0 MB are needed. Choose another disk."


def test_a_run_is_offered_once_it_has_ended(page: ExportPage, home: Home) -> None:
    run = OpenRun(make_run(home, []), ours=True)
    page.show_run(run)
    run.add(started(run.name))
    assert button(page, "exportWaitingButton").isVisible()
    run.add(finished())
    assert button(page, "exportButton").isVisible()


def test_a_run_seen_while_it_trained_is_offered_with_a_choice_made(qtbot: QtBot, home: Home) -> None:
    page = ExportPage(home)
    qtbot.addWidget(page)
    run = OpenRun(make_run(home, []), ours=True)
    page.show_run(run)
    run.add(started(run.name))
    run.add(finished())
    assert [choice.text() for choice in page.findChildren(QRadioButton) if choice.isChecked()] == ["Adapter"]


def test_another_run_cancels_an_export(page: ExportPage, stage: Stage, home: Home, qtbot: QtBot) -> None:
    stage.script = "hang"
    click(page, qtbot, "exportButton")
    page.show_run(OpenRun(make_run(home, final=finished())))
    assert stage.started[0].wait(10)
    assert button(page, "exportButton").isEnabled()


def test_a_folder_of_an_earlier_export_is_not_offered_again(
    page: ExportPage, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    run = make_run(home, final=finished())
    for name in (run.name, f"{run.name}-2"):
        (tmp_path / "finetune-studio-exports" / name).mkdir(parents=True)
        (tmp_path / "finetune-studio-exports" / name / "README.md").touch()
    page.show_run(OpenRun(run))
    assert page._folder.path == str(tmp_path / "finetune-studio-exports" / f"{run.name}-3")
    assert button(page, "exportButton").isEnabled()


def test_a_merged_model_says_what_it_is_merged_into_and_how_big(page: ExportPage, home: Home, qtbot: QtBot, stage: Stage) -> None:
    page.show_run(OpenRun(make_run(home, method="qlora", final=finished())))
    merged = page.findChild(QRadioButton, "export_merged")
    assert merged is not None
    qtbot.mouseClick(merged, Qt.MouseButton.LeftButton)
    assert "rounded to 4 bits (NF4) and back" in page._explanation.text()
    assert page._size.text().startswith("1.0 GB of weights")
    click(page, qtbot, "exportButton")
    assert not merged.isEnabled()
    qtbot.waitUntil(page._result.isVisible)
    (command,) = stage.commands
    assert isinstance(command, Export)
    assert command.kind == "merged"
    assert "transformers alone" in page._program._words.text()
    assert "convert_hf_to_gguf.py" in page._program._others.text()
    exported_to = page._folder.path
    adapter = page.findChild(QRadioButton, "export_adapter")
    assert adapter is not None
    Path(exported_to).mkdir(parents=True)
    (Path(exported_to) / "README.md").touch()
    qtbot.mouseClick(adapter, Qt.MouseButton.LeftButton)
    assert page._folder.path == f"{exported_to}-2", "another kind needs another folder"
    assert button(page, "exportButton").isEnabled()


def test_the_check_is_told_message_by_message(page: ExportPage, stage: Stage, qtbot: QtBot) -> None:
    stage.script = "bad export"
    click(page, qtbot, "exportButton")
    qtbot.waitUntil(page._result.isVisible)
    table, card = page._comparison.table, page._comparison
    assert card.isVisibleTo(page)

    def cells(row: int) -> list[str]:
        return [str(table.model().index(row, column).data()) for column in range(6)]

    assert table.model().rowCount() == 200
    assert cells(0) == ["<b>message</b> 0 about a lost one", "lost_card", "card_arrival", "90.00 %", "90.00 %", "0.5"]
    marked = table.model().index(0, 2).data(Qt.ItemDataRole.ForegroundRole)
    assert marked is not None
    assert table.model().index(1, 2).data(Qt.ItemDataRole.ForegroundRole) is None
    assert table.model().index(1, 5).data(Qt.ItemDataRole.ForegroundRole) is None, "rounding is no fault"
    table.sortByColumn(5, Qt.SortOrder.AscendingOrder)
    assert cells(199)[5] == "0.5", "differences sort as numbers"
    assert "&lt;b&gt;" in str(table.model().index(0, 0).data(Qt.ItemDataRole.ToolTipRole))
    qtbot.keyClicks(card.search, "LOST one")
    assert [cells(row)[0] for row in range(table.model().rowCount())] == ["<b>message</b> 0 about a lost one"]
    card.search.setText("lost_card")
    assert table.model().rowCount() == 1
    card.search.clear()
    assert table.model().rowCount() == 200


def test_the_program_can_be_copied(page: ExportPage, qtbot: QtBot, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    page._folder.edit.setText(str(target))
    click(page, qtbot, "exportButton")
    qtbot.waitUntil(page._result.isVisible)
    click(page, qtbot, "exportCopyProgram")
    assert QGuiApplication.clipboard().text() == f"folder = {str(target)!r}\nprint(folder)"
    assert not page._program._others.isVisibleTo(page), "an adapter is no whole model"
    assert "peft" in page._program._words.text()


def test_bytes_are_shown_as_such_however_many(page: ExportPage) -> None:
    page._progress.start()
    page._hear_worker(StageChanged(stage="writing the export", done=3 * 2**30, total=12 * 2**30, unit="bytes"))
    assert page._progress.stage.text() == "Writing the export 3.0 GB of 12.0 GB"
    assert page._progress.bar.value() * 4 == page._progress.bar.maximum()


def test_a_folder_among_the_runs_is_refused(page: ExportPage, home: Home) -> None:
    page._folder.edit.setText(str(home.runs / "export"))
    assert "among the runs" in page._refusal.text()
    assert not button(page, "exportButton").isEnabled()
