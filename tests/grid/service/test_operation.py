"""What operators do: islands, snapshots, soft open points; and what subscribers hear of it."""

from datetime import datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.grid.service.village import NOON, Desk, codes, service, sets, sun, village

from peercell.agents.grid_messages import (
    GridHello,
    GridSnapshot,
    GridWelcome,
    RestoreOrder,
    SetPoints,
    SnapshotQuery,
    SoftOpenPointOrder,
    StateQuery,
    StateReport,
    Subscription,
    SwitchingOrder,
    TimeOrder,
)
from peercell.agents.grid_parts import (
    DeadBand,
    Outage,
    Reading,
    RefusalCode,
    SetPoint,
    SourceState,
    Switching,
    SwitchPosition,
    TapPosition,
    View,
)
from peercell.agents.protocol import PeerDown, PeerUp, Send, SetTimer, Started, TimerFired
from peercell.grid.errors import CellError, TimeOutsideProfilesError, UnknownElementError
from peercell.grid.service import GridService
from peercell.grid.service_errors import RefusedError
from peercell.grid.service_rights import Access, GridServiceSettings, SoftOpenPointSides

ALL = View(
    buses=("mv", "0", "1", "2", "3", "4"),
    branches=("t", "line-1", "line-2", "line-4", "line-5"),
    microgrids=("mg-east", "mg-west"),
)


def reading(desk: Desk, view: View = ALL) -> Reading:
    found = desk.ask("watch", StateQuery(0, view), StateReport).reading
    assert found is not None
    return found


def snapshot(desk: Desk) -> GridSnapshot:
    return desk.ask("dso", SnapshotQuery(0), GridSnapshot)


def test_an_island_lives_on_its_grid_forming_unit() -> None:
    desk = Desk(service())
    cut = Switching(outages=(Outage("t", out=True),))
    desk.turn(("dso", SwitchingOrder(1, cut)))
    dark = reading(desk)
    assert dark.voltages_pu[0] == 1.01
    assert dark.voltages_pu[1:] == (None,) * 5
    assert all("t out of service" in dead.cause for dead in dark.dead)
    assert dark.source_kw == 0.0
    forming = Switching(sources=(SourceState("battery", on=True, bus="0", v_pu=1.0),))
    desk.turn(("dso", SwitchingOrder(2, forming)))
    island = reading(desk)
    assert island.voltages_pu[1] == 1.0
    assert None not in island.voltages_pu
    load_kw = 20.0 - 8.0 - 12.0  # the sun, and two houses
    assert island.source_kw == pytest.approx(island.losses_kw - load_kw, abs=1e-6)
    assert island.dead == ()
    desk.turn(("dso", SwitchingOrder(3, Switching(sources=(SourceState("battery", on=False),)))))
    assert reading(desk) == dark
    back = Switching(outages=(Outage("t", out=False),))
    desk.turn(("dso", SwitchingOrder(4, back)))
    assert reading(desk) == reading(Desk(service()))


def test_the_grid_above_can_change_its_voltage_and_come_back() -> None:
    desk = Desk(service())
    normal = reading(desk)
    low = Switching(sources=(SourceState("grid", on=True, bus="mv", v_pu=0.95),))
    desk.turn(("dso", SwitchingOrder(1, low)))
    assert reading(desk).voltages_pu[0] == 0.95
    desk.turn(("dso", SwitchingOrder(2, Switching(sources=(SourceState("grid", on=True),)))))
    assert reading(desk) == normal


def test_a_network_seen_before_is_not_built_again() -> None:
    desk = Desk(service())
    for seq in range(1, 9):
        closed = Switching(switches=(SwitchPosition("tie", closed=seq % 2 == 1),))
        report = desk.ask("dso", SwitchingOrder(seq, closed), StateReport)
        assert report.stamp.topo == seq
    assert desk.role.step(TimerFired("refresh"), 0.0)
    assert [record.stamp.rev for record in desk.records] == list(range(1, 9))


Step = tuple[str, tuple[SetPoint, ...]] | Switching | datetime
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.builds(
            lambda p_kw, q_kvar: ("ann", (SetPoint("pv-2", p_kw, q_kvar),)),
            st.none() | st.floats(-15.0, 15.0),
            st.none() | st.floats(-15.0, 15.0),
        ),
        st.builds(
            lambda p_kw: ("bob", (SetPoint("load-4", p_kw),)), st.none() | st.floats(-15.0, 15.0)
        ),
        st.sampled_from(
            [
                Switching(switches=(SwitchPosition("tie", closed=True),)),
                Switching(switches=(SwitchPosition("gate", closed=False),)),
                Switching(taps=(TapPosition("t", 1),)),
                Switching(outages=(Outage("line-2", out=True),)),
                Switching(sources=(SourceState("b", on=True, bus="2", v_pu=1.0, x_ohm=0.1),)),
            ]
        ),
        st.sampled_from([NOON.replace(minute=15), NOON.replace(minute=30)]),
    ),
    max_size=6,
)


def play(desk: Desk, steps: list[Step], first: int) -> None:
    for seq, step in enumerate(steps, first):
        match step:
            case Switching():
                desk.turn(("dso", SwitchingOrder(seq, step)))
            case datetime():
                desk.turn(("dso", TimeOrder(seq, step)))
            case (peer, points):
                desk.turn((peer, SetPoints(seq, points)))


@given(STEPS, STEPS)
def test_a_restored_state_is_the_same_to_the_last_bit(
    before: list[Step], after: list[Step]
) -> None:
    desk = Desk(service())
    play(desk, before, 1)
    taken, values = snapshot(desk), reading(desk)
    travelled = msgspec.msgpack.decode(msgspec.msgpack.encode(taken), type=GridSnapshot)
    play(desk, after, 101)
    rev = snapshot(desk).stamp.rev
    desk.turn(("dso", RestoreOrder(201, travelled)))
    fresh = Desk(service(start=None))
    fresh.turn(("dso", RestoreOrder(1, travelled)))
    for restored in (desk, fresh):
        again = snapshot(restored)
        assert reading(restored) == values
        assert (again.set_points, again.switching) == (taken.set_points, taken.switching)
        assert again.stamp.at == taken.stamp.at
    assert snapshot(desk).stamp.rev == rev + 1
    assert snapshot(fresh).stamp.rev == taken.stamp.rev + 1
    assert codes(fresh.turn(("dso", RestoreOrder(0, travelled)))) == [RefusalCode.STALE_SEQ]


def test_a_late_copy_of_a_restore_undoes_nothing() -> None:
    desk = Desk(service())
    restore = RestoreOrder(5, snapshot(desk))
    desk.turn(("dso", restore))
    desk.turn(("ann", sets(1, ("pv-2", 3.0))))
    assert codes(desk.turn(("dso", restore))) == [None]
    assert [point.p_kw for point in snapshot(desk).set_points] == [3.0]


def test_a_writer_counts_on_after_a_restore() -> None:
    desk = Desk(service())
    desk.turn(("ann", sets(7, ("pv-2", 3.0))))
    taken = snapshot(desk)
    desk.turn(("ann", sets(9, ("pv-2", 4.0))))
    desk.turn(("dso", RestoreOrder(1, taken)))
    assert codes(desk.turn(("ann", sets(8, ("pv-2", 5.0))))) == [RefusalCode.STALE_SEQ]
    assert codes(desk.turn(("ann", sets(10, ("pv-2", 5.0))))) == [None]


@pytest.mark.parametrize("first_kw", [-20.0, 0.0, 20.0])
def test_what_enters_a_soft_open_point_leaves_it_less_the_losses(first_kw: float) -> None:
    desk = Desk(service())
    report = desk.turn(("joint", SoftOpenPointOrder(1, "sop", first_kw, 5.0, -8.0)))
    assert codes(report) == [None]
    first, second = snapshot(desk).set_points
    assert (first.asset, first.p_kw, first.q_kvar) == ("sop-1", first_kw, 5.0)
    assert (second.asset, second.q_kvar) == ("sop-3", -8.0)
    assert second.p_kw is not None
    losses_kw = 0.02 * (np.hypot(first_kw, 5.0) + np.hypot(second.p_kw, -8.0))
    assert first_kw + second.p_kw + losses_kw == pytest.approx(0.0, abs=1e-9)


VIEW = View(buses=("2",), microgrids=("mg-east",))


def heard(desk: Desk, peer: str, *letters: tuple[str, SetPoints]) -> list[StateReport]:
    return [
        message
        for to, message in desk.turn(*letters)
        if to == peer and isinstance(message, StateReport)
    ]


def test_a_subscriber_hears_what_moves_beyond_its_dead_band() -> None:
    desk = Desk(service())
    band = DeadBand(voltage_pu=0.002, power_kw=1e6, loading_percent=1e6)
    first = desk.ask("east", Subscription(4, VIEW, band), StateReport)
    assert first.reading == reading(desk, VIEW)
    told: list[float] = [first.reading.voltages_pu[0] or 0.0] if first.reading else []
    for seq, p_kw in enumerate(np.linspace(20.0, -20.0, 41).tolist(), 1):
        now = heard(desk, "east", ("ann", sets(seq, ("load-2", p_kw))))
        value = reading(desk, VIEW).voltages_pu[0]
        assert value is not None
        assert bool(now) == (abs(value - told[-1]) > 0.002)
        if now:
            assert now[0].seq == 4
            assert now[0].reading == reading(desk, VIEW)
            told.append(value)
    assert 3 < len(told) < 40


def test_a_subscriber_without_a_dead_band_hears_every_move_and_no_more() -> None:
    desk = Desk(service())
    desk.turn(("east", Subscription(1, VIEW)))
    assert len(heard(desk, "east", ("ann", sets(1, ("pv-2", 3.0))))) == 1
    assert heard(desk, "east", ("ann", sets(2, ("pv-2", 3.0)))) == []


def test_a_broken_limit_is_news_and_so_is_a_dead_bus() -> None:
    desk = Desk(service())
    numb = DeadBand(10.0, 1e6, 1e6)
    desk.turn(("watch", Subscription(1, View(buses=("4",), violations=True), numb)))
    assert heard(desk, "watch", ("bob", sets(1, ("load-4", -13.0)))) == []
    broken = heard(desk, "watch", ("bob", sets(2, ("load-4", -120.0))))
    assert broken[0].reading is not None
    assert broken[0].reading.violations
    gate = Switching(switches=(SwitchPosition("gate", closed=False),))
    sent = desk.turn(("dso", SwitchingOrder(3, gate)))
    assert [to for to, _ in sent] == ["dso", "watch"]


def refreshed(desk: Desk) -> list[str]:
    actions = desk.events(TimerFired("refresh"))
    assert SetTimer("refresh", 5.0) in actions
    return [action.to for action in actions if isinstance(action, Send)]


def test_silence_is_broken_so_that_a_lost_report_does_no_harm() -> None:
    desk = Desk(service())
    assert desk.events(Started()) == [SetTimer("refresh", 5.0)]
    desk.turn(("east", Subscription(1, VIEW)))
    assert refreshed(desk) == []
    assert refreshed(desk) == ["east"]
    desk.turn(("ann", sets(1, ("pv-2", 3.0))))
    assert refreshed(desk) == []
    assert refreshed(desk) == ["east"]


def test_a_subscription_ends_or_is_replaced_by_a_newer_one_only() -> None:
    desk = Desk(service())
    desk.turn(("east", Subscription(2, VIEW)), ("east", Subscription(3, View(buses=("1",)))))
    assert codes(desk.turn(("east", Subscription(2, VIEW)))) == [RefusalCode.STALE_SEQ]
    now = heard(desk, "east", ("ann", sets(1, ("pv-2", 3.0))))
    assert [report.seq for report in now] == [3]
    assert codes(desk.turn(("east", Subscription(4, None)))) == [None]
    assert codes(desk.turn(("east", Subscription(3, VIEW)))) == [RefusalCode.STALE_SEQ]
    assert heard(desk, "east", ("ann", sets(2, ("pv-2", 4.0)))) == []


def test_a_restarted_peer_has_no_subscription() -> None:
    desk = Desk(service())
    desk.events(PeerUp("east", 1))
    desk.turn(("east", Subscription(9, VIEW)))
    desk.events(PeerDown("east", 1), PeerUp("east", 1))
    assert len(heard(desk, "east", ("ann", sets(1, ("pv-2", 3.0))))) == 1
    desk.events(PeerUp("east", 2))
    assert heard(desk, "east", ("ann", sets(2, ("pv-2", 4.0)))) == []
    assert codes(desk.turn(("east", Subscription(1, VIEW)))) == [None]


def test_a_peer_whose_restart_went_unseen_learns_from_where_to_count() -> None:
    desk = Desk(service())
    desk.turn(("east", Subscription(9, VIEW)))
    assert desk.ask("east", GridHello(0), GridWelcome).seq_newest == 9


SOP = SoftOpenPointSides(first_asset="sop-1", second_asset="sop-3")
WRONG: list[tuple[GridServiceSettings, type[Exception], str]] = [
    (
        GridServiceSettings(peers={"a": Access(assets=("pv-9",))}),
        UnknownElementError,
        'no asset "pv-9"',
    ),
    (
        GridServiceSettings(peers={"a": Access(microgrids=("mg",))}),
        UnknownElementError,
        'no microgrid "mg"',
    ),
    (
        GridServiceSettings(peers={"a": Access(assets=("pv-2",)), "b": Access(assets=("pv-2",))}),
        CellError,
        'asset "pv-2" has two owners',
    ),
    (GridServiceSettings(soft_open_points={"x": SOP, "y": SOP}), CellError, "twice"),
    (
        GridServiceSettings(
            soft_open_points={"x": SoftOpenPointSides(first_asset="sop-1", second_asset="no")}
        ),
        UnknownElementError,
        'no asset "no"',
    ),
    (GridServiceSettings(start=NOON.replace(year=2020)), TimeOutsideProfilesError, "2020"),
]


@pytest.mark.parametrize(("settings", "error", "text"), WRONG, ids=[text for *_, text in WRONG])
def test_wrong_settings_are_refused_at_the_start(
    settings: GridServiceSettings, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        GridService(village(), sun(), settings)


def test_a_cell_that_cannot_start_says_why() -> None:
    cell = village()
    heavy = msgspec.structs.replace(cell.customers[3].assets[0], p_kw=-900.0)
    customer = msgspec.structs.replace(cell.customers[3], assets=(heavy,))
    cell = msgspec.structs.replace(cell, customers=(*cell.customers[:3], customer))
    with pytest.raises(RefusedError, match="no solution"):
        GridService(cell, sun(), GridServiceSettings())
