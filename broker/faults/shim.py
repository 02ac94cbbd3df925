"""What is wrong with the links and the words of a host at this moment, and what becomes of each.

Between the codec and the socket of a process, or in the middle of a simulation: both ask the same.
"""

from collections import Counter

from peercell.agents.grid_messages import GridRefusal
from peercell.agents.messages import Message
from peercell.broker.faults.fate import UNHURT, Active, Fate, Parcel, Pipe, fate
from peercell.broker.faults.kinds import Bandwidth, MeterNoise, WordFault
from peercell.broker.faults.orders import Order, active_of
from peercell.broker.faults.words import Twist, twist


class Shim:
    """The faults that are on, by name.

    Attributes
    ----------
    hits : how often each fault did something, by its name; those that are over too
    refusals : why a fault of the grid has no effect, by its name
    """

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self.refusals: dict[str, str] = {}
        self._active: dict[str, Active] = {}
        self._words: tuple[Order, ...] = ()
        # What hits a link does not change while no fault begins or ends.
        self._on_link: dict[tuple[str, str], tuple[tuple[str, ...], tuple[Active, ...]]] = {}
        self._pipes: dict[tuple[str, tuple[str, str]], Pipe] = {}

    def __bool__(self) -> bool:
        return bool(self._active) or bool(self._words)

    @property
    def has_words(self) -> bool:
        """Whether what is said may be otherwise than it was meant."""
        return bool(self._words)

    def take(self, order: Order) -> None:
        """Let a fault begin, if it is one of links, words or meters."""
        if (active := active_of(order)) is not None:
            self.begin(order.id, active)
        elif isinstance(order.fault, WordFault | MeterNoise):
            self._words = (*self._words, order)

    def begin(self, name: str, active: Active) -> None:
        """Let a fault of links begin, in place of one of that name."""
        self._active[name] = active
        self._on_link.clear()

    def end(self, name: str) -> None:
        """Let a fault end; what it holds back still comes."""
        self._active.pop(name, None)
        self._on_link.clear()
        self._words = tuple(order for order in self._words if order.id != name)

    def answered(self, order: Order, answer: Message) -> None:
        """Note what a grid service says to what a fault asks of it when it begins."""
        if isinstance(answer, GridRefusal):
            self.refusals[order.id] = f"{answer.what}: {answer.why}" if answer.why else answer.what
        else:
            self.hits[order.id] += len(order.branches or order.assets)

    def twist(self, parcel: Parcel, message: Message) -> Twist:
        """Return what rogues and meters make of a message that is to leave."""
        if not self._words:
            return Twist(message)
        found = twist(self._words, parcel, message)
        self.hits.update(found.by)
        return found

    def fate(self, parcel: Parcel, now_s: float, size_bytes: int) -> Fate:
        """Return what becomes of a message that leaves now."""
        link = parcel[:2]
        found = self._on_link.get(link)
        if found is None:
            hitting = {name: each for name, each in self._active.items() if link in each.links}
            everywhere = tuple(Active(each.fault, each.seed) for each in hitting.values())
            found = self._on_link[link] = (tuple(hitting), everywhere)
        names, active = found
        if not active:
            return UNHURT
        decided = fate(active, parcel)
        for position in decided.by:
            self.hits[names[position]] += 1
        return decided if decided.lost else self._through_pipes(decided, parcel, now_s, size_bytes)

    def _through_pipes(self, decided: Fate, parcel: Parcel, now_s: float, size_bytes: int) -> Fate:
        """Return the fate of a message that has to wait for others before it."""
        link = parcel[:2]
        names, active = self._on_link[link]
        for name, each in zip(names, active, strict=True):
            if isinstance(each.fault, Bandwidth):
                pipe = self._pipes.setdefault((name, link), Pipe())
                wait_s = pipe.wait_s(each.fault, now_s, size_bytes)
                self.hits[name] += 1
                if wait_s is None:
                    return decided._replace(lost=True)
                decided = decided._replace(delays_s=tuple(d + wait_s for d in decided.delays_s))
        return decided
