"""Faults that are drawn from a seed, and the least of them that still does harm.

What happens to a letter follows from the seed, its two ends and its number alone, so that leaving
one fault out does not change the others.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from itertools import combinations

import numpy as np

from peercell.agents.example import Example
from peercell.agents.protocol import PeerUp
from peercell.broker.conformance.subject import (
    Clean,
    Outcome,
    Subject,
    difference,
    failure_text,
    outcome_of,
)
from peercell.broker.conformance.world import (
    BEGIN_S,
    LINK_S,
    Letter,
    RoleError,
    Stepper,
    World,
    plainly,
)

LATE_BEATS = 3.0
"""By how many typical timers a letter is late at most."""

_TRIALS_MAX = 60
_EARLY = 0.1
_LEAST_BEATS, _HEAL_TIMES, _HEAL_BEATS = 5.0, 20.0, 200.0


@dataclass(frozen=True)
class Mix:
    """Which faults a schedule draws: shares of the letters, and numbers of incidents.

    A peer that restarts finds what it asked its host to remember, or nothing when it `forgets`.
    """

    lost: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    restarts: int = 0
    forgets: bool = True
    cuts: int = 0


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong: `key` tells it from all others, `text` says it to people."""

    key: tuple[object, ...]
    text: str


@dataclass(frozen=True)
class _Incident:
    """What happens at a time to one peer (a restart) or to two (a cut)."""

    peers: tuple[str, ...]
    from_s: float
    to_s: float

    @property
    def fault(self) -> Fault:
        """The incident as a fault."""
        begin, end = (f"{at_s - BEGIN_S:.3g}" for at_s in (self.from_s, self.to_s))
        if len(self.peers) == 1:
            text = f"{self.peers[0]} crashed at {begin} s and came back at {end} s"
        else:
            text = f"{self.peers[0]} and {self.peers[1]} were cut off from {begin} to {end} s"
        return Fault((*self.peers, self.from_s), text)


class Storm:
    """One run with faults.

    Parameters
    ----------
    subject, clean : what is checked, and how it does without faults
    mix : the kinds of faults
    seed : of what is drawn
    only : keys of the faults that happen; None for all that are drawn
    """

    def __init__(
        self,
        subject: Subject,
        clean: Clean,
        mix: Mix,
        seed: int,
        only: frozenset[tuple[object, ...]] | None = None,
    ) -> None:
        self.struck: list[Fault] = []
        self._subject = subject
        self._clean = clean
        self._mix = mix
        self._seed = seed
        self._only = only
        self._example: Example = subject.make()
        self._cut: list[_Incident] = []
        self._lives: dict[str, int] = {}
        self._born_s: dict[str, float] = {}
        least_s = _LEAST_BEATS * clean.beat_s + 10.0 * LINK_S
        self._span_s = 1.5 * clean.took_s + least_s
        self._hold_s = clean.took_s + least_s
        self._late_s = LATE_BEATS * clean.beat_s
        self.world = World(self._fate)

    def run(self, stepper: Stepper = plainly) -> str:
        """Let the peers go through it, once; return how they end otherwise than without, or "".

        Raises
        ------
        RoleError : a role fails.
        """
        world = self.world
        world.stepper = stepper
        for incident in self._incidents():
            self._plan(incident)
        world.start_all(self._example.roles)
        heal_s = BEGIN_S + self._span_s
        end_s = heal_s + _HEAL_TIMES * self._clean.took_s + _HEAL_BEATS * self._clean.beat_s
        world.run(heal_s + self._late_s)
        # Whoever has just come back must say again what it had said before, so the outcome has to
        # stand for a while.
        stood_s = world.now_s
        told = self._told()
        while world.now_s < end_s and (told or world.now_s - stood_s < self._hold_s):
            before = len(world.facts)
            world.run(world.now_s + self._clean.beat_s)
            if len(world.facts) > before:
                now = self._told()
                stood_s = world.now_s if now != told else stood_s
                told = now
        return self._told()

    def _told(self) -> str:
        # What an earlier life has come to, the present one has to come to again.
        facts = [f for f in self.world.facts if f.at_s >= self._born_s.get(f.peer, BEGIN_S)]
        found: Outcome = outcome_of(facts, self._example)
        return difference(self._clean.outcome, found)

    def _strikes(self, fault: Fault) -> bool:
        if self._only is not None and fault.key not in self._only:
            return False
        self.struck.append(fault)
        return True

    # What happens to letters.

    def _fate(self, letter: Letter, now_s: float) -> tuple[float, ...]:
        if any(letter.src in cut.peers and letter.dst in cut.peers for cut in self._cut):
            return ()
        if now_s > BEGIN_S + self._span_s:
            return (LINK_S,)
        drawn, when = self._chance(letter)
        late_s = LINK_S + when * self._late_s
        what = f"{type(letter.message).__name__} #{letter.number} of {letter.src} to {letter.dst}"
        key = (letter.src, letter.dst, letter.number)
        mix = self._mix
        if drawn < mix.lost:
            return () if self._strikes(Fault(key, f"{what} was lost")) else (LINK_S,)
        if drawn < mix.lost + mix.twice:
            both = (LINK_S, late_s)
            return both if self._strikes(Fault(key, f"{what} arrived twice")) else (LINK_S,)
        if drawn < mix.lost + mix.twice + mix.late:
            fault = Fault(key, f"{what} came {late_s:.3g} s late")
            return (late_s,) if self._strikes(fault) else (LINK_S,)
        return (LINK_S,)

    def _chance(self, letter: Letter) -> tuple[float, float]:
        """Return two numbers in [0, 1) that belong to a letter."""
        said = f"{self._seed} {letter.src} {letter.dst} {letter.number}".encode()
        digest = blake2b(said, digest_size=16).digest()
        return int.from_bytes(digest[:8]) / 2**64, int.from_bytes(digest[8:]) / 2**64

    # What happens to peers.

    def _incidents(self) -> Iterable[_Incident]:
        chance = np.random.default_rng(self._seed)
        names = sorted(self._example.roles)
        for _ in range(self._mix.restarts):
            peer = names[int(chance.integers(len(names)))]
            yield self._drawn((peer,), chance)
        pairs = list(combinations(names, 2))
        for _ in range(self._mix.cuts if pairs else 0):
            yield self._drawn(pairs[int(chance.integers(len(pairs)))], chance)

    def _drawn(self, peers: tuple[str, ...], chance: np.random.Generator) -> _Incident:
        # One in five is there from the very beginning.
        first, second = sorted(chance.uniform(-_EARLY * self._span_s, self._span_s, 2).tolist())
        return _Incident(peers, BEGIN_S + max(first, 0.0), BEGIN_S + max(second, 0.0))

    def _plan(self, incident: _Incident) -> None:
        if not self._strikes(incident.fault):
            return
        if len(incident.peers) == 1:
            peer = incident.peers[0]
            self.world.call(incident.from_s, lambda: self.world.crash(peer))
            self.world.call(incident.to_s, lambda: self._restart(peer))
        else:
            if incident.from_s > BEGIN_S:
                self.world.call(incident.from_s, lambda: self._cut.append(incident))
            else:
                self._cut.append(incident)
            self.world.call(incident.to_s, lambda: self._cut.remove(incident))

    def _restart(self, peer: str) -> None:
        """Start a peer anew; the others hear of its new life."""
        self._lives[peer] = self._lives.get(peer, 1) + 1
        self._born_s[peer] = self.world.now_s
        if self._mix.forgets:
            self.world.memory.pop(peer, None)
        self.world.start(peer, self._subject.make().roles[peer])
        for other in self._example.roles:
            if other != peer:
                self.world.give(other, PeerUp(peer, self._lives[peer]))


def harm(subject: Subject, clean: Clean, mix: Mix, seed: int) -> str:
    """Return what a schedule does to the peers, with the least faults that do it; "" for none."""

    def hurts(only: frozenset[tuple[object, ...]] | None) -> tuple[str, list[Fault]]:
        storm = Storm(subject, clean, mix, seed, only)
        try:
            told = storm.run()
        except RoleError as error:
            told = failure_text(error)
        return told, storm.struck

    told, struck = hurts(None)
    if not told:
        return ""
    least = _least(struck, lambda faults: bool(hurts(_keys(faults))[0]))
    told, struck = hurts(_keys(least))
    if not struck:
        return told
    first = struck[0].text
    when = first if len(struck) == 1 else f"{len(struck)} things went wrong, the first: {first}"
    return f"{told} when {when}"


def _keys(faults: Iterable[Fault]) -> frozenset[tuple[object, ...]]:
    return frozenset(fault.key for fault in faults)


def _least(faults: list[Fault], hurts: Callable[[list[Fault]], bool]) -> list[Fault]:
    """Return few of the faults that still do harm: parts are left out, ever smaller ones."""
    trials, size = 0, max(len(faults) // 2, 1)
    while faults:
        smaller = None
        for start in range(0, len(faults), size):
            trials += 1
            rest = faults[:start] + faults[start + size :]
            if trials <= _TRIALS_MAX and hurts(rest):
                smaller = rest
                break
        if smaller is not None:
            faults = smaller
        elif size == 1 or trials > _TRIALS_MAX:
            break
        else:
            size = max(size // 2, 1)
        size = min(size, max(len(faults), 1))
    return faults
