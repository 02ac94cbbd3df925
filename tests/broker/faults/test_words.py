"""What rogue peers make of their words."""

import pytest

from peercell.agents.messages import Message
from peercell.agents.trading.messages import FrozenPrice, Hello
from peercell.broker.faults.fate import Parcel
from peercell.broker.faults.kinds import AnyFault, Forge, Lie, Replay
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
