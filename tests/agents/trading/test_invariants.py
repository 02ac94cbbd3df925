"""What must hold of every market that has been traded out; the numbers go on from the certificate.

Each market is drawn at random and traded by the real roles over a lossless network.
"""

import re
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.agents.trading.markets import (
    VOLL,
    market_of,
    markets,
    numbers,
    sloped_blocks,
    with_links,
    with_offer,
)

from peercell.agents.trading.blocks import Block, Offer, Supply, concatenate
from peercell.agents.trading.curves import BilateralCurve
from peercell.agents.trading.links import Link, links_by_peer
from peercell.agents.trading.response import exact_price
from peercell.broker.faults.network import LinkFaults
from peercell.broker.solving.instance import Market, market_cells
from peercell.broker.solving.trade import SolveSettings, TradeResult, trade_out

EXACT = SolveSettings(tolerance=1e-13, rounds_max=3000)
few = settings(max_examples=30)


def traded(market: Market) -> TradeResult:
    result = trade_out(market, EXACT)
    assert result.converged
    return result


def scaled(market: Market, *, money: float = 1.0, energy: float = 1.0) -> Market:
    """Return a market in other units of money and energy."""
    price, slope = money / energy, money / energy**2
    offers = {
        name: Offer(
            offer.load_kwh * energy,
            tuple(
                Block(
                    block.price_eur_per_kwh * price,
                    block.slope_eur_per_kwh2 * slope,
                    block.width_kwh * energy,
                )
                for block in offer.blocks
            ),
        )
        for name, offer in market.offers.items()
    }
    links = tuple(
        replace(
            link,
            fee_eur_per_kwh=link.fee_eur_per_kwh * price,
            slope_eur_per_kwh2=link.slope_eur_per_kwh2 * slope,
            capacity_kwh=link.capacity_kwh * energy,
        )
        for link in market.links
    )
    return market_of(offers, links, market.voll_eur_per_kwh * price)


def missing_links(market: Market) -> list[Link]:
    """Return a link for each pair of traders that has none."""
    known = {(link.seller, link.buyer) for link in market.links}
    pairs = permutations(market.offers, 2)
    return [Link(one, other, 0.5, 0.5, 5.0) for one, other in pairs if (one, other) not in known]


@few
@given(markets())
def test_7_prices_lie_between_nothing_and_the_value_of_lost_load(market: Market) -> None:
    assert all(0.0 <= price <= VOLL for price in traded(market).prices.values())


@few
@given(markets(smooth=True), st.integers(0, 5), numbers(0.1, 5))
def test_8_more_load_lowers_no_price(market: Market, k: int, more: float) -> None:
    name = list(market.offers)[k % len(market.offers)]
    offer = market.offers[name]
    after = traded(with_offer(market, name, replace(offer, load_kwh=offer.load_kwh + more)))
    for trader, price in traded(market).prices.items():
        assert after.prices[trader] >= price - 1e-4


@few
@given(markets(), st.integers(0, 9), st.integers(0, 5))
def test_9_what_helps_does_not_raise_the_cost(market: Market, which: int, who: int) -> None:
    """A lower fee, a higher capacity, one block or link more: each weakly lowers the cost."""
    before = traded(market).cost_eur
    k = which % len(market.links)
    link, others = market.links[k], market.links[:k] + market.links[k + 1 :]
    name = list(market.offers)[who % len(market.offers)]
    offer = market.offers[name]
    better = [
        with_links(market, (*others, replace(link, fee_eur_per_kwh=link.fee_eur_per_kwh / 2))),
        with_links(market, (*others, replace(link, capacity_kwh=link.capacity_kwh + 1))),
        *(with_links(market, (*market.links, more)) for more in missing_links(market)[:1]),
        with_offer(market, name, replace(offer, blocks=(*offer.blocks, Block(20.0, 2.0, 3.0)))),
    ]
    for market_after in better:
        assert traded(market_after).cost_eur <= before + 1e-9 * (1 + before)


@few
@given(markets(), st.integers(0, 5), numbers(0.1, 5))
def test_9_the_cost_is_convex_in_a_load(market: Market, who: int, more: float) -> None:
    name = list(market.offers)[who % len(market.offers)]
    offer = market.offers[name]
    low, middle, high = (
        traded(with_offer(market, name, replace(offer, load_kwh=offer.load_kwh + more * k)))
        for k in range(3)
    )
    assert middle.cost_eur <= (low.cost_eur + high.cost_eur) / 2 * (1 + 1e-9)


@few
@given(markets(smooth=True), st.data())
def test_10_names_and_order_do_not_matter(market: Market, data: st.DataObject) -> None:
    names = list(market.offers)
    shuffled = data.draw(st.permutations(names))
    renamed = dict(zip(names, [f"z{k}" for k in range(len(names))], strict=True))
    offers = {renamed[name]: market.offers[name] for name in shuffled}
    links = tuple(
        replace(link, seller=renamed[link.seller], buyer=renamed[link.buyer])
        for link in reversed(market.links)
    )
    before, after = traded(market), traded(market_of(offers, links))
    for name, price in before.prices.items():
        assert after.prices[renamed[name]] == pytest.approx(price, abs=1e-4)


@few
@given(markets())
def test_10_doubled_messages_change_not_a_bit(market: Market) -> None:
    twice = replace(EXACT, faults=LinkFaults(duplicate=1.0))
    assert replace(trade_out(market, twice), messages=0) == replace(traded(market), messages=0)


@few
@given(markets(smooth=True), st.sampled_from([0.01, 0.5, 1000.0]))
def test_11_units_do_not_matter(market: Market, factor: float) -> None:
    before = traded(market)
    money = traded(scaled(market, money=factor))
    energy = traded(scaled(market, energy=factor))
    assert money.cost_eur == pytest.approx(factor * before.cost_eur, rel=1e-9)
    for name, price in before.prices.items():
        assert money.prices[name] == pytest.approx(factor * price, rel=1e-5)
        assert energy.prices[name] == pytest.approx(price / factor, rel=1e-5)


@few
@given(markets(smooth=True), numbers(1, 50))
def test_12_a_constant_on_all_costs_is_a_constant_on_all_prices(
    market: Market, more: float
) -> None:
    """As long as nobody spills, so that the lower bound of 0 does not bind."""
    dearer = {
        name: replace(
            offer,
            blocks=tuple(
                replace(block, price_eur_per_kwh=block.price_eur_per_kwh + more)
                for block in offer.blocks
            ),
        )
        for name, offer in market.offers.items()
    }
    after = traded(market_of(dearer, market.links, VOLL + more))
    for name, price in traded(market).prices.items():
        assert after.prices[name] == pytest.approx(price + more, abs=1e-4)


@few
@given(markets())
def test_13_a_block_in_two_halves_is_the_same_block(market: Market) -> None:
    halves = {
        name: replace(
            offer,
            blocks=tuple(
                Block(
                    block.price_eur_per_kwh, 2.0 * block.slope_eur_per_kwh2, block.width_kwh / 2.0
                )
                for block in offer.blocks
                for _ in range(2)
            ),
        )
        for name, offer in market.offers.items()
    }
    after = traded(market_of(halves, market.links))
    assert after.cost_eur == pytest.approx(traded(market).cost_eur, rel=1e-9)


@few
@given(markets(), st.integers(0, 9))
def test_14_a_closed_or_priceless_link_is_no_link(market: Market, which: int) -> None:
    """Islanding is a capacity of 0; a fee above the value of lost load does the same."""
    k = which % len(market.links)
    link, others = market.links[k], market.links[:k] + market.links[k + 1 :]
    without = traded(with_links(market, others)).cost_eur
    for same in (replace(link, capacity_kwh=0.0), replace(link, fee_eur_per_kwh=VOLL + 1.0)):
        cost = traded(with_links(market, (*others, same))).cost_eur
        assert cost == pytest.approx(without, rel=1e-9)


@settings(max_examples=30)
@given(markets(), st.lists(st.integers(0, 5), min_size=60, max_size=60))
def test_15_relaxation_brackets_the_prices_in_any_order(market: Market, order: list[int]) -> None:
    """From 0 it only climbs, from VOLL it only falls, and what is converged lies between."""
    supplies = {name: Supply(offer, VOLL) for name, offer in market.offers.items()}
    links = {name: links_by_peer(name, market.links) for name in market.offers}
    low = dict.fromkeys(market.offers, 0.0)
    high = dict.fromkeys(market.offers, VOLL)

    def answer(name: str, prices: dict[str, float]) -> float:
        curves = [
            BilateralCurve(pair.inward, pair.outward, prices[peer], 0.0)
            for peer, pair in links[name].items()
        ]
        return exact_price(supplies[name], curves)

    names = list(market.offers)
    for k in order:
        name = names[k % len(names)]
        climbed, fallen = answer(name, low), answer(name, high)
        assert climbed >= low[name] - 1e-9
        assert fallen <= high[name] + 1e-9
        low[name], high[name] = climbed, fallen
    for name, price in traded(market).prices.items():
        assert low[name] - 1e-3 <= price <= high[name] + 1e-3


@few
@given(markets(smooth=True))
def test_17_any_cells_give_the_same_optimum(market: Market) -> None:
    names = tuple(market.offers)
    before = traded(market)
    for groups in ((names,), (names[:2], names[1:]), (names[::-1][:3],)):
        sensible = tuple(group for group in groups if len(group) > 1)
        cells = tuple(market_cells(market.links, sensible))
        after = traded(replace(market, cells=cells))
        assert after.cost_eur == pytest.approx(before.cost_eur, rel=1e-9)
        for name, price in before.prices.items():
            assert after.prices[name] == pytest.approx(price, abs=1e-4)


@few
@given(st.lists(st.builds(Offer, numbers(1, 10), sloped_blocks()), min_size=3, max_size=3))
def test_18_a_store_without_cost_or_limit_evens_prices_out(offers: list[Offer]) -> None:
    """Three hours that repeat; what is stored in one may be used in any other."""
    hours = {f"hour{k}": offer for k, offer in enumerate(offers)}
    store = tuple(Link(f"hour{k}", f"hour{(k + 1) % 3}", 0.0, 1e-3) for k in range(3))
    result = trade_out(market_of(hours, store), SolveSettings(tolerance=1e-10))
    assert result.converged
    common = exact_price(Supply(concatenate(offers), VOLL), ())
    assert list(result.prices.values()) == pytest.approx([common] * 3, abs=0.05)


def test_4_at_the_end_nobody_pays_more_than_alone() -> None:
    chance = np.random.default_rng(1)
    for _ in range(10):
        costs, loads = chance.uniform(5, 25, 6), chance.uniform(1, 10, 6)
        offers = {f"t{k}": Offer(float(loads[k]), (Block(float(costs[k]), 2.0),)) for k in range(6)}
        links = tuple(
            Link(f"t{a}", f"t{b}", 1.0, 0.5) for a in range(6) for b in range(6) if a != b
        )
        result = traded(market_of(offers, links))
        for name, offer in offers.items():
            supply = Supply(offer, VOLL)
            made = supply.cost(supply.dispatch(result.generation_kwh[name]))
            carried = sum(
                links[0].cost(trade.kwh) for trade in result.trades if trade.buyer == name
            )
            net = made + carried + result.payments_eur[name]
            assert net <= result.standalone_eur[name] + 1e-6


def test_the_table_of_invariants_names_tests_that_exist() -> None:
    """All eighteen numbers are in it, and what it names can be found."""
    tests = Path(__file__).parents[2]
    table = Path(__file__).with_name("README.md").read_text()
    numbers = {int(number) for number in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert numbers == set(range(1, 19))
    code = "".join(path.read_text() for path in tests.rglob("test_*.py"))
    missing = [name for name in re.findall(r"`(test_\w+)`", table) if f"def {name}(" not in code]
    assert missing == []
