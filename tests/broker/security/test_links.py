"""Links with keys: members talk, and of seven kinds of others nobody is heard."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import zmq
from tests.broker.hosts_for_tests import Puppet, host, settle
from tests.broker.messages_for_tests import AnyTestMessage, Note
from tests.broker.security.village_for_tests import Village, keys_of, link

from peercell.agents.errors import PeercellError
from peercell.agents.protocol import Send, Started
from peercell.broker import sockets
from peercell.broker.reactor import Doors, Reactor
from peercell.broker.seat import Seat
from peercell.broker.security import guard
from peercell.broker.sockets import LOOPBACK, LinkKeys, Socket, check_library, check_private
from peercell.broker.wire import VERSION, Codec, Drop, Envelope

CODEC = Codec(AnyTestMessage)
HANDSHAKE_MS = 300


def frame(src: str, seq: int, text: str = "hello") -> bytes:
    return CODEC.frame([Envelope(VERSION, "Note", src, "b", 1, seq, 1e11, Note(text))])


def sent(push: Socket, *frames: bytes, within_s: float = 1.0) -> bool:
    """Send frames as soon as the link takes them; return whether it did."""
    if not push.poll(int(1000 * within_s), zmq.POLLOUT):
        return False
    for each in frames:
        push.send(each)
    return True


@pytest.fixture
def village() -> Village:
    village = Village()
    for peer in "abc":
        village.admit(peer)
    return village


@pytest.fixture
def at_b(village: Village, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reactor]:
    """A host of b that serves while the test talks to it, and waits less long for a handshake."""
    monkeypatch.setitem(sockets.OPTIONS, zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    with host(("b", Puppet()), security=village.security("b")) as at_b:
        yield at_b


def refused(at_b: Reactor) -> dict[Drop, int]:
    return dict(at_b._places["b"].gate.refused + at_b.unattributed)


def heard(at_b: Reactor) -> int:
    return at_b._places["b"].gate.applied


def serve(at_b: Reactor, for_s: float) -> None:
    until = time.monotonic() + for_s
    while time.monotonic() < until:
        at_b.turn(0.01)


def test_members_talk(village: Village) -> None:
    a = Puppet(lambda event: [Send("b", Note("hi"))] if isinstance(event, Started) else [])
    b = Puppet()
    with (
        host(("b", b), security=village.security("b")) as at_b,
        host(security=village.security("a")) as at_a,
    ):
        at_a.route("b", at_b.endpoint, village.identity("b").curve_public)
        at_a.seat(Seat("a", a, 1, None))
        settle([at_a, at_b], lambda: b.heard == [Note("hi")])


def test_who_has_no_key_in_the_roster_has_no_address(village: Village) -> None:
    a = Puppet(lambda event: [Send("b", Note("hi"))] if isinstance(event, Started) else [])
    with host(security=village.security("a")) as at_a:
        at_a.route("b", "tcp://127.0.0.1:9")
        at_a.seat(Seat("a", a, 1, None))
        assert at_a._places["a"].seat.unsent == {Drop.NO_ROUTE: 1}


def alive(village: Village, at_b: Reactor) -> None:
    """Check that a member gets through to a host."""
    mine, theirs = keys_of(village.identity("a")), village.identity("b").curve_public
    before = heard(at_b)
    with link(at_b.endpoint, mine, theirs) as push, ExitStack() as stack:
        stack.callback(settle, [at_b], lambda: heard(at_b) > before)
        deadline = time.monotonic() + 10.0
        while not push.poll(0, zmq.POLLOUT):
            assert time.monotonic() < deadline
            at_b.turn(0.01)
        push.send(frame("a", before + 1))


OUTSIDERS = ["unlisted key", "wrong server key", "no key", "a password", "raw bytes", "HTTP"]


@pytest.mark.parametrize("kind", OUTSIDERS)
def test_of_an_outsider_nothing_is_heard(kind: str, village: Village, at_b: Reactor) -> None:
    stranger = keys_of(village.identity("nobody"))
    b_key = village.identity("b").curve_public
    with ExitStack() as stack:
        if kind in ("raw bytes", "HTTP"):
            parts = at_b.endpoint.removeprefix("tcp://").split(":")
            raw = stack.enter_context(socket.create_connection((parts[0], int(parts[1]))))
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n" if kind == "HTTP" else b"\xff" * 64)
            serve(at_b, 0.1)
        else:
            keys: dict[str, tuple[LinkKeys | None, bytes]] = {
                "unlisted key": (stranger, b_key),
                "wrong server key": (stranger, village.identity("c").curve_public),
            }
            mine, theirs = keys.get(kind, (None, b""))
            push = stack.enter_context(link(at_b.endpoint, mine, theirs))
            if kind == "a password":
                push.disconnect(at_b.endpoint)
                push.setsockopt(zmq.PLAIN_USERNAME, b"a")
                push.setsockopt(zmq.PLAIN_PASSWORD, b"a")
                push.connect(at_b.endpoint)
            serve(at_b, 0.1)
            assert not sent(push, frame("a", 1), within_s=0.0)
        assert heard(at_b) == 0
        assert not refused(at_b)
        alive(village, at_b)


def test_an_idle_connection_sees_a_greeting_and_is_cut(village: Village, at_b: Reactor) -> None:
    address, port = at_b.endpoint.removeprefix("tcp://").split(":")
    with socket.create_connection((address, int(port))) as idle:
        idle.settimeout(0.05)
        seen, began = b"", time.monotonic()
        while time.monotonic() < began + 5.0:
            at_b.turn(0.0)
            try:
                if not (arrived := idle.recv(100)):
                    break
            except TimeoutError:
                continue
            seen += arrived
        # And time for a busy machine.
        assert time.monotonic() - began < HANDSHAKE_MS / 1000 + 3.0
    # The signature of ZMTP and its version: that somebody speaks it, and nothing else.
    assert seen[:1] == b"\xff"
    assert len(seen) <= 12
    alive(village, at_b)


def test_a_revoked_key_is_refused_on_the_open_link_at_once(
    village: Village, at_b: Reactor, caplog: pytest.LogCaptureFixture
) -> None:
    mine, theirs = keys_of(village.identity("c")), village.identity("b").curve_public
    with link(at_b.endpoint, mine, theirs) as push:
        settle([at_b], lambda: sent(push, frame("c", 1), within_s=0.0))
        settle([at_b], lambda: heard(at_b) == 1)
        at_b._inbound._guard._members.merge(village.revoke("c"))  # type: ignore[union-attr]  # it has keys
        push.send(frame("c", 2))
        settle([at_b], lambda: refused(at_b) == {Drop.REVOKED: 1})
    with link(at_b.endpoint, mine, theirs) as push:
        serve(at_b, 0.1)
        assert not sent(push, frame("c", 3), within_s=0.0)
    assert heard(at_b) == 1
    alive(village, at_b)


def test_who_is_admitted_a_moment_later_gets_in_by_itself(village: Village, at_b: Reactor) -> None:
    mine, theirs = keys_of(village.identity("d")), village.identity("b").curve_public
    with link(at_b.endpoint, mine, theirs) as push:
        serve(at_b, 0.1)
        assert not sent(push, frame("d", 1), within_s=0.0)
        at_b._inbound._guard._members.merge(village.admit("d"))  # type: ignore[union-attr]  # it has keys
        settle([at_b], lambda: sent(push, frame("d", 1), within_s=0.0))
        settle([at_b], lambda: heard(at_b) == 1)


@pytest.mark.parametrize("routing_id", [b"a", b"\0\0\0\0a"])
def test_a_routing_id_is_no_identity(village: Village, at_b: Reactor, routing_id: bytes) -> None:
    """A member that connects as another, also while that one is connected, harms nobody."""
    honest, thief = keys_of(village.identity("a")), keys_of(village.identity("c"))
    theirs = village.identity("b").curve_public
    with link(at_b.endpoint, honest, theirs) as good, zmq.Context() as context:
        settle([at_b], lambda: sent(good, frame("a", 1), within_s=0.0))
        settle([at_b], lambda: heard(at_b) == 1)
        with sockets.make(context, zmq.PUSH) as bad:
            sockets.unlock(bad, thief, theirs)
            if routing_id[0]:
                bad.setsockopt(zmq.ROUTING_ID, routing_id)
            bad.connect(at_b.endpoint)
            settle([at_b], lambda: sent(bad, frame("a", 2, "forged"), within_s=0.0))
            settle([at_b], lambda: refused(at_b) == {Drop.SPOOFED: 1})
            good.send(frame("a", 2))
            settle([at_b], lambda: heard(at_b) == 2)
    assert at_b._places["b"].gate.missing == 0


def test_who_sends_a_message_of_many_frames_is_named_and_not_heard_for_a_while(
    village: Village,
    at_b: Reactor,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard, "BAN_S", 1.0)
    mine, theirs = keys_of(village.identity("a")), village.identity("b").curve_public
    with link(at_b.endpoint, mine, theirs) as push:
        settle([at_b], lambda: sent(push, frame("a", 1), within_s=0.0))
        settle([at_b], lambda: heard(at_b) == 1)
        push.send_multipart([frame("a", 2)] * 1000)
        push.send(frame("a", 2))
        settle([at_b], lambda: refused(at_b) == {Drop.MULTIPART: 1, Drop.BANNED: 1})
        assert "banned: a message of many frames from a (test)" in caplog.text
        serve(at_b, 1.0)
        push.send(frame("a", 3))
        settle([at_b], lambda: heard(at_b) == 2)


@pytest.mark.parametrize("endpoint", ["tcp://0.0.0.0:*", "tcp://192.0.2.1:5555", "tcp://[::]:1"])
def test_without_an_operator_nobody_else_can_connect(endpoint: str) -> None:
    with pytest.raises(PeercellError, match="would be open to anybody"):
        check_private(endpoint)
    with (
        pytest.raises(PeercellError, match="would be open to anybody"),
        host(doors=Doors(endpoint, LOOPBACK)),
    ):
        pass


@pytest.mark.parametrize(
    ("version", "curve", "why"),
    [((4, 3, 4), True, "libzmq 4.3.4 is too old: 4.3.5"), ((4, 3, 5), False, "cannot encrypt")],
)
def test_a_library_that_cannot_be_trusted_is_refused(
    version: tuple[int, ...], curve: bool, why: str
) -> None:
    with pytest.raises(PeercellError, match=why):
        check_library(version, curve=curve)
    check_library((4, 3, 5), curve=True)
    check_library((4, 4, 0), curve=True)


def test_a_secret_is_not_shown(village: Village) -> None:
    keys = keys_of(village.identity("a"))
    assert keys.secret.hex() not in repr(keys)
    assert repr(keys.secret) not in repr(keys)
