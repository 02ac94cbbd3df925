"""With whom does a member gossip? Its neighbours in a few rings, which all members find alike."""

from collections.abc import Iterable
from hashlib import blake2b

RINGS = 4
"""Rings of the default overlay, each of which gives a member two neighbours."""


def overlay(members: Iterable[str], rings: int = RINGS) -> dict[str, tuple[str, ...]]:
    """Return for each member the others that it gossips with; each of them has it as well.

    A ring goes through all members in the order of a hash, another one for each ring. So whoever
    knows the members knows the overlay without asking; who comes or goes changes only the links
    next to it, and a gap is closed by the two that it leaves, who find each other alone. The union
    of some rings is connected and almost a random regular graph, on which news crosses in about
    log n ticks and averages mix at a speed that n hardly changes. On the electrical network they do
    not: along a feeder of 100 buses push-sum takes 19,000 ticks to a thousandth, on the overlay 30.

    Parameters
    ----------
    members : names, all different, in any order; without those known to be down
    rings : half the degree; 3 to 4 are best, more only costs links

    Returns
    -------
    At most 2 * rings neighbours of each member, sorted; fewer where rings share a link.
    """
    names = sorted(members)
    neighbours: dict[str, set[str]] = {name: set() for name in names}
    for ring in range(rings):
        order = sorted(names, key=lambda name: _place(name, ring))
        for one, other in zip(order, [*order[1:], *order[:1]], strict=True):
            if one != other:
                neighbours[one].add(other)
                neighbours[other].add(one)
    return {name: tuple(sorted(near)) for name, near in neighbours.items()}


class Neighbourhood:
    """With whom one member gossips while others fail and return.

    Whoever loses a neighbour closes the gap in each ring, and so does the one on its other side: no
    member is left with few links, and nobody has to be asked. Failures elsewhere change nothing for
    it, so it need not know of them.

    Parameters
    ----------
    me : the member
    members : all of them, this one as well
    """

    def __init__(self, me: str, members: Iterable[str]) -> None:
        self._me = me
        self._members = frozenset(members)
        self._down: set[str] = set()
        self.links = overlay(self._members)[me]
        """The neighbours at present, sorted."""

    def lose(self, peer: str) -> None:
        """Do without a member that is down."""
        if peer in self._members and peer not in self._down and peer != self._me:
            self._down.add(peer)
            self._find()

    def regain(self, peer: str) -> None:
        """Count on a member again."""
        if peer in self._down:
            self._down.remove(peer)
            self._find()

    def _find(self) -> None:
        self.links = overlay(self._members - self._down)[self._me]


def _place(name: str, ring: int) -> bytes:
    return blake2b(f"{ring} {name}".encode(), digest_size=8).digest()
