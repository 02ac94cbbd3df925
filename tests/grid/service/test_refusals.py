"""Every code of a refusal: who hears it, with which facts, and that nothing has changed."""

from datetime import datetime

import pytest
from tests.grid.service.village import NOON, Desk, codes, service, sets

from peercell.agents.grid_messages import (
    GridHello,
    GridRefusal,
    GridSnapshot,
    RestoreOrder,
    SensitivityQuery,
    SetPoints,
    SnapshotQuery,
    SoftOpenPointOrder,
    StateQuery,
    StateReport,
    StatsQuery,
    Subscription,
    SwitchingOrder,
    TimeOrder,
    WhatIfQuery,
)
from peercell.agents.grid_parts import (
    Case,
    Outage,
    RefusalCode,
    SetPoint,
    SourceState,
    Stamp,
    Switching,
    SwitchPosition,
    TapPosition,
    View,
)
from peercell.agents.messages import Message

ALL = View(buses=("mv", "0", "1", "2", "3", "4"))
ISLAND = Switching(outages=(Outage("t", out=True),))
OTHER_CELL = GridSnapshot(0, Stamp(1, 1), "0" * 64, (), Switching(), ())


def source(name: str, bus: str = "", *, on: bool = True, v_pu: float = 1.0) -> Switching:
    return Switching(sources=(SourceState(name, on=on, bus=bus, v_pu=v_pu),))


REFUSED: list[tuple[RefusalCode, str, Message, str]] = [
    (RefusalCode.NOT_OWNER, "ann", sets(1, ("load-4", -1.0)), "load-4"),
    (RefusalCode.NOT_OWNER, "dso", sets(1, ("pv-2", 1.0)), "pv-2"),
    (RefusalCode.NOT_OWNER, "stranger", sets(1, ("pv-2", 1.0)), "pv-2"),
    (RefusalCode.NOT_OWNER, "ann", SoftOpenPointOrder(1, "sop", 1.0, 0.0, 0.0), "sop-1"),
    (RefusalCode.UNKNOWN_ASSET, "ann", sets(1, ("pv-3", 1.0)), "pv-3"),
    (RefusalCode.UNKNOWN_ELEMENT, "watch", StateQuery(1, View(buses=("5",))), ""),
    (RefusalCode.UNKNOWN_ELEMENT, "ann", StateQuery(1, View(buses=("5",))), ""),
    (RefusalCode.UNKNOWN_ELEMENT, "watch", StateQuery(1, View(branches=("line-9",))), ""),
    (RefusalCode.UNKNOWN_ELEMENT, "watch", StateQuery(1, View(microgrids=("mg-9",))), ""),
    (RefusalCode.UNKNOWN_ELEMENT, "ann", SensitivityQuery(1, "5", ("1",)), ""),
    (RefusalCode.UNKNOWN_ELEMENT, "ann", SensitivityQuery(1, "1", ("5",)), ""),
    (RefusalCode.UNKNOWN_ELEMENT, "joint", SoftOpenPointOrder(1, "pop", 1.0, 0.0, 0.0), ""),
    *(
        (RefusalCode.UNKNOWN_ELEMENT, "dso", SwitchingOrder(1, change), "")
        for change in (
            Switching(switches=(SwitchPosition("tye", closed=True),)),
            Switching(taps=(TapPosition("u", 0),)),
            Switching(outages=(Outage("line-9", out=True),)),
            source("battery", "9"),
            source("battery"),
            source("battery", on=False),
        )
    ),
    (RefusalCode.OUT_OF_RANGE, "ann", sets(1, ("pv-2", 25.1)), "pv-2"),
    (RefusalCode.OUT_OF_RANGE, "joint", SoftOpenPointOrder(1, "sop", 30.1, 0.0, 0.0), "sop-1"),
    (RefusalCode.OUT_OF_RANGE, "joint", SoftOpenPointOrder(1, "sop", -29.9, 0.0, 20.0), "sop-3"),
    (
        RefusalCode.OUT_OF_RANGE,
        "dso",
        SwitchingOrder(1, Switching(taps=(TapPosition("t", 2),))),
        "t",
    ),
    (RefusalCode.OUT_OF_RANGE, "dso", SwitchingOrder(1, source("b", "2", v_pu=1.6)), "b"),
    (RefusalCode.OUT_OF_RANGE, "dso", TimeOrder(1, datetime(2016, 5, 28, 13, 0)), ""),
    (RefusalCode.TIME_PAST, "dso", TimeOrder(1, datetime(2016, 5, 28, 11, 45)), ""),
    (RefusalCode.NO_SOURCE, "dso", SwitchingOrder(1, source("grid", on=False)), ""),
    (RefusalCode.BAD_TOPOLOGY, "dso", SwitchingOrder(1, source("second", "mv", v_pu=1.0)), ""),
    (RefusalCode.NOT_AUTHORISED, "ann", SwitchingOrder(1, ISLAND), ""),
    (RefusalCode.NOT_AUTHORISED, "watch", TimeOrder(1, NOON), ""),
    (RefusalCode.NOT_AUTHORISED, "watch", SnapshotQuery(1), ""),
    (RefusalCode.NOT_AUTHORISED, "watch", StatsQuery(1), ""),
    (RefusalCode.NOT_AUTHORISED, "watch", RestoreOrder(1, OTHER_CELL), ""),
    (RefusalCode.NOT_AUTHORISED, "ann", StateQuery(1, View(buses=("2", "4"))), "4"),
    (RefusalCode.NOT_AUTHORISED, "ann", StateQuery(1, View(violations=True)), ""),
    (RefusalCode.NOT_AUTHORISED, "east", StateQuery(1, View(branches=("line-4",))), "line-4"),
    (RefusalCode.NOT_AUTHORISED, "east", Subscription(1, View(microgrids=("mg-west",))), ""),
    (RefusalCode.NOT_AUTHORISED, "stranger", WhatIfQuery(1, (Case(),), View(("2",))), "2"),
    (RefusalCode.NOT_AUTHORISED, "ann", sets(1, ("pv-2", 1.0), view=View(("4",))), "4"),
    (RefusalCode.BAD_REQUEST, "ann", SetPoints(1, ()), ""),
    (RefusalCode.BAD_REQUEST, "ann", sets(1, ("pv-2", 1.0), ("pv-2", 2.0)), ""),
    (RefusalCode.BAD_REQUEST, "joint", sets(1, ("sop-1", 1.0)), "sop-1"),
    (RefusalCode.BAD_REQUEST, "dso", SwitchingOrder(1, Switching()), ""),
    (
        RefusalCode.BAD_REQUEST,
        "dso",
        SwitchingOrder(1, Switching(taps=(TapPosition("t", 1), TapPosition("t", 0)))),
        "",
    ),
    (RefusalCode.BAD_REQUEST, "dso", RestoreOrder(1, OTHER_CELL), ""),
    (RefusalCode.COLLAPSE, "bob", sets(1, ("load-4", -900.0)), ""),
]
ELSEWHERE = {RefusalCode.STALE_SEQ, RefusalCode.DEAD_BUS, RefusalCode.BUSY}


@pytest.mark.parametrize(
    ("code", "peer", "request_", "element"),
    REFUSED,
    ids=[
        f"{code.value}-{type(request).__name__}-{n}"
        for n, (code, _, request, _) in enumerate(REFUSED)
    ],
)
def test_it_is_refused_and_nothing_changes(
    code: RefusalCode, peer: str, request_: Message, element: str
) -> None:
    desk = Desk(service())
    before = desk.ask("watch", StateQuery(0, ALL), StateReport)
    refused = desk.refusal(peer, request_)
    assert refused.code is code
    assert refused.what
    if element:
        assert refused.facts.element == element
        assert element in refused.what
    assert desk.ask("watch", StateQuery(0, ALL), StateReport) == before
    assert desk.records == []


def test_every_code_is_tested() -> None:
    assert {code for code, *_ in REFUSED} | ELSEWHERE == set(RefusalCode)


def test_a_limit_is_shown() -> None:
    facts = Desk(service()).refusal("ann", sets(1, ("pv-2", 26.0))).facts
    assert (facts.asked, facts.most) == (26.0, 25.0)


def test_the_rating_itself_is_within_the_limit() -> None:
    desk = Desk(service())
    point = SetPoint("pv-2", 25.0 * 0.8, 25.0 * 0.6)
    assert codes(desk.turn(("ann", SetPoints(1, (point,))))) == [None]


def test_a_collapse_says_how_much_would_do() -> None:
    desk = Desk(service())
    refused = desk.refusal("bob", sets(1, ("load-4", -900.0)))
    facts = refused.facts
    assert facts.weakest_bus == "4"
    assert facts.fraction is not None
    assert f"{facts.fraction:.1%} of the change" in refused.why
    assert facts.iterations is not None
    assert facts.iterations > 20
    start_kw, start_kvar = -12.0, -3.0

    def part(fraction: float, seq: int) -> SetPoints:
        p_kw = start_kw + fraction * (-900.0 - start_kw)
        return SetPoints(seq, (SetPoint("load-4", p_kw, start_kvar * (1.0 - fraction)),))

    more = facts.fraction + 1.0 / 1024
    assert codes(desk.turn(("bob", part(more, 2)))) == [RefusalCode.COLLAPSE]
    assert codes(desk.turn(("bob", part(facts.fraction, 3)))) == [None]


def test_a_collapse_hits_only_those_who_cause_it() -> None:
    desk = Desk(service())
    sent = desk.turn(
        ("ann", sets(1, ("load-2", -20.0))),
        ("bob", sets(1, ("load-4", -900.0))),
        ("ann", sets(2, ("pv-2", 3.0))),
    )
    assert codes(sent) == [None, RefusalCode.COLLAPSE, None]
    assert {reply.stamp.rev for _, reply in sent if isinstance(reply, StateReport)} == {1}
    assert [(record.writes, record.refusals) for record in desk.records] == [(3, 1)]
    alone = Desk(service())
    alone.turn(("ann", sets(1, ("load-2", -20.0), ("pv-2", 3.0))))
    view = StateQuery(9, ALL)
    assert desk.ask("watch", view, StateReport) == alone.ask("watch", view, StateReport)


def test_of_two_that_only_together_collapse_the_first_holds() -> None:
    most = Desk(service()).refusal("bob", sets(1, ("load-4", -900.0))).facts.fraction
    assert most is not None
    heavy = ("load-4", -12.0 - 0.98 * most * 888.0)
    other = ("load-2", -330.0)
    assert codes(Desk(service()).turn(("ann", sets(1, other)))) == [None]
    assert codes(Desk(service()).turn(("bob", sets(1, heavy)))) == [None]
    first, second = ("bob", sets(1, heavy)), ("ann", sets(1, other))
    assert codes(Desk(service()).turn(first, second)) == [None, RefusalCode.COLLAPSE]
    assert codes(Desk(service()).turn(second, first)) == [None, RefusalCode.COLLAPSE]


def test_a_refused_write_leaves_no_trace() -> None:
    desk = Desk(service())
    desk.refusal("bob", sets(5, ("load-4", -900.0)))
    assert codes(desk.turn(("bob", sets(4, ("load-4", -9.0))))) == [None]


def test_a_bus_without_a_source_has_no_voltage_and_a_cause() -> None:
    desk = Desk(service())
    cut = Switching(switches=(SwitchPosition("gate", closed=False),))
    view = View(buses=("3", "4"), branches=("line-4",), microgrids=("mg-west",))
    report = desk.ask("dso", SwitchingOrder(1, cut, view), StateReport)
    assert report.stamp.topo == 1
    reading = report.reading
    assert reading is not None
    assert reading.voltages_pu[0] is not None
    assert reading.voltages_pu[1] is None
    assert [(dead.bus, "open gate" in dead.cause) for dead in reading.dead] == [("4", True)]
    assert reading.microgrids[0].v_min_pu == reading.voltages_pu[0]
    for query in (SensitivityQuery(2, "4", ("3",)), SensitivityQuery(2, "3", ("4",))):
        refused = desk.refusal("ann", query)
        assert (refused.code, refused.facts.element) == (RefusalCode.DEAD_BUS, "4")
        assert "open gate" in refused.why


def test_a_command_is_answered_and_may_not_set_or_subscribe() -> None:
    desk = Desk(service())
    view = View(buses=("4",))
    assert desk.command(SwitchingOrder(1, ISLAND, view), StateReport).stamp.topo == 1
    assert desk.command(sets(2, ("pv-2", 1.0)), GridRefusal).code is RefusalCode.NOT_OWNER
    refused = desk.command(Subscription(3, view), GridRefusal)
    assert refused.code is RefusalCode.BAD_REQUEST


def test_what_is_no_request_is_counted_and_answered_to_commands_only() -> None:
    desk = Desk(service())
    assert desk.turn(("ann", StateReport(1, Stamp(0, 0)))) == []
    refused = desk.command(StateReport(1, Stamp(0, 0)), GridRefusal)
    assert refused.code is RefusalCode.BAD_REQUEST
    assert "StateReport" in refused.what
    assert desk.turn(("ann", GridHello(1)))
