"""Members in one thread on a virtual clock, over links that lose and delay."""

import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from peercell.agents.membership import Member, MembershipSettings, Speaker
from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    CancelTimer,
    Commanded,
    Event,
    Received,
    Record,
    Reply,
    Role,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.agents.roster import Roster
from peercell.agents.signing import Sign, SignedRecord


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
    now_s: float = 1000.0
    members: dict[str, Member] = field(default_factory=dict)
    facts: list[tuple[float, str, Message]] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    replies: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.generator = np.random.default_rng(self.seed)
        self._queue: list[tuple[float, int, str, Event]] = []
        self._count = 0
        self._timers: dict[tuple[str, str], int] = {}

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
        self.members[who.peer] = Member(role, who, known, generator, settings)
        self.tell(who.peer, Started())

    def kill(self, peer: str) -> None:
        """End a member without a word."""
        self.members.pop(peer, None)
        for key in [key for key in self._timers if key[0] == peer]:
            del self._timers[key]

    def tell(self, peer: str, event: Event) -> None:
        """Let a member do a step now."""
        for action in self.members[peer].step(event, self.now_s):
            self._act(peer, action)

    def command(self, peer: str, request: Message) -> None:
        """Let an operator ask a member."""
        self.tell(peer, Commanded(1, request))

    def run(self, for_s: float, until: Callable[[], bool] = lambda: False) -> float:
        """Let time pass until something holds; return how much it was."""
        started_s, end_s = self.now_s, self.now_s + for_s
        while self._queue and self._queue[0][0] <= end_s and not until():
            self.now_s, count, peer, event = heapq.heappop(self._queue)
            if isinstance(event, TimerFired) and self._timers.get((peer, event.name)) != count:
                continue
            if peer in self.members:
                self.tell(peer, event)
        if not until():
            self.now_s = end_s
        return self.now_s - started_s

    def roster(self, peer: str) -> Roster:
        """Return what a member knows."""
        return self.members[peer]._roster

    def agree(self) -> bool:
        """Return whether all members know the same."""
        return len({self.roster(peer).hash for peer in self.members}) == 1

    def _act(self, peer: str, action: Action) -> None:
        match action:
            case Send(to=to, message=message):
                self.sent[peer] += 1
                if to in self.members and not self.loses(peer, to):
                    delay_s = float(self.generator.uniform(0.001, 0.02))
                    self._push(self.now_s + delay_s, to, Received(peer, message))
            case SetTimer(name=name, after_s=after_s):
                due_s = self.now_s + after_s + self.lateness_s(peer)
                self._timers[peer, name] = self._push(due_s, peer, TimerFired(name))
            case CancelTimer(name=name):
                self._timers.pop((peer, name), None)
            case Record(fact=fact):
                self.facts.append((self.now_s, peer, fact))
            case Reply(answer=answer):
                self.replies.append(answer)

    def _push(self, due_s: float, peer: str, event: Event) -> int:
        self._count += 1
        heapq.heappush(self._queue, (due_s, self._count, peer, event))
        return self._count
