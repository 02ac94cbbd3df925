"""The vote on a plan: complete only when the gaps are within the allowances, and then soon."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.agreement import Agreement

Shares = list[tuple[float, float]]


@dataclass
class Crowd:
    """Members of one vote who tell each other things over a bad network."""

    shares: Shares
    members: list[Agreement] = field(init=False)
    wire: list[tuple[int, str, int, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.members = [Agreement(k, len(self.shares)) for k in range(len(self.shares))]

    def declare(self, k: int) -> None:
        """Let a member tell its own share."""
        self.members[k].declare(*self.shares[k])

    def tell(self, k: int, other: int) -> None:
        """Let a member tell another what it knows."""
        member = self.members[k]
        granted = member.granted_eur(str(other))
        self.wire.append((other, str(k), member.votes, member.debt_eur, granted))

    def arrive(self, index: int) -> None:
        """Deliver one of the messages on the way, perhaps again."""
        to, sender, votes, debt, granted = self.wire[index % len(self.wire)]
        self.members[to].hear(sender, votes, debt, granted)

    @property
    def honest(self) -> bool:
        """Whether the gaps are within what all together allow."""
        return sum(gap for gap, _ in self.shares) <= sum(room for _, room in self.shares) + 1e-12


def test_members_within_their_allowance_vote_at_once() -> None:
    crowd = Crowd([(1.0, 2.0), (0.0, 0.0)])
    for k in range(2):
        crowd.declare(k)
    crowd.tell(0, 1)
    crowd.arrive(0)
    assert crowd.members[1].complete
    assert not crowd.members[0].complete


def test_a_member_in_debt_votes_when_it_has_been_given_enough() -> None:
    crowd = Crowd([(0.0, 3.0), (2.0, 0.0)])
    for k in range(2):
        crowd.declare(k)
    assert crowd.members[1].debt_eur == 2.0
    crowd.tell(1, 0)
    crowd.arrive(0)
    crowd.tell(0, 1)
    crowd.arrive(1)
    assert crowd.members[1].complete
    crowd.arrive(1)
    assert crowd.members[1].debt_eur == 0.0


def test_too_large_a_gap_is_never_agreed_on() -> None:
    crowd = Crowd([(0.0, 1.0), (2.0, 0.0)])
    for k in range(2):
        crowd.declare(k)
    for _ in range(50):
        crowd.tell(1, 0)
        crowd.arrive(-1)
        crowd.tell(0, 1)
        crowd.arrive(-1)
    assert not any(member.complete for member in crowd.members)
    assert crowd.members[1].debt_eur == pytest.approx(1.0)


def test_a_member_that_is_down_can_be_excused_locally() -> None:
    crowd = Crowd([(0.0, 1.0), (0.0, 1.0)])
    crowd.declare(0)
    crowd.members[0].excused = 0b10
    assert crowd.members[0].complete
    crowd.tell(0, 1)
    crowd.arrive(0)
    assert not crowd.members[1].complete


amounts = st.integers(0, 8).map(float)


@given(
    st.lists(st.tuples(amounts, amounts), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 99), st.integers(0, 99)), max_size=80),
)
def test_no_loss_delay_doubling_or_order_fakes_an_agreement(
    shares: Shares, history: list[tuple[int, int, int]]
) -> None:
    """Any history of declarations, tellings and arrivals, each message any number of times."""
    crowd = Crowd(shares)
    declared = set()
    for what, one, other in history:
        k = one % len(shares)
        if what == 0 and k not in declared:
            declared.add(k)
            crowd.declare(k)
        elif what == 1:
            crowd.tell(k, other % len(shares))
        elif crowd.wire:
            crowd.arrive(other)
    if any(member.complete for member in crowd.members):
        assert len(declared) == len(shares)
        assert crowd.honest


@given(st.lists(st.tuples(amounts, amounts), min_size=2, max_size=5))
def test_when_everyone_hears_everyone_a_good_plan_is_agreed_on(shares: Shares) -> None:
    crowd = Crowd(shares)
    for k in range(len(shares)):
        crowd.declare(k)
    for _ in range(3):
        for k in range(len(shares)):
            for other in range(len(shares)):
                if k != other:
                    crowd.tell(k, other)
                    crowd.arrive(-1)
    assert all(member.complete == crowd.honest for member in crowd.members)
