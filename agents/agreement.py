"""Is everyone's share of the error small enough? A vote that no fault can falsify.

A plan may stop when the sum of all gaps is at most the sum of all allowances (a fraction of each
trader's cost). A member whose gap is within its allowance has slack and votes at once; one whose
gap is larger is in debt and asks its gossip peers, who give away slack they have. A vote stands:
who has voted never gives more than it has left. Since slack only moves and is never made, all
votes together prove the sum, whatever was lost, doubled, late or out of order: votes are a union
of sets, and grants are running totals of which the largest counts. Lost grants only delay.

This is push-sum (Kempe, Dobra and Gehrke 2003) of allowance minus gap, made one-sided, so that the
stopping test needs neither weights nor an estimate of how well they have mixed.
"""


class Agreement:
    """One member's part in one vote.

    Parameters
    ----------
    own : index of the member in the roster
    size : members of the roster; > 0
    """

    def __init__(self, own: int, size: int) -> None:
        self._own_bit = 1 << own
        self.everyone = (1 << size) - 1
        self.votes = 0
        self.excused = 0
        self._balance = 0.0
        self._declared = False
        self._given: dict[str, float] = {}
        self._taken: dict[str, float] = {}
        self._wants: dict[str, float] = {}

    @property
    def voted(self) -> bool:
        """True when the own vote has been given."""
        return bool(self.votes & self._own_bit)

    @property
    def complete(self) -> bool:
        """True when all members have voted, or are excused: the plan is good enough.

        Members that are known to be down are excused locally, by setting their bits of `excused`;
        that is no vote and is told to nobody.
        """
        return self.votes | self.excused == self.everyone

    @property
    def debt_eur(self) -> float:
        """What the own gap still exceeds allowance and grants by, EUR; 0 before `declare`."""
        return max(-self._balance, 0.0) if self._declared else 0.0

    def declare(self, gap_eur: float, allowance_eur: float) -> None:
        """Say once how large the own gap is and how large it may be, EUR."""
        self._declared = True
        self._balance += allowance_eur - gap_eur
        self._vote()

    def hear(self, peer: str, votes: int, debt_eur: float, granted_eur: float) -> bool:
        """Take a peer's tally in; return True when it told anything new."""
        before = self.votes
        self.votes |= votes & self.everyone
        fresh = granted_eur - self._taken.get(peer, 0.0)
        if fresh > 0.0:
            self._taken[peer] = granted_eur
            self._balance += fresh
        self._wants[peer] = debt_eur
        self._vote()
        return self.votes != before

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
        if self._declared and self._balance >= 0.0:
            self.votes |= self._own_bit
