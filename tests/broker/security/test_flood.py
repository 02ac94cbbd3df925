"""A member that fills the memory of another with a message that never ends."""

import resource
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.broker.hosts_for_tests import Puppet, host, settle
from tests.broker.security.curve_for_tests import RawSender
from tests.broker.security.test_links import frame, heard, sent
from tests.broker.security.village_for_tests import Village, keys_of, link

from peercell.broker.reactor import Reactor
from peercell.broker.security import flood
from peercell.broker.security.flood import GROWTH_BYTES, FloodWatch

PARTS = 500_000
FILES = 4096
BACK_S = 5.0


def size_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def pour(bytes_: memoryview, rogue: RawSender, at_b: Reactor) -> int:
    """Flood a host until it cuts the link; return by how much it has grown at most, bytes."""
    at, grown, before, started_s = 0, 0, size_bytes(), time.monotonic()
    while at < len(bytes_):
        assert time.monotonic() < started_s + BACK_S, "the flood goes on"
        at_b.turn(0.001)
        grown = max(grown, size_bytes() - before)
        try:
            at += rogue.socket.send(bytes_[at : at + 65_536])
        except BlockingIOError:
            continue
        except OSError:
            return grown
    raise AssertionError("all of it was taken")


@pytest.mark.slow
@pytest.mark.parametrize("has_spoken", [True, False])
def test_a_message_that_never_ends_is_cut_and_its_sender_named(
    has_spoken: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The victim lives, hears the others, and hears the culprit no more."""
    village = Village()
    for peer in "abc":
        village.admit(peer)
    theirs, c_keys = village.identity("b").curve_public, keys_of(village.identity("c"))
    with (
        host(("b", Puppet()), security=village.security("b")) as at_b,
        link(at_b.endpoint, keys_of(village.identity("a")), theirs) as honest,
    ):
        settle([at_b], lambda: sent(honest, frame("a", 1), within_s=0.0))
        settle([at_b], lambda: heard(at_b) == 1)
        if has_spoken:
            with link(at_b.endpoint, c_keys, theirs) as before:
                settle([at_b], lambda: sent(before, frame("c", 1), within_s=0.0))
                settle([at_b], lambda: heard(at_b) == 2)
        with RawSender(at_b.endpoint, c_keys, theirs) as rogue:
            settle([at_b], rogue.advance)
            endless = memoryview(b"".join(rogue.part(b"x" * 150) for _ in range(PARTS)))
            at_b.turn(0.0)
            spoken, started_s = heard(at_b), time.monotonic()
            assert pour(endless, rogue, at_b) < 8 * GROWTH_BYTES
        honest.send(frame("a", 2))
        settle([at_b], lambda: heard(at_b) == spoken + 1)
        assert time.monotonic() < started_s + BACK_S
        assert "without a whole message from c (test)" in caplog.text
        with link(at_b.endpoint, c_keys, theirs) as again:
            for _ in range(30):
                at_b.turn(0.01)
            assert not sent(again, frame("c", 2), within_s=0.0)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process open 4,096 files for the time of a test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        pytest.skip(f"this system allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
@pytest.mark.usefixtures("many_files")
def test_a_thousand_idle_connections_cost_little_and_lock_out_nobody() -> None:
    village = Village()
    for peer in "ab":
        village.admit(peer)
    mine, theirs = keys_of(village.identity("a")), village.identity("b").curve_public
    with host(("b", Puppet()), security=village.security("b")) as at_b, ExitStack() as stack:
        address, port = at_b.endpoint.removeprefix("tcp://").split(":")
        before = size_bytes()
        for number in range(1000):
            stack.enter_context(socket.create_connection((address, int(port))))
            if number % 100 == 0:
                at_b.turn(0.0)
        for _ in range(10):
            at_b.turn(0.01)
        assert size_bytes() - before <= 20_000_000
        with link(at_b.endpoint, mine, theirs) as honest:
            settle([at_b], lambda: sent(honest, frame("a", 1), within_s=0.0))
            settle([at_b], lambda: heard(at_b) == 1)


def test_where_the_library_does_not_tell_the_connection_nobody_is_accused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flood, "GROWTH_BYTES", 0)
    monkeypatch.setattr(flood, "UNSEEN_BYTES", 0)
    with socket.create_server(("127.0.0.1", 0)) as door:
        accused: list[tuple[str, ...]] = []
        watch = FloodWatch(door.getsockname()[1], lambda users, *_: accused.append(users))
        with socket.create_connection(door.getsockname()) as caller:
            inside, _ = door.accept()
            with inside:
                watch.let_in("a")
                caller.sendall(b"x" * 1000)
                assert select.select([inside], [], [], 5.0)[0]
                watch.look(1.0)
                assert accused == [("a",)]
                watch.delivered("", "a", 1000)
                watch.look(2.0)
    assert accused == [("a",)]
