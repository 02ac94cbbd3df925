"""Where strangers may knock: a plain port at which nothing is heard but what the operator signed.

Links refuse a key that nobody has admitted, so a newcomer shows its admission here first, and
whoever revokes a key from afar does it here. What is said is signed and not secret. A visitor costs
a kilobyte, says one thing, and waits for no role; of many the one that came first has to go.
"""

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from peercell.agents.errors import PeercellError
from peercell.agents.signing import Instant, SignedRecord
from peercell.broker.wire import UNDECODABLE

VISITORS_MAX = 16
WORD_BYTES_MAX = 1024
ANSWER_BYTES_MAX = 4096


class DoorError(PeercellError):
    """Nobody opened, or not those who were expected."""

    exit_code = 4


class Welcome(Struct, frozen=True, array_like=True):
    """What is answered to who knocks.

    Parameters
    ----------
    refusal : why what was said does not count; "" when it does
    now_s : s, Unix time here
    record : of the peer behind the door: where it listens, and its keys
    admission : of that peer, None where it has none
    """

    refusal: Annotated[str, Meta(max_length=200)]
    now_s: Instant
    record: SignedRecord | None = None
    admission: SignedRecord | None = None


class Watch(NamedTuple):
    """How a host looks after descriptors: it calls for each one that can be read."""

    begin: Callable[[int, Callable[[], None]], None]
    end: Callable[[int], None]


@dataclass(eq=False)
class _Visitor:
    link: socket.socket
    said: bytearray = field(default_factory=bytearray)


class Door:
    """The listening end.

    Parameters
    ----------
    listener : that listens
    hear : is told what somebody brought, and answers
    watch : of the host
    """

    def __init__(
        self,
        listener: socket.socket,
        hear: Callable[[SignedRecord], Welcome],
        watch: Watch,
    ) -> None:
        self._listener = listener
        self._hear = hear
        self._watch = watch
        self._visitors: list[_Visitor] = []
        listener.settimeout(0.0)
        watch.begin(listener.fileno(), self._open)

    def close(self) -> None:
        """Let nobody in any more."""
        for visitor in list(self._visitors):
            self._leave(visitor)
        self._watch.end(self._listener.fileno())
        self._listener.close()

    def _open(self) -> None:
        try:
            link, _ = self._listener.accept()
        except OSError:
            return
        link.settimeout(0.0)
        visitor = _Visitor(link)
        self._visitors.append(visitor)
        if len(self._visitors) > VISITORS_MAX:
            self._leave(self._visitors[0])
        self._watch.begin(link.fileno(), lambda: self._listen(visitor))

    def _listen(self, visitor: _Visitor) -> None:
        """Take in what a visitor says; answer when that was all."""
        try:
            heard = visitor.link.recv(WORD_BYTES_MAX)
        except OSError:
            self._leave(visitor)
            return
        visitor.said += heard
        if len(visitor.said) > WORD_BYTES_MAX:
            self._leave(visitor)
        elif not heard:
            # What fits into the buffer of a fresh link leaves at once, or the visitor has gone.
            with contextlib.suppress(OSError):
                visitor.link.send(msgspec.msgpack.encode(self._answer(bytes(visitor.said))))
            self._leave(visitor)

    def _answer(self, said: bytes) -> Welcome:
        try:
            word = _decode_word(said)
        except UNDECODABLE:
            return Welcome("this is no admission", 0.0)
        return self._hear(word)

    def _leave(self, visitor: _Visitor) -> None:
        self._visitors.remove(visitor)
        self._watch.end(visitor.link.fileno())
        visitor.link.close()


def knock(address: tuple[str, int], word: SignedRecord, timeout_s: float = 5.0) -> Welcome:
    """Return what the peer behind a door answers to an admission or revocation.

    Parameters
    ----------
    address : numeric address and port of the door
    word : signed by the operator
    timeout_s : s for all of it

    Raises
    ------
    DoorError : nobody is there, or what answers is no door of a cell.
    """
    where = f"{address[0]}:{address[1]}"
    try:
        with socket.create_connection(address, timeout_s) as link:
            link.sendall(msgspec.msgpack.encode(word))
            link.shutdown(socket.SHUT_WR)
            answer = bytearray()
            while (heard := link.recv(ANSWER_BYTES_MAX)) and len(answer) < ANSWER_BYTES_MAX:
                answer += heard
        return _decode_welcome(bytes(answer))
    except OSError as error:
        raise DoorError(
            f"nobody opens at {where}",
            error.strerror or str(error),
            "the address that a peer of the cell was started with as --door",
        ) from None
    except UNDECODABLE:
        raise DoorError(
            f"what listens at {where} is no door of a cell",
            "it did not answer as one does",
            "the address that a peer of the cell was started with as --door",
        ) from None


_decode_word = msgspec.msgpack.Decoder(SignedRecord).decode
_decode_welcome = msgspec.msgpack.Decoder(Welcome).decode
