"""What no run may do is found when it is done."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from bench.trading_rounds import market_of
from msgspec import structs
from tests.agents.trading.graphs import ring
from tests.agents.trading.play import Play
from tests.broker.cell_for_tests import settlement
from tests.broker.fault_seeds import Gossiper
from tests.broker.village import make_village

from peercell.agents.grid_messages import SetPoints
from peercell.agents.messages import Message
from peercell.agents.protocol import Action, Event, Send, Started
from peercell.agents.trading.messages import LinkTrade, TraderSettled
from peercell.broker.checks import (
    Plan,
    SetPoint,
    heard_broken,
    limits_broken,
    optimum_broken,
    trades_broken,
)
from peercell.broker.faults.network import LinkFaults
from peercell.broker.gate import Heard
from peercell.broker.simulated_checks import InvariantError, check
from peercell.broker.simulation import Simulation
from peercell.broker.solving.trade import SolveSettings
from peercell.grid.service import GridService
from peercell.grid.service_rights import GridServiceSettings


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


def certified(**gaps_eur: float) -> list[tuple[str, str, TraderSettled]]:
    """Return plans of 1.5 EUR each that all have certified in one attempt."""
    plan = settlement(0, "a").plan
    return [("0", name, structs.replace(plan, gap_eur=gap)) for name, gap in gaps_eur.items()]


def test_plans_that_are_as_near_to_the_best_as_agreed_are_fine() -> None:
    assert list(optimum_broken(certified(a=2e-6, b=0.0), {"a", "b"}, 1e-6)) == []


def test_certified_plans_that_are_too_dear_are_named() -> None:
    (broken,) = optimum_broken(certified(a=3e-6, b=1e-6), {"a", "b"}, 1e-6)
    assert broken == "the plans of 0 are certified, and up to 4e-06 EUR of 3 too dear"


@pytest.mark.parametrize("change", [{"certified": False}, {"attempt": 2}])
def test_plans_that_not_all_have_certified_at_once_say_nothing(change: dict[str, int]) -> None:
    (when, name, plan), other = certified(a=3e-6, b=1e-6)
    found = [(when, name, structs.replace(plan, **change)), other]
    assert list(optimum_broken(found, {"a", "b"}, 1e-6)) == []


def test_a_simulated_market_that_certifies_what_is_too_dear_is_found() -> None:
    play = Play(market_of(ring, 3, 0, "quadratic"), SolveSettings())
    play.run(60)
    check(play.simulation)
    at_s, name, fact = play.simulation.facts_of(TraderSettled)[0]
    play.simulation.facts.append((at_s, name, structs.replace(fact, gap_eur=1.0)))
    with pytest.raises(InvariantError, match=r"1 EUR of .* too dear"):
        check(play.simulation)


def test_messages_that_nobody_accounts_for_are_named() -> None:
    cell = Simulation()
    check(cell)
    cell.sent += 1
    with pytest.raises(InvariantError, match="1 messages are unaccounted for"):
        check(cell)


def test_numbers_that_do_not_add_up_are_named() -> None:
    right, wrong = Heard(1, 0, 10, 8, 1, 1), Heard(1, 0, 10, 9, 1, 1)
    (broken,) = heard_broken("b", {"a": right, "c": wrong})
    assert broken.startswith("b has lost count of what c said")


def test_what_is_set_beyond_its_rating_is_named() -> None:
    fine = [SetPoint("pv-1", 3.0, 4.0, 5.0), SetPoint("load-1", -9.0, 0.0, None)]
    assert list(limits_broken(fine)) == []
    (broken,) = limits_broken([*fine, SetPoint("pv-2", 3.0, 4.1, 5.0)])
    assert broken.startswith("pv-2 is set to 5.08035 kVA, and can 5")


@dataclass
class Said:
    """Says one thing when it starts."""

    to: str
    message: Message

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See Role.step."""
        del now_s
        return [Send(self.to, self.message)] if isinstance(event, Started) else []


def test_who_says_what_its_role_may_not_say_is_named() -> None:
    cell = Simulation()
    cell.enlist("a", lambda: Said("b", SetPoints(1, ())), role_name="trader")
    cell.enlist("b", lambda: Said("a", SetPoints(1, ())), role_name="prosumer")
    cell.run(1.0)
    with pytest.raises(InvariantError, match="a said SetPoints, which a trader may not say"):
        check(cell)


def test_mass_that_is_lost_or_made_is_named() -> None:
    cell = Simulation(LinkFaults(delay_s_min=0.1, delay_s_max=0.1))
    for name, peer in (("a", "b"), ("b", "a")):
        cell.enlist(name, partial(Gossiper, 1.0, (peer,), np.random.default_rng(1)))
    cell.run(10.5)
    check(cell)
    role = cell.role("a")
    assert isinstance(role, Gossiper)
    role.sums._mass[0] += 7
    role.sums._links["b"].given[0] += 3
    with pytest.raises(InvariantError, match="a has lost or made 10 units of mass; b has taken"):
        check(cell)


def test_an_asset_of_a_simulated_grid_that_is_set_beyond_its_rating_is_named() -> None:
    village = make_village()
    profiles = {name: np.ones(12, np.float32) for name in ("home", "sun")}
    cell = Simulation()
    cell.enlist("grid", lambda: GridService(village, profiles, GridServiceSettings()))
    cell.run(1.0)
    check(cell, grid=village)
    rated = structs.replace(
        village,
        customers=tuple(
            structs.replace(
                customer,
                assets=tuple(structs.replace(asset, rating_kva=1.0) for asset in customer.assets),
            )
            for customer in village.customers
        ),
    )
    with pytest.raises(InvariantError, match="kVA, and can 1"):
        check(cell, grid=rated)
