"""What is the mean of something over all members? Push-sum that loses nothing, ever.

Each member holds a mass for each sum and a weight, and gives half of them to a neighbour at each
tick; mass over weight becomes the mean everywhere. Kempe, Dobra and Gehrke (FOCS 2003) showed how
fast. Their scheme sends the halves, so a lost message is lost mass, and the result is wrong for
good. Here a message holds *all* that was ever given over the link (running sums: Vaidya,
Hadjicostis, Dominguez-Garcia 2012), so the next one that arrives brings what was lost.

Rule of the file, exact at any moment, in integers:

    mass = input - sum over links of (given - taken)

On the wire the running sums wrap around at 64 bits, since only what is new in them counts. A link
that is closed, because its peer crashed, left or was suspected falsely, is undone as if it had
never been: its difference is taken back. Both ends number their sessions of a link, and counters
belong to one pair of numbers, so whatever was sent in an earlier one counts no more.

Mass over weight in the first message of a member is its own number. Where that is private, a mask
hides it: before it gives anything, the member moves a random amount of each sum, and no weight, to
each neighbour. A mask is given like anything else, so the rule above holds with it, and what one
neighbour sees is blurred by what the others got: Gupta, Katz, Chopra, "Privacy in distributed
average consensus", IFAC World Congress 2017.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import shake_256
from struct import Struct as Packing

import numpy as np

from peercell.agents.push_sum_links import Account, Link, Mass
from peercell.agents.push_sum_messages import NUMBER_BYTES, SUMS_MAX, Heard, PushSumMessage, Sum

UNIT = 2.0**-40
"""What one integer step of mass is worth."""

INPUT_MAX = 2.0**15
"""Largest input and largest mask, so that shares fit: choose the unit of a larger one."""

RETRIES = 8
"""Times that a neighbour is told again at once when it has not acknowledged.

With 30 % loss, every second round trip fails. With 5 retries some links are passed over with mass
under way in every round: 1,000 members take 176 ticks to 1e-6 instead of 136. More than 8 help no
more, and hold up the neighbours of one that has crashed.
"""

UNANSWERED_MAX = 40
"""Messages after the last acknowledged one, at which a neighbour is given up."""

_ONE = round(1.0 / UNIT)
# A weight below 1/32 is not halved any more, so that nobody's estimate fades out whose neighbours
# push seldom; after a link was taken back, a weight may even be negative for some ticks.
_FLOOR = _ONE >> 5
_MODULUS = 1 << 8 * NUMBER_BYTES
# Most of a sum that is given at once, so that all that a neighbour may lack, a mask that takes the
# place of another included, fits into half of the range of a counter. More is held for some ticks
# only, after a link that carried much was undone.
_SHARE_MAX = (_MODULUS // 2 - 2 * round(INPUT_MAX / UNIT)) // UNANSWERED_MAX
# What one neighbour sees has to hold the mask of another one.
_MASKED_MIN = 2


def _wrapped(number: int) -> int:
    """Return the number between -2^63 and 2^63 that is the same up to multiples of 2^64."""
    return (number + _MODULUS // 2) % _MODULUS - _MODULUS // 2


def _drawn(rng: np.random.Generator, largest: int, count: int) -> Iterable[int]:
    """Yield even chances between -`largest` and `largest`, from which no other draw follows.

    A neighbour can work its own mask out; the hash keeps the state of the generator from it.
    """
    digest = shake_256(rng.bytes(32)).digest(count * NUMBER_BYTES)
    for (number,) in Packing("<q").iter_unpack(digest):
        yield number * largest >> 63


def _share(mass: int) -> int:
    """Return what is given of a mass: half of it, rounded down."""
    return max(-_SHARE_MAX, min(mass >> 1, _SHARE_MAX))


@cache
def _packing(size: int) -> Packing:
    return Packing(f"<{size}q")


def _grow(masses: Mass, change: Iterable[int]) -> None:
    for place, each in enumerate(change):
        masses[place] += each


class PushSum:
    """One member's part in finding the means of some numbers; a plain object without I/O.

    A mean times the number of members is a total. Their number is 1 over the mean of an input that
    is 1 at one member and 0 at all others.

    Parameters
    ----------
    inputs : the member's own numbers, at most 64, each at most `INPUT_MAX` in size
    session : > 0, higher in each life of the member by more than the links it has opened in the
        last one: milliseconds of the time of its start are fine
    relay : it passes on what others give, and does not count in the means itself
    mask : 0, or the largest amount that hides the inputs from each neighbour, at most `INPUT_MAX`.
        Of two values with a difference d, one neighbour guesses the right one with a chance of at
        most 1/2 + d / (4 mask). Each doubling costs about three ticks. Who has fewer than two
        neighbours gives nothing then, since it could hide nothing
    """

    # A cell in simulation has thousands of members, and takes as long as to fetch their memory.
    __slots__ = (
        "_covered",
        "_delay",
        "_good",
        "_input",
        "_links",
        "_mask",
        "_mass",
        "_nothing",
        "_now",
        "_packing",
        "_pass",
        "_session",
        "_spread",
        "_unheard",
        "_weight",
    )

    def __init__(
        self, inputs: Sequence[float], session: int, *, relay: bool = False, mask: float = 0.0
    ) -> None:
        if not 0 < len(inputs) <= SUMS_MAX:
            raise ValueError(f"between 1 and {SUMS_MAX} inputs, not {len(inputs)}")
        if not 0.0 <= mask <= INPUT_MAX:
            raise ValueError(f"a mask of {mask}, not between 0 and {INPUT_MAX:g}")
        self._mask = round(mask / UNIT)
        self._covered = not self._mask
        self._weight = 0 if relay else _ONE
        self._input = self._fixed(inputs)
        self._mass = list(self._input)
        self._session = session
        self._links: dict[str, Link] = {}
        self._pass: list[str] = []
        self._unheard: list[str] = []
        # All of this is gone through at every message, and a cell has thousands of members: what
        # does not change is shared, and what changes is changed in place.
        self._nothing = (0,) * len(self._mass)
        self._packing = _packing(len(self._mass))
        # The mass when its weight was last large enough to divide by, while it is not.
        self._good = list(self._mass)
        # Ticks so far, and how many an acknowledgement takes: mean and deviation.
        self._now = 0
        self._delay = 0.0
        self._spread = 0.0

    @property
    def links(self) -> tuple[str, ...]:
        """The neighbours; who has not answered for long is no longer among them."""
        return tuple(self._links)

    def estimate(self) -> tuple[float, ...] | None:
        """Return the mean of each input over all members; None until a weight has come in.

        While the own weight is below half the floor, the last estimate holds. With a mask it is
        also None while fewer than two neighbours hold one, and far off until the masks of all have
        mixed: to be trusted no sooner than all have voted that theirs stand still.
        """
        *sums, weight = self._mass if self._mass[-1] >= _FLOOR // 2 else self._good
        known = self._covered and weight >= _FLOOR // 2
        return tuple(each / weight for each in sums) if known else None

    @property
    def imbalance(self) -> int:
        """By how many units the mass is not what the input and the links say; 0, or a defect."""
        kept = list(self._input)
        for link in self._links.values():
            kept = [k - g + t for k, g, t in zip(kept, link.given, link.taken, strict=True)]
        return max(abs(a - b) for a, b in zip(self._mass, kept, strict=True))

    def account(self, peer: str) -> Account | None:
        """Return what has passed over the link to a neighbour; None without one."""
        link = self._links.get(peer)
        if link is None:
            return None
        given, taken = tuple(link.given), tuple(link.taken)
        return Account((link.own, link.theirs), link.seq, given, link.heard, taken)

    def set_input(self, inputs: Sequence[float]) -> None:
        """Change the own numbers; as many as before. Masks are drawn anew for others.

        Else a neighbour would see the difference.
        """
        new = self._fixed(inputs)
        if len(new) != len(self._input):
            raise ValueError(f"{len(inputs)} inputs where {len(self._input) - 1} were")
        if new == self._input:
            return
        self._add([a - b for a, b in zip(new, self._input, strict=True)])
        self._input = new
        for link in self._links.values():
            link.masked = False

    def open_link(self, peer: str) -> tuple[str, PushSumMessage] | None:
        """Gossip with a peer from now on; return the greeting, None if it is a neighbour already.

        Peers that one hears from become neighbours by themselves.
        """
        if peer in self._links:
            return None
        return peer, self._greeting(self._new_link(peer, 0))

    def close_link(self, peer: str) -> None:
        """Take back all that passed over a link, because the peer crashed, left or is silent."""
        link = self._links.pop(peer, None)
        if peer in self._unheard:
            self._unheard.remove(peer)
        if link is not None:
            self._take_back(link)

    def tick(self, rng: np.random.Generator) -> tuple[str, PushSumMessage] | None:
        """Return whom to tell what now; None without neighbours.

        A neighbour that should have acknowledged the last message comes first, then the next one in
        a shuffled round. Half of the mass is given each time. With a mask the generator must be
        seeded by what nobody else knows.
        """
        self._now += 1
        for peer in list(self._unheard):
            link = self._links[peer]
            if link.seq - link.acknowledged >= UNANSWERED_MAX:
                self.close_link(peer)
        self._covered = self._cover(rng)
        next_peer = self._late_peer() or self._turn(rng)
        if next_peer is None:
            return None
        peer, link = next_peer, self._links[next_peer]
        link.seq += 1
        link.told.append(self._now)
        if peer not in self._unheard:
            self._unheard.append(peer)
        if not link.theirs:
            return peer, self._greeting(link)
        if self._covered and self._mass[-1] >= _FLOOR:
            self._give(link, [_share(each) for each in self._mass])
        given = self._packing.pack(*map(_wrapped, link.given))
        return peer, Sum(link.own, link.theirs, link.seq, given)

    def receive(self, peer: str, message: PushSumMessage) -> tuple[str, PushSumMessage] | None:
        """Take a message in; return the answer to it, if there is one."""
        link = self._links.get(peer)
        if link is None:
            link = self._new_link(peer, message.session)
        elif message.session < link.theirs:
            return None
        elif message.session > link.theirs:
            self._meet(link, message.session)
        if message.peer_session != link.own:
            return peer, self._greeting(link)
        if isinstance(message, Heard):
            self._acknowledge(peer, link, message.seq or link.seq)
            return None
        if len(message.given) != self._packing.size:
            # Somebody who means other sums: without an answer it takes back what it gave.
            return None
        if message.seq > link.heard:
            given = self._packing.unpack(message.given)
            new = [_wrapped(a - b) for a, b in zip(given, link.taken, strict=True)]
            _grow(link.taken, new)
            link.heard = message.seq
            self._add(new)
        return peer, Heard(link.own, link.theirs, message.seq)

    def _fixed(self, inputs: Sequence[float]) -> Mass:
        for each in inputs:
            if not abs(each) <= INPUT_MAX:
                raise ValueError(f"an input of {each}, larger than {INPUT_MAX:g}: choose its unit")
        return [*(round(each / UNIT) for each in inputs), self._weight]

    def _new_link(self, peer: str, theirs: int) -> Link:
        link = self._links[peer] = Link.between(self._session, theirs, self._nothing)
        self._session += 1
        return link

    def _cover(self, rng: np.random.Generator) -> bool:
        """Return whether something may be given; see that all neighbours that were met hold masks.

        A new mask takes the place of the last one, so that what a neighbour lacks stays bounded.
        """
        if not self._mask:
            return True
        met = [link for link in self._links.values() if link.theirs]
        for link in met:
            if not link.masked:
                mask = [*_drawn(rng, self._mask, len(self._mass) - 1), 0]
                self._give(link, [new - old for new, old in zip(mask, link.mask, strict=True)])
                link.mask, link.masked = mask, True
        return len(met) >= _MASKED_MIN

    def _give(self, link: Link, amount: Mass) -> None:
        _grow(link.given, amount)
        self._add([-each for each in amount])

    def _greeting(self, link: Link) -> Heard:
        return Heard(link.own, link.theirs, 0)

    def _acknowledge(self, peer: str, link: Link, seq: int) -> None:
        """Note that a neighbour has all up to a message."""
        if link.acknowledged < seq <= link.seq:
            # As in connections that retransmit: Jacobson, "Congestion avoidance and control", 1988.
            off = self._now - link.told[seq - link.acknowledged - 1] - self._delay
            self._delay += off / 8
            self._spread += (abs(off) - self._spread) / 4
            del link.told[: seq - link.acknowledged]
            link.acknowledged = seq
        if link.acknowledged == link.seq:
            link.tries = 0
            if peer in self._unheard:
                self._unheard.remove(peer)

    def _meet(self, link: Link, session: int) -> None:
        """Begin anew with a later session of the peer; the own number stays.

        With a new one of our own the two ends would go on outdoing each other.
        """
        self._take_back(link)
        link.theirs, link.heard = session, 0
        link.given, link.taken = list(self._nothing), list(self._nothing)
        link.mask, link.masked = self._nothing, False

    def _take_back(self, link: Link) -> None:
        self._add([a - b for a, b in zip(link.given, link.taken, strict=True)])

    def _add(self, change: Mass) -> None:
        if self._mass[-1] + change[-1] < _FLOOR // 2 <= self._mass[-1]:
            self._good = list(self._mass)
        _grow(self._mass, change)

    def _late_peer(self) -> str | None:
        """Return the neighbour that should have acknowledged by now, if there is one."""
        due = self._now - self._delay - 2.0 * self._spread
        for peer in list(self._unheard):
            link = self._links[peer]
            if link.told[-1] >= due:
                continue
            if link.tries < RETRIES:
                link.tries += 1
                return peer
            link.tries = 0
            self._unheard.remove(peer)
        return None

    def _turn(self, rng: np.random.Generator) -> str | None:
        """Return the neighbour whose turn it is: all once, then all again in another order."""
        while self._pass:
            peer = self._pass.pop()
            if peer in self._links:
                return peer
        peers = list(self._links)
        self._pass = [peers[k] for k in rng.permutation(len(peers))]
        return self._pass.pop() if self._pass else None
