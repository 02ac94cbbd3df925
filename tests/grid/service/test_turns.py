"""One turn: all writes, one solution, one revision; order, copies and loss change nothing."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.grid.service.village import NOON, Desk, codes, service, sets, sun, village

from peercell.agents.grid_messages import (
    GridSnapshot,
    GridStats,
    SetPoints,
    SnapshotQuery,
    StateQuery,
    StateReport,
    StatsQuery,
    SwitchingOrder,
    TimeOrder,
)
from peercell.agents.grid_parts import (
    Outage,
    RefusalCode,
    SetPoint,
    Switching,
    SwitchPosition,
    TapPosition,
    View,
)
from peercell.agents.messages import Message
from peercell.agents.protocol import Received, SetTimer, TimerFired
from peercell.grid.feeder import Feeder
from peercell.grid.profiles import power_at
from peercell.grid.service import WINDOW_S

ALL = View(
    buses=("mv", "0", "1", "2", "3", "4"),
    branches=("t", "line-1", "line-2", "line-3", "line-4", "line-5"),
)
Letter = tuple[str, Message]


def snapshot(desk: Desk) -> GridSnapshot:
    """Return the state without the numbers that count how it was reached."""
    found = desk.ask("dso", SnapshotQuery(0), GridSnapshot)
    return msgspec.structs.replace(
        found, newest=(), stamp=msgspec.structs.replace(found.stamp, rev=0, topo=0)
    )


def stats(desk: Desk) -> GridStats:
    return desk.ask("dso", StatsQuery(0), GridStats)


def reading_bits(desk: Desk) -> bytes:
    """Return every value of the cell as it goes over the wire, bit for bit."""
    report = desk.ask("watch", StateQuery(0, ALL), StateReport)
    return msgspec.msgpack.encode(report.reading)


def test_the_reading_is_the_solution_of_the_feeder() -> None:
    cell, desk = village(), Desk(service())
    desk.turn(("ann", sets(1, ("pv-2", 11.0))))
    reading = desk.ask("watch", StateQuery(2, ALL), StateReport).reading
    p_kw, q_kvar = (power[0] for power in power_at(cell, sun(), [0]))
    p_kw[[asset.id for asset in cell.assets].index("pv-2")] = 11.0
    feeder = Feeder(cell)
    state = feeder.solve(p_kw, q_kvar)
    assert reading is not None
    assert reading.voltages_pu == tuple(np.abs(state.voltage).tolist())
    assert reading.losses_kw == float(state.links.losses_kw)
    assert reading.source_kw == state.source_kva.real
    flows = dict(zip(feeder.branch_ids, state.links.from_kva.real.tolist(), strict=True))
    assert reading.flows_kw == tuple(flows[branch] for branch in ALL.branches)
    loadings = dict(zip(feeder.branch_ids, (state.links.loading * 100).tolist(), strict=True))
    loadings["line-3"] = None  # no rating is known
    assert reading.loadings_percent == tuple(loadings[branch] for branch in ALL.branches)


def test_all_of_a_turn_see_the_state_after_it() -> None:
    desk = Desk(service())
    before = stats(desk)
    view = View(buses=("2",))
    sent = desk.turn(
        ("ann", sets(1, ("pv-2", 5.0), view=view)),
        ("watch", StateQuery(1, view)),
        ("bob", sets(1, ("load-4", -3.0))),
        ("ann", sets(2, ("pv-2", 6.0), view=view)),
    )
    assert [to for to, _ in sent] == ["ann", "watch", "bob", "ann"]
    reports = [reply for _, reply in sent if isinstance(reply, StateReport)]
    assert {report.stamp.rev for report in reports} == {1}
    assert len({report.reading for report in reports if report.reading}) == 1
    assert [report.seq for report in reports] == [1, 1, 1, 2]
    after = stats(desk)
    assert after.solves == before.solves + 1
    assert after.turn_max == 4
    assert [record.writes for record in desk.records] == [3]


def test_what_changes_nothing_is_not_solved_again() -> None:
    desk = Desk(service())
    desk.turn(("ann", sets(1, ("pv-2", 5.0))))
    before = stats(desk)
    desk.turn(("watch", StateQuery(1, ALL)), ("ann", sets(2, ("pv-2", 5.0))))
    desk.turn(("watch", StateQuery(2, ALL)))
    desk.turn(("ann", SetPoints(3, (SetPoint("load-2"),))))
    after = stats(desk)
    assert after.solves == before.solves
    assert after.stamp.rev == before.stamp.rev
    assert len(desk.records) == 1


def test_time_within_equal_powers_is_a_revision_without_a_solution() -> None:
    desk = Desk(service())
    later, last = NOON.replace(minute=30), NOON.replace(minute=45)
    desk.turn(("dso", TimeOrder(1, later)))
    before = stats(desk)
    desk.turn(("dso", TimeOrder(2, last)))
    after = stats(desk)
    assert (after.stamp.at, after.stamp.rev) == (last, before.stamp.rev + 1)
    assert after.solves == before.solves


def test_an_asset_goes_back_to_its_profile() -> None:
    desk = Desk(service())
    start = reading_bits(desk)
    desk.turn(("ann", sets(1, ("pv-2", 5.0), ("load-2", -1.0))))
    assert reading_bits(desk) != start
    desk.turn(("ann", SetPoints(2, (SetPoint("pv-2"), SetPoint("load-2")))))
    assert reading_bits(desk) == start


def test_p_can_be_set_while_q_follows_the_cell_file() -> None:
    desk = Desk(service())
    desk.turn(("bob", SetPoints(1, (SetPoint("load-4", p_kw=-12.0),))))
    assert reading_bits(desk) == reading_bits(Desk(service()))


def test_set_points_outlast_the_time() -> None:
    desk = Desk(service())
    desk.turn(("ann", sets(1, ("pv-2", 10.0))))
    desk.turn(("dso", TimeOrder(1, NOON.replace(minute=30))))
    other = Desk(service(start=NOON.replace(minute=30)))  # where the profile says 10 kW
    assert reading_bits(desk) == reading_bits(other)


POWER = st.floats(-15.0, 15.0)
WRITES = st.one_of(
    st.tuples(st.just("ann"), st.just("pv-2"), POWER),
    st.tuples(st.just("ann"), st.just("load-2"), POWER),
    st.tuples(st.just("bob"), st.just("load-4"), POWER),
)
OPERATIONS = st.one_of(
    st.builds(lambda closed: Switching(switches=(SwitchPosition("tie", closed),)), st.booleans()),
    st.builds(lambda tap: Switching(taps=(TapPosition("t", tap),)), st.integers(-1, 1)),
    st.builds(lambda out: Switching(outages=(Outage("line-2", out),)), st.booleans()),
)


@st.composite
def letters(draw: st.DrawFn) -> list[Letter]:
    """Draw writes of owners and orders of the operator, each numbered by its sender."""
    writes: list[Letter] = []
    for seq in range(1, draw(st.integers(2, 9))):
        if draw(st.booleans()):
            writes.append(("dso", SwitchingOrder(seq, draw(OPERATIONS))))
        else:
            peer, asset, p_kw = draw(WRITES)
            writes.append((peer, sets(seq, (asset, p_kw))))
    return writes


def deliver(desk: Desk, writes: Sequence[Letter], ends: Sequence[bool]) -> None:
    """Deliver writes in turns that end where `ends` says."""
    turn: list[Letter] = []
    for write, is_end in zip(writes, ends, strict=True):
        turn.append(write)
        if is_end:
            desk.turn(*turn)
            turn = []
    if turn:
        desk.turn(*turn)


@given(letters())
def test_a_turn_ends_where_its_writes_one_by_one_end(writes: list[Letter]) -> None:
    together, apart = Desk(service()), Desk(service())
    assert not any(codes(together.turn(*writes)))
    for write in writes:
        apart.turn(write)
    assert reading_bits(together) == reading_bits(apart)
    assert snapshot(together) == snapshot(apart)
    assert len(together.records) <= 1


@given(letters(), st.data())
def test_order_and_copies_and_lateness_change_nothing(
    writes: list[Letter], data: st.DataObject
) -> None:
    expected = Desk(service())
    deliver(expected, writes, [True] * len(writes))
    copies = data.draw(st.lists(st.sampled_from(writes), max_size=6))
    late = data.draw(st.permutations([*writes, *copies]))
    ends = data.draw(st.lists(st.booleans(), min_size=len(late), max_size=len(late)))
    desk = Desk(service())
    deliver(desk, late, ends)
    assert snapshot(desk) == snapshot(expected)
    assert reading_bits(desk) == reading_bits(expected)


def test_a_copy_is_acknowledged_and_a_late_write_is_refused() -> None:
    desk = Desk(service())
    desk.turn(("ann", sets(5, ("pv-2", 5.0))))
    assert codes(desk.turn(("ann", sets(5, ("pv-2", 5.0))))) == [None]
    assert codes(desk.turn(("ann", sets(5, ("pv-2", 4.0))))) == [RefusalCode.STALE_SEQ]
    late = desk.refusal("ann", sets(4, ("pv-2", 4.0)))
    assert (late.code, late.facts.seq_newest) == (RefusalCode.STALE_SEQ, 5)
    assert len(desk.records) == 1


def test_of_a_partly_late_write_the_rest_holds() -> None:
    desk = Desk(service())
    desk.turn(("ann", sets(5, ("pv-2", 5.0))))
    assert codes(desk.turn(("ann", sets(4, ("pv-2", 4.0), ("load-2", -4.0))))) == [None]
    held = {point.asset: point.p_kw for point in snapshot(desk).set_points}
    assert held == {"pv-2": 5.0, "load-2": -4.0}


@pytest.mark.parametrize("collision", [True, False])
def test_requests_of_one_peer_wait_only_so_long(collision: bool) -> None:
    desk = Desk(service(waiting_max=2))
    query = StateQuery(1, View())
    third = "ann" if collision else "bob"
    found = codes(desk.turn(("ann", query), ("ann", query), (third, query)))
    assert found == ([RefusalCode.BUSY, None, None] if collision else [None] * 3)
    assert stats(desk).busy == int(collision)
    assert codes(desk.turn(("ann", query))) == [None]


def test_the_same_events_give_the_same_actions() -> None:
    def play() -> bytes:
        desk = Desk(service())
        sent = desk.turn(
            ("ann", sets(1, ("pv-2", 5.0), view=View(buses=("2",)))),
            ("bob", sets(1, ("load-4", -400.0))),
            ("dso", SwitchingOrder(1, Switching(taps=(TapPosition("t", 1),)))),
        )
        return msgspec.msgpack.encode(sent)

    assert play() == play()


def test_as_many_as_lately_are_waited_for_and_who_asks_alone_never_waits() -> None:
    role = service()

    def ask(count: int) -> list[float]:
        events = [Received("dso", StatsQuery(seq)) for seq in range(count)]
        found = [action for event in events for action in role.step(event, 0.0)]
        return [action.after_s for action in found if isinstance(action, SetTimer)]

    def answer() -> int:
        return len(role.step(TimerFired("flush"), 0.0))

    assert (ask(1), answer()) == ([0.0], 1)
    assert (ask(3), answer()) == ([0.0], 3)
    assert (ask(2), ask(1), answer()) == ([WINDOW_S], [0.0], 3)
    for _ in range(2):  # of the three, two are missed, each once
        assert (ask(1), answer()) == ([WINDOW_S], 1)
    assert (ask(1), answer()) == ([0.0], 1)
