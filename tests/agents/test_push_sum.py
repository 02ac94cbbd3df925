"""Push-sum: mass is kept to the last unit, whatever happens."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agents.push_sum_chaos import Chaos
from tests.agents.push_sum_network import Network, pair, pushed, talk

from peercell.agents import push_sum
from peercell.agents.push_sum import INPUT_MAX, UNANSWERED_MAX
from peercell.agents.push_sum_messages import PushSumMessage, Sum

Step = tuple[int, int, int]


steps = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99), st.integers(0, 99)), max_size=150)


class Wire:
    """A network of a few members whose messages arrive when and as often as the test wants."""

    def __init__(self, size: int, seed: int, mask: float) -> None:
        self.names = [f"m{k}" for k in range(size)]
        self.network = Network(np.random.default_rng(seed), lambda: (), mask=mask)
        self.network.watched = True
        self.said: list[tuple[str, str, PushSumMessage]] = []
        for k, name in enumerate(self.names):
            self.network.start(name, (float(k), -1.0))

    def play(self, what: int, a: int, b: int) -> None:
        """Do one thing, and check the ledger of whom it was done to."""
        size = len(self.names)
        name, peer = self.names[a % size], self.names[b % size]
        member = self.network.members[name]
        match what:
            case 0 if name != peer:
                self._say(name, member.open_link(peer))
            case 1:
                member.close_link(peer)
            case 2:
                self.network.start(name, (float(b), 1.0))
            case 3:
                self.network.set_input(name, (float(b), -float(b)))
            case 4 | 5 | 6:
                self._say(name, member.tick(self.network.rng))
            case _ if self.said:
                sender, name, message = self.said[b % len(self.said)]
                self._say(name, self.network.members[name].receive(sender, message))
                self.network.check(sender, name)
        assert self.network.members[name].imbalance == 0

    def _say(self, name: str, said: tuple[str, PushSumMessage] | None) -> None:
        if said is not None:
            self.network.post(name, *said)
            self.said.append((name, *said))


@given(
    st.sampled_from([(2, 0.0), (3, 0.0), (4, 0.0), (3, 50.0), (4, INPUT_MAX)]),
    st.integers(0, 9),
    steps,
)
def test_no_history_loses_or_makes_mass(
    kind: tuple[int, float], seed: int, history: list[Step]
) -> None:
    """Any order of pushes, arrivals of any message said so far, suspicions, restarts, changes."""
    size, mask = kind
    wire = Wire(size, seed, mask)
    for step in history:
        wire.play(*step)
    heal(wire.network, wire.names)
    assert wire.network.mass_error == 0
    assert wire.network.ratio_error < 1e-6


def heal(network: Network, names: list[str]) -> None:
    """Let all be neighbours, and talk for a while over links without faults."""
    network.fate = lambda: (0,)
    for name, peer in pairwise([*names, names[0]]):
        if name != peer:
            network.open(name, peer)
            network.open(peer, name)
    for _ in range(UNANSWERED_MAX + 60):
        network.tick()


@pytest.mark.parametrize("seed", range(25))
def test_chaos_costs_no_unit_of_mass(seed: int) -> None:
    """Crashes, joins, leaves, restarts, suspicions, inputs; loss, duplicates, reordering."""
    chaos = Chaos(seed, watched=seed < 5, mask=50.0 * (seed % 3))
    chaos.run(wild=120, calm=300)
    network = chaos.network
    assert network.mass_error == 0
    assert network.ratio_error < 1e-6
    for name, member in network.members.items():
        assert member.imbalance == 0
        for peer, link in member._links.items():
            assert network.members[peer]._links[name].own == link.theirs


@pytest.mark.parametrize("seed", range(2))
def test_counters_wrap_around_without_harm(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a unit so small that 64 bits hold what is given in about a thousand ticks only."""
    monkeypatch.setattr(push_sum, "UNIT", 2.0**-56)
    monkeypatch.setattr(push_sum, "_ONE", 1 << 56)
    monkeypatch.setattr(push_sum, "_FLOOR", 1 << 51)
    chaos = Chaos(seed, scale=1.0, mask=0.5 * seed)
    chaos.run(wild=500, calm=2000)
    assert chaos.network.mass_error == 0
    assert chaos.network.ratio_error < 1e-6
    links = [link for each in chaos.network.members.values() for link in each._links.values()]
    assert max(link.given[-1] for link in links) > 2**63


def test_what_goes_round_in_circles_does_not_overflow_when_a_link_is_undone() -> None:
    """A mass that flows on and on along a triangle, until more passed than 64 bits hold."""
    network = Network(np.random.default_rng(0))
    order = {"a": "b", "b": "c", "c": "a"}
    for name in order:
        network.start(name, (INPUT_MAX,))
    for name, peer in order.items():
        network.open(name, peer)
    for _ in range(2000):
        for name, peer in order.items():
            network.members[name]._pass = [peer]
        network.tick()
    link = network.members["a"]._links["b"]
    assert link.given[0] - link.taken[0] > 2**63
    network.members["a"].close_link("b")
    network.members["b"].close_link("a")
    assert network.mass_error == 0
    for _ in range(400):
        network.tick()
    assert network.mass_error == 0
    assert network.ratio_error < 1e-6


@pytest.mark.slow
def test_rc_chaos() -> None:
    """400 wild and 600 calm ticks, as the reference schedules have them."""
    for seed in range(100):
        chaos = Chaos(seed, watched=True, mask=50.0 * (seed % 3))
        chaos.run(wild=400, calm=600)
        assert chaos.network.mass_error == 0
        assert chaos.network.ratio_error < 1e-9


def test_a_message_that_comes_again_changes_nothing() -> None:
    one, other = pair(1.0, 3.0)
    said = [pushed(one) for _ in range(3)]
    for message in (said[0], said[2]):
        other.receive("a", message)
    before = list(other._mass)
    for message in (said[2], said[0], said[1]):
        answer = other.receive("a", message)
        assert answer is not None, "it is acknowledged all the same"
    assert other._mass == before


def test_a_lost_message_is_made_good_by_the_next() -> None:
    one, other = pair(1.0, 3.0)
    pushed(one)
    pushed(one)
    other.receive("a", pushed(one))
    assert one._mass[-1] + other._mass[-1] == 2 << 40


def test_a_false_suspicion_returns_to_the_same_totals() -> None:
    one, other = pair(1.0, 3.0)
    for _ in range(3):
        other.receive("a", pushed(one))
        one.receive("b", pushed(other))
    one.close_link("b")
    assert one._mass == one._input
    greeting = one.open_link("b")
    assert greeting is not None
    answer = other.receive("a", greeting[1])
    assert other._mass == other._input
    assert answer is not None
    one.receive("b", answer[1])
    for _ in range(60):
        talk(one, other)
    assert [a + b for a, b in zip(one._mass, other._mass, strict=True)] == [4 << 40, 2 << 40]
    assert one.estimate() == pytest.approx((2.0,))


def test_what_was_sent_in_an_earlier_session_counts_no_more() -> None:
    one, other = pair(1.0, 3.0)
    late = pushed(one)
    one.close_link("b")
    greeting = one.open_link("b")
    assert greeting is not None
    other.receive("a", greeting[1])
    assert other.receive("a", late) is None
    assert other._mass == other._input


def test_both_ends_agree_on_their_sessions_though_both_begin_anew() -> None:
    """Answering a newer number with a new one of its own would go on for ever."""
    one, other = pair(1.0, 3.0)
    one.close_link("b")
    other.close_link("a")
    letters = [(other, "a", one.open_link("b")), (one, "b", other.open_link("a"))]
    for to, sender, said in letters:
        assert said is not None
        answer = to.receive(sender, said[1])
        if answer is not None:
            letters.append((one if to is other else other, "b" if to is other else "a", answer))
        assert len(letters) < 7
    assert one._links["b"].theirs == other._links["a"].own
    assert other._links["a"].theirs == one._links["b"].own


def test_who_never_answers_is_given_up_and_its_share_taken_back() -> None:
    one, other = pair(1.0, 3.0)
    one.receive("b", pushed(other))
    for _ in range(UNANSWERED_MAX):
        assert one.tick(np.random.default_rng(0)) is not None
    assert one.tick(np.random.default_rng(0)) is None
    assert one.links == ()
    assert one._mass == one._input


def test_nobody_can_acknowledge_what_was_not_said_yet() -> None:
    one, other = pair(1.0, 3.0)
    answer = other.receive("a", pushed(one))
    assert answer is not None
    early = msgspec.structs.replace(answer[1], seq=10**6)
    for _ in range(UNANSWERED_MAX):
        assert one.receive("b", early) is None
        one.tick(np.random.default_rng(0))
    assert one.links == (), "it is given up, as one that is silent"
    assert one._mass == one._input


def test_sums_of_another_length_are_not_taken() -> None:
    one, other = pair(1.0, 3.0)
    said = pushed(one)
    assert isinstance(said, Sum)
    assert other.receive("a", msgspec.structs.replace(said, given=said.given * 2)) is None
    assert other._mass == other._input
