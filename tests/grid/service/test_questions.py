"""Questions that change nothing: who am I, what is connected, sensitivities, what would happen."""

import msgspec
import numpy as np
import pytest
from tests.grid.service.village import NOON, Desk, codes, service, sets, sun, village

from peercell.agents.grid_messages import (
    GridHello,
    GridRefusal,
    GridSnapshot,
    GridWelcome,
    SensitivityQuery,
    SensitivityReport,
    SetPoints,
    SnapshotQuery,
    StateQuery,
    StateReport,
    SwitchingOrder,
    TopologyQuery,
    TopologyReport,
    WhatIfQuery,
    WhatIfReport,
)
from peercell.agents.grid_parts import (
    Case,
    LimitKind,
    Outage,
    Reading,
    RefusalCode,
    SensitivityModel,
    SetPoint,
    SourceState,
    Switching,
    SwitchPosition,
    TapPosition,
    View,
)
from peercell.grid.cellfile import content_hash
from peercell.grid.feeder import Feeder
from peercell.grid.study import operating_point, powers_at

BUSES = ("0", "1", "2", "3", "4")
ALL = View(buses=("mv", *BUSES), branches=("t", "line-1", "line-2", "line-4", "line-5"))


def reading(desk: Desk, view: View = ALL) -> Reading:
    found = desk.ask("watch", StateQuery(0, view), StateReport).reading
    assert found is not None
    return found


def state(desk: Desk) -> GridSnapshot:
    return desk.ask("dso", SnapshotQuery(0), GridSnapshot)


def test_a_welcome_says_what_is_mine() -> None:
    desk = Desk(service())
    welcome = desk.ask("ann", GridHello(3), GridWelcome)
    assert (welcome.seq, welcome.cell, welcome.stamp.at) == (3, "village", NOON)
    assert welcome.digest == content_hash(village(), sun())
    found = {a.asset: (a.bus, a.kind, a.p_kw, a.rating_kva) for a in welcome.assets}
    assert found == {
        "pv-2": ("2", "pv", 20.0, 25.0),
        "load-2": ("2", "load", -8.0, None),
    }
    assert [(bus.bus, bus.v_max_pu) for bus in welcome.buses] == [("2", 1.05)]
    assert not welcome.sees_all
    assert not welcome.operates


def test_a_welcome_of_the_operator_names_all_assets_as_they_are_set() -> None:
    welcome = Desk(service()).command(GridHello(3), GridWelcome)
    assert {each.asset for each in welcome.assets} == {each.id for each in village().assets}


@pytest.mark.parametrize(
    ("peer", "buses"),
    [("east", ["1", "2"]), ("watch", ["mv", *BUSES]), ("dso", ["mv", *BUSES]), ("stranger", [])],
)
def test_a_welcome_says_what_may_be_seen(peer: str, buses: list[str]) -> None:
    welcome = Desk(service()).ask(peer, GridHello(1), GridWelcome)
    assert [bus.bus for bus in welcome.buses] == buses


def test_a_restarted_writer_learns_where_it_was() -> None:
    desk = Desk(service())
    desk.turn(("ann", sets(41, ("pv-2", 1.0))), ("ann", sets(17, ("load-2", 1.0))))
    assert desk.ask("ann", GridHello(0), GridWelcome).seq_newest == 41
    assert desk.ask("bob", GridHello(0), GridWelcome).seq_newest == 0


def test_a_microgrid_imports_what_it_does_not_make_itself() -> None:
    desk = Desk(service())
    view = View(buses=("1", "2"), branches=("line-1", "line-2"), microgrids=("mg-east", "mg-west"))
    found = reading(desk, view)
    east, west = found.microgrids
    feeder = Feeder(village())
    links = feeder.solve(*powers_at(feeder, sun(), NOON)).links
    line = feeder.branch_ids.index("line-2")
    losses_kva = complex(links.from_kva[line] + links.to_kva[line])
    assert east.import_kw == pytest.approx(losses_kva.real - (20.0 - 8.0), abs=1e-6)
    assert east.import_kvar == pytest.approx(losses_kva.imag + 2.0, abs=1e-6)
    assert west.import_kw is not None
    assert west.import_kw > 12.0
    assert (east.v_min_pu, east.v_max_pu) == found.voltages_pu
    assert east.loading_percent_max == max(load or 0.0 for load in found.loadings_percent)


def test_a_member_sees_its_microgrid() -> None:
    view = View(buses=("1", "2"), branches=("line-1",), microgrids=("mg-east",))
    assert codes(Desk(service()).turn(("east", StateQuery(1, view)))) == [None]


def test_violations_are_those_of_the_study() -> None:
    desk = Desk(service())
    desk.turn(("bob", sets(1, ("load-4", -120.0))), ("ann", sets(1, ("pv-2", 25.0))))
    feeder = Feeder(village())
    p_kw, q_kvar = powers_at(feeder, sun(), NOON)
    p_kw[[1, 4]], q_kvar[[1, 4]] = [25.0, -120.0], 0.0
    expected = operating_point(feeder, p_kw, q_kvar).violations
    found = reading(desk, View(violations=True)).violations
    assert [msgspec.structs.astuple(broken) for broken in found] == [
        (violation.kind.value, violation.element, violation.value, violation.limit)
        for violation in expected
    ]
    assert {broken.kind for broken in found} >= {LimitKind.UNDER_VOLTAGE}


@pytest.mark.parametrize(
    ("model", "tolerance"),
    [
        (SensitivityModel.EXACT, 1e-6),
        (SensitivityModel.FIRST_ORDER, 0.08),
        (SensitivityModel.LINDISTFLOW, 0.12),
    ],
)
def test_sensitivities_are_differences(model: SensitivityModel, tolerance: float) -> None:
    desk = Desk(service())
    found = desk.ask("ann", SensitivityQuery(1, "2", BUSES, model), SensitivityReport)
    ends = [
        (SetPoint("pv-2", 20.0 + step_kw, step_kvar),)
        for step_kw, step_kvar in ((0.01, 0.0), (-0.01, 0.0), (0.0, 0.01), (0.0, -0.01))
    ]
    query = WhatIfQuery(2, tuple(Case(end) for end in ends), View(buses=BUSES))
    outcomes = desk.ask("watch", query, WhatIfReport).outcomes
    v_pu = np.array([outcome.reading.voltages_pu for outcome in outcomes if outcome.reading], float)
    per_kw, per_kvar = (v_pu[0] - v_pu[1]) / 0.02, (v_pu[2] - v_pu[3]) / 0.02
    assert np.allclose(found.per_kw, per_kw, rtol=tolerance, atol=1e-9)
    assert np.allclose(found.per_kvar, per_kvar, rtol=tolerance, atol=1e-9)


def test_the_linear_model_is_that_of_the_feeder() -> None:
    query = SensitivityQuery(1, "2", BUSES, SensitivityModel.LINDISTFLOW)
    found = Desk(service()).ask("ann", query, SensitivityReport)
    feeder = Feeder(village())
    rows = [feeder.node_ids.index(bus) for bus in BUSES]
    r, x = (matrix[rows, feeder.node_ids.index("2")] for matrix in feeder.lindistflow)
    assert np.allclose(found.per_kw, r, rtol=1e-9)
    assert np.allclose(found.per_kvar, x, rtol=1e-9)


def test_sensitivities_follow_the_state() -> None:
    desk = Desk(service())
    query = SensitivityQuery(1, "2", BUSES)
    before = desk.ask("ann", query, SensitivityReport)
    assert desk.ask("ann", query, SensitivityReport) == before
    desk.turn(("bob", sets(1, ("load-4", -60.0))))
    after = desk.ask("ann", query, SensitivityReport)
    assert after.stamp.rev == 1
    assert after.per_kw != before.per_kw


def test_topology_tells_the_graph_as_it_is_now() -> None:
    desk = Desk(service())
    changes = Switching(
        switches=(SwitchPosition("tie", closed=True),),
        taps=(TapPosition("t", 1),),
        outages=(Outage("line-1", out=True),),
        sources=(SourceState("battery", on=True, bus="4", v_pu=1.0, x_ohm=0.1),),
    )
    desk.turn(("dso", SwitchingOrder(1, changes)))
    found = desk.ask("stranger", TopologyQuery(1), TopologyReport)
    assert found.stamp.topo == 1
    assert {b.branch: b.closed for b in found.branches} == {
        "line-1": False, "line-2": True, "line-3": True, "line-4": True, "line-5": True, "t": True,
    }  # fmt: skip
    assert [(s.switch, s.closed) for s in found.switches] == [("tie", True), ("gate", True)]
    assert [(s.source, s.bus) for s in found.sources] == [("grid", "mv"), ("battery", "4")]
    assert [zone.buses for zone in found.microgrids] == [("1", "2"), ("3", "4")]
    assert [(c.branch, c.lower, c.upper) for c in found.couplings] == [
        ("line-1", "mg-east", ""),
        ("line-3", "mg-west", ""),
    ]
    assert [(tie.element, tie.first, tie.second) for tie in found.ties] == [
        ("tie", "mg-east", "mg-west")
    ]
    assert found.dead == ()


CASES = (
    Case(),
    Case((SetPoint("pv-2", 1.0, 2.0), SetPoint("load-4", -30.0, -5.0))),
    Case((), Switching(switches=(SwitchPosition("tie", closed=True),))),
    Case((SetPoint("load-2"),), Switching(taps=(TapPosition("t", -1),))),
    Case((), Switching(outages=(Outage("t", out=True),))),
)


def test_what_if_is_what_then_is() -> None:
    desk = Desk(service())
    desk.turn(("ann", sets(1, ("load-2", -5.0))))
    before, values = state(desk), reading(desk)
    report = desk.ask("watch", WhatIfQuery(2, CASES, ALL), WhatIfReport)
    assert report.stamp == before.stamp
    assert (state(desk), reading(desk)) == (before, values)  # to the last bit
    for case, outcome in zip(CASES, report.outcomes, strict=True):
        actual = Desk(service())
        actual.turn(("ann", sets(1, ("load-2", -5.0))))
        if case.switching != Switching():
            actual.turn(("dso", SwitchingOrder(1, case.switching)))
        for point in case.set_points:
            peer = "bob" if point.asset == "load-4" else "ann"
            assert codes(actual.turn((peer, SetPoints(2, (point,))))) == [None]
        assert outcome.reading is not None
        assert_close(outcome.reading, reading(actual))


def assert_close(first: Reading, second: Reading) -> None:
    assert first.dead == second.dead
    for values, others in (
        (first.voltages_pu, second.voltages_pu),
        (first.loadings_percent, second.loadings_percent),
        (first.flows_kw, second.flows_kw),
    ):
        one, other = (np.array(row, float) for row in (values, others))  # None becomes nan
        assert np.allclose(one, other, rtol=0.0, atol=1e-5, equal_nan=True)


def test_a_hopeless_case_does_not_spoil_the_others() -> None:
    cases = (
        Case((SetPoint("load-4", -900.0),)),
        Case((SetPoint("load-9", 1.0),)),
        Case((), Switching(sources=(SourceState("grid", on=False),))),
        Case((SetPoint("pv-2", 30.0),)),
        Case((SetPoint("pv-2", 20.0, 0.0),)),
    )
    desk = Desk(service())
    outcomes = desk.ask("watch", WhatIfQuery(1, cases, ALL), WhatIfReport).outcomes
    assert [outcome.code for outcome in outcomes] == [
        RefusalCode.COLLAPSE,
        RefusalCode.UNKNOWN_ASSET,
        RefusalCode.NO_SOURCE,
        RefusalCode.OUT_OF_RANGE,
        None,
    ]
    assert all(outcome.why for outcome in outcomes[:-1])
    assert outcomes[-1].reading is not None
    assert_close(outcomes[-1].reading, reading(desk))


def test_one_query_asks_about_so_many_networks() -> None:
    taps = [Switching(taps=(TapPosition("t", n),)) for n in (-1, 0, 1)]
    outs = [Switching(outages=(Outage(f"line-{n}", out=True),)) for n in range(1, 6)]
    sources = [
        Switching(sources=(SourceState("battery", on=True, bus="4", v_pu=v / 100, x_ohm=0.1),))
        for v in range(95, 121)
    ]
    cases = tuple(Case((), switching) for switching in (*taps, *outs, *sources))
    refused = Desk(service()).refusal("watch", WhatIfQuery(1, cases))
    assert (refused.code, refused.facts.asked) == (RefusalCode.OUT_OF_RANGE, 34.0)
    few = WhatIfQuery(2, cases[:32])
    assert codes(Desk(service()).turn(("watch", few))) == [None]


def test_in_three_phases_a_bus_is_named_with_its_phase() -> None:
    desk = Desk(service(phases=3))
    welcome = desk.ask("ann", GridHello(1), GridWelcome)
    assert [bus.bus for bus in welcome.buses] == ["2.a", "2.b", "2.c"]
    view = View(buses=("2.a", "2.b", "2.c"))
    balanced = reading(Desk(service()), View(buses=("2",))).voltages_pu[0]
    assert balanced is not None
    assert np.allclose(np.array(reading(desk, view).voltages_pu, float), balanced, atol=1e-9)
    assert desk.ask("ann", StateQuery(1, View(("2",))), GridRefusal).code is (
        RefusalCode.UNKNOWN_ELEMENT
    )
    one = desk.ask("ann", SensitivityQuery(2, "2", ("2.a",)), SensitivityReport)
    other = Desk(service()).ask("ann", SensitivityQuery(2, "2", ("2",)), SensitivityReport)
    assert np.allclose(one.per_kw, other.per_kw, rtol=1e-3)
