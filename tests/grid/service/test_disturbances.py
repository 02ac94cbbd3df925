"""What befalls assets beside what is set: added on top, seen by all, and gone without a trace."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.grid.service.test_control import controlled
from tests.grid.service.village import NOON, Desk, codes, service, sets

from peercell.agents.grid_messages import (
    Corrections,
    DisturbanceOrder,
    GridSnapshot,
    RestoreOrder,
    SensitivityQuery,
    SensitivityReport,
    SetPoints,
    SnapshotQuery,
    StateQuery,
    StateReport,
    TimeOrder,
)
from peercell.agents.grid_parts import (
    AssetReading,
    Correction,
    Disturbance,
    Disturbed,
    Reading,
    RefusalCode,
    SetPoint,
    View,
)

ALL = View(
    buses=("mv", "0", "1", "2", "3", "4"),
    branches=("t", "line-1", "line-2", "line-4"),
    assets=("pv-2", "load-2", "load-4"),
)


def disturb(seq: int, name: str, *assets: Disturbed) -> tuple[str, DisturbanceOrder]:
    """Return an order of the operator."""
    return "dso", DisturbanceOrder(seq, Disturbance(name, assets))


def reading(desk: Desk) -> Reading:
    """Return what the service shows of the whole cell."""
    found = desk.ask("dso", StateQuery(0, ALL), StateReport).reading
    assert found is not None
    return found


STEP = Disturbed("load-2", by_kw=-5.0)
TRIP = Disturbed("pv-2", tripped=True)


@pytest.mark.parametrize(
    ("assets", "pv", "load"),
    [
        ((STEP,), (20.0, 0.0), (-13.0, -2.0)),
        ((Disturbed("load-2", by_kw=3.0),), (20.0, 0.0), (-5.0, -2.0)),
        ((TRIP,), (0.0, 0.0), (-8.0, -2.0)),
        ((TRIP, STEP), (0.0, 0.0), (-13.0, -2.0)),
        ((Disturbed("load-2", by_kw=-1.0, tripped=True),), (20.0, 0.0), (-1.0, 0.0)),
    ],
)
def test_it_adds_to_what_is_set_and_the_plan_stays(
    assets: tuple[Disturbed, ...], pv: tuple[float, float], load: tuple[float, float]
) -> None:
    desk = Desk(service())
    normal = reading(desk)
    assert codes(desk.turn(disturb(1, "f1", *assets))) == [None]
    found = reading(desk)
    assert found.assets[:2] == (
        AssetReading("pv-2", 20.0, 0.0, *pv),
        AssetReading("load-2", -8.0, -2.0, *load),
    )
    injected_kw = pv[0] + load[0] - 12.0
    assert found.source_kw == pytest.approx(found.losses_kw - injected_kw, abs=1e-6)
    assert found.voltages_pu != normal.voltages_pu
    desk.turn(disturb(2, "f1"))
    assert reading(desk) == normal


def test_two_of_one_asset_add_up_and_end_one_by_one() -> None:
    desk = Desk(service())
    desk.turn(disturb(1, "f1", STEP), disturb(1, "f2", STEP, TRIP))
    assert [asset.p_kw for asset in reading(desk).assets] == [0.0, -18.0, -12.0]
    desk.turn(disturb(2, "f2"))
    assert [asset.p_kw for asset in reading(desk).assets] == [20.0, -13.0, -12.0]


def test_it_lasts_while_profiles_and_set_points_move() -> None:
    desk = Desk(service())
    desk.turn(disturb(1, "f1", STEP, TRIP))
    desk.turn(("dso", TimeOrder(2, NOON.replace(minute=15))))
    desk.turn(("ann", sets(1, ("load-2", -9.0))))
    pv, load, _ = reading(desk).assets
    assert pv.planned_kw == pytest.approx(18.0)
    assert pv.p_kw == 0.0
    assert (load.planned_kw, load.p_kw) == (-9.0, -14.0)


Move = tuple[str, tuple[SetPoint, ...]] | Disturbance | datetime
STEPS: st.SearchStrategy[list[Move]] = st.lists(
    st.one_of(
        st.builds(lambda p_kw: ("ann", (SetPoint("pv-2", p_kw),)), st.none() | st.floats(-15, 15)),
        st.builds(lambda p_kw: ("bob", (SetPoint("load-4", p_kw),)), st.floats(-15.0, 15.0)),
        st.sampled_from([NOON.replace(minute=15), NOON.replace(minute=30)]),
        st.builds(
            lambda name, by_kw: Disturbance(name, (Disturbed("load-2", by_kw), TRIP)),
            st.sampled_from(["f1", "f2"]),
            st.floats(-20.0, 20.0),
        ),
    ),
    max_size=6,
)


@given(STEPS)
def test_undone_it_leaves_the_same_bits(steps: list[Move]) -> None:
    disturbed, calm = Desk(service()), Desk(service())
    for seq, step in enumerate(steps, 1):
        match step:
            case Disturbance():
                disturbed.turn(("dso", DisturbanceOrder(seq, step)))
            case datetime():
                for desk in (disturbed, calm):
                    desk.turn(("dso", TimeOrder(seq, step)))
            case (peer, points):
                for desk in (disturbed, calm):
                    desk.turn((peer, SetPoints(seq, points)))
    taken, values = snapshot(disturbed), reading(disturbed)
    fresh = Desk(service())
    fresh.turn(("dso", RestoreOrder(100, taken)))
    assert reading(fresh) == values
    disturbed.turn(disturb(101, "f1"), disturb(101, "f2"))
    assert reading(disturbed) == reading(calm)
    assert snapshot(disturbed).disturbances == ()


def snapshot(desk: Desk) -> GridSnapshot:
    """Return all that stands."""
    return desk.ask("dso", SnapshotQuery(0), GridSnapshot)


def test_what_a_controller_wants_holds_again_afterwards() -> None:
    desk = controlled()
    desk.turn(("volt", Corrections(1, (Correction("pv-2", -5.0, -3.0),))))
    normal = reading(desk)
    desk.turn(disturb(1, "f1", TRIP))
    assert reading(desk).assets[0] == AssetReading("pv-2", 20.0, 0.0, 0.0, 0.0)
    desk.turn(disturb(2, "f1"))
    assert reading(desk) == normal


def test_sensitivities_are_those_of_the_disturbed_state() -> None:
    slopes = []
    for step in ((), (Disturbed("load-2", by_kw=-20.0),)):
        desk = Desk(service())
        desk.turn(disturb(1, "f1", *step))
        query = SensitivityQuery(0, "2", ("2",))
        slopes.append(desk.ask("dso", query, SensitivityReport).per_kw[0])
    assert slopes[1] > slopes[0]


@pytest.mark.parametrize(
    ("peer", "assets", "code"),
    [
        ("ann", (TRIP,), RefusalCode.NOT_AUTHORISED),
        ("dso", (Disturbed("pv-9", tripped=True),), RefusalCode.UNKNOWN_ASSET),
        ("dso", (TRIP, TRIP), RefusalCode.BAD_REQUEST),
        ("dso", (Disturbed("load-2", by_kw=-1e4),), RefusalCode.COLLAPSE),
    ],
)
def test_a_wrong_one_is_refused_and_changes_nothing(
    peer: str, assets: tuple[Disturbed, ...], code: RefusalCode
) -> None:
    desk = Desk(service())
    order = DisturbanceOrder(1, Disturbance("f1", assets))
    assert desk.refusal(peer, order).code == code
    assert reading(desk) == reading(Desk(service()))


def test_a_late_copy_does_not_begin_it_again() -> None:
    desk = Desk(service())
    begin = disturb(1, "f1", TRIP)
    desk.turn(begin)
    assert codes(desk.turn(begin)) == [None]
    desk.turn(disturb(2, "f1"))
    assert codes(desk.turn(begin)) == [RefusalCode.STALE_SEQ]
    assert reading(desk) == reading(Desk(service()))
