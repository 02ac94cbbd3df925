"""The overlay: connected, of even degree, quick to cross, and hardly changed by who comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peercell.agents.overlay import Neighbourhood, overlay


def hops(links: dict[str, tuple[str, ...]], start: str) -> dict[str, int]:
    """Return how far everyone that can be reached is."""
    far = {start: 0}
    for name in (queue := [start]):
        fresh = [peer for peer in links[name] if peer not in far]
        far.update(dict.fromkeys(fresh, far[name] + 1))
        queue += fresh
    return far


@given(st.integers(0, 80), st.integers(1, 4))
def test_everyone_is_reached_over_few_links_that_both_ends_know(size: int, rings: int) -> None:
    names = [f"m{k}" for k in range(size)]
    links = overlay(names, rings)
    assert links == overlay(reversed(names), rings)
    assert list(links) == sorted(names)
    assert all(len(near) <= 2 * rings and name not in near for name, near in links.items())
    assert all(name in links[peer] for name, near in links.items() for peer in near)
    assert not names or len(hops(links, names[0])) == size


def test_a_rumour_crosses_a_thousand_in_a_few_hops() -> None:
    """On a line of trading links it takes as many as there are members."""
    links = overlay([f"m{k}" for k in range(1000)], rings=3)
    assert max(hops(links, "m0").values()) <= 7
    assert sum(map(len, links.values())) >= 5.9 * 1000


@pytest.mark.parametrize("rings", [3, 4])
def test_who_comes_or_goes_changes_the_links_next_to_it_alone(rings: int) -> None:
    names = [f"m{k}" for k in range(200)]
    before, after = overlay(names, rings), overlay(names[:-1], rings)
    changed = {name for name, near in after.items() if near != before[name]}
    assert changed <= set(before[names[-1]])
    assert all(len(near) >= rings for near in after.values())


@given(st.integers(8, 80), st.data())
def test_who_finds_its_neighbours_down_ends_with_the_overlay_of_those_that_live(
    size: int, data: st.DataObject
) -> None:
    names = [f"m{k}" for k in range(size)]
    down = data.draw(st.sets(st.sampled_from(names), max_size=3 * size // 10))
    live = [name for name in names if name not in down]
    wanted = overlay(live)
    for name in live:
        near = Neighbourhood(name, names)
        while lost := down.intersection(near.links):
            near.lose(min(lost))
        assert near.links == wanted[name]
        assert len(near.links) >= 3
        for peer in sorted(down):
            near.regain(peer)
        assert near.links == overlay(names)[name]


def test_strangers_and_the_member_itself_are_no_neighbours() -> None:
    near = Neighbourhood("m1", ["m1", "m2", "m3"])
    for peer in ("m1", "grid"):
        near.lose(peer)
        near.regain(peer)
    assert near.links == ("m2", "m3")
