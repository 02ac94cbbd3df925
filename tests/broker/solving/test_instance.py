"""Instance files: what they mean, and what is said about a wrong one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.trading.blocks import Block, Offer, Supply
from peercell.agents.units import UNLIMITED_KWH
from peercell.broker.solving.instance import InstanceError, Market, read_instance, to_market

A = {"id": "a", "load_kwh": 4, "linear": 0.1, "quadratic": 0.01}
B = {"id": "b", "load_kwh": 6}
LINK = {"from": "a", "to": "b", "linear": 0.02, "quadratic": 0.001}


def market(**fields: Any) -> Market:
    return to_market(read_instance(json.dumps(fields).encode()))


def one(**trader: Any) -> Offer:
    return market(traders=[{"id": "a", "load_kwh": 4, **trader}]).offers["a"]


def test_cost_is_linear_and_quadratic() -> None:
    assert one(linear=0.1, quadratic=0.01).blocks == (Block(0.1, 0.02, UNLIMITED_KWH),)


def test_a_load_alone_has_no_generator() -> None:
    assert one().blocks == ()


@pytest.mark.parametrize(
    ("trader", "block"),
    [
        ({"linear": 0.1}, Block(0.1, 0.0)),
        ({"quadratic": 0.01}, Block(0.0, 0.02)),
        ({"max_kwh": 5}, Block(0.0, 0.0, 5.0)),
        ({"linear": 0.1, "max_kwh": 5}, Block(0.1, 0.0, 5.0)),
    ],
)
def test_one_cost_or_limit_makes_a_generator(trader: dict[str, Any], block: Block) -> None:
    assert one(**trader).blocks == (block,)


def test_blocks_are_taken_as_they_are() -> None:
    offer = one(blocks=[[0.1, 0.02, 3], [0.3]])
    assert offer.blocks == (Block(0.1, 0.02, 3.0), Block(0.3))


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 90))
def test_a_must_run_generator_costs_what_its_formula_says(low: int, more: int, load: int) -> None:
    """From its minimum on; what is made below the load of others is spilled, and paid for."""
    least, most = low / 10, (low + more) / 10
    offer = one(linear=0.1, quadratic=0.01, min_kwh=least, max_kwh=most)
    supply = Supply(offer, 3.0)
    energy = min(max(load / 10, least), most)
    made = supply.dispatch(min(load / 10, most))
    assert supply.cost(made) == pytest.approx(0.1 * energy + 0.01 * energy**2)


def test_a_link_goes_one_way_and_costs_by_its_formula() -> None:
    (link,) = market(traders=[A, B], links=[LINK]).links
    assert (link.seller, link.buyer) == ("a", "b")
    assert link.cost(3.0) == pytest.approx(0.02 * 3.0 + 0.001 * 9.0)
    assert link.capacity_kwh == UNLIMITED_KWH


def test_a_link_without_quadratic_cost_gets_a_slope_that_hardly_counts() -> None:
    (link,) = market(traders=[A, B], links=[{"from": "a", "to": "b", "linear": 0.02}]).links
    assert 0.0 < link.slope_eur_per_kwh2 <= 1e-7
    assert link.cost(6.0) == pytest.approx(0.12, rel=1e-5)


def test_the_value_of_lost_load_is_above_every_other_price() -> None:
    assert market(traders=[A, B], voll_eur_per_kwh=0.5).voll_eur_per_kwh == 0.5
    assert market(traders=[A, B], links=[LINK]).voll_eur_per_kwh >= 3.0
    dear = {**A, "linear": 20.0}
    assert market(traders=[dear, B], links=[LINK]).voll_eur_per_kwh > 200.0


def test_links_within_a_cell_belong_to_it_and_others_are_bilateral() -> None:
    names = ("a", "b", "c", "d")
    traders = [{"id": name, "load_kwh": 1} for name in names]
    pairs = [("a", "b"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "c")]
    links = [{"from": x, "to": y, "linear": 0.01, "quadratic": 0.01} for x, y in pairs]
    found = market(traders=traders, links=links, cells=[["a", "b", "c"]])
    assert [(cell.members, len(cell.links)) for cell in found.cells] == [
        (("a", "b", "c"), 4),
        (("c", "d"), 2),
    ]


def test_a_loop_without_quadratic_cost_is_cleared_as_one_cell() -> None:
    traders = [{"id": name, "load_kwh": 1} for name in "abcd"]
    links = [{"from": x, "to": y, "linear": 0.01} for x, y in ("ab", "bc", "ca", "cd")]
    cells = market(traders=traders, links=links).cells
    assert sorted(sorted(cell.members) for cell in cells) == [["a", "b", "c"], ["c", "d"]]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"traders": []}, "traders"),
        ({"traders": [{"load_kwh": 1}]}, "id"),
        ({"traders": [{"id": "a"}]}, "load_kwh"),
        ({"traders": [{**B, "load_kwh": -1}]}, "$.traders[0].load_kwh"),
        ({"traders": [{**B, "quadratic": -0.1}]}, "$.traders[0].quadratic"),
        ({"traders": [{**B, "quadratc": 0.1}]}, "quadratc"),
        ({"traders": [{**B, "load_kwh": "six"}]}, "$.traders[0].load_kwh"),
        ({"traders": [B, B]}, '2 traders have the id "b"'),
        ({"traders": [{**A, "min_kwh": 3, "max_kwh": 2}]}, "min_kwh 3 is above max_kwh 2"),
        ({"traders": [{**A, "blocks": [[1, 0, 1]]}]}, "blocks and a cost"),
        ({"traders": [A], "links": [LINK]}, '$.links[0] names "b"'),
        ({"traders": [A], "links": [{"from": "a", "to": "a"}]}, "to itself"),
        ({"traders": [A, B], "links": [LINK, LINK]}, "$.links[1] is the second one"),
        ({"traders": [A, B], "links": [{**LINK, "capacity_kwh": -1}]}, "capacity_kwh"),
        ({"traders": [A, B], "cells": [["a"]]}, "$.cells[0]"),
        ({"traders": [A, B], "cells": [["a", "x"]]}, '"x", which is no trader'),
        ({"traders": [A], "voll_eur_per_kwh": 0}, "$.voll_eur_per_kwh"),
        ({"traders": [A], "market": 1}, "market"),
    ],
)
def test_a_wrong_file_is_refused_and_told_where(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InstanceError) as raised:
        read_instance(json.dumps(fields).encode(), "market.json")
    assert "market.json" in raised.value.what
    assert said in raised.value.why


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"traders": [{"id": NaN}]}'])
def test_what_is_no_instance_at_all_is_refused(data: bytes) -> None:
    with pytest.raises(InstanceError):
        read_instance(data)
