"""Levels of control: under the linear model the prices of a hierarchy are those of one level."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.control.coupling import Coupling, CouplingSettings
from peercell.agents.control.levels import from_below, level_price_at, multiplier_of
from peercell.agents.control.paths import Path, Span, Track
from peercell.agents.control.pricing import LOADING, OVER, UNDER, price_at
from peercell.agents.control.rhythm import Rhythm
from peercell.agents.control.station import Place
from peercell.agents.control.voltage_messages import Answer, LevelPrice, LimitPrice, State
from peercell.agents.control.voltage_settings import VoltageSettings

MV_BUSES, FEEDERS = 6, 3


class Network:
    """A feeder of six buses with a low-voltage feeder below three of them, and multipliers.

    Members 0 to 5 are the buses above, 6 to 8 the coupling agents; those of a feeder are counted
    from 100 times its number plus 100.
    """

    def __init__(self, seed: int) -> None:
        self._chance = np.random.default_rng(seed)
        self.paths: dict[int, Path] = {}
        for bus in range(MV_BUSES):
            above = () if bus == 0 else self.paths[int(self._chance.integers(bus))]
            self.paths[bus] = (*above, self._span(f"m{bus}", 1e-5))
        self.root = {MV_BUSES + k: int(self._chance.integers(MV_BUSES)) for k in range(FEEDERS)}
        self.feeders: dict[int, list[int]] = {}
        for coupling, bus in self.root.items():
            self.paths[coupling] = self.paths[bus]
            first = 100 * (coupling + 1)
            self.feeders[coupling] = list(range(first, first + int(self._chance.integers(1, 6))))
            for member in self.feeders[coupling]:
                begins = member == first
                above = self.paths[bus if begins else int(self._chance.integers(first, member))]
                self.paths[member] = (*above, self._span(f"l{member}", 1e-3))
        self.tracks = {member: Track(path) for member, path in self.paths.items()}

    def _span(self, name: str, size: float) -> Span:
        per_kw, per_kvar = self._chance.uniform(0.1, 1.0, 2) * size
        return Span(name, float(per_kw), float(per_kvar))

    def limits(self, members: list[int]) -> tuple[LimitPrice, ...]:
        """Return random multipliers of limits at some members."""
        return tuple(
            LimitPrice(member, kind, float(self._chance.uniform(0.0, 1e3)), -0.01)
            for member in members
            for kind in (OVER, UNDER, LOADING)
            if self._chance.random() < 0.4
        )

    def answers(self, members: list[int]) -> dict[int, Answer]:
        """Return how devices answer that are free to move."""
        drawn = self._chance.uniform(0.0, 9.0, (len(members), 3)).tolist()
        return {
            member: Answer(a, b, c, 0.0) for member, (a, b, c) in zip(members, drawn, strict=True)
        }


@given(seed=st.integers(0, 10_000))
def test_prices_by_level_are_those_of_one_level(seed: int) -> None:
    """I12: what a coupling agent passes down and up makes each price what it is without it."""
    net = Network(seed)
    above = net.limits(list(range(MV_BUSES)))
    own = {coupling: net.limits(members) for coupling, members in net.feeders.items()}
    everything = (*above, *(limit for limits in own.values() for limit in limits))
    upper = tuple(LevelPrice(c, 0.0, 0.0, multiplier_of(limits)) for c, limits in own.items())

    def price_above(member: int) -> tuple[float, float]:
        track = net.tracks[member]
        here = price_at(track, above, net.tracks)
        more = level_price_at(track, member, upper, net.tracks)
        return here[0] + more[0], here[1] + more[1]

    for bus in range(MV_BUSES):
        assert price_above(bus) == close(price_at(net.tracks[bus], everything, net.tracks))
    for coupling, members in net.feeders.items():
        told = (LevelPrice(99, *price_above(coupling), 0.0),)
        for member in members:
            track = net.tracks[member]
            inside = price_at(track, own[coupling], net.tracks)
            more = level_price_at(track, member, told, net.tracks)
            flat = price_at(track, everything, net.tracks)
            assert (inside[0] + more[0], inside[1] + more[1]) == close(flat)


def close(prices: tuple[float, float]) -> object:
    """Return what equals some prices to 1e-12 of the larger one, or of 1."""
    return pytest.approx(prices, rel=0.0, abs=1e-12 * max(1.0, *map(abs, prices)))


@given(seed=st.integers(0, 10_000))
def test_limits_above_fall_with_a_feeder_as_with_all_its_devices(seed: int) -> None:
    """I12, upwards: one place below answers as everything in the feeder together."""
    net = Network(seed)
    for coupling, members in net.feeders.items():
        told = net.answers(members)
        other = from_below([State(1.0, (answer,)) for answer in told.values()], 0.0)
        for first in range(MV_BUSES):
            for second in range(MV_BUSES):
                whole = sum(
                    fall(net, (first, second, member), answer) for member, answer in told.items()
                )
                one = sum(fall(net, (first, second, coupling), each) for each in other.answers)
                assert one == pytest.approx(whole, rel=1e-12)


def fall(net: Network, members: tuple[int, int, int], answer: Answer) -> float:
    """Return by how much a voltage falls with another one's multiplier, by a device elsewhere."""
    first, second, device = (net.tracks[member] for member in members)
    (kw, kvar), (other_kw, other_kvar) = first.shared(device), second.shared(device)
    along, other_along = kw + answer.edge * kvar, other_kw + answer.edge * other_kvar
    return along * other_along * answer.along + kvar * other_kvar * answer.reactive


def test_of_those_that_sleep_the_first_to_wake_up_speaks() -> None:
    sleepers = (Answer(10.0, 0.2, 0.0, 0.5), Answer(30.0, 0.4, 2.0, 0.9), Answer(4.0, 0.0, 0.0, -1))
    other = from_below([State(1.0, sleepers, off_kw=1.0), State(1.0, off_kw=2.0)], 7.0)
    first, second = other.answers
    assert (first.along, first.edge, first.reactive, first.gap) == pytest.approx((40, 0.35, 2, 0.5))
    assert second == Answer(4.0, 0.0, 0.0, -1.0)
    assert (other.off_kw, other.levels.multiplier) == (3.0, 7.0)


def member(name: str, members: tuple[str, ...], tick_s: float = 1.0) -> VoltageSettings:
    """Return the settings of a member of a level."""
    return VoltageSettings(
        name=name,
        grid="grid",
        members=members,
        place=Place(),
        path=(Span("line", 1e-3, 1e-3),),
        rhythm=Rhythm(tick_s=tick_s, epoch_ticks=4),
    )


@pytest.mark.parametrize(
    ("upper", "why"),
    [
        (member("d", ("d", "m")), "two names"),
        (member("c", ("c", "m"), 2.0), "ticks of one length"),
        (member("c", ("c", "a")), "belongs to two levels"),
    ],
)
def test_a_coupling_agent_belongs_to_two_levels(upper: VoltageSettings, why: str) -> None:
    lower = member("c", ("a", "c"))
    with pytest.raises(ValueError, match=why):
        CouplingSettings(lower=lower, upper=upper)
    good = Coupling(CouplingSettings(lower=lower, upper=member("c", ("c", "m"))))
    assert not good.knows_all
