"""Which messages a host loses on purpose, so that people see that the protocols bear it."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Annotated

from msgspec import Meta, Struct

from peercell.agents.messages import Message
from peercell.agents.units import Fraction
from peercell.broker.outbox import Stream
from peercell.broker.wire import Drop

Put = Callable[[Stream, Message, float], None]
"""Queues a message of a stream at a host time."""
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Loss(Struct, frozen=True):
    """Messages that are lost by chance.

    Whether one is lost follows from the seed, its two ends and its number, not from time: an equal
    conversation loses the same messages.

    Parameters
    ----------
    share : of the messages
    seed : another one loses others
    """

    share: Fraction = 0.0
    seed: Seed = 0

    def takes(self, src: str, dst: str, incarnation: int, number: int) -> bool:
        """Return whether a message is lost: the number-th of a run that one peer tells another."""
        said = f"{self.seed} {src} {dst} {incarnation} {number}".encode()
        drawn = int.from_bytes(blake2b(said, digest_size=8).digest())
        return drawn < self.share * 2**64


NO_LOSS = Loss()


def losing(put: Put, loss: Loss) -> Put:
    """Return how messages are queued when some are lost first; each of these is counted."""

    def put_or_lose(stream: Stream, message: Message, now_s: float) -> None:
        if loss.takes(stream.src, stream.dst, stream.incarnation, stream.handed):
            stream.handed += 1
            stream.unsent[Drop.FAULT] += 1
        else:
            put(stream, message, now_s)

    return put_or_lose
