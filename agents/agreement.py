"""Is everyone's share of the error small enough? Votes that no fault can falsify.

A plan may stop when the sum of all gaps is at most the sum of all allowances (a fraction of each
trader's cost). A member whose gap is within its allowance has slack and votes at once; one whose
gap is larger is in debt and asks its gossip peers, who give away slack they have. A vote stands:
who has voted never gives more than it has left. Since slack only moves and is never made, all
votes together prove the sum, whatever was lost, doubled, late or out of order: votes are a union
of sets, and grants are running totals of which the largest counts. Lost grants only delay.

This is push-sum (Kempe, Dobra and Gehrke 2003) of allowance minus gap, made one-sided, so that the
stopping test needs neither weights nor an estimate of how well they have mixed.

Where shares cannot be lent, as with voltages, all must be small: `StoppingTest` is the same vote
without grants, and `Attendance` says who has spoken in an epoch and who is still there.
"""

from functools import lru_cache

SILENT_EPOCHS = 2
"""Epochs without a word after which a member no longer counts."""


class Agreement:
    """One member's part in one vote.

    Parameters
    ----------
    own : index of the member in the roster
    size : members of the roster; > 0

    Attributes
    ----------
    everyone, votes, excused : a bit for each member, each that has voted, and each that is down
    voted : whether the own vote has been given
    """

    def __init__(self, own: int, size: int) -> None:
        self._own = own
        self.everyone = _everyone(size)
        self.votes = 0
        self.voted = False
        self.excused = 0
        self._balance = 0.0
        self._declared = False
        self._given: dict[str, float] = {}
        self._taken: dict[str, float] = {}
        self._wants: dict[str, float] = {}

    @property
    def complete(self) -> bool:
        """True when all members have voted, or are excused: the plan is good enough."""
        return self.is_complete(self.votes)

    def is_complete(self, votes: int) -> bool:
        """Return whether these votes are those of all members that are not excused.

        Members that are known to be down are excused locally, by setting their bits of `excused`;
        that is no vote and is told to nobody.
        """
        return (votes | self.excused if self.excused else votes) == self.everyone

    def take(self, votes: int) -> None:
        """Take in who has voted, a bit each.

        Of ten thousand members the bits are a thousand bytes, so what needs them all is done when
        they change, and not whenever it is asked for.
        """
        known = self.votes | votes & self.everyone
        if known != self.votes:
            self.votes = known
            self.voted = self.voted or bool(known >> self._own & 1)

    @property
    def debt_eur(self) -> float:
        """What the own gap still exceeds allowance and grants by, EUR; 0 before `declare`."""
        return max(-self._balance, 0.0) if self._declared else 0.0

    def declare(self, gap_eur: float, allowance_eur: float) -> None:
        """Say once how large the own gap is and how large it may be, EUR."""
        self._declared = True
        self._balance += allowance_eur - gap_eur
        self._vote()

    def hear(self, peer: str, votes: int, debt_eur: float, granted_eur: float) -> None:
        """Take a peer's tally in."""
        self.take(votes)
        fresh = granted_eur - self._taken.get(peer, 0.0)
        if fresh > 0.0:
            self._taken[peer] = granted_eur
            self._balance += fresh
        self._wants[peer] = debt_eur
        self._vote()

    def granted_eur(self, peer: str) -> float:
        """Return the running total given to a peer, EUR, after giving what it lacks if possible."""
        want = self._wants.get(peer, 0.0)
        if want > 0.0 and self.voted and self._balance > 0.0:
            grant = min(want, self._balance)
            self._balance -= grant
            self._wants[peer] = want - grant
            self._given[peer] = self._given.get(peer, 0.0) + grant
        return self._given.get(peer, 0.0)

    def _vote(self) -> None:
        if self._declared and self._balance >= 0.0 and not self.voted:
            self.take(1 << self._own)


class StoppingTest:
    """When a member may stop: all have found their residuals small in one round.

    Who finds its residual too large again after its vote opens the next round, which voids this
    one. Rounds and votes spread like rumours: the highest round counts, votes are a union. One
    member that has seen all votes of a round releases everybody, whatever came later; but nobody
    stops before its own residual is small.

    Parameters
    ----------
    own : index of the member in the roster
    size : members of the roster; > 0
    tolerance : what a residual must be below
    """

    def __init__(self, own: int, size: int, tolerance: float) -> None:
        self._own = own
        self._size = size
        self._tolerance = tolerance
        self._agreement = Agreement(own, size)
        self._small = False
        self._released = False
        self.round = 0

    @property
    def votes(self) -> int:
        """A bit for each member that is known to have voted in this round; all when released."""
        return self._agreement.everyone if self._released else self._agreement.votes

    @property
    def stopped(self) -> bool:
        """True when the member may stop now."""
        return self._released and self._small

    def look(self, residual: float, excused: int = 0) -> None:
        """Take the own residual of this moment in; members with a bit in `excused` are down."""
        self._small = residual < self._tolerance
        if self._released:
            return
        if not self._small and self._agreement.voted:
            self._open(self.round + 1)
        self._agreement.excused = excused
        if self._small and not self._agreement.voted:
            self._agreement.declare(0.0, 0.0)
        self._released = self._agreement.complete

    def hear(self, round_: int, votes: int) -> None:
        """Take in what another member knows."""
        if self._released:
            return
        if votes == self._agreement.everyone:
            self._released = True
        elif round_ > self.round:
            self._open(round_)
        if round_ == self.round:
            self._agreement.take(votes)
            self._released = self._released or self._agreement.complete

    def _open(self, round_: int) -> None:
        excused = self._agreement.excused
        self.round = round_
        self._agreement = Agreement(self._own, self._size)
        self._agreement.excused = excused


class Attendance:
    """Who has spoken in an epoch, and who still counts: one bit a member, in an order all know.

    A member that has something to tell in an epoch states an entry; one that has nothing sets its
    bit among the quiet ones, which are told on. So a view that is complete here lacks nothing: that
    somebody has stated an entry is only believed from the entry itself.

    Parameters
    ----------
    size : members of the roster; > 0
    epoch : the first one; all count until they have been silent for two
    """

    def __init__(self, size: int, epoch: int) -> None:
        self._spoken = {epoch - 1: (1 << size) - 1}
        self._quiet: dict[int, int] = {}

    def note(self, epoch: int, member: int) -> None:
        """Take in an entry that a member has stated for an epoch."""
        self._add(epoch, 1 << member)

    def hear(self, epoch: int, quiet: int) -> None:
        """Take in members who have nothing to tell in an epoch; the own bit comes so as well."""
        self._quiet[epoch] = self._quiet.get(epoch, 0) | quiet
        self._add(epoch, quiet)

    def quiet(self, epoch: int) -> int:
        """Return the bits to be told on: who is known to have nothing to tell in an epoch."""
        return self._quiet.get(epoch, 0)

    def live(self, epoch: int) -> int:
        """Return the members that count in an epoch: heard of in it or the two before."""
        return self._union(range(epoch - SILENT_EPOCHS, epoch + 1))

    def complete(self, epoch: int) -> bool:
        """Return whether all members that count have spoken in an epoch."""
        return self._spoken.get(epoch, 0) == self.live(epoch)

    def _union(self, epochs: range) -> int:
        bits = 0
        for epoch in epochs:
            bits |= self._spoken.get(epoch, 0)
        return bits

    def _add(self, epoch: int, bits: int) -> None:
        is_new = epoch not in self._spoken
        self._spoken[epoch] = self._spoken.get(epoch, 0) | bits
        if not is_new:
            return
        for kept in (self._spoken, self._quiet):
            for old in [known for known in kept if known < max(kept) - 2 * SILENT_EPOCHS]:
                del kept[old]


@lru_cache(maxsize=4)
def _everyone(size: int) -> int:
    """Return a bit for each member: one number for all the thousands that may share a process."""
    return (1 << size) - 1
