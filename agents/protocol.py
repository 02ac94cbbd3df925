"""The whole contract between a role and the host that runs it.

A role is a class with one method, `step(event, now_s) -> list[Action]`. The host gives the time
and a seeded generator, and promises nothing about delivery: messages get lost, doubled, reordered,
late. Equal inputs give equal outputs, bit for bit. A role catches none of its own bugs: an
exception ends the process, the host logs it and the supervisor starts it again.
"""

from typing import Protocol

from msgspec import Struct

from peercell.agents.messages import Message


class Started(Struct, frozen=True, tag=True, omit_defaults=True, gc=False):
    """The host runs the role now; always the first event, again after each restart.

    `memory` is what earlier runs have asked to `Remember`, by name; empty in the first run, and
    when the disk was lost.
    """

    memory: dict[str, bytes] = {}


class Received(Struct, frozen=True, tag=True, gc=False):
    """A message of another peer arrived."""

    sender: str
    message: Message


class TimerFired(Struct, frozen=True, tag=True, gc=False):
    """A timer that the role set has run out; setting it again replaces it."""

    name: str


class PeerUp(Struct, frozen=True, tag=True, gc=False):
    """A neighbour is reachable; a higher incarnation is a restart."""

    peer: str
    incarnation: int


class PeerDown(Struct, frozen=True, tag=True, gc=False):
    """A neighbour has been given up, softly: it may come back by itself."""

    peer: str
    incarnation: int


class Commanded(Struct, frozen=True, tag=True, gc=False):
    """An operator or the host asks for something; answered by `Reply` with the same id."""

    request_id: int
    request: Message


Event = Started | Received | TimerFired | PeerUp | PeerDown | Commanded


class Send(Struct, frozen=True, tag=True, gc=False):
    """Hand a message to a peer; may be lost."""

    to: str
    message: Message


class SetTimer(Struct, frozen=True, tag=True, gc=False):
    """Fire a named timer after a delay; replaces a running timer of that name."""

    name: str
    after_s: float


class CancelTimer(Struct, frozen=True, tag=True, gc=False):
    """Forget a named timer, running or not."""

    name: str


class Record(Struct, frozen=True, tag=True, gc=False):
    """Tell the observers a fact: journal, `watch` and tests all read the same stream."""

    fact: Message


class Reply(Struct, frozen=True, tag=True, gc=False):
    """Answer a `Commanded` request."""

    request_id: int
    answer: Message


class Remember(Struct, frozen=True, tag=True, gc=False):
    """Keep something for the next run, in place of what had its name.

    No message that follows and `binds` leaves before it is kept. So a role that asks for it first,
    and speaks then, finds in its next run all that others may rely on. What it is only the role
    knows.
    """

    name: str
    what: bytes


Action = Send | SetTimer | CancelTimer | Record | Reply | Remember


class Role(Protocol):
    """What a host can run."""

    def step(self, event: Event, now_s: float) -> list[Action]:
        """Return what the role does about an event at a host time in seconds."""
        ...
