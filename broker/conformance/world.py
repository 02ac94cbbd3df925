"""Roles on a virtual clock, and a network that does to each message what it is told to do."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from itertools import count
from typing import NamedTuple

from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    CancelTimer,
    Event,
    Received,
    Record,
    Remember,
    Reply,
    Role,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from peercell.broker.simulated_time import SimulatedTime

BEGIN_S = 1000.0
"""Host time in s at which a world begins: well after 0, as that of a real host is."""

LINK_S = 0.01
"""How long a message takes when nothing is wrong, s."""

STEPS_MAX = 100_000
"""Steps of all roles after which something runs in circles."""


class Letter(NamedTuple):
    """A message on its way: the `number`-th, counted from 1, that `src` sends to `dst`."""

    src: str
    dst: str
    number: int
    message: Message


class Fact(NamedTuple):
    """What a peer recorded, and when."""

    at_s: float
    peer: str
    fact: Message


class RoleError(Exception):
    """A role did what no host can bear: it raised, or never comes to rest."""


Fate = Callable[[Letter, float], tuple[float, ...]]
"""(letter, now_s) -> delay in s of each copy that arrives; none for a lost letter."""

Stepper = Callable[[str, Role, Event, float], list[Action]]
"""(peer, role, event, now_s) -> what the role does; a place to watch from."""


def at_once(_letter: Letter, _now_s: float) -> tuple[float, ...]:
    """Return the fate of a letter on a good network."""
    return (LINK_S,)


def plainly(_peer: str, role: Role, event: Event, now_s: float) -> list[Action]:
    """Let a role step, without watching."""
    return role.step(event, now_s)


class World:
    """Roles by name; what is due at one time is done in the order in which it was asked for.

    Parameters
    ----------
    fate : what the network does to each letter
    stepper : how a role is stepped
    steps_max : steps of all roles after which something runs in circles
    """

    def __init__(
        self, fate: Fate = at_once, stepper: Stepper = plainly, steps_max: int = STEPS_MAX
    ) -> None:
        self.roles: dict[str, Role] = {}
        self.facts: list[Fact] = []
        self.replies: dict[int, Message] = {}
        self.steps = 0
        self.timers: dict[tuple[str, str], int] = {}
        self.memory: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
        self._fate = fate
        self.stepper = stepper
        self._lives: Counter[str] = Counter()
        self._sent: Counter[tuple[str, str]] = Counter()
        self._steps_max = steps_max
        self._alarms = count(1)
        self._time = SimulatedTime(BEGIN_S)

    @property
    def now_s(self) -> float:
        """Host time, s."""
        return self._time.now_s

    def start(self, name: str, role: Role) -> None:
        """Run a role from now on, in place of an earlier one of that name."""
        self.crash(name)
        self.roles[name] = role
        self.give(name, Started(dict(self.memory[name])))

    def start_all(self, roles: Mapping[str, Role]) -> None:
        """Run some roles from now on."""
        for name, role in roles.items():
            self.start(name, role)

    def crash(self, name: str) -> None:
        """End a role: its timers, and letters on their way to it, are lost with it."""
        if self.roles.pop(name, None) is not None:
            self._lives[name] += 1
            self.timers = {key: k for key, k in self.timers.items() if key[0] != name}

    def give(self, name: str, event: Event) -> None:
        """Let a role step now, if it runs.

        Raises
        ------
        RoleError : it raises, or all together make more than `steps_max` steps.
        """
        role = self.roles.get(name)
        if role is None:
            return
        self.steps += 1
        if self.steps > self._steps_max:
            said = f"{self._steps_max:,} steps brought no rest, the last at {name}: {event}"
            raise RoleError(said)
        try:
            actions = self.stepper(name, role, event, self.now_s)
        except Exception as error:
            raise RoleError(f"{name} failed at {event}: {type(error).__name__}: {error}") from error
        for action in actions:
            self._act(name, action)

    def call(self, at_s: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        self._time.at(at_s, action)

    def run(self, until_s: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass up to an instant, or until something holds; return whether it does.

        Raises
        ------
        RoleError : see `give`.
        """
        if self._time.run(until_s, done):
            return True
        self._time.now_s = max(self.now_s, until_s)
        return done()

    def run_next(self) -> bool:
        """Do what is due next; return False when there is nothing left.

        Raises
        ------
        RoleError : see `give`.
        """
        return self._time.run_next()

    def _act(self, name: str, action: Action) -> None:
        match action:
            case Send(to=to, message=message):
                self._send(name, to, message)
            case SetTimer(name=timer, after_s=after_s) if 0.0 <= after_s < math.inf:
                number = self.timers[name, timer] = next(self._alarms)
                self._time.at(self.now_s + after_s, self._fire, name, timer, number)
            case CancelTimer(name=timer):
                self.timers.pop((name, timer), None)
            case Remember(name=what_name, what=what):
                self.memory[name][what_name] = what
            case Record(fact=fact):
                self.facts.append(Fact(self.now_s, name, fact))
            case Reply(request_id=request_id, answer=answer):
                self.replies[request_id] = answer
            case _:
                pass  # a host would refuse it; that it is none is a property of its own

    def _send(self, src: str, dst: str, message: Message) -> None:
        self._sent[src, dst] += 1
        letter = Letter(src, dst, self._sent[src, dst], message)
        for delay_s in self._fate(letter, self.now_s):
            self._time.at(self.now_s + delay_s, self._arrive, letter, self._lives[dst])

    def _arrive(self, letter: Letter, life: int) -> None:
        if self._lives[letter.dst] == life:
            self.give(letter.dst, Received(letter.src, letter.message))

    def _fire(self, name: str, timer: str, number: int) -> None:
        if self.timers.get((name, timer)) == number:
            del self.timers[name, timer]
            self.give(name, TimerFired(timer))
