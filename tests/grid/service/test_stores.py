"""Batteries with a controller: full is full, empty is empty, and what was lent is remembered."""

from datetime import timedelta

import pytest
from tests.grid.service.village import NOON, PEERS, Desk, sets, sun, village

from peercell.agents.control.device import DeviceSettings, Weights
from peercell.agents.grid_messages import (
    Corrections,
    GridSnapshot,
    RestoreOrder,
    SnapshotQuery,
    StateQuery,
    StateReport,
    TimeOrder,
)
from peercell.agents.grid_parts import AssetReading, Correction, View
from peercell.grid.service import GridService
from peercell.grid.service_control import ControlledAsset
from peercell.grid.service_rights import Access, GridServiceSettings

BATTERY = DeviceSettings(
    asset="sop-1",
    rating_kva=30.0,
    q_kvar_max=0.0,
    floor_kw=-30.0,
    ceiling_kw=30.0,
    weights=Weights(linear=0.0, active=0.01, reactive=0.002),
    energy_kwh=10.0,
)
SHOWN = View(assets=("sop-1",))


def desk() -> Desk:
    """Return a desk at the village at noon, where "volt" controls a battery at bus 1."""
    asset = ControlledAsset(device=BATTERY, controller="volt", bus="1", v_min_pu=0.9, v_max_pu=1.1)
    settings = GridServiceSettings(
        peers={**PEERS, "volt": Access()}, controlled=(asset,), start=NOON
    )
    return Desk(GridService(village(), sun(), settings))


def seen(report: StateReport) -> AssetReading:
    """Return the battery of a report."""
    assert report.reading is not None
    return report.reading.assets[0]


def correct(at: Desk, seq: int, p_kw: float) -> AssetReading:
    """Return the battery after it was asked to leave its plan."""
    wanted = Corrections(seq, (Correction("sop-1", p_kw, 0.0),), SHOWN)
    return seen(at.ask("volt", wanted, StateReport))


def pass_time(at: Desk, quarters: int) -> AssetReading:
    """Return the battery so many quarters of an hour after noon."""
    order = TimeOrder(quarters, NOON + timedelta(minutes=15 * quarters), SHOWN)
    return seen(at.ask("dso", order, StateReport))


def test_a_battery_begins_half_full_and_moves_with_the_time() -> None:
    at = desk()
    assert correct(at, 1, -8.0).stored_kwh == 5.0
    after = pass_time(at, 1)
    assert (after.stored_kwh, after.lent_kwh) == pytest.approx((7.0, 2.0))


@pytest.mark.parametrize(("asked_kw", "held_kw"), [(-30.0, -20.0), (30.0, 20.0)])
def test_it_gives_and_takes_what_it_can_hold_for_a_quarter_of_an_hour(
    asked_kw: float, held_kw: float
) -> None:
    at = desk()
    assert correct(at, 1, asked_kw).p_kw == pytest.approx(held_kw)
    after = pass_time(at, 1)
    assert after.stored_kwh == pytest.approx(10.0 if asked_kw < 0.0 else 0.0)
    assert after.p_kw == pytest.approx(0.0, abs=1e-9)
    assert after.lent_kwh == pytest.approx(-0.25 * held_kw)


def test_a_plan_that_it_cannot_keep_is_neither_lent_nor_borrowed() -> None:
    at = desk()
    planned = at.ask("joint", sets(1, ("sop-1", 25.0), view=SHOWN), StateReport)
    assert (seen(planned).planned_kw, seen(planned).p_kw) == pytest.approx((25.0, 20.0))
    after = pass_time(at, 1)
    assert (after.stored_kwh, after.lent_kwh, after.p_kw) == pytest.approx((0.0, 0.0, 0.0))


def test_a_snapshot_holds_what_batteries_hold() -> None:
    at, other = desk(), desk()
    correct(at, 1, -8.0)
    before = pass_time(at, 1)
    snapshot = at.ask("dso", SnapshotQuery(2), GridSnapshot)
    other.ask("dso", RestoreOrder(1, snapshot), StateReport)
    assert seen(other.ask("volt", StateQuery(9, SHOWN), StateReport)) == before
