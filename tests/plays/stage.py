"""The stage of every play: roles on a virtual clock, and links that lose, double and hold back."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol

from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, PeerDown, PeerUp, Record, Role
from peercell.broker.conformance.world import BEGIN_S, LINK_S, Letter, World

LINK_TO = re.compile(r"(\S+?)(<?->)(\S+)")
TRIFLE = 1e-9


class Cast(Protocol):
    """Who is on the stage: makes roles, knows some verbs of its own, and puts things in words."""

    def role(self, name: str) -> Role:
        """Return a role that begins a life."""
        ...

    def text(self, thing: Message) -> str:
        """Return a message or a fact in a few words; empty for one that nobody wants to see."""
        ...

    def do(self, stage: "Stage", verb: str, words: Sequence[str]) -> list[str]:
        """Carry out a verb of its own; KeyError for one that it does not know."""
        ...


def number(value: float) -> str:
    """Return a number with four digits, as a play shows it."""
    return f"{0.0 if abs(value) < TRIFLE else value:.4g}"


def numbers(values: Sequence[float]) -> str:
    """Return numbers with a comma between them."""
    return ",".join(map(number, values))


class Stage:
    """Carries out the lines of a play.

    Parameters
    ----------
    cast : who plays
    """

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.world = World(self._fate, self._step)
        self.lives: dict[str, int] = defaultdict(int)
        self._said: list[str] = []
        self._cut: set[tuple[str, str]] = set()
        self._next: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._verbs: dict[str, Callable[[Sequence[str]], None]] = {
            "start": self._start,
            "crash": self._crash,
            "run": self._run,
            "pass": self._pass,
            "cut": self._cut_links,
            "heal": lambda _: self._cut.clear(),
            "lose": lambda words: self._prepare("lose", words),
            "double": lambda words: self._prepare("double", words),
            "hold": lambda words: self._prepare("hold", words),
            "up": self._up,
            "down": self._down,
        }

    def do(self, line: str) -> list[str]:
        """Carry out one line of a play; return what was said meanwhile."""
        verb, *words = line.split()
        told = []
        if verb in self._verbs:
            self._verbs[verb](words)
        else:
            told = self.cast.do(self, verb, words)
        said, self._said = self._said, []
        return [*said, *told]

    # The verbs that every play has.

    def _start(self, words: Sequence[str]) -> None:
        """Start roles, or start them again with nothing remembered."""
        for name in words:
            self.world.start(name, self.cast.role(name))
            self.lives[name] += 1

    def _crash(self, words: Sequence[str]) -> None:
        for name in words:
            self.world.crash(name)

    def _run(self, words: Sequence[str]) -> None:
        """Let some seconds pass."""
        self.world.run(self.world.now_s + float(words[0]))

    def _pass(self, words: Sequence[str]) -> None:
        """Let some seconds pass of which nothing is shown."""
        self._run(words)
        self._said = []

    def _cut_links(self, words: Sequence[str]) -> None:
        """Cut links, one way (a->b) or both (a<->b)."""
        for word in words:
            src, arrow, dst = self._ends(word)
            self._cut |= {(src, dst), (dst, src)} if arrow == "<->" else {(src, dst)}

    def _prepare(self, what: str, words: Sequence[str]) -> None:
        """Lose, double or hold back the next message of a link, or as many as the number says."""
        src, _, dst = self._ends(words[0])
        self._next[src, dst] += [what] * int(words[1] if len(words) > 1 else 1)

    def _up(self, words: Sequence[str]) -> None:
        """Tell one that another is up: `up a b`."""
        self.world.give(words[0], PeerUp(words[1], self.lives[words[1]]))

    def _down(self, words: Sequence[str]) -> None:
        """Tell one that another is down: `down a b`."""
        self.world.give(words[0], PeerDown(words[1], self.lives[words[1]]))

    def _ends(self, word: str) -> tuple[str, str, str]:
        found = LINK_TO.fullmatch(word)
        assert found, f"{word} is no link: write a->b or a<->b"
        return found[1], found[2], found[3]

    # What is seen.

    def give(self, name: str, event: Event) -> list[str]:
        """Let a role step now; return what was said, for the verbs of a cast."""
        self.world.give(name, event)
        said, self._said = self._said, []
        return said

    @property
    def at(self) -> str:
        """The time since the beginning."""
        return f"{round(self.world.now_s - BEGIN_S, 3):g}s"

    def _step(self, name: str, role: Role, event: Event, now_s: float) -> list[Action]:
        actions = role.step(event, now_s)
        for action in actions:
            if isinstance(action, Record) and (text := self.cast.text(action.fact)):
                self._said.append(f"{self.at} {name}: {text}")
        return actions

    def _fate(self, letter: Letter, _now_s: float) -> tuple[float, ...]:
        link = (letter.src, letter.dst)
        fate = self._next[link].pop(0) if self._next[link] else ""
        delays: tuple[float, ...] = {
            "lose": (),
            "double": (LINK_S, 2 * LINK_S),
            "hold": (2.5,),
        }.get(fate, (LINK_S,))
        gone = letter.dst not in self.world.roles and self.lives[letter.dst] > 0
        if link in self._cut or gone:
            delays, fate = (), "lose"
        marks = {"lose": " LOST", "double": " TWICE", "hold": " LATE"}
        if text := self.cast.text(letter.message):
            said = f"{self.at} {letter.src}->{letter.dst} {text}{marks.get(fate, '')}"
            self._said.append(said)
        return delays
