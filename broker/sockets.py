"""How every ZeroMQ socket of peercell is set up: all options in one place.

Each value answers a trap of libzmq that has been measured (docs/explanation/runtime.md).
"""

import ipaddress
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

import zmq

from peercell.agents.errors import PeercellError
from peercell.broker.addresses import endpoint_at
from peercell.broker.wire import FRAME_BYTES_MAX

# An address to bind to when any free port of this machine will do.
LOOPBACK = "tcp://127.0.0.1:*"

# libzmq puts what the kernel can hold before its own limit: small buffers make a peer that does
# not read show after hundreds of messages, not after ten thousand.
BUFFER_BYTES = 32 * 1024
# Loopback sends segments of up to 64 kB, which a small buffer seldom has room for: the sender then
# waits for its probe timer, 200 ms each time, for as long as anything is left to send. With
# segments well below the buffer, as on any other network, it does not.
SEGMENT_BYTES_MAX = 4096
# Peers that were away for long all knock at once, and each knocks again while nobody answers.
BACKLOG = 1024

OPTIONS = {
    # Closing never waits; who wants something to leave flushes first.
    zmq.LINGER: 0,
    # Nothing is queued for a peer that is not there: `send` says so at once.
    zmq.IMMEDIATE: 1,
    zmq.SNDHWM: 64,
    zmq.RCVHWM: 64,
    zmq.SNDBUF: BUFFER_BYTES,
    zmq.RCVBUF: BUFFER_BYTES,
    zmq.MAXMSGSIZE: FRAME_BYTES_MAX,
    zmq.BACKLOG: BACKLOG,
    zmq.RECONNECT_IVL: 20,
    zmq.RECONNECT_IVL_MAX: 500,
    zmq.CONNECT_TIMEOUT: 1_000,
    # Something that accepts and then says nothing; and how soon "not known yet" is asked again.
    zmq.HANDSHAKE_IVL: 1_500,
    # A floor under what the peers find out themselves; shorter costs more than trading does.
    zmq.HEARTBEAT_IVL: 10_000,
    zmq.HEARTBEAT_TIMEOUT: 30_000,
    zmq.HEARTBEAT_TTL: 30_000,
    # A link that was cut is made anew rather than waited for: TCP would try again ever more rarely.
    zmq.TCP_MAXRT: 1_500,
    # Without it, keys that nobody checks are accepted.
    zmq.ZAP_ENFORCE_DOMAIN: 1,
}
ROUTER_OPTIONS = {
    # An answer to somebody who has left is an error, not silence.
    zmq.ROUTER_MANDATORY: 1,
    # A half-open link must not lock out its own successor.
    zmq.ROUTER_HANDOVER: 1,
}

Socket = zmq.Socket[bytes]

# Before it, whoever reached a port could overflow the stack of its process (CVE-2019-13132).
LIBZMQ_MIN = (4, 3, 5)
# What an answer to a handshake is asked for; with none, libzmq lets every key in.
ZAP_DOMAIN = b"peercell"


class LinkKeys(NamedTuple):
    """The Curve25519 pair of a process, the same whether it connects or listens.

    Parameters
    ----------
    public, secret : 32 bytes each
    """

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"LinkKeys({self.public.hex()})"


# As a flag of ZeroMQ's own type, comparing it costs half as much as asking for the events.
_POLLIN = int(zmq.POLLIN)


def make(context: zmq.Context[Socket], kind: int) -> Socket:
    """Return a socket of a kind (`zmq.PULL`, `zmq.PUSH`, …) with all options of the house.

    Raises
    ------
    PeercellError : the library of this installation is too old, or was built without CURVE.
    """
    check_library(zmq.zmq_version_info(), curve=zmq.has("curve"))
    made = context.socket(kind)
    for option, value in OPTIONS.items():
        made.setsockopt(option, value)
    if kind == zmq.ROUTER:
        for option, value in ROUTER_OPTIONS.items():
            made.setsockopt(option, value)
    return made


def check_library(version: tuple[int, ...], *, curve: bool) -> None:
    """Refuse a libzmq that must not be reached from outside.

    Raises
    ------
    PeercellError : it is older than 4.3.5, or has no CURVE.
    """
    fix = "python -m pip install --upgrade pyzmq"
    if version < LIBZMQ_MIN:
        found, least = (".".join(map(str, each)) for each in (version, LIBZMQ_MIN))
        why = "older ones can be crashed by whoever reaches a port"
        raise PeercellError(f"libzmq {found} is too old: {least} is needed", why, fix)
    if not curve:
        raise PeercellError("libzmq cannot encrypt", "it was built without CURVE", fix)


def lock(made: Socket, keys: LinkKeys) -> None:
    """Let a socket that is to be bound take in only who is let in for the key that it proves."""
    made.setsockopt(zmq.CURVE_SERVER, 1)
    made.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
    made.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)


def unlock(made: Socket, keys: LinkKeys, theirs: bytes) -> None:
    """Let a socket that is to be connected prove its key, and speak only to the owner of another.

    Parameters
    ----------
    made : not connected yet
    keys : of this process
    theirs : public key of the process to connect to, 32 bytes
    """
    made.setsockopt(zmq.CURVE_SERVERKEY, theirs)
    made.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
    made.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)


def check_private(endpoint: str) -> None:
    """Refuse an endpoint that others could reach and that no key guards.

    Raises
    ------
    PeercellError : it is a TCP endpoint beyond this machine.
    """
    check_numeric(endpoint)
    if is_tcp(endpoint) and not ipaddress.ip_address(urlsplit(endpoint).hostname or "").is_loopback:
        raise PeercellError(
            f"{endpoint} would be open to anybody who reaches it",
            "only peers that an operator has admitted may use links beyond this machine",
            "peercell keys --help     or listen at 127.0.0.1",
        )


def is_tcp(endpoint: str) -> bool:
    """Return whether an endpoint is one that has keys where a cell has them: no pipe or file is."""
    return endpoint.startswith("tcp://")


def listen(address: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Return a plain TCP socket that listens, to be handed to a process that will serve it.

    It outlives the process that serves it: a restarted peer is found where it was, and a neighbour
    that knocks in between waits in the queue of the kernel.

    Parameters
    ----------
    address : numeric address to listen at
    port : 0 for any that is free
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES_MAX)
    try:
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        raise PeercellError(
            f"cannot listen at {address} port {port}",
            str(error),
            "choose another port, or 0 for any that is free",
        ) from error
    listener.listen(BACKLOG)
    return listener


def endpoint_of(listener: socket.socket) -> str:
    """Return the ZeroMQ endpoint of a listening TCP socket."""
    return endpoint_at(listener.getsockname()[:2])


def bind(made: Socket, endpoint: str, listener: socket.socket | None = None) -> str:
    """Bind a socket, or let it serve a listener, and return the endpoint to connect to.

    Raises
    ------
    PeercellError : the endpoint is taken, not of this machine, or names a host.
    """
    _prepare(made, endpoint)
    if listener is not None:
        # libzmq closes the descriptor that it serves.
        made.setsockopt(zmq.USE_FD, listener.detach())
    try:
        made.bind(endpoint)
    except zmq.ZMQError as error:
        raise PeercellError(f"cannot listen at {endpoint}", str(error)) from error
    return made.getsockopt_string(zmq.LAST_ENDPOINT)


def connect(made: Socket, endpoint: str) -> None:
    """Connect a socket; whether anybody listens there shows later.

    Raises
    ------
    PeercellError : the endpoint names a host.
    """
    _prepare(made, endpoint)
    made.connect(endpoint)


def _prepare(made: Socket, endpoint: str) -> None:
    check_numeric(endpoint)
    if endpoint.startswith("tcp://["):
        made.setsockopt(zmq.IPV6, 1)


def check_numeric(endpoint: str) -> None:
    """Refuse an endpoint that names a host.

    libzmq looks names up in its I/O thread: a name that does not resolve stops every link of the
    process for ten seconds at a time (libzmq#2961).

    Raises
    ------
    PeercellError : the host of a TCP endpoint is no numeric address.
    """
    parts = urlsplit(endpoint)
    if parts.scheme != "tcp":
        return
    try:
        ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        raise PeercellError(
            f"{endpoint} is no numeric endpoint",
            "ZeroMQ would look the name up in the middle of the traffic",
            "tcp://192.0.2.7:5555",
        ) from None


def readable(made: Socket) -> bool:
    """Return whether a message has arrived."""
    events = made.get(zmq.EVENTS)
    return isinstance(events, int) and bool(events & _POLLIN)
