"""An island that cannot serve its load: who goes without is named, and does."""

from datetime import datetime

import pytest
from tests.agents.trading.fake_grid import FakeGrid

from peercell.agents.trading.blocks import Offer
from peercell.agents.trading.calendar import MarketCalendar
from peercell.agents.trading.contract_messages import Delivery, Settlement
from peercell.agents.trading.market import MarketTrader, MarketTraderSettings
from peercell.agents.trading.portfolio import ProsumerAsset
from peercell.agents.trading.prosumer import Prosumer, ProsumerSettings
from peercell.agents.trading.settings import TraderSettings
from peercell.broker.faults.network import LinkFaults
from peercell.broker.simulation import Simulation

CALENDAR = MarketCalendar(
    origin_s=100.0, at_first=datetime(2016, 5, 28, 20, 0), intervals=1, interval_s=10.0
)
VOLL_EUR_PER_KWH = 3.0
UNITS = {
    "farm": (
        ProsumerAsset(asset="farm-load", p_kw=(-3.0,)),
        ProsumerAsset(asset="farm-plant", p_kw=(4.0,), price_eur_per_kwh=0.2),
    ),
    "mill": (
        ProsumerAsset(
            asset="mill-load",
            p_kw=(-10.0,),
            q_kvar=(-2.0,),
            flexible_share=0.5,
            price_eur_per_kwh=0.5,
        ),
    ),
}


def island() -> tuple[FakeGrid, Simulation]:
    """Return a market of one trader after its only interval."""
    grid = FakeGrid({home: tuple(unit.asset for unit in units) for home, units in UNITS.items()})
    simulation = Simulation(LinkFaults(delay_s_min=0.01, delay_s_max=0.01))
    simulation.start("grid", grid, 80.0)
    trading = TraderSettings(
        name="mg",
        offers=(Offer(0.0),),
        voll_eur_per_kwh=VOLL_EUR_PER_KWH,
        roster=("mg",),
        round_s=0.1,
    )
    settings = MarketTraderSettings(trading=trading, calendar=CALENDAR, prosumers=tuple(UNITS))
    simulation.start("mg", MarketTrader(settings), 80.0)
    for home, units in UNITS.items():
        told = ProsumerSettings(
            name=home, grid="grid", calendar=CALENDAR, units=units, trader="mg", retry_s=0.2
        )
        simulation.start(home, Prosumer(told), 80.0)
    simulation.run(111.0)
    return grid, simulation


def test_who_is_short_is_named_and_cut_in_proportion() -> None:
    grid, simulation = island()
    (settlement,) = [fact for _, _, fact in simulation.facts if isinstance(fact, Settlement)]
    # 13 kW of load, 4 kW of the plant, 5 kW left out by the mill: 4 kW are missing of 8 kW firm.
    assert settlement.plan.certified
    assert settlement.plan.price_eur_per_kwh == (VOLL_EUR_PER_KWH,)
    assert {each.peer: each.unserved_kwh[0] for each in settlement.short} == pytest.approx(
        {"farm": 0.375, "mill": 0.625}
    )
    assert grid.powers == {
        "farm-load": pytest.approx((-1.5, 0.0)),
        "farm-plant": pytest.approx((4.0, 0.0)),
        "mill-load": pytest.approx((-2.5, -0.5)),
    }
    delivered = [fact for _, _, fact in simulation.facts if isinstance(fact, Delivery)]
    assert sum(fact.planned_kwh for fact in delivered) == pytest.approx(0.0, abs=1e-9)
