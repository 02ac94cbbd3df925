"""What a supervisor thinks of a process, told by a starter that starts none."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from peercell.broker.processes.crew import Crew, Failed, Left, Notice, PeerSpec, Ready, State
from peercell.broker.processes.starter import StarterError
from peercell.broker.processes.worker import Worker
from peercell.broker.sockets import endpoint_of, listen


class PaperStarter:
    """Keeps the other end of the notices, and ends processes with the code that a test gives."""

    def __init__(self) -> None:
        self.started: list[Crew] = []
        self.signals: list[int] = []
        self.code = 0
        self._notices = -1

    def start(self, crew_file: str, listener: int, notices: int) -> int:
        """See Starter.start."""
        os.fstat(listener)
        self.started.append(msgspec.json.decode(Path(crew_file).read_bytes(), type=Crew))
        self._notices = os.dup(notices)
        return 1_000_000 + len(self.started)

    def wait(self, pid: int) -> int:
        """See Starter.wait."""
        if pid != 1_000_000 + len(self.started):
            raise StarterError(f"no process {pid}")
        return self.code

    def signal(self, pid: int, number: int) -> None:
        """See Starter.signal."""
        assert pid == 1_000_000 + len(self.started)
        self.signals.append(number)

    def close(self) -> None:
        """See Starter.close."""

    def say(self, notice: Notice) -> None:
        """Be the process, and tell the supervisor something."""
        os.write(self._notices, msgspec.json.encode(notice) + b"\n")

    def end(self, code: int) -> None:
        """Be the process, and end."""
        os.close(self._notices)
        self.code = code


@pytest.fixture
def starter() -> PaperStarter:
    return PaperStarter()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    listener = listen()
    crew = Crew(
        name="a",
        folder=str(tmp_path),
        peers=(PeerSpec(peer="a", role="test", factory="x:y"),),
        unions=(),
        endpoint=endpoint_of(listener),
        seeds={},
    )
    worker = Worker(crew, tmp_path / "a.crew", listener, 0.0)
    yield worker
    worker.close()


def test_a_process_is_up_once_it_says_so(worker: Worker, starter: PaperStarter) -> None:
    assert (worker.state, worker.pid) == (State.STARTING, 0)
    worker.start(starter, 1.0)
    assert (worker.state, worker.reason, worker.since_s) == (State.STARTING, "", 1.0)
    assert starter.started == [worker.crew]
    starter.say(Ready({"a": 77}))
    assert worker.hear(2.0) is False
    assert (worker.state, worker.incarnations) == (State.UP, {"a": 77})
    starter.end(0)
    assert worker.hear(3.0)
    worker.end(starter, 3.0)


# Row: what the process said last, how it ended; the reason that is shown.
ENDS = {
    "a bug": (
        Failed("ZeroDivisionError: division by zero"),
        1,
        "ZeroDivisionError: division by zero",
    ),
    "a kill": (None, -signal.SIGKILL, "killed by SIGKILL"),
    "a crash": (None, -signal.SIGSEGV, "killed by SIGSEGV"),
    "no word": (None, 3, "exit code 3"),
}


@pytest.mark.parametrize(("words", "code", "reason"), ENDS.values(), ids=ENDS)
def test_a_process_that_failed_comes_again_with_the_reason_shown(
    worker: Worker, starter: PaperStarter, words: Notice | None, code: int, reason: str
) -> None:
    worker.start(starter, 1.0)
    if words is not None:
        starter.say(words)
    starter.end(code)
    while not worker.hear(2.0):
        pass
    assert worker.end(starter, 2.0) == 0.0
    assert (worker.state, worker.reason) == (State.RESTARTING, reason)
    worker.start(starter, 3.0)
    starter.say(Ready({"a": 78}))
    worker.hear(4.0)
    assert (worker.state, worker.reason, worker.restarts) == (State.UP, reason, 1)
    starter.end(0)
    worker.hear(5.0)
    worker.end(starter, 5.0)


def test_a_process_that_leaves_in_good_order_is_not_started_again(
    worker: Worker, starter: PaperStarter
) -> None:
    worker.start(starter, 1.0)
    starter.say(Left("SIGTERM"))
    starter.end(0)
    while not worker.hear(2.0):
        pass
    assert worker.end(starter, 2.0) is None
    assert (worker.state, worker.reason) == (State.STOPPED, "SIGTERM")


def test_a_process_that_keeps_failing_is_given_up_and_turns_neighbours_away(
    worker: Worker, starter: PaperStarter
) -> None:
    for failure in range(6):
        worker.start(starter, float(failure))
        starter.end(1)
        worker.hear(float(failure))
        delay_s = worker.end(starter, float(failure))
    assert delay_s is None
    reason = "5 restarts within 60 s did not help; last: exit code 1"
    assert (worker.state, worker.reason) == (State.FAILED, reason)
    address, _, port = worker.crew.endpoint.removeprefix("tcp://").rpartition(":")
    again = listen(address, int(port))
    again.close()
    worker.start(starter, 100.0)
    assert worker.state is State.STARTING
    starter.end(0)
    worker.hear(101.0)
    worker.end(starter, 101.0)


def test_who_is_stopped_does_not_come_again_however_it_ends(
    worker: Worker, starter: PaperStarter
) -> None:
    worker.start(starter, 1.0)
    worker.stop(starter, "stopped by the operator", 2.0)
    worker.kill(starter)
    assert starter.signals == [signal.SIGTERM, signal.SIGKILL]
    starter.end(-signal.SIGKILL)
    worker.hear(3.0)
    assert worker.end(starter, 3.0) is None
    assert (worker.state, worker.reason) == (State.STOPPED, "stopped by the operator")


def test_who_waits_to_come_again_can_be_stopped(worker: Worker, starter: PaperStarter) -> None:
    worker.start(starter, 1.0)
    starter.end(1)
    worker.hear(2.0)
    worker.end(starter, 2.0)
    worker.stop(starter, "stopped by the operator", 3.0)
    assert (worker.state, starter.signals) == (State.STOPPED, [])


def test_a_process_that_nobody_knows_any_more_was_killed(
    worker: Worker, starter: PaperStarter
) -> None:
    worker.start(starter, 1.0)
    starter.end(0)
    starter.started.clear()
    worker.hear(2.0)
    assert worker.end(starter, 2.0) == 0.0
    assert worker.reason == "killed by SIGKILL"
