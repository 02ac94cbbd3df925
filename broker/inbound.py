"""What arrives at the door of a host: frames, and where links have keys, from whom."""

import socket
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import zmq

from peercell.agents.admission import Members
from peercell.broker.security.caller import Caller
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
        elif is_tcp(endpoint):
            self._guard = Guard(security.members, codec.kinds.values(), verify)
            self._porter = Porter(context, self._guard)
            lock(self.pull, security.keys)
        self.endpoint = bind(self.pull, endpoint, listener)

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
                guard.accuse(user, Drop.MULTIPART, "a message of many frames", now_s)
            self._goes_on = bool(frame.more)
            return None
        return frame.bytes, guard.caller(user, now_s)
