"""Members in one thread on a virtual clock, over links that lose and delay."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from peercell.agents.membership import Member, MembershipSettings, Speaker
from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    Commanded,
    Event,
    Received,
    Role,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.agents.roster import Roster
from peercell.agents.signing import Sign, SignedRecord
from peercell.broker.conformance.world import Fact, Letter, World

# Of all members of the largest network, for the longest time.
STEPS_MAX = 10_000_000


def key_of(peer: str) -> bytes:
    return blake2b(peer.encode(), digest_size=32).digest()


def sign_as(peer: str) -> Sign:
    """A signature for tests: whoever knows the public key can forge it, and nobody here does."""
    return lambda message: blake2b(message, key=key_of(peer), digest_size=64).digest()


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    return blake2b(message, key=key, digest_size=64).digest() == signature


def identity(peer: str, incarnation: int = 1, endpoint: str = "") -> Speaker:
    endpoint = endpoint or f"tcp://127.0.0.1:{incarnation}"
    return Speaker(peer, "test", incarnation, endpoint, key_of(peer), sign_as(peer), verify)


class Talker:
    """Says something to its partners every second, and remembers what it is told of peers."""

    def __init__(self, partners: tuple[str, ...] = (), message: Message | None = None) -> None:
        self.partners = partners
        self.message = message
        self.told: list[Event] = []

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        if not isinstance(event, TimerFired | Received):
            self.told.append(event)
        if self.message is None or not isinstance(event, Started | TimerFired):
            return []
        again = SetTimer("talk", 1.0 if now_s >= 0 else 0.0)
        return [*(Send(to, self.message) for to in self.partners), again]


@dataclass
class Network:
    """The links between members and the clock that they share.

    `loses(sender, receiver)` tells whether a message is lost; `lateness_s(peer)` by how much the
    timers of a peer are late.
    """

    seed: int = 1
    loses: Callable[[str, str], bool] = lambda _sender, _receiver: False
    lateness_s: Callable[[str], float] = lambda _peer: 0.0
    members: dict[str, Member] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.generator = np.random.default_rng(self.seed)
        self._world = World(self._fate, self._step, STEPS_MAX)
        self._asked = 0

    @property
    def now_s(self) -> float:
        """Time of all, s."""
        return self._world.now_s

    @property
    def facts(self) -> list[Fact]:
        """What was recorded: (time, peer, fact), oldest first."""
        return self._world.facts

    @property
    def replies(self) -> list[Message]:
        """What members answered to operators, oldest first."""
        return list(self._world.replies.values())

    def join(
        self,
        role: Role,
        who: Speaker,
        settings: MembershipSettings,
        known: tuple[SignedRecord, ...] = (),
    ) -> None:
        """Start a member, or start it again."""
        generator = np.random.default_rng([self.seed, len(self.members), who.incarnation])
        self.kill(who.peer)
        member = self.members[who.peer] = Member(role, who, known, generator, settings)
        self._world.start(who.peer, member)

    def kill(self, peer: str) -> None:
        """End a member without a word."""
        self.members.pop(peer, None)
        self._world.crash(peer)

    def tell(self, peer: str, event: Event) -> None:
        """Let a member do a step now."""
        self._world.give(peer, event)

    def command(self, peer: str, request: Message) -> None:
        """Let an operator ask a member."""
        self._asked += 1
        self.tell(peer, Commanded(self._asked, request))

    def run(self, for_s: float, until: Callable[[], bool] = lambda: False) -> float:
        """Let time pass until something holds; return how much it was."""
        started_s = self.now_s
        if not until():
            self._world.run(started_s + for_s, until)
        return self.now_s - started_s

    def roster(self, peer: str) -> Roster:
        """Return what a member knows."""
        return self.members[peer]._roster

    def agree(self) -> bool:
        """Return whether all members know the same."""
        return len({self.roster(peer).hash for peer in self.members}) == 1

    def _fate(self, letter: Letter, _now_s: float) -> tuple[float, ...]:
        self.sent[letter.src] += 1
        if letter.dst not in self.members or self.loses(letter.src, letter.dst):
            return ()
        return (float(self.generator.uniform(0.001, 0.02)),)

    def _step(self, peer: str, role: Role, event: Event, now_s: float) -> list[Action]:
        return [
            SetTimer(action.name, action.after_s + self.lateness_s(peer))
            if isinstance(action, SetTimer)
            else action
            for action in role.step(event, now_s)
        ]
