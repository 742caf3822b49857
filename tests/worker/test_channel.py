"""The worker's end of the wire, over pipes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.core.commands import Ask, Cancel, Checkpoint, Command, Pause, Stop
from studio.core.errors import StudioError
from studio.core.events import Event, Finished, Heartbeat, LogLine
from studio.core.wire import decode_event, encode
from studio.worker.channel import Channel, resident_bytes


class Ends:
    """A channel and the app's ends of its two pipes."""

    def __init__(self, heartbeat_seconds: float = 60) -> None:
        commands, self.write = os.pipe()
        self.read, events = os.pipe()
        self.worker_ends = (commands, events)
        self.channel = Channel(commands, events, heartbeat_seconds)

    def events(self) -> list[Event]:
        """What the worker has said so far; at least one event must have been."""
        return [decode_event(line) for line in os.read(self.read, 1 << 20).splitlines()]

    def send(self, *lines: bytes) -> None:
        for line in lines:
            os.write(self.write, line)

    def hang_up(self) -> None:
        if self.write >= 0:
            os.close(self.write)
            self.write = -1

    def close(self) -> None:
        self.hang_up()
        self.channel.close()
        wait_for(lambda: not any(thread.name == "commands" for thread in threading.enumerate()))
        for descriptor in (self.read, *self.worker_ends):
            os.close(descriptor)


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()


def wait_for(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.005)


def test_events_are_stamped_with_both_clocks(ends: Ends) -> None:
    before = time.time()
    ends.channel.log("one")
    time.sleep(0.02)
    ends.channel.stage("two", 1, 3)
    first, second = ends.events()
    assert isinstance(first, LogLine)
    assert before - 1 < first.time < time.time() + 1
    assert second.elapsed - first.elapsed >= 0.02
    assert (second.event, getattr(second, "done", None)) == ("stage_changed", 1)


def test_lines_of_several_threads_never_mix(ends: Ends) -> None:
    text = "x" * 20_000
    received = bytearray()

    def drain() -> None:
        while received.count(b"\n") < 100:
            received.extend(os.read(ends.read, 1 << 16))

    reader = threading.Thread(target=drain)
    writers = [threading.Thread(target=lambda: [ends.channel.log(text) for _ in range(25)]) for _ in range(4)]
    for thread in (reader, *writers):
        thread.start()
    for thread in (*writers, reader):
        thread.join(20)
    events = [decode_event(line) for line in bytes(received).splitlines()]
    assert [type(event) for event in events] == [LogLine] * 100


def test_commands_come_in_order_and_the_end_of_stdin_is_told_again_and_again(ends: Ends) -> None:
    ends.send(encode(Ask(request=1, text="ü")), encode(Ask(request=2, text="b")))
    ends.hang_up()
    assert [ends.channel.next_command() for _ in range(4)] == [Ask(request=1, text="ü"), Ask(request=2, text="b"), None, None]


def test_a_command_may_come_in_pieces(ends: Ends) -> None:
    line = encode(Ask(request=1, text="ü" * 1000))
    for start in range(0, len(line), 7):
        ends.send(line[start : start + 7])
    assert ends.channel.next_command() == Ask(request=1, text="ü" * 1000)


@pytest.mark.parametrize(("wish", "pausing"), [(Stop(), False), (Pause(), True)])
def test_a_wish_to_end_is_heard_while_the_job_works(ends: Ends, wish: Command, pausing: bool) -> None:
    assert not ends.channel.stop.requested
    ends.send(encode(wish))
    wait_for(lambda: ends.channel.stop.requested)
    assert ends.channel.stop.pausing is pausing


def test_a_pause_is_not_taken_back_by_a_later_stop(ends: Ends) -> None:
    ends.send(encode(Pause()), encode(Stop()), encode(Ask(request=1, text="")))
    ends.channel.next_command()
    assert ends.channel.stop.pausing


def test_requests_are_given_up_out_of_turn(ends: Ends) -> None:
    """A cancellation overtakes what waits, and an older one takes nothing back."""
    ends.send(
        encode(Ask(request=1, text="a")), encode(Cancel(request=2)), encode(Cancel(request=1)), encode(Ask(request=3, text="c"))
    )
    assert ends.channel.next_command() == Ask(request=1, text="a")
    assert ends.channel.next_command() == Ask(request=3, text="c")
    assert [ends.channel.given_up(request) for request in (1, 2, 3)] == [True, True, False]


def test_a_checkpoint_is_wished_for_and_the_job_goes_on(ends: Ends) -> None:
    ends.send(encode(Checkpoint()), encode(Ask(request=1, text="")))
    ends.channel.next_command()
    assert (ends.channel.stop.checkpoint, ends.channel.stop.requested) == (True, False)


def test_the_end_of_stdin_means_pause(ends: Ends) -> None:
    ends.hang_up()
    wait_for(lambda: ends.channel.stop.requested)
    assert ends.channel.stop.pausing


@pytest.mark.parametrize("torn", [b"", b'{"event": "hea', b"x" * 200_000])
def test_a_record_goes_on_behind_its_last_whole_line(ends: Ends, tmp_path: Path, torn: bytes) -> None:
    whole = encode(LogLine(level="info", text="before", elapsed=100.0))
    (tmp_path / "events.jsonl").write_bytes(whole + torn)
    ends.channel.log("while it was loading")
    ends.channel.continue_after(100.0)
    ends.channel.record_to(tmp_path / "events.jsonl")
    ends.channel.log("after")
    lines = (tmp_path / "events.jsonl").read_bytes().splitlines(keepends=True)
    assert lines[0] == whole
    told = [decode_event(line) for line in lines[1:]]
    assert [event.text for event in told if isinstance(event, LogLine)] == ["while it was loading", "after"]
    assert all(100 <= event.elapsed < 110 for event in told)


def test_a_record_of_nothing_but_half_a_line_begins_anew(ends: Ends, tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b'{"event": "hello", "proto')
    ends.channel.record_to(tmp_path / "events.jsonl")
    ends.channel.log("first")
    assert isinstance(decode_event((tmp_path / "events.jsonl").read_bytes()), LogLine)


def test_a_line_that_is_no_command_is_logged_and_the_next_one_heard(ends: Ends) -> None:
    ends.send(b"nonsense\n", encode(Ask(request=1, text="a")))
    assert ends.channel.next_command() == Ask(request=1, text="a")
    (complaint,) = ends.events()
    assert isinstance(complaint, LogLine)
    assert complaint.level == "error"


def test_no_heartbeat_comes_after_the_last_word() -> None:
    ends = Ends(heartbeat_seconds=0.005)
    time.sleep(0.05)
    ends.channel.emit(Finished(outcome="completed"))
    time.sleep(0.05)
    events = ends.events()
    ends.close()
    assert isinstance(events[0], Heartbeat)
    assert [type(event) for event in events].index(Finished) == len(events) - 1


def test_the_heartbeat_carries_the_jobs_own_figure() -> None:
    ends = Ends(heartbeat_seconds=0.02)
    ends.channel.memory = lambda: 42
    wait_for(lambda: any(isinstance(event, Heartbeat) and event.memory_bytes == 42 for event in ends.events()))
    ends.channel.memory = resident_bytes
    ends.close()


def test_what_is_recorded_is_what_was_said_before_and_after(ends: Ends, tmp_path: Path) -> None:
    record = tmp_path / "events.jsonl"
    ends.channel.log("before")
    ends.channel.record_to(record)
    ends.channel.log("one")
    ends.channel.log("two")
    said = ends.events()
    assert [decode_event(line) for line in record.read_bytes().splitlines()] == said


def test_the_job_goes_on_when_nobody_listens_any_more(tmp_path: Path) -> None:
    commands, write = os.pipe()
    read, events = os.pipe()
    channel = Channel(commands, events, 60)
    channel.record_to(tmp_path / "events.jsonl")
    os.close(read)
    channel.log("one")
    channel.log("two")
    os.close(write)
    channel.close()
    assert (tmp_path / "events.jsonl").read_bytes().count(b"\n") == 2
    wait_for(lambda: channel.next_command() is None)
    os.close(commands)
    os.close(events)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
def test_a_full_disk_is_told_in_words_after_the_app_has_heard(ends: Ends) -> None:
    ends.channel.record_to(Path("/dev/full"))
    with pytest.raises(StudioError, match="No space left"):
        ends.channel.log("one")
    assert len(ends.events()) == 1


def test_a_record_that_cannot_be_opened_is_told_in_words(ends: Ends, tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="cannot be written"):
        ends.channel.record_to(tmp_path / "nowhere" / "events.jsonl")
