"""The vote on a plan: complete only when the gaps are within the allowances, and then soon."""

from dataclasses import dataclass, field
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.agreement import Agreement, Attendance, StoppingTest
from peercell.agents.overlay import overlay

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


def residuals(chance: np.random.Generator, size: int, ticks: int) -> np.ndarray:
    """Draw residuals that decay at different speeds, with late bumps; tolerance is 1."""
    ages = np.arange(ticks)[:, None]
    speed = chance.uniform(0.1, 0.4, size)
    drawn = 100.0 * np.exp(-speed * ages)
    for k in range(size):
        late = int(chance.integers(20, 70))
        drawn[late : late + 5, k] += 3.0 * float(chance.random() < 0.2)
    return drawn


@pytest.mark.parametrize("loss", [0.0, 0.3])
@pytest.mark.parametrize("size", [1, 2, 10, 30, 100])
def test_all_stop_soon_after_the_last_residual_is_small(size: int, loss: float) -> None:
    """One neighbour is told each tick."""
    names = [f"m{k}" for k in range(size)]
    links = overlay(names)
    within = 3.0 * log2(size) + 6.0 + 2.0 * log2(size)
    for seed in range(6):
        chance = np.random.default_rng(seed)
        drawn = residuals(chance, size, 200)
        true_end = int(np.nonzero((drawn >= 1.0).any(axis=1))[0].max()) + 1
        members = [StoppingTest(k, size, 1.0) for k in range(size)]
        stops: dict[int, int] = {}
        for tick, row in enumerate(drawn):
            told = []
            for k, member in enumerate(members):
                member.look(float(row[k]))
                if member.stopped and k not in stops:
                    assert row[k] < 1.0
                    stops[k] = tick
                if near := links[names[k]]:
                    peer = names.index(near[tick % len(near)])
                    told.append((peer, member.round, member.votes))
            for peer, round_, votes in told:
                if chance.random() >= loss:
                    members[peer].hear(round_, votes)
        assert len(stops) == size
        assert max(stops.values()) <= true_end + within


@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 99), st.integers(0, 99)), max_size=120),
)
def test_nobody_stops_before_all_have_voted_in_one_round(
    size: int, history: list[tuple[int, int, int]]
) -> None:
    """Any history of looks, tellings and arrivals: who stops has a small residual itself."""
    members = [StoppingTest(k, size, 1.0) for k in range(size)]
    wire: list[tuple[int, int]] = []
    voted: set[tuple[int, int]] = set()
    for what, one, other in history:
        member = members[one % size]
        if what <= 1:
            member.look(float(what))
        elif what == 2:
            wire.append((member.round, member.votes))
        elif wire:
            member.hear(*wire[other % len(wire)])
        voted |= {(k, each.round) for k, each in enumerate(members) if each.votes >> k & 1}
        if member.stopped:
            assert any(all((k, r) in voted for k in range(size)) for _, r in voted)
            assert what != 1 or one % size != members.index(member)


def test_who_finds_its_residual_large_again_opens_the_next_round() -> None:
    one, other = StoppingTest(0, 2, 1.0), StoppingTest(1, 2, 1.0)
    one.look(0.5)
    one.look(1.5)
    assert (one.round, one.votes) == (1, 0)
    other.look(0.5)
    other.hear(one.round, one.votes)
    assert (other.round, other.votes) == (1, 0)
    other.look(0.5)
    one.hear(other.round, other.votes)
    assert not one.stopped
    one.look(0.5)
    assert one.stopped


def test_a_released_member_stops_when_its_own_residual_is_small() -> None:
    late = StoppingTest(0, 2, 1.0)
    late.look(0.5)
    late.hear(0, 0b11)
    assert late.stopped
    late = StoppingTest(0, 2, 1.0)
    late.hear(0, 0b11)
    late.look(2.0)
    assert not late.stopped
    late.look(0.0)
    assert late.stopped


def test_members_that_are_down_need_not_vote() -> None:
    one = StoppingTest(0, 3, 1.0)
    one.look(0.5, excused=0b100)
    assert not one.stopped
    one.hear(0, 0b010)
    assert one.stopped


def test_a_view_is_complete_when_all_who_count_have_spoken() -> None:
    seen = Attendance(3, epoch=7)
    seen.note(7, 0)
    seen.hear(7, 0b010)
    assert not seen.complete(7)
    assert seen.quiet(7) == 0b010
    seen.hear(7, 0b100)
    assert seen.complete(7)
    assert seen.quiet(7) == 0b110


def test_a_member_counts_until_it_has_been_silent_for_two_epochs() -> None:
    seen = Attendance(2, epoch=1)
    for epoch in (1, 2):
        seen.note(epoch, 0)
        assert not seen.complete(epoch)
    seen.note(3, 0)
    assert seen.live(3) == 0b01
    assert seen.complete(3)
    seen.hear(3, 0b10)
    seen.note(4, 0)
    assert not seen.complete(4)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), max_size=60))
def test_attendance_remembers_a_few_epochs_only(heard: list[tuple[int, int]]) -> None:
    seen = Attendance(2, epoch=0)
    for epoch, quiet in heard:
        seen.hear(epoch, quiet)
    newest = max([-1, *(epoch for epoch, _ in heard)])
    for epoch in range(newest - 4, newest + 1):
        told = [quiet for at, quiet in heard if at == epoch]
        assert seen.quiet(epoch) in {0, *told, 0b11}
    assert len(seen._spoken) <= 5
