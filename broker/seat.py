"""A role at its host: what it is called, what reaches it, what it did, what became of its words."""

from collections import Counter

from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, Role
from peercell.broker.journal import Journal
from peercell.broker.outbox import Stream
from peercell.broker.wire import Drop


class Seat:
    """One peer within a host.

    What became of its words adds up: handed = sent + waiting + unsent(reason).

    Parameters
    ----------
    peer : id
    role : what thinks
    incarnation : higher than that of every earlier run of this peer
    journal : where each step is recorded; None for none
    farewell : request that the role gets before an orderly end; None for none

    Attributes
    ----------
    unsent : messages dropped before they left, by reason
    """

    def __init__(
        self,
        peer: str,
        role: Role,
        incarnation: int,
        journal: Journal | None,
        *,
        farewell: Message | None = None,
    ) -> None:
        self.farewell = farewell
        self.peer = peer
        self.role = role
        self.incarnation = incarnation
        self.journal = journal
        self.unsent: Counter[Drop] = Counter()
        self._streams: dict[str, Stream] = {}

    def stream(self, to: str) -> Stream:
        """Return the messages of this peer to another."""
        try:
            return self._streams[to]
        except KeyError:
            stream = self._streams[to] = Stream(self.peer, to, self.incarnation, self.unsent)
            return stream

    @property
    def handed(self) -> int:
        """Messages that the role asked to send."""
        return sum(stream.handed for stream in self._streams.values())

    @property
    def sent(self) -> int:
        """Messages that ZeroMQ took, which is not yet delivery."""
        return sum(stream.seq for stream in self._streams.values())

    def step(self, event: Event, now_s: float) -> list[Action]:
        """Return what the role does about an event; both are recorded, also when the role fails."""
        actions = None
        try:
            actions = self.role.step(event, now_s)
            return actions
        finally:
            if self.journal is not None:
                self.journal.step(now_s, event, actions)
