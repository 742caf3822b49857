"""A long history is read while the window lives, and a run that another program trains is followed through its file."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from studio.core.events import Crashed
from studio.core.runs import Home
from studio.core.wire import encode
from studio.ui.models.open_run import OpenRun
from tests.ui.sample_runs import finished, history, make_run, stamped, told


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.locate(tmp_path)


@pytest.mark.usefixtures("qapp")
class TestLongHistory:
    def test_it_is_read_piece_by_piece(self, home: Home, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = make_run(home, history("r", steps=500), final=finished())
        whole = told(OpenRun(folder))
        monkeypatch.setattr("studio.ui.models.open_run.AT_ONCE", 50)
        monkeypatch.setattr("studio.ui.models.open_run.SLICE_SECONDS", 0.0)
        run = OpenRun(folder)
        assert run.reading
        assert 0 < run.step < 100, "what has been read is there already"
        assert 0 < run.share_read < 1
        assert run.state == "completed", "its outcome is known before its history"
        with qtbot.waitSignal(run.loaded):
            pass
        assert not run.reading
        assert told(run) == whole

    def test_what_happens_meanwhile_comes_after_it(self, home: Home, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
        said = stamped(history("r", steps=100))
        folder = make_run(home, said[:-5])
        monkeypatch.setattr("studio.ui.models.open_run.AT_ONCE", 10)
        run = OpenRun(folder, ours=True)
        for event in said[-20:]:
            run.add(event)
        with qtbot.waitSignal(run.loaded):
            pass
        monkeypatch.undo()
        folder.events_path.write_bytes(b"".join(map(encode, said)))
        assert told(run)["loss"] == told(OpenRun(folder))["loss"]
        assert run.log_count == OpenRun(folder).log_count


@pytest.mark.usefixtures("qapp")
class TestTrainedElsewhere:
    @pytest.fixture(autouse=True)
    def _often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("studio.ui.models.open_run.FOLLOWED_MS", 10)

    def test_what_its_program_writes_appears(self, home: Home, qtbot: QtBot) -> None:
        said = [*stamped(history("r")), finished(elapsed=1000.0)]
        folder = make_run(home, said[:6])
        with folder.lock():
            run = OpenRun(folder)
            with folder.events_path.open("ab", buffering=0) as file:
                for event in said[6:-1]:
                    line = encode(event)
                    file.write(line[:-20])
                    qtbot.wait(15)
                    file.write(line[-20:])
                qtbot.waitUntil(lambda: run.step == 10)
                assert run.state == "running"
                with qtbot.waitSignal(run.ended):
                    file.write(encode(said[-1]))
        assert told(run) == told(OpenRun(folder))
        assert run.state == "completed"

    def test_its_crash_is_read_from_the_outcome(self, home: Home, qtbot: QtBot) -> None:
        folder = make_run(home)
        with folder.lock():
            run = OpenRun(folder)
            qtbot.wait(100)
            assert run.state == "running"
            folder.write_outcome(Crashed(exit_code=1, signal=None, log_tail="", likely_cause="A fault.", remedy="Again."))
        qtbot.waitUntil(lambda: run.state == "crashed")

    def test_its_program_is_gone_without_a_word(self, home: Home, qtbot: QtBot) -> None:
        folder = make_run(home)
        with folder.lock():
            run = OpenRun(folder)
        qtbot.waitSignal(run.ended).wait()
        assert run.state == "interrupted"
        assert not run._follower.isActive()

    def test_one_that_has_only_been_made_is_waited_for(self, home: Home, qtbot: QtBot) -> None:
        folder = make_run(home, [])
        run = OpenRun(folder)
        qtbot.wait(100)
        assert run.state == "new"
        with folder.lock():
            folder.events_path.write_bytes(b"".join(map(encode, stamped(history("r")))))
            qtbot.waitUntil(lambda: run.step == 10)
            assert run.state == "running"
