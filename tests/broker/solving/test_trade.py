"""Solving an instance: the answer has the promised fields, adds up, and says when it is not one."""

import json
from typing import Any

import msgspec
import pytest

from peercell.agents.trading.settings import Method
from peercell.broker.faults.network import LinkFaults
from peercell.broker.solving.instance import read_instance
from peercell.broker.solving.trade import SolveSettings, TradeResult, solve_instance

FIELDS = [
    "converged", "rounds", "messages", "cost_eur", "dual_bound_eur", "relative_gap", "prices",
    "generation_kwh", "unserved_kwh", "trades", "standalone_eur", "payments_eur",
]  # fmt: skip

TRADERS = [
    {"id": "a", "load_kwh": 8, "linear": 0.10, "quadratic": 0.005},
    {"id": "b", "load_kwh": 6, "linear": 0.20, "quadratic": 0.02},
    {"id": "c", "load_kwh": 10, "linear": 0.15, "quadratic": 0.0125},
    {"id": "d", "load_kwh": 3, "linear": 0.12, "quadratic": 0.01},
]
RING = [
    {"from": one, "to": other, "linear": 0.01, "quadratic": 0.0025}
    for pair in ("ab", "bc", "cd", "da")
    for one, other in ((pair[0], pair[1]), (pair[1], pair[0]))
]


def solve(settings: SolveSettings | None = None, **fields: Any) -> TradeResult:
    return solve_instance(read_instance(json.dumps(fields).encode()), settings)


def test_the_answer_has_exactly_the_promised_fields() -> None:
    answer = json.loads(msgspec.json.encode(solve(traders=TRADERS, links=RING)))
    assert list(answer) == FIELDS
    assert answer["converged"] is True
    assert set(answer["trades"][0]) == {"from", "to", "kwh"}
    assert list(answer["prices"]) == ["a", "b", "c", "d"]


def test_the_answer_adds_up() -> None:
    result = solve(traders=TRADERS, links=RING)
    assert sum(result.payments_eur.values()) == pytest.approx(0.0, abs=1e-12)
    assert result.dual_bound_eur <= result.cost_eur
    assert result.relative_gap <= 1e-9
    for trader in TRADERS:
        name = str(trader["id"])
        sold = sum(trade.kwh for trade in result.trades if trade.seller == name)
        bought = sum(trade.kwh for trade in result.trades if trade.buyer == name)
        supply = result.generation_kwh[name] + result.unserved_kwh[name] + bought - sold
        assert supply == pytest.approx(trader["load_kwh"], abs=1e-12)


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("drop", [0.0, 0.3])
def test_method_and_loss_do_not_change_the_prices(method: Method, drop: float) -> None:
    best = solve(traders=TRADERS, links=RING)
    settings = SolveSettings(method=method, faults=LinkFaults(drop=drop), seed=1)
    result = solve(settings, traders=TRADERS, links=RING)
    assert result.converged
    for name, price in best.prices.items():
        assert result.prices[name] == pytest.approx(price, abs=1e-5)


def test_not_converged_is_said_and_the_plan_still_adds_up() -> None:
    result = solve(SolveSettings(rounds_max=4), traders=TRADERS, links=RING)
    assert not result.converged
    assert 0.0 < result.relative_gap < 1.0
    best = solve(traders=TRADERS, links=RING)
    assert result.dual_bound_eur <= best.cost_eur <= result.cost_eur


def test_who_is_short_is_named() -> None:
    result = solve(
        traders=[
            {"id": "a", "load_kwh": 4, "linear": 0.1, "max_kwh": 5},
            {"id": "b", "load_kwh": 3},
        ],
        links=[{"from": "a", "to": "b", "linear": 0.01, "quadratic": 0.001}],
    )
    assert result.converged
    assert result.unserved_kwh == pytest.approx({"a": 0.0, "b": 2.0}, abs=1e-9)
    assert result.prices["b"] == 3.0


def test_a_must_run_minimum_is_paid_and_its_surplus_given_away() -> None:
    result = solve(
        traders=[
            {"id": "a", "load_kwh": 2, "linear": 0.1, "quadratic": 0.01, "min_kwh": 5},
            {"id": "b", "load_kwh": 1, "linear": 0.2},
        ],
        links=[{"from": "a", "to": "b", "linear": 0.01, "quadratic": 0.001}],
    )
    assert result.prices["a"] == 0.0
    assert result.trades[0].kwh == pytest.approx(1.0)
    assert result.cost_eur == pytest.approx(0.1 * 5 + 0.01 * 25 + 0.01 + 0.001)


@pytest.mark.parametrize("fee", [0.0, 0.001, 0.05])
def test_links_without_quadratic_cost_find_the_linear_optimum(fee: float) -> None:
    """Two traders by hand: a sells until the marginal costs differ by the fee."""
    links = [{"from": "a", "to": "b", "linear": fee}, {"from": "b", "to": "a", "linear": fee}]
    result = solve(traders=TRADERS[:2], links=links)
    flow = (0.20 + 0.04 * 6 - (0.10 + 0.01 * 8) - fee) / (0.04 + 0.01)
    assert result.converged
    assert result.trades[0].kwh == pytest.approx(flow, abs=1e-5)
    ring = [{**link, "linear": fee, "quadratic": 0.0} for link in RING]
    assert solve(traders=TRADERS, links=ring).converged
