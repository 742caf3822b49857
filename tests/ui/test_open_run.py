"""A run as the window shows it is the same whether it was watched or opened later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from studio.core.answers import DownloadProgressed
from studio.core.config import RunConfig
from studio.core.events import Crashed, Event, Failed, Finished, Heartbeat, Hello, LogLine, StageChanged
from studio.core.runs import Home
from studio.core.wire import encode
from studio.ui.models.open_run import OpenRun
from studio.ui.models.run_log import LOG_LINES
from tests.ui.sample_runs import GB, evaluated, finished, history, labels, make_run, predictions, stamped, started, step, told


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.locate(tmp_path)


@pytest.mark.usefixtures("qapp")
class TestReplay:
    def test_opened_later_is_the_same_as_watched(self, home: Home) -> None:
        folder = make_run(home, [])
        watched = OpenRun(folder)
        said = [*history(folder.name), finished(elapsed=1000.0)]
        for event in said:
            watched.add(event)
        folder.events_path.write_bytes(b"".join(encode(event) for event in said))
        assert told(OpenRun(folder)) == told(watched)
        assert watched.state == "completed"

    def test_events_that_were_read_from_the_file_are_not_taken_twice(self, home: Home) -> None:
        folder = make_run(home)
        whole = OpenRun(folder)
        late = OpenRun(folder)
        for event in history(folder.name):
            late.add(event)
        assert told(late)["log"] == told(whole)["log"]
        assert late.steps.loss.values.tolist() == whole.steps.loss.values.tolist()
        assert late.steps.memory.values.tolist() == whole.steps.memory.values.tolist()

    def test_each_event_is_announced_once(self, home: Home, qtbot: QtBot) -> None:
        run = OpenRun(make_run(home, []))
        with qtbot.waitSignal(run.changed) as heard:
            run.add(step(1))
        assert heard.args == [step(1)]

    def test_a_torn_last_line_is_left_out(self, home: Home) -> None:
        folder = make_run(home)
        with folder.events_path.open("ab") as file:
            file.write(encode(step(11))[:-20])
        assert OpenRun(folder).step == 10


@pytest.mark.usefixtures("qapp")
class TestResumed:
    """A run that went on after step 6, of which it had taken 8 steps and been tested."""

    def record(self, name: str) -> list[Event]:
        first = [*history(name)[:14], evaluated(8, 0.1, "test"), finished(outcome="stopped")]
        second = [Hello(protocol=1, pid=1), started(name).model_copy(update={"resumed_after": 6})]
        second += [step(number, loss=float(number)) for number in range(7, 11)]
        return stamped([*first, *second, evaluated(10, 0.9), finished()])

    def test_steps_that_were_taken_again_are_there_once(self, home: Home) -> None:
        folder = make_run(home, [])
        folder.events_path.write_bytes(b"".join(map(encode, self.record(folder.name))))
        run = OpenRun(folder)
        assert run.steps.step.values.tolist() == list(range(1, 11))
        assert run.steps.loss.values.tolist() == [2.0 / number for number in range(1, 7)] + [7.0, 8.0, 9.0, 10.0]
        for name in ("tokens_per_second", "steps_per_second", "epoch", "elapsed", "learning_rate", "gradient_norm"):
            assert len(getattr(run.steps, name)) == 10
        assert [(event.step, event.split) for event in run.evaluations] == [(0, "test"), (5, "validation"), (10, "validation")]
        assert (run.state, run.step) == ("completed", 10)
        times = run.steps.memory_elapsed.values
        assert len(times) == 12, "memory is measured over time, of which nothing is taken back"
        assert (np.diff(times) > 0).all()
        assert "Resumed after step 6 on cpu in bf16." in [entry.text for entry in run.log]

    def test_it_is_the_same_watched_live(self, home: Home) -> None:
        folder = make_run(home, [])
        said = self.record(folder.name)
        ending = next(number for number, event in enumerate(said) if isinstance(event, Finished))
        folder.events_path.write_bytes(b"".join(map(encode, said[: ending + 1])))
        folder.write_outcome(finished(outcome="stopped"))
        watched = OpenRun(folder, ours=True)
        assert (watched.state, watched.active, watched.final) == ("running", True, None)
        for event in said[ending + 1 :]:
            watched.add(event)
        folder.events_path.write_bytes(b"".join(map(encode, said)))
        folder.write_outcome(finished())
        assert told(OpenRun(folder)) == told(watched)

    def test_one_that_was_cut_off_again_is_interrupted(self, home: Home) -> None:
        folder = make_run(home, [])
        folder.events_path.write_bytes(b"".join(map(encode, self.record(folder.name)[:18])))
        assert OpenRun(folder).state == "interrupted"


@pytest.mark.usefixtures("qapp")
class TestState:
    def test_follows_the_events(self, home: Home) -> None:
        assert not OpenRun(make_run(home, [])).active, "nobody is about to train it"
        run = OpenRun(make_run(home, []), ours=True)
        assert (run.state, run.active) == ("new", True)
        run.add(started("r"))
        assert (run.state, run.active) == ("running", True)
        run.add(finished(outcome="stopped"))
        assert (run.state, run.active) == ("stopped", False)

    def test_a_run_nobody_trains_any_more_was_interrupted(self, home: Home) -> None:
        assert OpenRun(make_run(home)).state == "interrupted"

    def test_a_run_that_another_process_trains_is_running(self, home: Home) -> None:
        folder = make_run(home)
        with folder.lock():
            assert OpenRun(folder).state == "running"

    def test_a_crash_is_known_from_the_outcome_alone(self, home: Home) -> None:
        crash = Crashed(exit_code=-9, signal="SIGKILL", log_tail="x", likely_cause="Memory ran out.", remedy="Use less.")
        run = OpenRun(make_run(home, final=crash))
        assert run.final == crash
        assert run.state == "crashed"
        assert "Memory ran out." in run.log[-1].text

    def test_nothing_is_taken_after_the_last_word(self, home: Home) -> None:
        run = OpenRun(make_run(home, []))
        failed = Failed(kind="x", message="It broke.", remedy="Mend it.")
        run.add(failed)
        run.add(step(1))
        run.add(failed)
        assert run.step == 0
        assert [entry.text for entry in run.log] == ["It broke. Mend it."]

    def test_a_stage_is_shown_until_the_next_step(self, home: Home) -> None:
        run = OpenRun(make_run(home, []))
        run.add(StageChanged(stage="loading the model"))
        assert run.stage is not None
        run.add(step(1))
        assert run.stage is None

    def test_progress_within_a_stage_is_one_line_in_the_log(self, home: Home) -> None:
        run = OpenRun(make_run(home, []))
        for done in range(5):
            run.add(StageChanged(stage="predicting", done=done, total=5))
        assert [entry.text for entry in run.log] == ["Predicting"]
        assert run.stage is not None
        assert run.stage.done == 4

    def test_the_download_of_a_base_is_a_stage_in_bytes(self, home: Home) -> None:
        run = OpenRun(make_run(home, []))
        run.add(StageChanged(stage="downloading the model"))
        run.add(DownloadProgressed(file="a", done=2**20, total=2**22, bytes_per_second=1.0, seconds_left=None))
        assert run.stage is not None
        assert (run.stage.done, run.stage.total, run.stage.unit) == (2**20, 2**22, "bytes")
        assert len(run.log) == 1


@pytest.mark.usefixtures("qapp")
class TestFigures:
    def test_time_left_and_speed_come_from_the_recent_steps(self, home: Home) -> None:
        run = OpenRun(make_run(home, []))
        assert run.eta is None
        for number in range(1, 5):
            run.add(step(number, steps=10))
        assert run.eta == 6 * 2.0
        assert run.tokens_per_second == 300.0

    def test_the_time_of_evaluations_is_counted_once_one_was_seen(self, home: Home) -> None:
        """20 validation rows at each epoch of 5 steps and 30 test rows at the end, all at half a second a row."""
        config = RunConfig().with_training(evaluate_every=5)
        folder = home.create_run(config)
        run = OpenRun(folder, ours=True)
        run.add(started("r").model_copy(update={"elapsed": 1.0}))
        for number in range(1, 6):
            run.add(step(number, steps=10).model_copy(update={"elapsed": 2.0 * number + 1}))
        assert run.eta == 5 * 2.0
        run.add(StageChanged(stage="validating", done=0, total=20, elapsed=11.0))
        assert run.eta == 5 * 2.0, "nothing is known of its speed yet"
        run.add(evaluated(5).model_copy(update={"elapsed": 21.0}))
        assert run.eta == 5 * 2.0 + (20 + 30) * 0.5
        for number in range(6, 11):
            run.add(step(number, steps=10).model_copy(update={"elapsed": 22.0 + 2 * number}))
        run.add(StageChanged(stage="validating", done=4, total=20, elapsed=43.0))
        assert run.eta == (16 + 30) * 0.5
        run.add(evaluated(10).model_copy(update={"elapsed": 51.0}))
        run.add(StageChanged(stage="predicting the test split", done=10, total=30, elapsed=56.0))
        assert run.eta == 20 * 0.5

    def test_several_steps_in_one_event(self, home: Home) -> None:
        run = OpenRun(make_run(home, []))
        run.add(step(1).model_copy(update={"losses": [3.0, 2.0, 1.0], "seconds": [1.0, 1.0, 4.0]}))
        assert run.steps.step.values.tolist() == [1, 2, 3]
        assert run.steps.loss.values.tolist() == [3, 2, 1]
        assert run.step == 3

    def test_memory_comes_from_heartbeats_too(self, home: Home) -> None:
        run = OpenRun(make_run(home, []))
        for event in stamped([Heartbeat(memory_bytes=3 * GB), step(1)]):
            run.add(event)
        assert run.steps.memory.values.tolist() == [3 * GB, GB]
        assert run.steps.memory_elapsed.values.tolist() == [1, 2]

    def test_memory_is_that_of_the_device_the_run_computes_on(self, home: Home) -> None:
        run = OpenRun(make_run(home, []))
        on_card = started("r").model_copy(update={"device": "cuda:0 A card"})
        early = [Heartbeat(memory_bytes=5 * GB), Heartbeat(memory_bytes=GB, device="cuda")]
        late = [Heartbeat(memory_bytes=6 * GB), Heartbeat(memory_bytes=2 * GB, device="cuda")]
        for event in stamped([*early, on_card, *late]):
            run.add(event)
        assert run.steps.memory.values.tolist() == [GB, 2 * GB]
        assert run.steps.memory_elapsed.values.tolist() == [2, 5]

    def test_the_log_is_bounded(self, home: Home) -> None:
        run = OpenRun(make_run(home, []))
        for number in range(LOG_LINES + 7):
            run.add(LogLine(level="info", text=str(number)))
        assert len(run.log) == LOG_LINES
        assert run.log_count == LOG_LINES + 7
        assert run.log[-1].text == str(LOG_LINES + 6)

    def test_predictions_are_read_once_and_again_when_rewritten(self, home: Home) -> None:
        folder = make_run(home, intents=3)
        run = OpenRun(folder)
        first = run.predictions.of_test()
        assert first is not None
        assert run.predictions.of_test() is first
        from studio.core.predictions import write_predictions

        write_predictions(folder.predictions_path, labels(2), predictions(labels(2)))
        again = run.predictions.of_test()
        assert again is not None
        assert len(again.labels) == 2
        assert OpenRun(make_run(home)).predictions.of_test() is None
