"""A role at its host: what it is called, what reaches it, what it did, what became of its words."""

from collections.abc import Callable

from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, Role
from peercell.broker.journal import Journal
from peercell.broker.memory import MemoryFile
from peercell.broker.outbox import Streams
from peercell.broker.wire import Drop

Step = Callable[[Event, float], list[Action]]


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
    memory : what outlives the run; None where nothing does
    unsaved : whether something is to be remembered that is not saved, so that nothing may bind it
    step : what the role does about an event at a host time; recorded where there is a journal
    streams : what the role says, by receiver
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
        self.step: Step = role.step if journal is None else _on_record(role, journal)
        self.incarnation = incarnation
        self.memory: MemoryFile | None = None
        self.unsaved = False
        self.journal = journal
        self.streams = Streams(peer, incarnation)
        self.unsent = self.streams.unsent

    def remember(self, name: str, what: bytes) -> None:
        """Keep something for the next run."""
        if self.memory is not None:
            self.memory.remember(name, what)
            self.unsaved = self.memory.unsaved

    @property
    def remembered(self) -> dict[str, bytes]:
        """What earlier runs have asked for to be remembered, and this one."""
        return {} if self.memory is None else dict(self.memory.kept)

    def save(self) -> bool:
        """Return whether all that is to be remembered is saved, after having tried again."""
        if self.memory is not None:
            self.memory.save()
            self.unsaved = self.memory.unsaved
        return not self.unsaved

    def flush(self) -> None:
        """Hand what was recorded to the operating system."""
        if self.journal is not None:
            self.journal.flush()

    def withhold(self, to: str) -> None:
        """Count a message that it must not say."""
        self.streams[to].handed += 1
        self.unsent[Drop.UNSAVED] += 1

    def close(self, now_s: float, why: str) -> None:
        """Close its files; the journal says why."""
        if self.journal is not None:
            self.journal.close(now_s, why)
        if self.memory is not None:
            self.memory.close()

    @property
    def handed(self) -> int:
        """Messages that the role asked to send."""
        return sum(stream.handed for stream in self.streams.values())

    @property
    def sent(self) -> int:
        """Messages that ZeroMQ took, which is not yet delivery."""
        return sum(stream.seq for stream in self.streams.values())


def _on_record(role: Role, journal: Journal) -> Step:
    """Return the step of a role that is recorded with its event, also when the role fails on it."""

    def step(event: Event, now_s: float) -> list[Action]:
        actions = None
        try:
            actions = role.step(event, now_s)
            return actions
        finally:
            journal.step(now_s, event, actions)

    return step
