"""What no run may do is found when it is done."""

import pytest

from peercell.agents.trading.messages import LinkTrade
from peercell.broker.checks import InvariantError, Plan, check, trades_broken
from peercell.broker.simulation import Simulation


def plans(sold_kwh: float, bought_kwh: float) -> dict[tuple[str, str], Plan]:
    return {
        ("1", "a"): ((0.1,), (LinkTrade("b", (sold_kwh,), (0.0,)),)),
        ("1", "b"): ((0.2,), (LinkTrade("a", (0.0,), (bought_kwh,)),)),
    }


def test_trades_that_cancel_out_are_fine() -> None:
    assert list(trades_broken(plans(2.0, 2.0))) == []


@pytest.mark.parametrize(("sold", "bought"), [(2.0, 1.0), (2.0, 0.0), (0.0, 1.0)])
def test_trades_that_do_not_cancel_out_are_named(sold: float, bought: float) -> None:
    (broken,) = trades_broken(plans(sold, bought))
    assert broken.startswith("a sold")


def test_a_trade_that_only_one_end_has_is_named() -> None:
    found = plans(2.0, 2.0)
    found["1", "b"] = ((0.2,), ())
    (broken,) = trades_broken(found)
    assert "which bought ()" in broken


def test_an_end_that_has_not_settled_is_no_witness() -> None:
    found = plans(2.0, 2.0)
    del found["1", "b"]
    assert list(trades_broken(found)) == []


def test_messages_that_nobody_accounts_for_are_named() -> None:
    cell = Simulation()
    check(cell)
    cell.sent += 1
    with pytest.raises(InvariantError, match="1 messages are unaccounted for"):
        check(cell)
