"""What rogue peers make of their words."""

from statistics import fmean, pstdev

import pytest

from peercell.agents.grid_messages import StateReport
from peercell.agents.grid_parts import Reading, Stamp
from peercell.agents.messages import Message
from peercell.agents.trading.messages import FrozenPrice, Hello
from peercell.broker.faults.fate import Parcel
from peercell.broker.faults.kinds import AnyFault, Forge, Lie, MeterNoise, Replay
from peercell.broker.faults.orders import Order
from peercell.broker.faults.words import Twist, twist

QUOTE = FrozenPrice(epoch=1, attempt=1, price_eur_per_kwh=(0.2, 0.3))


def made(fault: AnyFault, message: Message = QUOTE, src: str = "rogue", number: int = 1) -> Twist:
    order = Order(id="f1", fault=fault, seed=2, peers=("rogue",))
    return twist((order,), Parcel(src, "b", 7, number), message)


def test_a_liar_tells_one_price_for_all_periods() -> None:
    found = made(Lie(price_eur_per_kwh=-10.0, on="rogue"))
    assert found.message == FrozenPrice(epoch=1, attempt=1, price_eur_per_kwh=(-10.0, -10.0))
    assert found.by == ("f1",)


def test_who_speaks_of_no_price_cannot_lie_about_it() -> None:
    hello = Hello(epoch=1, session=1)
    assert made(Lie(price_eur_per_kwh=1.0, on="rogue"), hello) == Twist(hello)


def test_voltages_are_off_for_those_whose_meter_is() -> None:
    reading = Reading(
        losses_kw=1.0,
        source_kw=1.0,
        source_kvar=0.0,
        v_min_pu=0.98,
        v_max_pu=1.01,
        loading_percent_max=None,
        iterations=3,
        voltages_pu=(1.0, None, 0.99),
    )
    report = StateReport(1, Stamp(1, 1, None), reading)
    order = Order(id="f1", fault=MeterNoise(sigma_pu=0.01), seed=2, peers=("b",))
    assert twist((order,), Parcel("grid", "c", 7, 1), report) == Twist(report)
    off = []
    for number in range(200):
        found = twist((order,), Parcel("grid", "b", 7, number), report).message
        assert isinstance(found, StateReport)
        assert found.reading is not None
        first, dead, last = found.reading.voltages_pu
        assert dead is None
        assert first is not None
        assert last is not None
        off += [first - 1.0, last - 0.99]
    assert abs(fmean(off)) < 0.002
    assert 0.008 < pstdev(off) < 0.012


@pytest.mark.parametrize(
    "fault",
    [
        Lie(price_eur_per_kwh=1.0, on="rogue"),
        Replay(share=1.0, on="rogue"),
        Forge(share=1.0, name="c", on="rogue"),
    ],
)
def test_others_speak_the_truth(fault: AnyFault) -> None:
    assert made(fault, src="honest") == Twist(QUOTE)


def test_a_share_is_said_again_or_in_the_name_of_another() -> None:
    again = [made(Replay(share=0.3, after_s=2.0, on="rogue"), number=n) for n in range(200)]
    assert 30 < sum(found.again_s == (2.0,) for found in again) < 90
    forged = [made(Forge(share=0.3, name="c", on="rogue"), number=n) for n in range(200)]
    assert 30 < sum(found.names == ("c",) for found in forged) < 90
