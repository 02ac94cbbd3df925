"""What happens when a peer is dialled: whether it is reached, and what becomes of the handshake.

Sockets of ZeroMQ try again for ever without a word; here their monitor tells what they see.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import zmq
from zmq.utils.monitor import recv_monitor_message

from peercell.agents.errors import PeercellError
from peercell.agents.roster import PeerRecord, record_of
from peercell.broker.addresses import endpoint_at, look_up
from peercell.broker.doctor import Finding, Health
from peercell.broker.rosterfile import Kept, read_roster
from peercell.broker.security.identity import PublicIdentity, make_identity
from peercell.broker.sockets import LinkKeys, connect, make, unlock

REACH_S, HANDSHAKE_S = 3.0, 4.0
# s; a handshake that ends sooner was refused by the other end, not left without an answer.
SOON_S = 1.0


class Target(NamedTuple):
    """Whom to dial.

    Parameters
    ----------
    name : of the peer, or its address
    endpoint : numeric
    key : of its links, b"" where they have none
    """

    name: str
    endpoint: str
    key: bytes


class UnknownPeerError(PeercellError):
    """Nobody here has heard of a peer."""

    exit_code = 4


def known_target(home: Path, peer: str) -> Target:
    """Return a peer as the newest record says that a process below a folder of runs has kept.

    Raises
    ------
    UnknownPeerError : none has kept any.
    """
    records = [
        record_of(kept)
        for path in sorted(home.glob("*/state/*.roster"))
        for kept in read_roster(path, Kept.RECORD)
    ]
    found = [record for record in records if record.peer == peer]
    if not found:
        raise UnknownPeerError(
            f'"{peer}" is not known here',
            f"no process below {home}/ has kept a record of it",
            "its address, as 192.0.2.10:5600, with --server-key its .pub file",
        )
    newest = max(found, key=lambda record: record.age)
    return Target(peer, newest.endpoint, _key_in_use(newest, home))


def _key_in_use(record: PeerRecord, home: Path) -> bytes:
    """Return the key of a peer's links, b"" in a cell that has no operator."""
    locked = any(
        read_roster(path, Kept.ADMISSION) for path in sorted(home.glob("*/state/*.roster"))
    )
    return record.curve_key if locked else b""


def addressed_target(address: tuple[str, int], server: PublicIdentity | None) -> Target:
    """Return whoever listens at an address, with the keys that it should have.

    Raises
    ------
    NameLookupError : the host is not known.
    """
    numeric = look_up(*address)
    name = server.peer if server is not None else f"{address[0]}:{address[1]}"
    return Target(name, endpoint_at(numeric), server.curve if server is not None else b"")


def dial(target: Target, keys: LinkKeys | None) -> Iterator[Finding]:
    """Yield what is found on the way to a peer, as far as it goes.

    Parameters
    ----------
    target : whom to dial
    keys : that it should let in; None for keys that nobody knows
    """
    reached = _reach(target)
    yield reached
    if reached.health is not Health.FAIL:
        yield _shake_hands(target, keys)


def _reach(target: Target) -> Finding:
    """Look whether anybody listens there."""
    parts = urlsplit(target.endpoint)
    began_s = time.monotonic()
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 0), REACH_S):
            took_ms = 1e3 * (time.monotonic() - began_s)
    except OSError as error:
        return _failed(
            "reach",
            f"{target.name} at {target.endpoint}: {error.strerror or error}",
            "start it, open the port in the firewall, or correct its --advertise",
        )
    found = f"{target.name} listens at {target.endpoint}, {took_ms:.0f} ms away"
    return Finding(health=Health.OK, check="reach", found=found)


def _shake_hands(target: Target, keys: LinkKeys | None) -> Finding:
    """Look what becomes of the handshake."""
    known = keys is not None
    if keys is None:
        nobody = make_identity("nobody")
        keys = LinkKeys(nobody.curve_public, nobody.curve_secret)
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context[zmq.Socket[bytes]]())
        push = stack.enter_context(make(context, zmq.PUSH))
        if target.key:
            unlock(push, keys, target.key)
        monitor = stack.enter_context(push.get_monitor_socket())
        connect(push, target.endpoint)
        events = list(_events(monitor))
        push.disable_monitor()
    return _verdict(target, events, known=known)


class _Event(NamedTuple):
    """What a monitor has seen, its value, and how many s after a connection was made."""

    kind: zmq.Event
    value: int
    after_s: float


def _events(monitor: zmq.Socket[bytes]) -> Iterator[_Event]:
    """Yield what a socket sees, until the fate of its handshake is clear, or the time is over.

    One that failed soon is looked at twice: the other end may just have been starting.
    """
    began_s = connected_s = time.monotonic()
    failures = 0
    while (left_s := HANDSHAKE_S - (time.monotonic() - began_s)) > 0.0:
        if not monitor.poll(int(1e3 * left_s) + 1):
            return
        seen = recv_monitor_message(monitor)
        now_s, kind = time.monotonic(), zmq.Event(seen["event"])
        if kind is zmq.Event.CONNECTED:
            connected_s = now_s
        event = _Event(kind, seen["value"], now_s - connected_s)
        yield event
        failures += kind is zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
        if kind in _ENDS or failures > 1 or (failures and event.after_s > SOON_S):
            return


def _verdict(target: Target, events: list[_Event], *, known: bool) -> Finding:
    """Say what the events of a handshake come to."""
    last = events[-1] if events else _Event(zmq.Event.CONNECT_RETRIED, 0, HANDSHAKE_S)
    seen = " ".join(str(event.kind.name).lower().replace("_", "-") for event in events)
    match last:
        case _Event(zmq.Event.HANDSHAKE_SUCCEEDED):
            what = "the keys are accepted" if target.key else "the link is open, without keys"
            return Finding(health=Health.OK, check="handshake", found=f"{what} ({seen})")
        case _Event(zmq.Event.HANDSHAKE_FAILED_AUTH, value):
            return _failed(
                "handshake",
                f"the keys are refused for good, ZAP status {value} ({seen})",
                "they were revoked or replaced: peercell keys new ID, and have them admitted",
            )
        case _Event(after_s=after_s) if not target.key:
            return _failed(
                "handshake",
                f"it wants keys, or is no peer of a cell; gave up after {after_s:.1f} s ({seen})",
                "--server-key PUB, the public keys of the peer there",
            )
        case _Event(after_s=after_s) if after_s < SOON_S:
            # libzmq mostly stays silent towards keys that are not known yet, and hangs up at times.
            return _failed(
                "handshake",
                "it has other keys than it should, or these are not admitted there yet:"
                f" it hung up ({seen})",
                "--server-key with the keys that it has now, or peercell keys admit",
            )
        case _:
            fix = "peercell keys admit, at the operator's" if known else "--key FILE.secret"
            why = "the keys are not admitted there yet" if known else "nobody knows these keys"
            return _failed("handshake", f"no answer: {why} ({seen})", fix)


def _failed(check: str, found: str, fix: str) -> Finding:
    return Finding(health=Health.FAIL, check=check, found=found, fix=fix)


_ENDS = frozenset(
    {
        zmq.Event.HANDSHAKE_SUCCEEDED,
        zmq.Event.HANDSHAKE_FAILED_AUTH,
        zmq.Event.HANDSHAKE_FAILED_PROTOCOL,
    }
)
