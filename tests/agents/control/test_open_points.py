"""Which sections can be open in place of another: whatever is exchanged, the network is a tree."""

from collections.abc import Collection, Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from peercell.agents.control.open_points import Section, loop, positions


def is_tree(sections: Sequence[Section], opened: Collection[str]) -> bool:
    """Return whether the closed sections join all places, and none of them could be spared."""
    number: dict[str, int] = {}
    for section in sections:
        for place in (section.first, section.second):
            number.setdefault(place, len(number))
    closed = [section for section in sections if section.name not in opened]
    ends = [(number[section.first], number[section.second]) for section in closed]
    rows, columns = np.array(ends, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(ends)), (rows, columns)), shape=(len(number), len(number)))
    parts = connected_components(graph, directed=False, return_labels=False)
    return bool(parts == 1) and len(closed) == len(number) - 1


@st.composite
def networks(draw: st.DrawFn) -> tuple[tuple[Section, ...], tuple[str, ...]]:
    """Draw a connected network and the open points that make it radial."""
    size = draw(st.integers(2, 12))
    order = draw(st.permutations(range(size)))
    ends = [(order[draw(st.integers(0, k - 1))], order[k]) for k in range(1, size)]
    place = st.integers(0, size - 1)
    pairs = st.tuples(place, place).filter(lambda pair: pair[0] != pair[1])
    ties = draw(st.lists(pairs, min_size=1, max_size=5))
    sections = [
        Section(f"s{k}", str(first), str(second), (f"switch-s{k}",))
        for k, (first, second) in enumerate([*ends, *ties])
    ]
    opened = tuple(section.name for section in sections[size - 1 :])
    return tuple(draw(st.permutations(sections))), opened


@given(network=networks(), choice=st.data())
def test_i13_every_exchange_leaves_the_network_radial_and_connected(
    network: tuple[tuple[Section, ...], tuple[str, ...]], choice: st.DataObject
) -> None:
    sections, opened = network
    assert is_tree(sections, opened)
    for _ in range(choice.draw(st.integers(1, 8))):
        closing = choice.draw(st.sampled_from(opened))
        around = loop(sections, opened, closing)
        assert around
        opening = choice.draw(st.sampled_from(around)).name
        opened = tuple(opening if name == closing else name for name in opened)
        assert is_tree(sections, opened)


@given(network=networks())
def test_nothing_else_could_be_opened(
    network: tuple[tuple[Section, ...], tuple[str, ...]],
) -> None:
    sections, opened = network
    for closing in opened:
        others = {*opened} - {closing}
        could = {s.name for s in sections if is_tree(sections, {*others, s.name})}
        assert could == {closing, *(section.name for section in loop(sections, opened, closing))}


def test_an_order_says_where_every_switch_stands() -> None:
    sections = (
        Section("a", "1", "2", ("a1", "a2")),
        Section("b", "2", "3"),
        Section("c", "3", "1", ("c1",)),
    )
    told = [(at.switch, at.closed) for at in positions(sections, ("a",))]
    assert told == [("a1", False), ("a2", False), ("c1", True)]
