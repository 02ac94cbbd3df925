"""How roles run in one process on a virtual clock.

A deterministic event loop: equal roles, faults and seed give equal runs, bit for bit.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from typing import Annotated, TypeVar, assert_never

import numpy as np
from msgspec import Meta, Struct

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
from peercell.agents.units import Fraction

M = TypeVar("M", bound=Message)
DelayS = Annotated[float, Meta(ge=0.0, le=1e6)]


class LinkFaults(Struct, frozen=True):
    """What the network does to messages; the default is a good local one.

    Parameters
    ----------
    drop : share of the messages that are lost
    duplicate : share of the messages that arrive twice
    delay_s_min, delay_s_max : s, each message takes a time between; a spread reorders messages
    """

    drop: Fraction = 0.0
    duplicate: Fraction = 0.0
    delay_s_min: DelayS = 0.5
    delay_s_max: DelayS = 0.5


class Loop:
    """Runs roles by name until nothing is left to do, a time, or a condition.

    Parameters
    ----------
    faults : what the network does to messages
    seed : of its chance
    near : roles that stand beside all the others, as a meter does: messages from and to them arrive
        at once and always
    size_of : tells the bytes of a message; they are added up in `bytes_by_kind`

    Notes
    -----
    `counts` holds sent, dropped, duplicated, delivered, and lost (to a role that was not running);
    sent + duplicated = delivered + dropped + lost + in flight.
    """

    def __init__(
        self,
        faults: LinkFaults | None = None,
        seed: int = 0,
        near: frozenset[str] = frozenset(),
        size_of: Callable[[Message], int] = lambda _: 0,
    ) -> None:
        self.faults = faults or LinkFaults()
        self.now_s = 0.0
        self.counts: Counter[str] = Counter()
        self.sent_by_kind: Counter[str] = Counter()
        self.bytes_by_kind: Counter[str] = Counter()
        self._near = near
        self._size_of = size_of
        self.facts: list[tuple[float, str, Message]] = []
        self.replies: dict[int, Message] = {}
        self._chance = np.random.default_rng(seed)
        self._roles: dict[str, Role] = {}
        self._lives: Counter[str] = Counter()
        self._timers: dict[tuple[str, str], int] = {}
        self._cut: set[tuple[str, str]] = set()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    def start(self, name: str, role: Role, at_s: float = 0.0) -> None:
        """Run a role from a time on, in place of an earlier one of that name."""
        self.call(at_s, lambda: self._begin(name, role))

    def crash(self, name: str, at_s: float) -> None:
        """End a role at a time: its timers and all messages under way to it are lost."""
        self.call(at_s, lambda: self._end(name))

    def partition(self, side: set[str], from_s: float, to_s: float) -> None:
        """Cut all links between a set of roles and the others for some time."""

        def cut() -> None:
            self._cut |= {(a, b) for a in side for b in self._roles.keys() - side}
            self._cut |= {(b, a) for a, b in self._cut}

        self.call(from_s, cut)
        self.call(to_s, self._cut.clear)

    def command(self, name: str, request_id: int, request: Message, at_s: float) -> None:
        """Command a role at a time; its answer is found in `replies`."""
        self.give(name, Commanded(request_id, request), at_s)

    def give(self, name: str, event: Event, at_s: float) -> None:
        """Give a role an event at a time, as its host would."""
        self.call(at_s, lambda: self._deliver(name, event))

    def call(self, at_s: float, action: Callable[[], None]) -> None:
        """Do something at a time; things of one time are done in the order of the calls."""
        self._order += 1
        heappush(self._queue, (at_s, self._order, action))

    def run(self, until_s: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Run up to a time, or until a condition holds after an event; return whether it does."""
        while self._queue and self._queue[0][0] <= until_s:
            self.now_s, _, action = heappop(self._queue)
            action()
            if done():
                return True
        return done()

    def role(self, name: str) -> Role:
        """Return the role that runs by a name; KeyError when none does."""
        return self._roles[name]

    def facts_of(self, kind: type[M]) -> list[tuple[float, str, M]]:
        """Return what the roles recorded of one kind: (time, role, fact), oldest first."""
        return [(at, name, fact) for at, name, fact in self.facts if isinstance(fact, kind)]

    @property
    def in_flight(self) -> int:
        """Messages under way."""
        counts = self.counts
        gone = counts["delivered"] + counts["dropped"] + counts["lost"]
        return counts["sent"] + counts["duplicated"] - gone

    def _begin(self, name: str, role: Role) -> None:
        self._end(name)
        self._roles[name] = role
        self._deliver(name, Started())

    def _end(self, name: str) -> None:
        if self._roles.pop(name, None) is not None:
            self._lives[name] += 1
        self._timers = {key: token for key, token in self._timers.items() if key[0] != name}

    def _deliver(self, name: str, event: Event) -> None:
        role = self._roles.get(name)
        if role is None:
            return
        for action in role.step(event, self.now_s):
            self._act(name, action)

    def _act(self, name: str, action: Action) -> None:
        match action:
            case Send(to=to, message=message):
                self._send(name, to, message)
            case SetTimer(name=timer, after_s=after_s):
                self.call(self.now_s + after_s, partial(self._fire, name, timer, self._order + 1))
                self._timers[name, timer] = self._order
            case CancelTimer(name=timer):
                self._timers.pop((name, timer), None)
            case Record(fact=fact):
                self.facts.append((self.now_s, name, fact))
            case Reply(request_id=request_id, answer=answer):
                self.replies[request_id] = answer
            case _:
                assert_never(action)

    def _fire(self, name: str, timer: str, token: int) -> None:
        if self._timers.get((name, timer)) == token:
            del self._timers[name, timer]
            self._deliver(name, TimerFired(timer))

    def _send(self, sender: str, to: str, message: Message) -> None:
        faults = self.faults
        self.counts["sent"] += 1
        kind = type(message).__name__
        self.sent_by_kind[kind] += 1
        self.bytes_by_kind[kind] += self._size_of(message)
        if sender in self._near or to in self._near:
            arrive = partial(self._arrive, to, self._lives[to], Received(sender, message))
            self.call(self.now_s, arrive)
            return
        if (sender, to) in self._cut or (faults.drop and self._chance.random() < faults.drop):
            self.counts["dropped"] += 1
            return
        self._carry(sender, to, message)
        if faults.duplicate and self._chance.random() < faults.duplicate:
            self.counts["duplicated"] += 1
            self._carry(sender, to, message)

    def _carry(self, sender: str, to: str, message: Message) -> None:
        low, high = self.faults.delay_s_min, self.faults.delay_s_max
        delay = low if low == high else float(self._chance.uniform(low, high))
        arrive = partial(self._arrive, to, self._lives[to], Received(sender, message))
        self.call(self.now_s + delay, arrive)

    def _arrive(self, to: str, life: int, event: Received) -> None:
        if self._lives[to] != life or to not in self._roles:
            self.counts["lost"] += 1
            return
        self.counts["delivered"] += 1
        self._deliver(to, event)
