"""A host moves on when its turn is over or its address is another one, and not before."""

from pathlib import Path

from peercell.broker.hosting.chores import LOOK_S, MOVED, TURN_OVER, EndOfTurn, Pulse, Removal
from peercell.broker.hosting.pulse import FILE
from peercell.broker.processes.plan import PeerState


class Host:
    """What the chores need of a supervisor."""

    def __init__(self) -> None:
        self.stopped: list[str] = []
        self.states: tuple[PeerState, ...] = ()

    def stop(self, reason: str) -> None:
        """See Supervisor.stop."""
        self.stopped.append(reason)


def test_a_turn_ends_once() -> None:
    host = Host()
    end = EndOfTurn(host, 10.0)
    for now_s in (0.0, 9.9, 10.0, 11.0):
        end.work(now_s)
    assert (host.stopped, end.next_s) == ([TURN_OVER], None)


def test_a_host_without_address_stays_and_with_another_one_moves() -> None:
    host, address = Host(), ["192.0.2.1"]
    removal = Removal(host, "192.0.2.1", lambda: address[0])
    for at, now in enumerate(("192.0.2.1", "", "192.0.2.1")):
        address[0] = now
        removal.work(at * LOOK_S)
    assert host.stopped == []
    address[0] = "192.0.2.2"
    removal.work(2.5 * LOOK_S)
    assert host.stopped == []
    removal.work(3 * LOOK_S)
    assert host.stopped == [MOVED]


def test_a_host_says_that_it_lives(tmp_path: Path) -> None:
    pulse = Pulse(Host(), tmp_path)
    pulse.work(1.0)
    assert (tmp_path / FILE).read_text() == "0 0\n"
    assert pulse.next_s is not None
    assert pulse.next_s > 1.0
