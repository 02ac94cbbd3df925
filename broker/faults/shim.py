"""What is wrong with the links of a host at this moment, and what becomes of each message there.

Between the codec and the socket of a process, or in the middle of a simulation: both ask the same.
"""

from collections import Counter

from peercell.broker.faults.fate import UNHURT, Active, Fate, Parcel, Pipe, fate
from peercell.broker.faults.kinds import Bandwidth


class Shim:
    """The faults that are on, by name.

    Attributes
    ----------
    hits : messages that each fault did something to, by its name; those that are over too
    """

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self._active: dict[str, Active] = {}
        # What hits a link does not change while no fault begins or ends.
        self._on_link: dict[tuple[str, str], tuple[tuple[str, ...], tuple[Active, ...]]] = {}
        self._pipes: dict[tuple[str, tuple[str, str]], Pipe] = {}

    def __bool__(self) -> bool:
        return bool(self._active)

    def begin(self, name: str, active: Active) -> None:
        """Let a fault begin, in place of one of that name."""
        self._active[name] = active
        self._on_link.clear()

    def end(self, name: str) -> None:
        """Let a fault end; what it holds back still comes."""
        self._active.pop(name, None)
        self._on_link.clear()

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
