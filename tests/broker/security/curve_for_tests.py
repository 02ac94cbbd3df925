"""A sender that speaks CurveZMQ by itself, so that it can send what no library would.

Source: ZeroMQ RFC 23 (ZMTP 3.0) and RFC 26 (CurveZMQ).
"""

import os
import socket
from types import TracebackType

from nacl import bindings

from peercell.broker.sockets import LinkKeys

_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
_METADATA = b"\x0bSocket-Type\x00\x00\x00\x04PUSH"


class RawSender:
    """A connection of a member that builds its frames by hand.

    Parameters
    ----------
    endpoint : of a host with keys
    mine : keys of the member
    theirs : public key of the host
    """

    def __init__(self, endpoint: str, mine: LinkKeys, theirs: bytes) -> None:
        address, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        self._mine, self._theirs = mine, theirs
        self._public, self._secret = bindings.crypto_box_keypair()
        self._count = 0
        self._shared = b""
        self._stage = 0
        self._got = b""
        self.socket = socket.create_connection((address, int(port)))
        self.socket.settimeout(0.0)
        self.socket.sendall(_GREETING)

    def __enter__(self) -> "RawSender":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def advance(self) -> bool:
        """Go on with the handshake as far as the host has; return whether it is done."""
        try:
            self._got += self.socket.recv(4096)
        except BlockingIOError:
            return False
        if self._stage == 0 and len(self._got) >= len(_GREETING):
            self._got = self._got[len(_GREETING) :]
            self._say_hello()
            self._stage = 1
        elif self._stage == 1 and (body := self._command()) is not None:
            self._initiate(body)
            self._stage = 2
        elif self._stage == 2 and (body := self._command()) is not None:
            assert body.startswith(b"\x05READY"), body
            return True
        return False

    def part(self, payload: bytes) -> bytes:
        """Return the bytes of a frame after which another one of the same message follows."""
        number = self._nonce()
        boxed = bindings.crypto_box_easy_afternm(
            b"\x01" + payload, b"CurveZMQMESSAGEC" + number, self._shared
        )
        body = b"\x07MESSAGE" + number + boxed
        assert len(body) < 256
        return bytes([0, len(body)]) + body

    def _nonce(self) -> bytes:
        self._count += 1
        return self._count.to_bytes(8, "big")

    def _command(self) -> bytes | None:
        """Return the next command of the host, once it is there."""
        if len(self._got) < 2 or len(self._got) < 2 + self._got[1]:
            return None
        body, self._got = self._got[2 : 2 + self._got[1]], self._got[2 + self._got[1] :]
        return body

    def _send(self, body: bytes) -> None:
        long = len(body) > 255
        head = b"\x06" + len(body).to_bytes(8, "big") if long else bytes([4, len(body)])
        self.socket.sendall(head + body)

    def _say_hello(self) -> None:
        number = self._nonce()
        boxed = bindings.crypto_box(
            bytes(64), b"CurveZMQHELLO---" + number, self._theirs, self._secret
        )
        self._send(b"\x05HELLO\x01\x00" + bytes(72) + self._public + number + boxed)

    def _initiate(self, welcome: bytes) -> None:
        assert welcome.startswith(b"\x07WELCOME"), welcome
        nonce, boxed = welcome[8:24], welcome[24:]
        plain = bindings.crypto_box_open(boxed, b"WELCOME-" + nonce, self._theirs, self._secret)
        session, cookie = plain[:32], plain[32:]
        vouch_nonce = os.urandom(16)
        vouch = bindings.crypto_box(
            self._public + self._theirs, b"VOUCH---" + vouch_nonce, session, self._mine.secret
        )
        self._shared = bindings.crypto_box_beforenm(session, self._secret)
        number = self._nonce()
        told = self._mine.public + vouch_nonce + vouch + _METADATA
        sealed = bindings.crypto_box_easy_afternm(told, b"CurveZMQINITIATE" + number, self._shared)
        self._send(b"\x08INITIATE" + cookie + number + sealed)
