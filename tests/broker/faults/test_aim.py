"""Whom a fault hits, and that one which hits nobody is an error."""

from itertools import permutations

import pytest

from peercell.agents.errors import PeercellError
from peercell.broker.faults.aim import links_at, peers_at

ROLES = {
    "mg1.trader": "trader",
    "mg1.c1": "prosumer",
    "mg2.trader": "trader",
    "mg2.c1": "prosumer",
    "aggregator": "aggregator",
}
LINKS = tuple(permutations(ROLES, 2))


@pytest.mark.parametrize(
    ("on", "count"),
    [
        ("all", 20),
        ("aggregator", 8),
        ("mg1", 14),
        ("mg1 from rest", 12),
        ("mg1<->rest", 12),
        ("rest->mg1", 6),
        ("mg1->rest", 6),
        ("mg1,mg2 from rest", 8),
        ("mg1.trader<->mg2.trader", 2),
        ("mg1.trader->mg2.trader", 1),
        ("mg1->mg2", 4),
        ("role=trader", 14),
        ("role=trader<->role=trader", 2),
    ],
)
def test_which_links_a_selector_means(on: str, count: int) -> None:
    links = links_at(on, ROLES)
    assert sum(link in links for link in LINKS) == count


def test_the_direction_of_an_arrow_counts() -> None:
    links = links_at("mg1.trader->mg2.trader", ROLES)
    assert ("mg1.trader", "mg2.trader") in links
    assert ("mg2.trader", "mg1.trader") not in links


def test_all_means_links_of_peers_to_come_too() -> None:
    assert ("mg3.trader", "mg9.c1") in links_at("all", ROLES)
    assert ("mg3.trader", "mg1.c1") in links_at("mg1 from rest", ROLES)


def test_peers_are_drawn_by_the_seed() -> None:
    drawn = {peers_at("any:2", ROLES, seed) for seed in range(40)}
    assert all(len(each) == 2 for each in drawn)
    assert {peer for each in drawn for peer in each} == set(ROLES)
    assert peers_at("any:2", ROLES, 1) == peers_at("any:2", dict(reversed(ROLES.items())), 1)[::-1]
    assert set(peers_at("role=trader,any:1", ROLES, 5)) < {"mg1.trader", "mg2.trader"}


@pytest.mark.parametrize(
    ("on", "what"),
    [
        ("mg9", 'there is no peer "mg9"'),
        ("mg1->mg9", 'there is no peer "mg9"'),
        ("all from rest", '"all from rest" means no link'),
        ("mg1.c1->mg1.c1", '"mg1.c1->mg1.c1" means no link'),
    ],
)
def test_links_that_are_not_there_are_an_error(on: str, what: str) -> None:
    with pytest.raises(PeercellError) as refusal:
        links_at(on, ROLES)
    assert refusal.value.what == what


@pytest.mark.parametrize("on", ["any:6", "any:0", "any:1,any:2", "role=trader,any:3"])
def test_more_than_there_are_cannot_be_drawn(on: str) -> None:
    with pytest.raises(PeercellError, match="cannot be drawn"):
        peers_at(on, ROLES)
