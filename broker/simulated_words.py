"""What goes over a simulated link: the bytes of messages, made and read as on a real one.

A message to many is encoded once, and read once: receivers share it, since nothing can change it.
"""

from collections.abc import Callable
from functools import cache

import msgspec
from msgspec import Raw

from peercell.agents.messages import Message
from peercell.broker.security.caller import Caller, Rules
from peercell.broker.wire import Codec, Drop, body_decoder, kind_of


class _Reader:
    """Reads the bodies of one kind; the same bytes object again gives the same message again."""

    def __init__(self, read: Callable[[Raw], Message]) -> None:
        self._read = read
        self._body: Raw | None = None
        self._message: Message | None = None

    def __call__(self, body: Raw) -> Message:
        if body is self._body and self._message is not None:
            return self._message
        self._message = self._read(body)
        self._body = body
        return self._message


class Words(Codec):
    """A codec that learns each kind of message when it is first said."""

    def __init__(self) -> None:
        super().__init__()
        self._said: Message | None = None
        self._form: tuple[str, bytes, Raw] = ("", b"", Raw())

    def say(self, message: Message) -> tuple[str, bytes, Raw]:
        """Return a message as its kind and its bytes, plain and as the body of an envelope.

        Raises
        ------
        TypeError : another kind of message has the same name.
        """
        if message is not self._said:
            kind = self._kind(type(message))
            body = _encode(message)
            self._form = (kind, body, Raw(body))
            self._said = message
        return self._form

    def _kind(self, message: type[Message]) -> str:
        kind = self.names.get(message)
        if kind is None:
            kind = kind_of(message)
            if kind in self.kinds:
                raise TypeError(f"two messages of one name: {kind}")
            self.kinds[kind] = message
            self.names[message] = kind
            self.bodies[kind] = _Reader(body_decoder(message))
        return kind


@cache
def far_end(user: str) -> Caller:
    """Return the far end of a link that a rogue speaks over in the name of others.

    A simulated link is as one with keys: it tells who speaks.
    """
    rules = Rules(
        introduce=lambda _user, _name, _now_s: Drop.SPOOFED,
        known=frozenset(),
        signed=frozenset(),
        verify=lambda _key, _message, _signature: False,
        note=lambda _envelope, _user, _reason: None,
    )
    return Caller(user, rules)


_encode = msgspec.msgpack.Encoder().encode
