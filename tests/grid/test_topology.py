"""Which buses are one, which are dead and why, and what a line open at one end still does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.grid.builders import case33, chain, load, make_cell, random_cells
from tests.oracles.fused import largest_difference_pu
from tests.oracles.pandapower_net import PandapowerOracle
from tests.oracles.pgm import PowerGridModelOracle

from peercell.grid.errors import NoSourceError, UnknownElementError
from peercell.grid.feeder import Feeder
from peercell.grid.model import Branch, Bus, Cell, Source, Switch
from peercell.grid.topology import Switching, UnionFind, topology


def with_switches(cell: Cell) -> Cell:
    """Return a cell with a closed switch "s-BRANCH" at the start of every branch."""
    switches = tuple(
        Switch(id=f"s-{branch.id}", bus=branch.from_bus, branch=branch.id)
        for branch in cell.branches
    )
    return structs.replace(cell, switches=switches)


def busbar_cell(*, closed: bool = True) -> Cell:
    """Return 0 - 1 =switch= 2 - 3, with a source at 0."""
    return make_cell(
        [Bus(id=str(n), kv=0.4) for n in range(4)],
        [
            Branch(id="line-a", from_bus="0", to_bus="1", r_ohm=0.05, x_ohm=0.02, b_siemens=1e-4),
            Branch(id="line-b", from_bus="2", to_bus="3", r_ohm=0.05, x_ohm=0.02, b_siemens=1e-4),
        ],
        switches=[Switch(id="coupler", bus="1", other_bus="2", closed=closed)],
        sources=[Source(id="grid", bus="0")],
        customers=[load("1", -2.0), load("3", -4.0, -1.0)],
    )


def test_a_closed_switch_makes_two_buses_one() -> None:
    graph = topology(busbar_cell())
    assert graph.vertex_of_bus["1"] == graph.vertex_of_bus["2"]
    assert len(graph.vertex_kv) == 3
    feeder = Feeder(busbar_cell())
    voltage = dict(zip(feeder.node_ids, feeder.solve(*feeder.nominal).voltage, strict=True))
    assert voltage["1"] == voltage["2"]


def test_an_open_switch_leaves_what_is_behind_dead_and_says_so() -> None:
    feeder = Feeder(busbar_cell(closed=False))
    assert feeder.dead == dict.fromkeys(("2", "3"), "no source: cut off by open coupler")
    assert feeder.node_ids == ("0", "1")
    assert feeder.branch_ids == ("line-a",)
    # The load at the dead bus 3 draws nothing.
    state = feeder.solve(*feeder.nominal)
    assert state.source_kva.real == pytest.approx(2.0, abs=0.02)


def test_a_line_out_of_service_is_named_as_the_cause() -> None:
    feeder = Feeder(chain(4), Switching(outages=frozenset({"line-2"})))
    assert feeder.dead == dict.fromkeys("23", "no source: cut off by line-2 out of service")
    cell = chain(4)
    broken = structs.replace(cell.branches[1], in_service=False)
    branches = (cell.branches[0], broken, cell.branches[2])
    assert Feeder(structs.replace(cell, branches=branches)).dead == feeder.dead


def test_only_what_stands_between_dead_and_live_buses_is_a_cause() -> None:
    ring = Branch(id="ring", from_bus="0", to_bus="2", r_ohm=0.05, x_ohm=0.02)
    cell = structs.replace(chain(6), branches=(*chain(6).branches, ring))
    outages = frozenset({"ring", "line-4", "line-5"})
    dead = Feeder(cell, Switching(outages=outages)).dead
    # The ring joins two live buses and line-5 two dead ones; only line-4 would help.
    assert dead == dict.fromkeys(("4", "5"), "no source: cut off by line-4 out of service")


def test_a_bus_that_nothing_leads_to_has_no_cause_to_close() -> None:
    cell = structs.replace(chain(2), buses=(*chain(2).buses, Bus(id="alone", kv=0.4)))
    assert Feeder(cell).dead == {"alone": "no source: cut off by nothing that could be closed"}


@settings(max_examples=60)
@given(cell=random_cells(), choice=st.data())
def test_every_bus_has_a_voltage_or_a_cause_and_never_both(
    cell: Cell, choice: st.DataObject
) -> None:
    cell = with_switches(cell)
    names = st.sampled_from([switch.id for switch in cell.switches])
    closed = dict.fromkeys(choice.draw(st.sets(names)), False)
    lines = st.sampled_from([branch.id for branch in cell.branches])
    switching = Switching(closed=closed, outages=frozenset(choice.draw(st.sets(lines, max_size=3))))
    feeder = Feeder(cell, switching)
    assert {*feeder.node_ids} | {*feeder.dead} == {bus.id for bus in cell.buses}
    assert not {*feeder.node_ids} & {*feeder.dead}
    state = feeder.solve(*feeder.nominal)
    assert np.isfinite(state.voltage).all()
    assert np.abs(state.voltage).min() > 0.5
    for cause in feeder.dead.values():
        assert any(f"open {name}" in cause for name in closed) or any(
            f"{name} out of service" in cause for name in switching.outages
        )


@settings(max_examples=30)
@given(cell=random_cells(), choice=st.data())
def test_closing_what_the_cause_names_brings_all_buses_back(
    cell: Cell, choice: st.DataObject
) -> None:
    cell = with_switches(cell)
    names = [switch.id for switch in cell.switches]
    closed = dict.fromkeys(choice.draw(st.sets(st.sampled_from(names))), False)
    for _ in names:
        dead = Feeder(cell, Switching(closed=closed)).dead
        if not dead:
            break
        cause = next(iter(dead.values())).removeprefix("no source: cut off by ")
        for part in cause.split(", "):
            closed[part.removeprefix("open ")] = True
    assert not Feeder(cell, Switching(closed=closed)).dead


@settings(max_examples=30)
@given(cell=random_cells(), choice=st.data())
def test_opening_and_closing_again_restores_every_bit(cell: Cell, choice: st.DataObject) -> None:
    cell = with_switches(cell)
    before = Feeder(cell)
    first = before.solve(*before.nominal)
    name = choice.draw(st.sampled_from([switch.id for switch in cell.switches]))
    opened = Feeder(cell, Switching(closed={name: False}))
    opened.solve(*opened.nominal)
    again = Feeder(cell, Switching(closed={name: True})).solve(*before.nominal)
    assert first.voltage.tobytes() == again.voltage.tobytes()


@pytest.mark.parametrize("tie", [f"switch-line-{n}" for n in range(32, 37)])
@pytest.mark.parametrize("sectional", ["switch-line-6", "switch-line-13"])
def test_reconfigured_feeders_agree_with_power_grid_model(tie: str, sectional: str) -> None:
    cell = case33()
    states = {tie: True, sectional: False}
    switches = tuple(
        structs.replace(switch, closed=states.get(switch.id, switch.closed))
        for switch in cell.switches
    )
    ours = Feeder(cell, Switching(closed=states))
    theirs = PowerGridModelOracle(structs.replace(cell, switches=switches))
    difference = largest_difference_pu(
        ours.solve(*ours.nominal), ours.node_ids, theirs.solve(*ours.nominal)
    )
    assert difference <= 1e-8


def test_a_line_open_at_its_far_end_keeps_its_charging() -> None:
    cell = chain(4)
    cable = Branch(
        id="cable", from_bus="3", to_bus="1", r_ohm=0.3, x_ohm=0.1, b_siemens=5e-2, rating_a=100.0
    )
    cell = structs.replace(
        cell,
        branches=(*cell.branches, cable),
        switches=(Switch(id="far", bus="1", branch="cable", closed=False),),
    )
    feeder = Feeder(cell)
    state = feeder.solve(*feeder.nominal)
    theirs = PandapowerOracle(cell).solve(*feeder.nominal)
    assert largest_difference_pu(state, feeder.node_ids, theirs) <= 1e-8
    row = feeder.branch_ids.index("cable")
    assert state.links.loading[row] * 100.0 == pytest.approx(
        max(theirs.current_a["cable"]), abs=1e-4
    )
    # b kV² = 8 kvar of charging, all of it through the end that is connected.
    assert state.links.from_kva[row].imag == pytest.approx(-8.0, rel=0.03)
    assert state.links.to_kva[row] == pytest.approx(0.0, abs=1e-9)
    assert not feeder.dead


def test_a_line_open_at_both_ends_is_no_link() -> None:
    cell = with_switches(chain(3))
    ends = (*cell.switches, Switch(id="end", bus="2", branch="line-2", closed=False))
    feeder = Feeder(structs.replace(cell, switches=ends), Switching(closed={"s-line-2": False}))
    assert feeder.branch_ids == ("line-1",)
    assert feeder.dead == {"2": "no source: cut off by open s-line-2, open end"}


def test_two_islands_live_from_two_sources() -> None:
    cell = structs.replace(
        busbar_cell(closed=False),
        sources=(Source(id="grid", bus="0"), Source(id="battery", bus="3", v_pu=1.02)),
    )
    feeder = Feeder(cell)
    state = feeder.solve(*feeder.nominal)
    voltage = dict(zip(feeder.node_ids, state.voltage, strict=True))
    assert not feeder.dead
    assert (abs(voltage["0"]), abs(voltage["3"])) == (1.0, 1.02)
    theirs = PowerGridModelOracle(cell).solve(*feeder.nominal)
    assert largest_difference_pu(state, feeder.node_ids, theirs) <= 1e-8


def test_without_a_source_there_is_no_network() -> None:
    cell = structs.replace(chain(3), sources=())
    with pytest.raises(NoSourceError, match='cell "test" has no source'):
        topology(cell)


@pytest.mark.parametrize(
    ("switching", "what"),
    [
        (Switching(closed={"switch-line-99": True}), 'there is no switch "switch-line-99"'),
        (Switching(outages=frozenset({"line-99"})), 'there is no branch "line-99"'),
        (Switching(taps={"trafo": 1}), 'there is no transformer "trafo"'),
    ],
)
def test_an_element_that_does_not_exist_is_named(switching: Switching, what: str) -> None:
    with pytest.raises(UnknownElementError, match=what):
        topology(case33(), switching)


@given(cell=random_cells())
def test_a_tap_position_that_does_not_exist_is_named(cell: Cell) -> None:
    with pytest.raises(UnknownElementError) as caught:
        topology(cell, Switching(taps={"t": 7}))
    assert str(caught.value) == 'transformer "t" has no tap position 7; why: it has 0 to 0'


@given(pairs=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_union_find_joins_what_is_connected_in_any_order(pairs: list[tuple[int, int]]) -> None:
    forward, backward = UnionFind(10), UnionFind(10)
    for pair in pairs:
        forward.join(*pair)
    for first, second in reversed(pairs):
        backward.join(second, first)
    roots = [forward.find(item) for item in range(10)]
    assert roots == [backward.find(item) for item in range(10)]
    assert all(root <= item for item, root in enumerate(roots))
    assert all(roots[first] == roots[second] for first, second in pairs)
    assert forward.find(forward.add()) == 10
