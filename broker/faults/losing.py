"""How the host of a process loses messages on purpose before they leave."""

from collections.abc import Callable, Sequence

from peercell.agents.messages import Message
from peercell.broker.faults.fate import Active, Parcel, fate
from peercell.broker.outbox import Stream
from peercell.broker.wire import Drop

Put = Callable[[Stream, Message, float], None]
"""Queues a message of a stream at a host time."""


def losing(put: Put, faults: Sequence[Active]) -> Put:
    """Return how messages are queued when some are lost first; each of these is counted."""

    def put_or_lose(stream: Stream, message: Message, now_s: float) -> None:
        parcel = Parcel(stream.src, stream.dst, stream.incarnation, stream.handed)
        if fate(faults, parcel).lost:
            stream.handed += 1
            stream.unsent[Drop.FAULT] += 1
        else:
            put(stream, message, now_s)

    return put_or_lose
