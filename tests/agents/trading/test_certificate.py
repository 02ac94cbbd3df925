"""The certificate: what holds for any prices at all, by identity. Numbers are of the invariants."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.agents.trading.markets import CASES, numbers, plan, priced_markets, reference

from peercell.agents.trading.blocks import Supply
from peercell.agents.trading.certificate import (
    Position,
    agreed,
    position_with,
    standalone_cost,
)
from peercell.agents.trading.links import links_by_peer
from peercell.broker.solving.instance import Market
from peercell.broker.solving.trade import dual_bound

Priced = tuple[Market, dict[str, float]]
Imports = dict[str, dict[str, float]]


def cost(positions: dict[str, Position]) -> float:
    return sum(position.cost_eur for position in positions.values())


@given(priced_markets())
def test_1_cost_minus_bound_is_the_sum_of_gaps(case: Priced) -> None:
    market, prices = case
    positions = plan(market, prices)
    gaps = [position.gap_eur for position in positions.values()]
    total = cost(positions)
    assert min(gaps) >= 0.0
    assert total - dual_bound(market, prices) == pytest.approx(sum(gaps), abs=1e-9 * (1 + total))


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=10)
@given(priced_markets())
def test_1_the_optimum_lies_between_bound_and_cost(name: str, case: Priced) -> None:
    """The drawn prices, stretched over the traders of a case whose optimum is known."""
    market, expected = reference(name)
    drawn = list(case[1].values())
    prices = {trader: drawn[k % len(drawn)] for k, trader in enumerate(market.offers)}
    assert dual_bound(market, prices) <= expected["cost"] + 1e-4
    assert cost(plan(market, prices)) >= expected["cost"] - 1e-6


@given(priced_markets())
def test_2_every_balance_holds(case: Priced) -> None:
    market, prices = case
    for name, position in plan(market, prices).items():
        made = position.dispatch[0]
        sold = sum(trade.sold_kwh[0] for trade in position.trades.values())
        bought = sum(trade.bought_kwh[0] for trade in position.trades.values())
        supply = sum(made.blocks_kwh) + made.unserved_kwh - made.spilled_kwh
        load = market.offers[name].load_kwh
        assert supply + bought - sold == pytest.approx(load, abs=1e-10 * (1 + sold + bought))


@given(priced_markets())
def test_3_payments_add_up_to_nothing(case: Priced) -> None:
    positions = plan(*case).values()
    moved = sum(abs(position.payment_eur) for position in positions)
    paid = sum(position.payment_eur for position in positions)
    assert paid == pytest.approx(0.0, abs=1e-12 * (1 + moved))
    net = sum(position.net_cost_eur for position in positions)
    assert net == pytest.approx(sum(position.cost_eur for position in positions), abs=1e-9)


@given(priced_markets())
def test_4_nobody_pays_more_than_alone_and_its_own_gap(case: Priced) -> None:
    market, prices = case
    for name, position in plan(market, prices).items():
        alone = standalone_cost((Supply(market.offers[name], market.voll_eur_per_kwh),))
        slack = 1e-10 * (1 + alone + abs(position.payment_eur))
        assert position.net_cost_eur <= alone + position.gap_eur + slack


@given(priced_markets())
def test_5_flows_go_one_way_and_uphill(case: Priced) -> None:
    """With fees above 0, prices rise along every flow, so no flow runs in a circle."""
    market, prices = case
    flows = {
        (link.seller, link.buyer): link.flow(prices[link.seller], prices[link.buyer])
        for link in market.links
    }
    for link in market.links:
        flow = flows[link.seller, link.buyer]
        assert 0.0 <= flow <= link.capacity_kwh
        assert min(flow, flows[link.buyer, link.seller]) == 0.0
        if flow > 0.0:
            assert prices[link.buyer] > prices[link.seller]


@given(priced_markets())
def test_6_on_an_idle_link_prices_differ_by_less_than_the_fee(case: Priced) -> None:
    market, prices = case
    for link in market.links:
        if link.capacity_kwh and not link.flow(prices[link.seller], prices[link.buyer]):
            assert prices[link.buyer] - prices[link.seller] <= link.fee_eur_per_kwh


@given(priced_markets())
def test_both_ends_compute_the_same_trade(case: Priced) -> None:
    positions = plan(*case)
    for name, position in positions.items():
        for peer, trade in position.trades.items():
            mirrored = positions[peer].trades[name]
            assert trade.sold_kwh == mirrored.bought_kwh
            assert trade.bought_kwh == mirrored.sold_kwh


@st.composite
def planned_markets(draw: st.DrawFn) -> tuple[Market, dict[str, float], Imports]:
    """Draw a market, any prices, and what each trader plans to import over links that exist."""
    market, prices = draw(priced_markets())
    imports: Imports = {name: {} for name in market.offers}
    for link in market.links:
        for own, other, way in ((link.buyer, link.seller, 1.0), (link.seller, link.buyer, -1.0)):
            if imports[own].setdefault(other, 0.0) == 0.0 and draw(st.booleans()):
                imports[own][other] = way * min(draw(numbers(0, 8)), link.capacity_kwh)
    return market, prices, imports


@given(planned_markets())
def test_what_both_ends_plan_is_certified_as_well(
    case: tuple[Market, dict[str, float], Imports],
) -> None:
    """Plans need not fit the prices nor each other; the identity of costs and gaps holds."""
    market, prices, imports = case
    plans = {}
    for name, planned in imports.items():
        trades = {
            peer: agreed((own,), (imports[peer][name],), (prices[peer],))
            for peer, own in planned.items()
        }
        for peer, trade in trades.items():
            own, theirs = abs(planned[peer]), abs(imports[peer][name])
            assert trade.sold_kwh[0] + trade.bought_kwh[0] <= min(own, theirs)
        supply = (Supply(market.offers[name], market.voll_eur_per_kwh),)
        links = links_by_peer(name, market.links)
        plans[name] = position_with(supply, links, (prices[name],), trades)
        alone = standalone_cost(supply)
        slack = 1e-10 * (1 + alone + abs(plans[name].payment_eur))
        assert plans[name].net_cost_eur <= alone + plans[name].gap_eur + slack
    for name, position in plans.items():
        for peer, trade in position.trades.items():
            assert trade.sold_kwh == plans[peer].trades[name].bought_kwh
    total = cost(plans)
    gaps = sum(position.gap_eur for position in plans.values())
    assert total - dual_bound(market, prices) == pytest.approx(gaps, abs=1e-9 * (1 + total))
