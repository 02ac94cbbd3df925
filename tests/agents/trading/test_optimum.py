"""The reference cases: what the desk that knows everything finds, and what the traders find."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.agents.trading.markets import CASES, market_of, reference
from tests.agents.trading.play import Play

from peercell.agents.trading.optimum import solve_centrally
from peercell.broker.solving.trade import SolveSettings, trade_out


@pytest.mark.parametrize("name", CASES)
def test_the_traders_find_the_optimum(name: str) -> None:
    market, expected = reference(name)
    result = trade_out(market, SolveSettings())
    assert result.converged
    assert result.cost_eur == pytest.approx(expected["cost"], rel=1e-7)
    for trader, price in expected["prices"].items():
        assert result.prices[trader] == pytest.approx(price, abs=1e-4)
    sold = {f"{trade.seller}>{trade.buyer}": trade.kwh for trade in result.trades}
    if "trades" in expected:
        for link, energy in expected["trades"].items():
            assert sold.pop(link) == pytest.approx(energy, abs=1e-4)
        assert sum(sold.values()) <= 1e-4
    for trader, cost in expected.get("standalone", {}).items():
        assert result.standalone_eur[trader] == pytest.approx(cost, abs=1e-9)
    for key, found in (("unserved", result.unserved_kwh), ("generation", result.generation_kwh)):
        for trader, energy in expected.get(key, {}).items():
            assert found[trader] == pytest.approx(energy, abs=1e-4)
    if "standalone_total" in expected:
        assert sum(result.standalone_eur.values()) == pytest.approx(expected["standalone_total"])


@pytest.mark.parametrize("name", [case for case in CASES if case != "storage"])
def test_what_each_trader_pays_in_the_end(name: str) -> None:
    """Generation, transfer and trade together; at the optimum never more than alone."""
    market, expected = reference(name)
    result = trade_out(market, SolveSettings())
    for trader, cost in expected.get("net_cost", {}).items():
        carried = sum(
            link.cost(trade.kwh)
            for trade in result.trades
            for link in market.links
            if (link.seller, link.buyer) == (trade.seller, trade.buyer) and link.buyer == trader
        )
        offer = market.offers[trader]
        made = result.generation_kwh[trader]
        from_blocks = expected_generation_cost(offer.blocks, made)
        unserved = market.voll_eur_per_kwh * result.unserved_kwh[trader]
        net = from_blocks + unserved + carried + result.payments_eur[trader]
        assert net == pytest.approx(cost, abs=1e-3)
        assert net <= result.standalone_eur[trader] + 1e-3


def expected_generation_cost(blocks: tuple[object, ...], energy_kwh: float) -> float:
    """Return the cost of blocks that are listed in merit order, worked out again by filling up."""
    cost = 0.0
    for block in blocks:
        price, slope, width = (
            getattr(block, name)
            for name in ("price_eur_per_kwh", "slope_eur_per_kwh2", "width_kwh")
        )
        part = min(energy_kwh, width)
        cost += part * (price + slope * part / 2)
        energy_kwh -= part
    return cost


def test_who_stores_alone_and_who_does_not() -> None:
    """The two traders of the case with a store, each without the other, worked out by hand."""
    market, _ = reference("storage")
    for first, cost in (("as", 31.396875), ("b", 294.0)):
        own = {name: offer for name, offer in market.offers.items() if name[0] in first}
        links = tuple(link for link in market.links if link.seller in own and link.buyer in own)
        alone = trade_out(market_of(own, links, market.voll_eur_per_kwh), SolveSettings())
        assert alone.cost_eur == pytest.approx(cost, rel=1e-6)


# On a network without loss. A change of the method that takes more is a step back.
ROUNDS = {
    "two": 3,
    "line4": 5,
    "ring4": 15,
    "full4": 12,
    "kinks": 11,
    "levels": 96,
    "levels-cells": 7,
    "storage": 20,
    "formula12": 20,
}


@pytest.mark.parametrize("name", CASES)
def test_a_reference_case_takes_few_rounds(name: str) -> None:
    market, _ = reference(name)
    assert Play(market).rounds_to(1e-6) <= ROUNDS[name]


@pytest.mark.parametrize("name", CASES)
def test_the_central_optimum_agrees(name: str) -> None:
    pytest.importorskip("cvxpy")
    market, expected = reference(name)
    optimum = solve_centrally(market.offers, market.links, market.voll_eur_per_kwh)
    assert optimum.cost_eur == pytest.approx(expected["cost"], rel=1e-7)
    for trader, price in expected["prices"].items():
        assert optimum.prices_eur_per_kwh[trader] == pytest.approx(price, abs=1e-3)


def test_no_trader_loads_a_solver() -> None:
    """An agent process stays small: importing the role brings in neither cvxpy nor scipy."""
    program = (
        "import sys, peercell.agents.trading.trader, peercell.broker.solving.trade;"
        "print(sorted({'cvxpy', 'scipy', 'pandas', 'mesa'} & set(sys.modules)))"
    )
    source = Path(__file__).parents[3] / "src"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"
