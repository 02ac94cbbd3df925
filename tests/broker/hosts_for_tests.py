"""Roles that do as a test says, and hosts for them on loopback."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.broker.messages_for_tests import AnyTestMessage

from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, Received, Role
from peercell.broker.clock import steady_clock
from peercell.broker.inbound import Security
from peercell.broker.reactor import Doors, Reactor
from peercell.broker.seat import Seat
from peercell.broker.sockets import LOOPBACK

ON_LOOPBACK = Doors(LOOPBACK, LOOPBACK)


def nothing(event: Event) -> list[Action]:
    return []


class Puppet:
    """Remembers what it was told, and answers with what `reply` returns."""

    def __init__(self, reply: Callable[[Event], list[Action]] = nothing) -> None:
        self.reply = reply
        self.told: list[Event] = []
        self.now_s = 0.0

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        self.told.append(event)
        self.now_s = now_s
        return self.reply(event)

    @property
    def heard(self) -> list[Message]:
        """The messages among what it was told."""
        return [event.message for event in self.told if isinstance(event, Received)]


@contextmanager
def host(
    *seats: tuple[str, Role], doors: Doors = ON_LOOPBACK, security: Security | None = None
) -> Iterator[Reactor]:
    """Return a running host with these peers, their incarnation being 1."""
    reactor = Reactor(doors, (AnyTestMessage,), steady_clock(), security)
    try:
        for peer, role in seats:
            reactor.seat(Seat(peer, role, 1, None))
        yield reactor
    finally:
        reactor.close()


def settle(reactors: list[Reactor], done: Callable[[], bool], within_s: float = 10.0) -> None:
    """Let hosts take turns until something holds; fail when it does not in time."""
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        for reactor in reactors:
            reactor.turn(0.005)
