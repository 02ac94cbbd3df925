"""What a peer that is dialled does, by the sockets themselves: whoever it is, it is told apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from tests.broker.conftest import Run
from tests.broker.messages_for_tests import Note
from tests.broker.security.village_for_tests import Village, keys_of

from peercell.agents.roster import PeerRecord, signed
from peercell.broker.clock import steady_clock
from peercell.broker.dialling import Target, UnknownPeerError, dial, known_target
from peercell.broker.doctor import Finding, Health
from peercell.broker.reactor import Doors, Reactor
from peercell.broker.rosterfile import Kept, RosterFile
from peercell.broker.sockets import LOOPBACK, listen


@contextmanager
def host(village: Village | None, folder: Path) -> Iterator[str]:
    """Let a host take turns meanwhile; give its endpoint."""
    security = village.security("host") if village is not None else None
    doors = Doors(LOOPBACK, f"ipc://{folder}/c.sock")
    with Reactor(doors, [Note], steady_clock(), security) as reactor:
        over = Event()

        def run() -> None:
            while not over.is_set():
                reactor.turn(0.02)

        turning = Thread(target=run)
        turning.start()
        try:
            yield reactor.endpoint
        finally:
            over.set()
            turning.join()


@pytest.fixture
def village() -> Village:
    """Return a village that has admitted its host, a member, and somebody it has put out."""
    made = Village()
    for peer in ("host", "member", "gone"):
        made.admit(peer)
    made.revoke("gone")
    return made


def handshake(findings: Iterator[Finding]) -> Finding:
    """Return what became of the handshake with a peer that was reached."""
    reached, shaken = findings
    assert reached.health is Health.OK
    return shaken


# Row: whose keys are shown; whose are expected; what is found.
FOUND = {
    "a member": ("member", "host", Health.OK, "the keys are accepted"),
    "a stranger": ("stranger", "host", Health.FAIL, "not admitted there yet"),
    "somebody put out": ("gone", "host", Health.FAIL, "refused for good, ZAP status 400"),
    "another host than expected": ("member", "other", Health.FAIL, "other keys than it should"),
}


@pytest.mark.parametrize("row", FOUND.values(), ids=FOUND)
def test_who_dials_a_locked_peer_is_told_what_became_of_it(
    village: Village, tmp_path: Path, row: tuple[str, str, Health, str]
) -> None:
    mine, theirs, health, said = row
    with host(village, tmp_path) as endpoint:
        target = Target("host", endpoint, village.identity(theirs).curve_public)
        found = handshake(dial(target, keys_of(village.identity(mine))))
    assert found.health is health
    assert said in found.found
    assert bool(found.fix) is (health is Health.FAIL)


def test_without_keys_a_locked_peer_wants_some_and_an_open_one_does_not(
    village: Village, tmp_path: Path
) -> None:
    with host(village, tmp_path) as endpoint:
        found = handshake(dial(Target("host", endpoint, b""), None))
    assert (found.health, "it wants keys" in found.found) == (Health.FAIL, True)
    with host(None, tmp_path) as endpoint:
        found = handshake(dial(Target("host", endpoint, b""), None))
    assert (found.health, "without keys" in found.found) == (Health.OK, True)


def test_nobody_there_is_told_without_a_handshake() -> None:
    with listen() as listener:
        port = listener.getsockname()[1]
    (found,) = dial(Target("host", f"tcp://127.0.0.1:{port}", b""), None)
    assert (found.health, found.check) == (Health.FAIL, "reach")
    assert "refused" in found.found


def test_a_peer_is_dialled_where_its_newest_record_says(village: Village, tmp_path: Path) -> None:
    (tmp_path / "cell" / "state").mkdir(parents=True)
    host_keys = village.identity("host")
    for name, incarnation in (("a", 2), ("b", 1)):
        record = PeerRecord(
            "host", "test", incarnation, 1, f"tcp://127.0.0.1:{incarnation}",
            host_keys.public.signing, 1e10, curve_key=host_keys.curve_public,
        )  # fmt: skip
        file = RosterFile(tmp_path / "cell" / "state" / f"{name}.roster")
        file.note(Kept.RECORD, "host", signed(record, host_keys.sign))
        file.close()
    assert known_target(tmp_path, "host") == Target("host", "tcp://127.0.0.1:2", b"")
    file = RosterFile(tmp_path / "cell" / "state" / "a.roster")
    file.note(Kept.ADMISSION, "host", village.admit("host"))
    file.close()
    assert known_target(tmp_path, "host").key == host_keys.curve_public
    with pytest.raises(UnknownPeerError, match="is not known here"):
        known_target(tmp_path, "nobody")


def test_the_command_ends_with_4_when_a_peer_is_not_to_be_had(run: Run) -> None:
    result = run("doctor", "127.0.0.1:1")
    assert result.code == 4
    assert "reach" in result.out
    assert run("doctor", "mg9").code == 4
    assert run("doctor", "127.0.0.1:x").code == 2
