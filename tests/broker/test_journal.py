"""A journal holds every step, survives a torn tail, and is read by anybody's MessagePack."""

import logging
import os
import subprocess
import sys
import zlib
from pathlib import Path

import msgpack
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.broker.messages_for_tests import AnyTestMessage, Note, Quote

from peercell.agents.protocol import (
    Action,
    CancelTimer,
    Commanded,
    Event,
    PeerDown,
    PeerUp,
    Received,
    Record,
    Reply,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.broker.faults.injector import NO_SPACE
from peercell.broker.journal import (
    Gap,
    Journal,
    JournalError,
    Start,
    Step,
    Stop,
    read,
    torn_bytes,
)
from peercell.broker.replay import replay
from peercell.broker.wire import Codec

CODEC = Codec(AnyTestMessage)
START = Start(1, "mg1", 7, 1000.0, "peercell.agents:Echo", b"settings", 42)

EVENTS: list[Event] = [
    Started(),
    Received("mg2", Quote("m", 0.25, (1.0, -1.0))),
    TimerFired("round"),
    PeerUp("mg2", 3),
    PeerDown("mg2", 3),
    Commanded(9, Note("how are you", 1)),
]


class Echo:
    """Does one of every action, in numbers that depend on all that it heard before."""

    def __init__(self, weight: float = 1.0) -> None:
        self.sum = 0.0
        self.weight = weight

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        self.sum += self.weight * now_s / 3
        match event:
            case Received(sender=sender, message=message):
                return [Send(sender, message), Record(Quote("sum", self.sum))]
            case Commanded(request_id=request_id, request=Note(text="fail")):
                raise ZeroDivisionError(request_id)
            case Commanded(request_id=request_id):
                return [Reply(request_id, Quote("sum", self.sum))]
            case TimerFired(name=name):
                return [SetTimer(name, self.sum), CancelTimer("other")]
            case _:
                return []


def echo(start: Start) -> Echo:
    return Echo()


def heavier_echo(start: Start) -> Echo:
    return Echo(weight=1.0 + 1e-15)


def record(path: Path, events: list[Event], start: Start = START) -> None:
    """Run an Echo on events, one a second, and keep its journal; end like a killed process."""
    journal, role = Journal(path, start), Echo()
    for count, event in enumerate(events):
        now_s = start.now_s + count
        try:
            actions: list[Action] | None = role.step(event, now_s)
        except ZeroDivisionError:
            actions = None
        journal.step(now_s, event, actions)
        if count % 2:
            journal.flush()
    journal.flush()


def test_a_journal_gives_back_start_steps_and_stop(tmp_path: Path) -> None:
    path = tmp_path / "mg1.journal"
    journal = Journal(path, START)
    journal.step(1000.5, Started(), [SetTimer("round", 2.0)])
    journal.close(1001.0, "SIGTERM")
    start, step, stop = read(path)
    assert (start, stop) == (START, Stop(1001.0, "SIGTERM"))
    assert isinstance(step, Step)
    assert msgspec.msgpack.decode(step.event) == {"type": "Started"}
    assert msgspec.msgpack.decode(step.actions) == [
        {"type": "SetTimer", "name": "round", "after_s": 2.0}
    ]


def test_what_was_flushed_is_in_the_file_before_the_journal_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "mg1.journal"
    journal = Journal(path, START)
    journal.step(1000.5, Started(), [])
    assert len(list(read(path))) == 1
    journal.flush()
    assert len(list(read(path))) == 2


def test_msgpack_reads_a_journal_without_us(tmp_path: Path) -> None:
    path = tmp_path / "mg1.journal"
    record(path, EVENTS)
    with path.open("rb") as file:
        values = list(msgpack.Unpacker(file))
    assert all(zlib.crc32(block) == checksum for checksum, block in values)
    entries = [entry for _, block in values for entry in msgpack.unpackb(block)]
    assert entries[0] == [
        "start",
        1,
        "mg1",
        7,
        1000.0,
        "peercell.agents:Echo",
        b"settings",
        42,
        b"",
        0,
    ]
    assert [entry[0] for entry in entries[1:]] == ["step"] * len(EVENTS)
    assert entries[2][2:] == [
        {"type": "Received", "sender": "mg2", "message": ["Quote", "m", 0.25, [1.0, -1.0]]},
        [
            {"type": "Send", "to": "mg2", "message": ["Quote", "m", 0.25, [1.0, -1.0]]},
            {"type": "Record", "fact": ["Quote", "sum", (1000.0 + 1001.0) / 3, []]},
        ],
    ]


def test_a_replay_does_the_same_again(tmp_path: Path) -> None:
    path = tmp_path / "mg1.journal"
    record(path, EVENTS)
    found = replay(path, CODEC, echo)
    assert found.difference is None
    assert (found.peer, found.runs, found.steps, found.failures) == ("mg1", 1, len(EVENTS), 0)


def test_a_replay_covers_all_runs_of_a_peer_and_starts_each_afresh(tmp_path: Path) -> None:
    path = tmp_path / "mg1.journal"
    record(path, EVENTS)
    record(path, EVENTS, msgspec.structs.replace(START, incarnation=8, seed=43))
    seeds: list[int] = []

    def build(start: Start) -> Echo:
        seeds.append(start.seed)
        return Echo()

    found = replay(path, CODEC, build)
    assert (found.difference, found.runs, found.steps) == (None, 2, 2 * len(EVENTS))
    assert seeds == [42, 43]


def test_a_replay_shows_the_first_step_that_differs(tmp_path: Path) -> None:
    path = tmp_path / "mg1.journal"
    record(path, EVENTS)
    found = replay(path, CODEC, heavier_echo)
    assert found.difference is not None
    assert found.difference.step == 2
    assert found.difference.event == EVENTS[1]
    assert found.difference.recorded != found.difference.repeated


def test_a_role_that_failed_fails_again_in_a_replay(tmp_path: Path) -> None:
    path = tmp_path / "mg1.journal"
    record(path, [*EVENTS, Commanded(1, Note("fail"))])
    found = replay(path, CODEC, echo)
    assert (found.difference, found.failures) == (None, 1)


def test_a_message_of_tomorrow_ends_a_replay_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "mg1.journal"
    record(path, EVENTS)
    with pytest.raises(JournalError, match="cannot be read"):
        replay(path, Codec(Note), echo)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_cut_anywhere_gives_its_whole_entries_and_goes_on(
    tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "mg1.journal"
    path.unlink(missing_ok=True)
    record(path, EVENTS)
    whole, size = list(read(path)), path.stat().st_size
    cut = data.draw(st.integers(1, size))
    path.write_bytes(path.read_bytes()[:-cut])
    first = len(msgpack.packb([0xFFFFFFFF, msgspec.msgpack.encode([START])]))
    if 0 < size - cut < first:
        with pytest.raises(JournalError, match="no whole block"):
            list(read(path))
    before = path.stat().st_size
    torn = torn_bytes(path)
    record(path, EVENTS, msgspec.structs.replace(START, incarnation=8))
    entries = list(read(path))
    kept = entries[: -len(EVENTS) - 1]
    assert kept == whole[: len(kept)]
    assert entries[len(kept)] == msgspec.structs.replace(START, incarnation=8, torn_bytes=torn)
    assert torn_bytes(path) == 0
    if torn:
        assert path.with_name("mg1.journal.torn").stat().st_size == torn
        assert torn < before + 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_bit_never_passes_for_an_entry(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "mg1.journal"
    path.unlink(missing_ok=True)
    record(path, EVENTS)
    whole = list(read(path))
    spoilt = bytearray(path.read_bytes())
    spoilt[data.draw(st.integers(0, len(spoilt) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(spoilt)
    try:
        entries = list(read(path))
    except JournalError:
        return
    assert entries == whole[: len(entries)]
    assert len(entries) < len(whole)


def test_a_full_journal_stops_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "mg1.journal"
    journal = Journal(path, START, bytes_max=300)
    for _ in range(100):
        journal.step(1000.0, Started(), [])
        journal.flush()
    assert journal.stopped == "it has grown to its limit of 300 bytes"
    assert caplog.text.count("records no more") == 1
    assert path.stat().st_size <= 300
    assert torn_bytes(path) == 0


WRITER = """
import os, sys
from pathlib import Path
from peercell.agents.protocol import Started
from peercell.broker.journal import Journal, Start
journal = Journal(Path(sys.argv[1]), Start(1, "mg1", 7, 1000.0, "a:b", b"", 42))
for count in range(1_000_000):
    journal.step(float(count), Started(), [])
    journal.flush()
    os.write(1, b"%d\\n" % count)
"""


def test_what_was_said_after_a_flush_is_in_the_journal_of_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "mg1.journal"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], env=environment, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        for _ in range(200):
            writer.stdout.readline()
        writer.kill()
        said = [int(line) for line in writer.stdout.read().split(b"\n")[:-1]]
    written = [entry.now_s for entry in read(path) if isinstance(entry, Step)]
    assert written == [float(count) for count in range(len(written))]
    # At most the last turn was written and not yet said.
    assert max(said, default=199) + 1 <= len(written) <= max(said, default=199) + 2
    assert torn_bytes(path) == 0


def test_a_full_disk_stops_the_journal_and_not_the_peer() -> None:
    journal = Journal(Path("/dev/full"), START)
    assert "No space left" in journal.stopped
    journal.step(1000.0, Started(), [])
    journal.flush()
    assert "No space left" in journal.stopped


@pytest.mark.parametrize("first", [0, 2])
def test_a_journal_goes_on_when_there_is_room_again_and_says_what_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, first: int
) -> None:
    caplog.set_level(logging.WARNING)
    path = tmp_path / "mg1.journal"
    journal, role = Journal(path, START), Echo()
    steps = [event for event in EVENTS if not isinstance(event, Commanded)]
    for count, event in enumerate(steps):
        journal.trouble = NO_SPACE if first <= count < first + 2 else None
        journal.step(1000.0 + count, event, role.step(event, 1000.0 + count))
        journal.flush()
        assert bool(journal.stopped) is (first <= count < first + 2)
    start, *entries = read(path)
    assert start == START
    assert entries.pop(first) == Gap(1000.0 + first, 2, str(NO_SPACE))
    assert len(entries) == len(steps) - 2
    assert caplog.text.count("records nothing now") == 1
    assert "records again; 2 steps are missing" in caplog.text
    found = replay(path, CODEC, echo)
    assert (found.steps, found.missed) == (first, len(steps) - first)
    assert found.difference is None


def test_a_part_of_a_block_that_did_not_fit_hides_nothing_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mg1.journal"
    journal = Journal(path, START)
    whole = os.write
    with monkeypatch.context() as small:
        small.setattr(os, "write", lambda number, block: whole(number, block[:5]))
        journal.step(1000.0, Started(), [])
        journal.flush()
    assert "did not fit on the disk" in journal.stopped
    assert torn_bytes(path) == 5
    journal.step(1001.0, Started(), [])
    journal.flush()
    _, gap, step = read(path)
    assert isinstance(gap, Gap)
    assert isinstance(step, Step)
    assert torn_bytes(path) == 0


def block_of(*entries: object) -> bytes:
    """Return a block with a good checksum, whatever is in it."""
    block = msgpack.packb(list(entries))
    return bytes(msgpack.packb([zlib.crc32(block), block]))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello world", "no whole block"),
        (block_of(None), "is no journal"),
        (block_of(["stop", 1.0, "x"]), "is no journal of format 1"),
        (block_of(["start", 2, "a", 1, 1.0, "x:y", b"", 1]), "is no journal of format 1"),
    ],
)
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "other.journal"
    path.write_bytes(content)
    with pytest.raises(JournalError, match=reason):
        list(read(path))


def test_a_journal_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot open the journal"):
        list(read(tmp_path / "none.journal"))
