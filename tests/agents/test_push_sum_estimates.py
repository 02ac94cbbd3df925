"""Push-sum: the mean is known soon, and the messages are small."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agents.push_sum_network import Network, delaying, losing, pair, pushed, started
from tests.oracles.push_sum import plain_push_sum

from peercell.agents.overlay import overlay
from peercell.agents.push_sum import INPUT_MAX, PushSum
from peercell.agents.push_sum_messages import Heard, PushSumMessage, Sum


def graph(size: int, seed: int, rings: int = 4) -> dict[str, tuple[str, ...]]:
    """Return a random overlay; another seed gives another one."""
    return overlay([f"{seed}.{k}" for k in range(size)], rings)


def ticks_to(network: Network, errors: Sequence[float], ticks_max: int = 400) -> list[int]:
    """Return after how many ticks the estimates of all are as good as each error."""
    found: list[int] = []
    for tick in range(ticks_max):
        while len(found) < len(errors) and network.ratio_error <= errors[len(found)]:
            found.append(tick)
        if len(found) == len(errors):
            return found
        network.tick()
    raise AssertionError(f"after {ticks_max} ticks the error is {network.ratio_error:.1e}")


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=12), st.integers(0, 9))
def test_estimates_stay_between_the_inputs(inputs: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = Network(rng, losing(rng, 0.3))
    links = graph(len(inputs), seed)
    for name, number in zip(links, inputs, strict=True):
        network.start(name, (float(number),), links[name])
    for _ in range(30):
        network.tick()
        for member in network.members.values():
            estimate = member.estimate()
            assert estimate is not None
            assert min(inputs) - 1e-6 <= estimate[0] <= max(inputs) + 1e-6


def test_the_last_estimate_holds_while_the_weight_is_too_small() -> None:
    one, other = pair(1.0, 3.0)
    for _ in range(5):
        other.receive("a", pushed(one))
    one.receive("b", pushed(other))
    before = other.estimate()
    other.close_link("a")
    assert other.estimate() == (3.0,)
    low = PushSum((1.0,), 1000)
    low._add([1, 10 - (1 << 40)])
    assert low._mass[-1] == 10
    assert low.estimate() == (1.0,)
    assert before != (3.0,)


def test_a_relay_passes_on_without_counting() -> None:
    network = Network(np.random.default_rng(1))
    for name, number in (("a", 1.0), ("b", 4.0)):
        network.start(name, (number,))
    relay = network.members["r"] = PushSum((0.0,), 7, relay=True)
    network.inputs["r"] = (2.5,)
    assert relay.estimate() is None
    for name in ("a", "b"):
        network.open(name, "r")
    for _ in range(80):
        network.tick()
    assert network.mass_error == 0
    assert [m.estimate() for m in network.members.values()] == [pytest.approx((2.5,))] * 3


def test_a_leader_counts_the_members() -> None:
    network = started(graph(50, 3), np.random.default_rng(3))
    for k, name in enumerate(list(network.members)):
        network.start(name, (float(k == 0),), graph(50, 3)[name])
    for _ in range(80):
        network.tick()
    for member in network.members.values():
        estimate = member.estimate()
        assert estimate is not None
        assert 1.0 / estimate[0] == pytest.approx(50.0)


@pytest.mark.parametrize(
    "inputs", [(), (0.0,) * 65, (float("nan"),), (float("inf"),), (2.0 * INPUT_MAX,)]
)
def test_inputs_that_do_not_fit_are_refused(inputs: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="input"):
        PushSum(inputs, 1)


def test_as_many_inputs_as_before_are_asked_for() -> None:
    with pytest.raises(ValueError, match="2 inputs where 1 were"):
        PushSum((1.0,), 1).set_input((1.0, 2.0))


# Speed, against the reference runs and the textbook.


@pytest.mark.parametrize(
    ("loss", "thousandth_max", "millionth_max"), [(0.0, 38, 72), (0.1, 42, 80), (0.3, 75, 145)]
)
def test_a_hundred_members_mix_in_tens_of_ticks(
    loss: float, thousandth_max: int, millionth_max: int
) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        network = started(graph(100, seed), rng, losing(rng, loss))
        thousandth, millionth = ticks_to(network, (1e-3, 1e-6))
        assert thousandth <= thousandth_max
        assert millionth <= millionth_max


def test_along_a_feeder_it_takes_thirty_times_as_long() -> None:
    names = [f"bus{k:02}" for k in range(30)]
    line: dict[str, list[str]] = {name: [] for name in names}
    for one, other in pairwise(names):
        line[one].append(other)
        line[other].append(one)
    near = {name: tuple(peers) for name, peers in line.items()}
    (along,) = ticks_to(started(near, np.random.default_rng(0)), (1e-3,), 5000)
    (across,) = ticks_to(started(graph(30, 0), np.random.default_rng(0)), (1e-3,))
    assert along >= 30 * across


@pytest.mark.parametrize(("delay", "millionth_max"), [(1, 170), (4, 290)])
def test_late_acknowledgements_are_waited_for(delay: int, millionth_max: int) -> None:
    """Telling the same neighbour again until its answer comes would take 500 ticks and more."""
    rng = np.random.default_rng(0)
    network = started(graph(100, 0), rng, delaying(rng, 0.3, delay))
    assert ticks_to(network, (1e-6,))[0] <= millionth_max


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "thousandth_max", "millionth_max"), [(0.0, 40, 80), (0.1, 45, 85), (0.3, 85, 165)]
)
def test_rc_gossip(loss: float, thousandth_max: int, millionth_max: int) -> None:
    """1,000 members with 8 neighbours, five seeds."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        network = started(graph(1000, seed), rng, losing(rng, loss))
        thousandth, millionth = ticks_to(network, (1e-3, 1e-6))
        assert thousandth <= thousandth_max
        assert millionth <= millionth_max


def test_new_inputs_are_followed() -> None:
    rng = np.random.default_rng(2)
    network = started(graph(100, 2), rng, losing(rng, 0.3))
    ticks_to(network, (1e-6,))
    for name, (number,) in list(network.inputs.items()):
        network.set_input(name, (number + float(rng.uniform(-0.1, 0.1)),))
    assert ticks_to(network, (1e-3, 1e-6)) <= [75, 145]


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_the_textbook_is_as_fast_without_loss_and_wrong_with_it(loss: float) -> None:
    seed, size = 1, 100
    rng = np.random.default_rng(seed)
    links = graph(size, seed)
    names = list(links)
    near = [[names.index(peer) for peer in links[name]] for name in names]
    inputs = rng.uniform(0.9, 1.1, size)
    spread = float(np.abs(inputs - inputs.mean()).max())
    errors = []
    for mass, weight in plain_push_sum(near, inputs, loss, rng):
        errors.append(float(np.abs(mass / weight - inputs.mean()).max()) / spread)
        if errors[-1] <= 1e-6 or len(errors) == 200:
            break
    if loss:
        assert min(errors) > 1e-3
        return
    assert 0.7 < len(errors) / ticks_to(started(links, rng), (1e-6,))[0] < 1.4


# The wire.


def test_four_sums_and_a_weight_take_seventy_bytes() -> None:
    member, other = (PushSum((1.0, 2.0, 3.0, 4.0), 1_795_000_000_000) for _ in range(2))
    greeting = member.open_link("b")
    assert greeting is not None
    answer = other.receive("a", greeting[1])
    assert answer is not None
    member.receive("b", answer[1])
    said = pushed(member)
    assert isinstance(said, Sum)
    longest = msgspec.structs.replace(said, seq=2**32 - 1)
    assert len(msgspec.msgpack.encode(said)) <= 66
    assert len(msgspec.msgpack.encode(longest)) == 70
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(said), type=PushSumMessage) == said
    assert len(msgspec.msgpack.encode(Heard(said.session, said.peer_session, 9))) <= 30
