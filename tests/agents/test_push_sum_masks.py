"""Push-sum with masks: a neighbour sees a blurred number, and the mean is exact all the same."""

from collections import deque

import numpy as np
import pytest
from scipy.stats import kstest
from tests.agents.push_sum_network import losing, started

from peercell.agents.agreement import StoppingTest
from peercell.agents.overlay import overlay
from peercell.agents.push_sum import INPUT_MAX, UNIT, PushSum
from peercell.agents.push_sum_messages import Sum

MASK = 64.0


def met(value: float, mask: float, peers: str = "bc") -> PushSum:
    """Return a member that has just met peers, who never give anything."""
    member = PushSum((value,), 1000, mask=mask)
    for peer in peers:
        meet(member, peer)
    return member


def meet(member: PushSum, peer: str) -> None:
    """Let a member and a new peer find each other's session."""
    greeting = member.open_link(peer)
    assert greeting is not None
    answer = PushSum((0.0,), 1000).receive("a", greeting[1])
    assert answer is not None
    assert member.receive(peer, answer[1]) is None


def told(member: PushSum, peer: str, rng: np.random.Generator) -> tuple[float, float]:
    """Return sum and weight in what a member tells a peer next."""
    member._pass = [peer]
    member._unheard.clear()
    said = member.tick(rng)
    assert said is not None
    assert said[0] == peer
    assert isinstance(said[1], Sum)
    total, weight = member._packing.unpack(said[1].given)
    return total * UNIT, weight * UNIT


def worked_out(value: float, seed: int) -> float:
    """Return all that the neighbour b can work out of two messages: the input less c's mask."""
    member, rng = met(value, MASK), np.random.default_rng(seed)
    (first, _), (second, _) = told(member, "b", rng), told(member, "b", rng)
    mass = 4.0 * (second - first)
    own_mask = first - mass / 2.0
    return mass + own_mask


def test_without_a_mask_the_first_message_tells_the_input() -> None:
    total, weight = told(met(5.0, 0.0), "b", np.random.default_rng(0))
    assert total / weight == 5.0


def test_with_a_mask_the_first_message_tells_another_number_each_time() -> None:
    seen = set()
    for seed in range(20):
        total, weight = told(met(5.0, MASK), "b", np.random.default_rng(seed))
        assert weight == 0.5
        seen.add(total / weight)
    assert len(seen) == 20
    assert min(abs(each - 5.0) for each in seen) > 0.01 * MASK
    again, _ = told(met(5.0, MASK), "b", np.random.default_rng(0))
    assert 2.0 * again in seen


def test_what_a_neighbour_works_out_is_spread_evenly_around_the_input() -> None:
    seen = [worked_out(5.0, seed) for seed in range(400)]
    assert kstest(seen, "uniform", args=(5.0 - MASK, 2.0 * MASK)).pvalue > 0.01


def test_of_two_inputs_a_neighbour_guesses_no_better_than_the_bound() -> None:
    """Best guess: the input that can have led to what is seen; a coin where both can."""
    low, high = -MASK / 8.0, MASK / 8.0
    sure = wrong = 0
    for seed in range(400):
        seen = worked_out(high if seed % 2 else low, seed)
        sure += seen < high - MASK or seen > low + MASK
        wrong += seen < low - MASK - 1e-6 or seen > high + MASK + 1e-6
    assert wrong == 0
    right = (sure + (400 - sure) / 2) / 400
    assert right <= 0.5 + (high - low) / (4.0 * MASK) + 0.03


def test_all_neighbours_together_still_work_the_input_out() -> None:
    member, rng = met(5.0, MASK), np.random.default_rng(0)
    (first, _), (second, _) = told(member, "b", rng), told(member, "b", rng)
    mass = 4.0 * (second - first)
    c_mask = told(member, "c", rng)[0] - mass / 8.0
    assert mass + (first - mass / 2.0) + c_mask == pytest.approx(5.0, abs=1e-9)


def test_who_has_one_neighbour_gives_nothing_and_knows_nothing() -> None:
    member, rng = met(5.0, MASK, "b"), np.random.default_rng(0)
    assert [told(member, "b", rng)[1] for _ in range(3)] == [0.0] * 3
    assert member.estimate() is None
    meet(member, "c")
    given = told(member, "b", rng)
    assert given[1] == 0.5
    assert member.estimate() is not None
    member.close_link("c")
    assert told(member, "b", rng) == given
    assert member.estimate() is None
    assert member.imbalance == 0


def test_a_new_input_is_hidden_by_new_masks() -> None:
    member, rng = met(5.0, MASK), np.random.default_rng(0)
    told(member, "b", rng)
    before = [list(link.mask) for link in member._links.values()]
    member.set_input((5.0,))
    told(member, "b", rng)
    assert [link.mask for link in member._links.values()] == before
    member.set_input((6.0,))
    told(member, "b", rng)
    for old, link in zip(before, member._links.values(), strict=True):
        assert link.mask[0] != old[0]
        assert link.mask[1] == 0
    assert member.imbalance == 0


@pytest.mark.parametrize("mask", [-1.0, float("nan"), 2.0 * INPUT_MAX])
def test_masks_that_do_not_fit_are_refused(mask: float) -> None:
    with pytest.raises(ValueError, match="a mask of"):
        PushSum((1.0,), 1, mask=mask)


@pytest.mark.parametrize(
    ("mask", "loss", "millionth_max"), [(1.6, 0.0, 100), (102.4, 0.0, 120), (102.4, 0.3, 230)]
)
def test_masks_of_a_hundred_members_mix(mask: float, loss: float, millionth_max: int) -> None:
    """Inputs differ from their mean by 0.1: masks are 16 and 1,024 times that."""
    rng = np.random.default_rng(0)
    network = started(overlay([f"m{k}" for k in range(100)]), rng, losing(rng, loss), mask)
    ticks = 0
    while network.ratio_error > 1e-6 and ticks < millionth_max:
        network.tick()
        ticks += 1
    assert network.ratio_error <= 1e-6


def test_wild_estimates_are_not_taken_for_good_by_a_vote() -> None:
    """Each votes while its estimate has stood still for some ticks; all of them must have."""
    names, tolerance, rng = [f"m{k}" for k in range(30)], 1e-3, np.random.default_rng(0)
    links = overlay(names)
    network = started(links, rng, losing(rng, 0.1), mask=100.0)
    tests = {name: StoppingTest(k, len(names), tolerance) for k, name in enumerate(names)}
    recent: dict[str, deque[float]] = {name: deque(maxlen=8) for name in names}
    wildest = ticks = 0.0
    while not any(test.stopped for test in tests.values()):
        network.tick()
        ticks += 1
        assert ticks < 300
        for name, test in tests.items():
            found = network.members[name].estimate()
            if found is not None:
                recent[name].append(found[0])
                wildest = max(wildest, abs(found[0]))
            full = len(recent[name]) == 8
            test.look(max(recent[name]) - min(recent[name]) if full else np.inf)
            for peer in links[name]:
                tests[peer].hear(test.round, test.votes)
    mean = float(np.mean([each for (each,) in network.inputs.values()]))
    assert wildest > 100.0
    for each in recent.values():
        assert abs(each[-1] - mean) < 3.0 * tolerance
