"""The peers that are checked, and what they come to when nothing goes wrong."""

import importlib
import math
import statistics
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from peercell.agents.errors import PeercellError
from peercell.agents.example import Example
from peercell.agents.protocol import Action, Event, Role, SetTimer
from peercell.broker.conformance.world import (
    BEGIN_S,
    LINK_S,
    Fact,
    Letter,
    RoleError,
    World,
)

TOLERANCE = 1e-3
"""By how much numbers may differ, as a share of their size or of 1, whichever is larger."""

STEPS_CLEAN = 4000
"""Steps in which peers without any faults must come to something."""

LETTERS_KEPT = 200

Outcome = dict[str, Any]
"""What peers came to: "peer: Kind" -> what of the fact counts."""


@dataclass(frozen=True)
class Subject:
    """What is checked; `make` returns new peers each time."""

    reference: str
    make: Callable[[], Example]


@dataclass(frozen=True)
class Clean:
    """How a run without faults went.

    Parameters
    ----------
    outcome : what it came to
    took_s : s until that stood still
    beat_s : s, how long timers typically run
    letters : the first that were sent
    unrest : why it does not stand still; empty when it does
    """

    outcome: Outcome
    took_s: float
    beat_s: float
    letters: tuple[Letter, ...]
    unrest: str


def load(reference: str) -> Subject:
    """Return what "module:name" names: a class with `example`, or a function that returns peers.

    Raises
    ------
    PeercellError : there is no such thing, or it returns no peers.
    """
    module, colon, name = reference.partition(":")
    if not (module and colon and name):
        raise PeercellError(f'"{reference}" names no role', "", "my_agents:CautiousTrader")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise PeercellError(
            f"cannot import {reference}", why, f'python -c "import {module}"'
        ) from error
    make = getattr(found, "example", None) if isinstance(found, type) else found
    if not callable(make):
        raise PeercellError(
            f"{reference} has no example()",
            "a check needs some peers that know each other",
            "a classmethod example() that returns them by name; see docs/howto/own-agent.md",
        )
    subject = Subject(reference, lambda: _example(reference, make))
    subject.make()
    return subject


def _example(reference: str, make: Callable[[], object]) -> Example:
    try:
        made = make()
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{where.filename}:{where.lineno}: {type(error).__name__}: {error}"
        raise PeercellError(f"{reference}: example() fails", why) from error
    example = Example(made) if isinstance(made, Mapping) else made
    if not isinstance(example, Example) or not example.roles:
        raise PeercellError(
            f"{reference}: example() returns no peers by name", f"it returns {made!r}"
        )
    for name, role in example.roles.items():
        if not callable(getattr(role, "step", None)):
            raise PeercellError(f"{reference}: {name} is no role", f"{role!r} has no step()")
    return example


def outcome_of(facts: list[Fact], example: Example) -> Outcome:
    """Return what peers came to: of each kind that counts, the last fact of each of them."""
    last: Outcome = {}
    for _, peer, fact in facts:
        counted = example.outcome(fact)
        if counted is not None:
            last[f"{peer}: {type(fact).__name__}"] = counted
    return last


def difference(wanted: object, found: object, place: str = "") -> str:
    """Return how an outcome differs from the wanted one, in a few words; empty when it does not."""
    wanted, found = _parts(wanted), _parts(found)
    if isinstance(wanted, dict) and isinstance(found, dict):
        keys = [*wanted, *(key for key in found if key not in wanted)]
        return next(filter(None, (_part(wanted, found, key, place) for key in keys)), "")
    if _is_number(wanted) and _is_number(found):
        return _moved(float(str(wanted)), float(str(found)), place)
    return "" if wanted == found else f"{place} was {found!r} instead of {wanted!r}"


def _part(wanted: Outcome, found: Outcome, key: str, place: str) -> str:
    inner = f"{place}.{key}" if place else str(key)
    if key not in found:
        return f"{inner} is missing"
    if key not in wanted:
        return f"{inner} is there"
    return difference(wanted[key], found[key], inner)


def _moved(wanted: float, found: float, place: str) -> str:
    if math.isnan(wanted) and math.isnan(found):
        return ""  # that it is no number is told elsewhere
    moved = abs(found - wanted)
    return "" if moved <= TOLERANCE * max(1.0, abs(wanted)) else f"{place} moved by {moved:.3g}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parts(value: object) -> object:
    """Return the parts of a value by name or place, or the value itself."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    return value


def run_clean(subject: Subject) -> Clean:
    """Return how the peers do without any faults.

    Raises
    ------
    RoleError : a role fails.
    """
    example = subject.make()
    waits: list[float] = []
    letters: list[Letter] = []

    def watch(_peer: str, role: Role, event: Event, now_s: float) -> list[Action]:
        actions = role.step(event, now_s)
        waits.extend(a.after_s for a in actions if isinstance(a, SetTimer) and 0 < a.after_s < 1e9)
        return actions

    def carry(letter: Letter, _now_s: float) -> tuple[float, ...]:
        if len(letters) < LETTERS_KEPT:
            letters.append(letter)
        return (LINK_S,)

    world = World(carry, watch)
    world.start_all(example.roles)
    outcome, changed_s, changed = outcome_of(world.facts, example), BEGIN_S, ""
    seen = len(world.facts)
    while world.steps < STEPS_CLEAN and world.run_next():
        if len(world.facts) > seen:
            seen = len(world.facts)
            now = outcome_of(world.facts, example)
            if told := difference(outcome, now):
                outcome, changed_s, changed = now, world.now_s, told
    took_s = changed_s - BEGIN_S
    restless = world.steps >= STEPS_CLEAN and world.now_s - BEGIN_S <= 2.0 * took_s
    unrest = f"after {world.steps:,} steps it still changes: {changed}" if restless else ""
    beat_s = statistics.median(waits[:STEPS_CLEAN]) if waits else 10.0 * LINK_S
    return Clean(outcome, took_s, beat_s, tuple(letters), unrest)


def failure_text(error: RoleError) -> str:
    """Return what went wrong in a role, with the line where it did."""
    if error.__cause__ is None:
        return str(error)
    where = traceback.extract_tb(error.__cause__.__traceback__)[-1]
    return f"{error} ({where.filename.rpartition('/')[2]}:{where.lineno})"
