"""What a peer is to remember: it survives the process, and nothing that binds is said before."""

import os
import subprocess
import sys
from pathlib import Path

from tests.broker.hosts_for_tests import Puppet, host, settle
from tests.broker.messages_for_tests import Note, Vow

from peercell.agents.protocol import Action, Commanded, Event, Remember, Send, Started
from peercell.broker.faults.injector import NO_SPACE
from peercell.broker.memory import MemoryFile
from peercell.broker.seat import Seat
from peercell.broker.wire import Drop

TASK = b"to trade"


def test_what_was_remembered_last_is_there_in_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "a.memory"
    memory = MemoryFile(path, TASK)
    assert memory.kept == {}
    for what in (b"1", b"2"):
        memory.remember("vote", what)
    memory.remember("plan", b"3")
    assert not memory.unsaved
    assert MemoryFile(path, TASK).kept == {"vote": b"2", "plan": b"3"}


def test_who_has_another_task_remembers_nothing(tmp_path: Path) -> None:
    MemoryFile(tmp_path / "a.memory", TASK).remember("vote", b"1")
    assert MemoryFile(tmp_path / "a.memory", b"to trade otherwise").kept == {}


def test_a_file_that_is_not_whole_is_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.memory"
    MemoryFile(path, TASK).remember("vote", b"1")
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        assert MemoryFile(path, TASK).kept == {}
        path.write_bytes(whole[:cut] + bytes([whole[cut] ^ 1]) + whole[cut + 1 :])
        assert MemoryFile(path, TASK).kept == {}


WRITER = """
import sys
from pathlib import Path
from peercell.broker.memory import MemoryFile
memory = MemoryFile(Path(sys.argv[1]), b"")
for count in range(10**9):
    memory.remember("count", str(count).encode())
    print(count, flush=True)
"""


def test_what_was_said_after_it_was_remembered_is_known_to_the_life_after_a_kill(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.memory"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], env=environment, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        for _ in range(200):
            writer.stdout.readline()
        writer.kill()
        said = [199, *(int(line) for line in writer.stdout.read().split(b"\n")[:-1])]
    known = int(MemoryFile(path, b"").kept["count"])
    assert max(said) <= known <= max(said) + 1


def vows(event: Event) -> list[Action]:
    match event:
        case Commanded(request=Note(number=number)):
            return [
                Remember("vow", str(number).encode()),
                Send("b", Vow(number)),
                Send("b", Note("talk", number)),
            ]
        case _:
            return []


def test_nothing_that_binds_leaves_before_it_is_saved(tmp_path: Path) -> None:
    """The disk is full for a while: the peer goes on talking, and promises nothing."""
    role, other = Puppet(vows), Puppet()
    seat = Seat("a", role, 1, None)
    seat.memory = memory = MemoryFile(tmp_path / "a.memory", TASK)
    with host(("b", other)) as at_b, host() as at_a:
        at_a.seat(seat)
        at_a.route("b", at_b.endpoint)
        memory.trouble = NO_SPACE
        at_a._step(seat, Commanded(1, Note("", 1)), at_a._clock())
        settle([at_a, at_b], lambda: len(other.heard) == 1)
        assert MemoryFile(tmp_path / "a.memory", TASK).kept == {}
        assert seat.unsent == {Drop.UNSAVED: 1}
        assert at_a._unaccounted() == 0
        memory.trouble = None
        at_a._step(seat, Commanded(2, Note("", 2)), at_a._clock())
        settle([at_a, at_b], lambda: len(other.heard) == 3)
    assert other.heard == [Note("talk", 1), Vow(2), Note("talk", 2)]
    assert MemoryFile(tmp_path / "a.memory", TASK).kept == {"vow": b"2"}


def test_a_role_is_told_what_it_has_remembered(tmp_path: Path) -> None:
    MemoryFile(tmp_path / "a.memory", TASK).remember("vow", b"1")
    role = Puppet()
    seat = Seat("a", role, 2, None)
    seat.memory = MemoryFile(tmp_path / "a.memory", TASK)
    with host() as at_a:
        at_a.seat(seat)
    assert role.told == [Started({"vow": b"1"})]
