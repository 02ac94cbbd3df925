"""What must hold of every role: each property is a function of the peers and a seed.

It returns what is wrong in a few words, or "" when the property holds.
"""

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from peercell.agents.messages import Message
from peercell.agents.protocol import (
    Action,
    Commanded,
    Event,
    PeerDown,
    PeerUp,
    Received,
    Role,
    TimerFired,
)
from peercell.broker.conformance.guard import Guard
from peercell.broker.conformance.imports import outside_imports
from peercell.broker.conformance.schedules import Mix, Storm, harm
from peercell.broker.conformance.subject import (
    Clean,
    Subject,
    failure_text,
    run_clean,
)
from peercell.broker.conformance.weight import weight
from peercell.broker.conformance.wellformed import malformed
from peercell.broker.conformance.world import BEGIN_S, RoleError, Stepper, World

TIMERS_MAX = 64
"""Timers that a role may have running at a time."""

FIRED_MAX = 50
"""Timers of one peer that may run out at one instant."""

STEPS_RESTLESS = 1000
"""Steps for which peers are watched that come to no rest."""

REPEATS = 600
"""Messages after which memory is looked at, and again after as many."""

GROWTH_BYTES = 8.0
"""Bytes a repeated message may leave behind."""

STORM = Mix(lost=0.2, twice=0.1, late=0.2, restarts=1, cuts=1)


class Unheard(Message, frozen=True):
    """A kind of message that no role knows."""


@dataclass
class Bench:
    """What is checked, and the guard that watches it.

    Parameters
    ----------
    subject : the peers
    guard : installed in this process
    """

    subject: Subject
    guard: Guard

    @cached_property
    def clean(self) -> Clean:
        """How the peers do without faults.

        Raises
        ------
        RoleError : a role fails even then.
        """
        return run_clean(self.subject)

    @cached_property
    def raised(self) -> str:
        """What a role raises even without faults; "" for nothing."""
        try:
            self.clean  # noqa: B018 - it is made when it is first asked for
        except RoleError as error:
            return failure_text(error)
        return ""

    @property
    def rests(self) -> bool:
        """Whether the peers come to something without faults."""
        return not self.raised and not self.clean.unrest


Check = Callable[[Bench, int], str]


@dataclass(frozen=True)
class Property:
    """Something that must hold.

    Parameters
    ----------
    meaning : one sentence for people
    check : returns what is wrong
    draws : whether other seeds may find something else
    needs_clean : whether it compares with a run without faults, which must come to something
    """

    meaning: str
    check: Check
    draws: bool = True
    needs_clean: bool = True


def _imports(bench: Bench, _seed: int) -> str:
    modules = {type(role).__module__ for role in bench.subject.make().roles.values()}
    found = [text for name in sorted(modules) for text in outside_imports(sys.modules[name])]
    return f"its module imports {', '.join(found)}" if found else ""


def _settles(bench: Bench, _seed: int) -> str:
    return bench.raised or bench.clean.unrest


Watcher = Callable[[World], Stepper]


def _drive(bench: Bench, seed: int, watcher: Watcher) -> None:
    """Let the peers go through a bit of everything, watched; whether they recover is not asked.

    Where they come to no rest even without faults, there is nothing to recover to: then they are
    watched without faults.

    Raises
    ------
    RoleError : a role fails.
    """
    if bench.rests:
        storm = Storm(bench.subject, bench.clean, STORM, seed)
        storm.run(watcher(storm.world))
        return
    world = World()
    world.stepper = watcher(world)
    world.start_all(bench.subject.make().roles)
    while world.steps < STEPS_RESTLESS and world.run_next():
        pass


def _touches(bench: Bench, seed: int) -> str:
    # The run before has imported whatever the role imports late.
    bench.guard.touches.clear()
    with suppress(RoleError):
        _drive(bench, seed, lambda _: bench.guard.step)
    return next((f"it calls {text}" for text in bench.guard.touches.values()), "")


def trace(bench: Bench, seed: int) -> list[str]:
    """Return all that peers are told and do in a schedule, a line a step."""
    lines: list[str] = []

    def step(peer: str, role: Role, event: Event, now_s: float) -> list[Action]:
        actions = role.step(event, now_s)
        lines.append(f"{peer} at {now_s - BEGIN_S:.6g} s, {event}: {actions}")
        return actions

    try:
        _drive(bench, seed, lambda _: step)
    except RoleError as error:
        lines.append(failure_text(error))
    return lines


def first_difference(one: list[str], other: list[str]) -> str:
    """Return where two traces part, or ""."""
    for number, (left, right) in enumerate(zip(one, other, strict=False), 1):
        if left != right:
            return f"step {number} came out differently: {left[:300]} and then {right[:300]}"
    return "" if len(one) == len(other) else "one run took more steps than the other"


def _deterministic(bench: Bench, seed: int) -> str:
    return first_difference(trace(bench, seed), trace(bench, seed))


def _answers(bench: Bench, seed: int) -> str:
    """Give each peer an event of each type, at a time that the seed says."""
    example, clean = bench.subject.make(), bench.clean
    world = World()
    world.start_all(example.roles)
    chance = np.random.default_rng(seed)
    world.run(BEGIN_S + float(chance.uniform(0.0, clean.took_s + 5.0 * clean.beat_s)))
    names = list(example.roles)
    known = [letter.message for letter in clean.letters[:1]]
    for number, peer in enumerate(names):
        other = names[(number + 1) % len(names)]
        events: list[Event] = [
            TimerFired("a timer that was never set"),
            Received(other, Unheard()),
            *(Received("a-stranger", message) for message in known),
            PeerUp(other, 2),
            PeerDown(other, 2),
            PeerDown("a-stranger", 1),
            PeerUp("a-stranger", 1),
            PeerUp(other, 3),
            Commanded(number, Unheard()),
        ]
        for event in events:
            world.give(peer, event)
    world.run(world.now_s + 5.0 * clean.beat_s)
    return ""


def _well_formed(bench: Bench, seed: int) -> str:
    wrong: list[str] = []

    def step(peer: str, role: Role, event: Event, now_s: float) -> list[Action]:
        actions = role.step(event, now_s)
        if told := malformed(actions, event):
            wrong.append(f"{peer}: {told}")
        return actions

    with suppress(RoleError):  # that it fails is told where faults are survived
        _drive(bench, seed, lambda _: step)
    return wrong[0] if wrong else ""


def _timers(bench: Bench, seed: int) -> str:
    wrong: list[str] = []
    fired: Counter[tuple[str, float]] = Counter()

    def stop(why: str) -> None:
        wrong.append(why)
        raise RoleError(why)

    def watch(world: World) -> Stepper:
        def step(peer: str, role: Role, event: Event, now_s: float) -> list[Action]:
            if isinstance(event, TimerFired):
                fired[peer, now_s] += 1
                if fired[peer, now_s] > FIRED_MAX:
                    stop(f"{peer} sets {event.name!r} to 0 s again and again")
            running = sum(owner == peer for owner, _ in world.timers)
            if running > TIMERS_MAX:
                stop(f"{peer} has {running} timers running")
            return role.step(event, now_s)

        return step

    with suppress(RoleError):
        _drive(bench, seed, watch)
    return wrong[0] if wrong else ""


def _memory(bench: Bench, _seed: int) -> str:
    """Repeat what a peer has heard, and see whether it keeps every copy."""
    letters = bench.clean.letters
    kinds: dict[type, str] = {}
    for letter in letters:
        role = bench.subject.make().roles.get(letter.dst)
        if role is not None:
            kinds.setdefault(type(role), letter.dst)
    for peer in kinds.values():
        heard = [letter for letter in letters if letter.dst == peer][:20]
        world = World()
        world.start_all(bench.subject.make().roles)
        world.run(BEGIN_S + bench.clean.took_s)
        weights = []
        for number in range(2 * REPEATS):
            letter = heard[number % len(heard)]
            world.give(peer, Received(letter.src, letter.message))
            world.run(world.now_s + 0.1 * bench.clean.beat_s)
            if number + 1 in (REPEATS, 2 * REPEATS):
                weights.append(weight(world.roles[peer]))
        growth = (weights[1] - weights[0]) / REPEATS
        if growth > GROWTH_BYTES:
            what = type(heard[0].message).__name__
            return f"{peer} keeps {growth:.0f} bytes of each message that is repeated, as {what}"
    return ""


def _survives(mix: Mix) -> Check:
    def check(bench: Bench, seed: int) -> str:
        return harm(bench.subject, bench.clean, mix, seed)

    return check


PROPERTIES: Mapping[str, Property] = {
    "imports-nothing-outside": Property(
        "the module imports no clock, chance, socket, file or thread",
        _imports,
        draws=False,
        needs_clean=False,
    ),
    "touches-nothing": Property(
        "no step asks a clock, chance, a file, a socket or a thread", _touches, needs_clean=False
    ),
    "deterministic": Property(
        "equal events give equal actions, also with another hash seed",
        _deterministic,
        needs_clean=False,
    ),
    "answers-every-event": Property(
        "no event makes it fail: strangers, unknown kinds, timers and requests", _answers
    ),
    "actions-well-formed": Property(
        "actions can be carried: finite, bounded, and the same after the trip",
        _well_formed,
        needs_clean=False,
    ),
    "settles": Property(
        "without faults, what is recorded stands still", _settles, draws=False, needs_clean=False
    ),
    "loss-healed": Property(
        "30 % of the messages lost: the same outcome", _survives(Mix(lost=0.3))
    ),
    "duplicates-harmless": Property(
        "30 % of the messages twice: the same outcome", _survives(Mix(twice=0.3))
    ),
    "order-harmless": Property(
        "40 % of the messages late and out of order: the same outcome", _survives(Mix(late=0.4))
    ),
    "restart-healed": Property(
        "a peer crashes and comes back knowing nothing: the same outcome",
        _survives(Mix(restarts=1)),
    ),
    "memory-resumed": Property(
        "a peer crashes and comes back with what it has asked to remember: the same outcome",
        _survives(Mix(restarts=1, forgets=False)),
    ),
    "partition-healed": Property(
        "two peers do not hear each other for a while: the same outcome", _survives(Mix(cuts=1))
    ),
    "storm-healed": Property("all of that at once: the same outcome", _survives(STORM)),
    "timers-bounded": Property(
        f"at most {TIMERS_MAX} timers run, and none goes round in circles",
        _timers,
        needs_clean=False,
    ),
    "memory-bounded": Property(
        "messages that are repeated leave nothing behind", _memory, draws=False
    ),
}
"""All properties by name, in the order of a report."""
