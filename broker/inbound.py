"""What arrives at the door of a host: frames, and where links have keys, from whom."""

import logging
import math
import socket
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import zmq

from peercell.agents.admission import Members
from peercell.broker.security.caller import Caller
from peercell.broker.security.flood import WAKE_S, FloodWatch
from peercell.broker.security.guard import Guard
from peercell.broker.security.identity import verify
from peercell.broker.security.zap import Porter
from peercell.broker.sockets import (
    LinkKeys,
    Socket,
    bind,
    check_private,
    is_tcp,
    lock,
    make,
    readable,
)
from peercell.broker.wire import Codec, Drop

FRAMES_PER_TURN = 256
FRAMES_ASKED_FOR = 4
# A property that libzmq gives each message that came over a connection.
_DESCRIPTOR = "__fd"

log = logging.getLogger(__name__)


class Security(NamedTuple):
    """How the links of a host are locked.

    Parameters
    ----------
    keys : of this process
    members : who belongs to the cell
    """

    keys: LinkKeys
    members: Members


class Inbound:
    """The receiving end of a host.

    Parameters
    ----------
    context : of the host
    codec : of the messages that it knows
    place : endpoint to listen at, and the socket that listens there already, or None
    security : None where links have no keys

    Attributes
    ----------
    pull : has frames to be read
    endpoint : where others connect
    drops : what was dropped before it was known for whom it is, by reason

    Raises
    ------
    PeercellError : the endpoint is taken, names a host, or would be open to anybody.
    """

    def __init__(
        self,
        context: zmq.Context[Socket],
        codec: Codec,
        place: tuple[str, socket.socket | None],
        security: Security | None,
    ) -> None:
        endpoint, listener = place
        self.drops: Counter[Drop] = Counter()
        self.pull = make(context, zmq.PULL)
        self._guard: Guard | None = None
        self._porter: Porter | None = None
        self._goes_on = False
        if security is None:
            check_private(endpoint)
            self.endpoint = bind(self.pull, endpoint, listener)
            return
        if is_tcp(endpoint):
            self._guard = Guard(security.members, codec.kinds.values(), verify)
            self._porter = Porter(context, self._guard, self._let_in)
            lock(self.pull, security.keys)
        self.endpoint = bind(self.pull, endpoint, listener)
        port = int(self.endpoint.rpartition(":")[2]) if is_tcp(endpoint) else 0
        self._watch = FloodWatch(port, self._ban)

    def listen_also(self, keys: LinkKeys) -> str:
        """Listen with other keys as well, at another port, and return the endpoint of that."""
        lock(self.pull, keys)
        # The socket that was handed over is served already.
        self.pull.setsockopt(zmq.USE_FD, -1)
        return bind(self.pull, f"{self.endpoint.rpartition(':')[0]}:*")

    def listen_only(self, endpoint: str) -> None:
        """Listen no more at the endpoint of before, but at one that `listen_also` has returned."""
        self.pull.unbind(self.endpoint)
        self.endpoint = endpoint

    @property
    def knocks(self) -> Socket | None:
        """Has handshakes to be answered; None where links have no keys."""
        return self._porter.socket if self._porter is not None else None

    @property
    def sockets(self) -> Iterator[Socket]:
        """What is to be polled."""
        yield self.pull
        if self._porter is not None:
            yield self._porter.socket

    def answer(self, now_s: float) -> None:
        """Answer the handshakes that wait, at a host time."""
        if self._porter is not None:
            self._porter.answer(now_s)

    @property
    def patience_s(self) -> float:
        """Seconds after which `look` is to be called at the latest."""
        return WAKE_S if self._guard is not None else math.inf

    def look(self, now_s: float) -> None:
        """Look whether somebody fills the memory of this process; to be called all the time."""
        if self._guard is not None:
            self._watch.look(now_s)

    def frames(self, now_s: float) -> Iterator[tuple[bytes, Caller | None]]:
        """Yield what has arrived and from whom, up to 256 frames.

        Asking costs a third of the exception that a fruitless receive raises: so the first are
        asked for, and once there were some the exception at their end is cheaper.

        Parameters
        ----------
        now_s : s, host time
        """
        guard, pull = self._guard, self.pull
        for taken in range(FRAMES_PER_TURN):
            if 0 < taken < FRAMES_ASKED_FOR and not readable(pull):
                return
            try:
                if guard is None:
                    yield pull.recv(zmq.NOBLOCK), None
                elif (heard := self._heard(guard, now_s)) is not None:
                    yield heard
            except zmq.Again:
                return

    def _heard(self, guard: Guard, now_s: float) -> tuple[bytes, Caller] | None:
        """Return the next frame and its sender; None for one that is not alone, as all are."""
        frame = self.pull.recv(zmq.NOBLOCK, copy=False)
        user = str(frame.get("User-Id"))
        if frame.more or self._goes_on:
            if not self._goes_on:
                self.drops[Drop.MULTIPART] += 1
                guard.ban(user, "a message of many frames", now_s)
            self._goes_on = bool(frame.more)
            return None
        said = frame.bytes
        self._watch.delivered(_descriptor_of(frame), user, len(said))
        return said, guard.caller(user, now_s)

    def _let_in(self, user: str) -> None:
        self._watch.let_in(user)

    def _ban(self, users: tuple[str, ...], unseen_bytes: int, now_s: float) -> None:
        """Ban who has sent much and no message; where it is not certain who, name all it may be."""
        self.drops[Drop.BANNED] += 1
        what = f"{unseen_bytes >> 20} MiB without a whole message"
        if len(users) == 1 and self._guard is not None:
            self._guard.ban(users[0], what, now_s)
        else:
            log.warning("cut a link over which came %s, of one of %s", what, users)


def _descriptor_of(frame: zmq.Frame) -> str:
    """Return over which connection a frame came, "" where the library does not tell."""
    try:
        return str(frame.get(_DESCRIPTOR))
    except zmq.ZMQError:
        return ""
