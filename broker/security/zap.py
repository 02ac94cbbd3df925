"""Who is let in: the answers of a host to the handshakes at its door (ZeroMQ RFC 27, ZAP).

Answered in the turns of the host, with no thread of its own: a handshake may wait for a turn, and
links that are there already flow on meanwhile.
"""

from collections.abc import Callable

import zmq
from zmq.utils import z85

from peercell.agents.admission import Standing
from peercell.broker.security.guard import Guard
from peercell.broker.sockets import ZAP_DOMAIN, Socket, make, readable

ENDPOINT = "inproc://zeromq.zap.01"
VERSION = b"1.0"
REQUESTS_PER_TURN = 256

# 300 asks to try again: who is not known yet may be a second later. After 400 nobody asks again.
_CODES = {
    Standing.MEMBER: (b"200", b"welcome"),
    Standing.UNKNOWN: (b"300", b"not known yet"),
    Standing.REVOKED: (b"400", b"no member any more"),
}


class Porter:
    """Answers the handshakes of one ZeroMQ context.

    Parameters
    ----------
    context : whose locked sockets ask here; no other of its kind may be in it
    guard : knows who belongs to the cell
    let_in : is told the user of each link that is being made
    """

    def __init__(
        self, context: zmq.Context[Socket], guard: Guard, let_in: Callable[[str], None]
    ) -> None:
        self.socket = make(context, zmq.REP)
        self.socket.bind(ENDPOINT)
        self._guard = guard
        self._let_in = let_in

    def answer(self, now_s: float) -> None:
        """Answer the handshakes that wait, up to 256 of them.

        Parameters
        ----------
        now_s : s, host time
        """
        for _ in range(REQUESTS_PER_TURN):
            if not readable(self.socket):
                return
            request = self.socket.recv_multipart()
            self.socket.send_multipart(self._verdict(request, now_s))

    def _verdict(self, request: list[bytes], now_s: float) -> list[bytes]:
        _, request_id, domain, address, _, mechanism, *credentials = request
        if (domain, mechanism) != (ZAP_DOMAIN, b"CURVE") or len(credentials) != 1:
            return [VERSION, request_id, b"400", b"not by a key", b"", b""]
        user = z85.encode(credentials[0])
        standing = self._guard.standing(credentials[0], now_s)
        code, text = _CODES[standing]
        if standing is Standing.MEMBER:
            self._let_in(user.decode())
        else:
            self._guard.turn_away(user.decode(), address.decode(errors="replace"), standing, now_s)
        return [VERSION, request_id, code, text, user, b""]
