"""The village of `village.py`, quarter hour after quarter hour, with everything going wrong."""

from functools import cache

import numpy as np
import pytest
from tests.agents.trading.bounds import cost_eur, lower_bound_eur, transfer_eur
from tests.agents.trading.village import (
    BAD_LINKS,
    GOOD_LINKS,
    MARKET,
    TOLERANCE,
    TRADERS,
    VOLL_EUR_PER_KWH,
    Village,
    calendar,
    cells,
    homes,
    prosumers,
    units,
)

from peercell.agents.trading.aggregator import wholesale_offer
from peercell.agents.trading.blocks import Offer, concatenate
from peercell.agents.trading.calendar import MarketPhase
from peercell.agents.trading.contract_messages import (
    Fallback,
    LateOffer,
    MarketStatus,
    MarketStatusQuery,
    Settlement,
    Unsettled,
)
from peercell.agents.trading.portfolio import Portfolio
from peercell.agents.trading.retail import retail_cost
from peercell.broker.faults.network import LinkFaults

INTERVALS = 4
LINKS = tuple(link for cell in cells() for link in cell.links)
WH = 1e-3
EXACT = 1e-9


def portfolio(village: Village, home: str) -> Portfolio:
    return Portfolio(units(home, village.market.intervals), village.market.period_h)


def offers(village: Village, interval: int) -> dict[str, Offer]:
    """Return what each trader should have offered."""
    made = {
        trader: concatenate(
            portfolio(village, home).offer(interval).offer for home in homes(trader)
        )
        for trader in TRADERS
    }
    return {**made, "aggregator": wholesale_offer(village.aggregator_settings(), interval)}


def bounds(village: Village, interval: int) -> tuple[float, float]:
    """Return what the plan of an interval costs and what any plan costs at least, EUR."""
    told = offers(village, interval)
    plans = {name: fact.plan for name, fact in village.settlements(interval).items()}
    assert plans.keys() == set(MARKET)
    cost = transfer_eur(LINKS, plans)
    for name, plan in plans.items():
        cost += cost_eur(
            told[name], village.blocks_kwh(name, interval), plan.unserved_kwh[0], VOLL_EUR_PER_KWH
        )
    prices = {name: plan.price_eur_per_kwh[0] for name, plan in plans.items()}
    return cost, lower_bound_eur(told, LINKS, prices)


def check_optimum(village: Village, interval: int) -> None:
    """The plan is certified, and no plan could cost less."""
    assert all(fact.plan.certified for fact in village.settlements(interval).values())
    cost, bound = bounds(village, interval)
    assert bound - EXACT <= cost <= bound + TOLERANCE * cost + EXACT


def check_balance(village: Village, interval: int) -> None:
    """What is made, carried and used adds up: in each microgrid, and over all of them."""
    settled = village.settlements(interval)
    for fact in settled.values():
        plan = fact.plan
        bought = sum(trade.bought_kwh[0] for trade in plan.trades)
        sold = sum(trade.sold_kwh[0] for trade in plan.trades)
        made = plan.generation_kwh[0] + plan.unserved_kwh[0] + bought
        used = fact.load_kwh[0] + plan.spilled_kwh[0] + sold
        assert made == pytest.approx(used, abs=EXACT)
    wholesale = settled["aggregator"].plan
    bought_kwh = sum(trade.bought_kwh[0] - trade.sold_kwh[0] for trade in wholesale.trades)
    spilled_kwh = sum(fact.plan.spilled_kwh[0] for fact in settled.values())
    planned_kwh = sum(each.planned_kwh for each in village.deliveries(interval).values())
    assert planned_kwh == pytest.approx(bought_kwh + spilled_kwh, abs=WH)


def check_delivery(village: Village, interval: int) -> None:
    """Every prosumer has followed its schedule, and the grid service has seen it."""
    deliveries = village.deliveries(interval)
    assert deliveries.keys() == set(prosumers())
    for delivery in deliveries.values():
        assert delivery.scheduled
        assert delivery.deviation_kwh == pytest.approx(0.0, abs=EXACT)


@cache
def quiet_village() -> Village:
    """Return the village after four intervals in which nothing went wrong."""
    village = Village(calendar(INTERVALS))
    village.start()
    village.run_to_end()
    return village


@pytest.mark.parametrize("interval", range(INTERVALS))
def test_every_interval_ends_in_the_optimum(interval: int) -> None:
    village = quiet_village()
    check_optimum(village, interval)
    check_balance(village, interval)
    check_delivery(village, interval)


def test_nobody_pays_more_than_alone() -> None:
    for _, fact in quiet_village().facts(Settlement):
        plan = fact.plan
        assert plan.cost_eur + plan.payment_eur <= plan.standalone_eur + plan.gap_eur + EXACT


@pytest.mark.parametrize("interval", range(INTERVALS))
def test_savings_count_against_the_retailer_alone(interval: int) -> None:
    village = quiet_village()
    facts, told = village.settlements(interval), offers(village, interval)
    for trader, terms in village.retail_terms().items():
        retail = retail_cost(told[trader], terms, interval, VOLL_EUR_PER_KWH)
        assert facts[trader].retail_eur == pytest.approx(retail, abs=EXACT)
        assert retail <= facts[trader].plan.standalone_eur + EXACT
    assert facts["aggregator"].retail_eur == facts["aggregator"].plan.standalone_eur
    for fact in facts.values():
        paid = fact.plan.cost_eur + fact.plan.payment_eur
        assert fact.saving_eur == pytest.approx(fact.retail_eur - paid, abs=EXACT)
    saved = sum(fact.saving_eur for fact in facts.values())
    assert saved >= -sum(fact.plan.gap_eur for fact in facts.values()) - EXACT
    assert saved > 0.01


def test_everything_is_said_and_set_once() -> None:
    village = quiet_village()
    assert len(village.grid.writes) == INTERVALS * len(prosumers())
    assert village.grid.refusals == []
    for kind in (Fallback, LateOffer, Unsettled):
        assert village.facts(kind) == []
    starts_s = [village.market.start_s(k) for k in range(INTERVALS)]
    for at_s, _, _ in village.grid.writes:
        assert min(abs(at_s - start_s) for start_s in starts_s) < 0.1


def test_set_points_are_those_of_the_schedule() -> None:
    village = quiet_village()
    last = INTERVALS - 1
    for home in prosumers():
        asked = {p.asset for p in portfolio(village, home).set_points(last, None)}
        fed_kw = sum(village.grid.powers[asset][0] for asset in asked)
        planned_kwh = village.deliveries(last)[home].planned_kwh
        assert fed_kw * village.market.period_h == pytest.approx(planned_kwh, abs=EXACT)


@pytest.mark.parametrize("seed", range(4))
def test_loss_doubling_and_disorder_change_nothing_but_the_time(seed: int) -> None:
    village = Village(calendar(INTERVALS), BAD_LINKS, seed)
    village.start()
    village.run_to_end()
    for interval in range(INTERVALS):
        check_optimum(village, interval)
        check_balance(village, interval)
        check_delivery(village, interval)
    assert village.facts(Fallback) == []
    assert village.facts(Unsettled) == []


def test_clocks_need_not_agree() -> None:
    village = Village(calendar(INTERVALS), BAD_LINKS, skew_s=0.5)
    village.start()
    village.run_to_end()
    for interval in range(INTERVALS):
        check_optimum(village, interval)
        check_balance(village, interval)
        check_delivery(village, interval)


@pytest.mark.parametrize("seed", range(8))
def test_whoever_crashes_when_the_cell_is_whole_again_in_the_end(seed: int) -> None:
    village = Village(calendar(5), BAD_LINKS, seed)
    village.start()
    chance = np.random.default_rng(seed)
    names = [name for name in village.names() if name != "grid"]
    for _ in range(3):
        down_s = village.market.start_s(-1) + float(chance.uniform(0.0, 35.0))
        up_s = down_s + float(chance.uniform(0.05, 4.0))
        village.restart(names[int(chance.integers(len(names)))], down_s, up_s)
    village.run_to_end()
    for interval in range(5):
        for fact in village.settlements(interval).values():
            assert not fact.plan.disputes
    check_optimum(village, 4)
    check_balance(village, 4)
    check_delivery(village, 4)


def test_equal_seeds_give_equal_runs() -> None:
    runs = []
    for _ in range(2):
        village = Village(calendar(2), BAD_LINKS, 3)
        village.start()
        village.run_to_end()
        runs.append(village.simulation.facts)
    assert runs[0] == runs[1]


@pytest.mark.parametrize("faults", [GOOD_LINKS, BAD_LINKS], ids=["good", "bad"])
@pytest.mark.parametrize("share", [0.05, 0.21, 0.5, 0.85], ids=lambda share: f"{share:.0%}")
def test_a_prosumer_that_crashes_goes_on_in_the_interval(share: float, faults: LinkFaults) -> None:
    village = Village(calendar(3), faults)
    village.start()
    down_s = village.market.start_s(0) + share * village.market.interval_s
    village.restart("mg3-home2", down_s, down_s + 0.3)
    village.run_to_end()
    for interval in range(3):
        check_optimum(village, interval)
        check_balance(village, interval)
        check_delivery(village, interval)
    assert village.facts(Fallback) == []


@pytest.mark.parametrize("faults", [GOOD_LINKS, BAD_LINKS], ids=["good", "bad"])
@pytest.mark.parametrize("share", [0.05, 0.205, 0.21, 0.22], ids=lambda share: f"{share:.1%}")
@pytest.mark.parametrize("trader", ["mg2", "aggregator"])
def test_a_trader_that_crashes_comes_back_to_the_same_optimum(
    share: float, trader: str, faults: LinkFaults
) -> None:
    village = Village(calendar(3), faults)
    village.start()
    down_s = village.market.start_s(0) + share * village.market.interval_s
    village.restart(trader, down_s, down_s + 0.3)
    village.run_to_end()
    for interval in range(3):
        check_optimum(village, interval)
        check_balance(village, interval)
        check_delivery(village, interval)


@pytest.mark.parametrize("faults", [GOOD_LINKS, BAD_LINKS], ids=["good", "bad"])
@pytest.mark.parametrize("share", [0.4, 0.7, 0.85], ids=lambda share: f"{share:.0%}")
@pytest.mark.parametrize("trader", ["mg2", "aggregator"])
def test_a_trader_that_crashes_after_the_vote_settles_nothing_else(
    share: float, trader: str, faults: LinkFaults
) -> None:
    village = Village(calendar(3), faults)
    village.start()
    down_s = village.market.start_s(0) + share * village.market.interval_s
    village.restart(trader, down_s, down_s + 0.3)
    village.run_to_end()
    for interval in range(3):
        check_optimum(village, interval)
    # Only a schedule that was lost on its way before the crash is missed.
    fallen_back = {name for name, _ in village.facts(Fallback)}
    assert fallen_back <= (
        set(homes(trader)) if faults == BAD_LINKS and trader in TRADERS else set()
    )
    for interval in (0, 2):
        check_balance(village, interval)
        check_delivery(village, interval)


def test_a_trader_that_is_away_costs_its_own_prosumers_the_interval() -> None:
    village = Village(calendar(4))
    village.start()
    away_s = village.market.start_s(0) + 1.0
    village.restart("mg2", away_s, away_s + village.market.interval_s)
    village.run_to_end()
    assert village.facts(Fallback) == [(home, Fallback(1)) for home in homes("mg2")]
    assert village.settlements(1).keys() == set(MARKET) - {"mg2"}
    for interval in (0, 2, 3):
        check_optimum(village, interval)
        check_delivery(village, interval)


def test_a_gate_that_closes_too_early_leaves_a_plan_with_a_known_gap() -> None:
    village = Village(calendar(2), round_s=0.5)
    village.start()
    village.run_to_end()
    plans = [fact.plan for fact in village.settlements(0).values()]
    assert not any(plan.certified for plan in plans if plan.gap_eur > 0.0)
    cost, bound = bounds(village, 0)
    gap = sum(plan.gap_eur for plan in plans)
    assert gap > TOLERANCE * cost
    assert cost - bound == pytest.approx(gap, abs=EXACT)
    check_balance(village, 0)
    check_delivery(village, 0)
    assert status(village, "mg1").fallbacks >= 1


def test_an_offer_that_is_late_is_replaced_by_the_last_one() -> None:
    village = Village(calendar(4))
    village.start()
    away_s = village.market.start_s(0) + 0.5 * village.market.interval_s
    village.restart("mg3-home0", away_s, away_s + village.market.interval_s)
    village.run_to_end()
    assert village.facts(LateOffer) == [("mg3", LateOffer(2, "mg3-home0", 1))]
    for interval in range(4):
        late = [name for name, fact in village.settlements(interval).items() if fact.late]
        assert late == (["mg3"] if interval == 2 else [])
        assert all(fact.plan.certified for fact in village.settlements(interval).values())
    for interval in (1, 2, 3):
        check_balance(village, interval)
    # It is back when interval 2 is delivered, and does what it can of a plan for other weather.
    delivery = village.deliveries(2)["mg3-home0"]
    assert delivery.scheduled
    assert delivery.deviation_kwh is not None
    assert abs(delivery.deviation_kwh) > WH
    assert status(village, "mg3").late_offers == 1


def test_a_prosumer_that_has_never_offered_is_left_out() -> None:
    village = Village(calendar(2))
    village.start()
    village.simulation.crash("mg4-home1", village.market.start_s(-1) - 0.5)
    village.run_to_end()
    assert village.facts(LateOffer) == [
        ("mg4", LateOffer(interval, "mg4-home1", None)) for interval in range(2)
    ]
    assert village.deliveries(0).keys() == set(prosumers()) - {"mg4-home1"}


def status(village: Village, trader: str, at_s: float | None = None) -> MarketStatus:
    """Return a trader's status at a time, by default at the end."""
    now_s = village.simulation.now_s if at_s is None else at_s
    village.simulation.command(trader, 1, MarketStatusQuery(), now_s)
    village.simulation.run(now_s)
    answer = village.simulation.replies[1]
    assert isinstance(answer, MarketStatus)
    return answer


def test_the_status_follows_the_market() -> None:
    village = Village(calendar(2))
    village.start()
    market = village.market
    ahead = status(village, "mg2", market.start_s(-1) - 0.5)
    assert (ahead.interval, ahead.phase, ahead.last) == (None, MarketPhase.AHEAD, None)
    early = status(village, "mg2", market.start_s(-1) + 0.5)
    assert (early.interval, early.phase, early.rounds) == (0, MarketPhase.OFFERS, 0)
    trading = status(village, "mg2", market.due_s(0) + 0.1)
    assert (trading.phase, trading.converged) == (MarketPhase.TRADING, False)
    assert trading.rounds > 0
    closed = status(village, "mg2", market.closure_s(0) + 0.1)
    assert (closed.phase, closed.converged, closed.settled) == (MarketPhase.CLOSED, True, 1)
    assert closed.last is not None
    assert closed.price_eur_per_kwh == closed.last.plan.price_eur_per_kwh
    village.run_to_end()
    over = status(village, "mg2")
    assert (over.interval, over.phase, over.settled) == (None, MarketPhase.OVER, 2)
    facts = [fact for name, fact in village.facts(Settlement) if name == "mg2"]
    assert over.last == facts[-1]
    assert over.saving_eur == pytest.approx(sum(fact.saving_eur for fact in facts))
    assert over.traded_kwh > 0.0
    assert (over.unsettled, over.fallbacks, over.unserved_kwh) == (0, 0, 0.0)
