"""Three authors of one injection: the owner plans, the controller corrects, the inverter acts."""

import pytest
from msgspec import structs
from tests.grid.service.village import PEERS, Desk, service, sets, sun, village

from peercell.agents.control.device import DeviceSettings, Weights
from peercell.agents.grid_messages import (
    Corrections,
    GridSnapshot,
    RestoreOrder,
    SnapshotQuery,
    StateQuery,
    StateReport,
    Subscription,
)
from peercell.agents.grid_parts import AssetReading, Correction, RefusalCode, View
from peercell.agents.protocol import TimerFired
from peercell.grid.cellfile import Profiles
from peercell.grid.model import Cell
from peercell.grid.service import GridService
from peercell.grid.service_control import ControlledAsset
from peercell.grid.service_rights import Access, GridServiceSettings

PV = DeviceSettings(
    asset="pv-2",
    rating_kva=25.0,
    q_kvar_max=11.0,
    floor_kw=0.0,
    weights=Weights(linear=1.0, active=0.04, reactive=0.002),
)
SHOWN = View(buses=("2",), assets=("pv-2",))


def controlled(v_max_pu: float = 1.05) -> Desk:
    """Return a desk at the village, where "volt" controls the PV at bus 2."""
    asset = ControlledAsset(device=PV, controller="volt", bus="2", v_min_pu=0.95, v_max_pu=v_max_pu)
    settings = GridServiceSettings(peers={**PEERS, "volt": Access()}, controlled=(asset,))
    return Desk(GridService(village(), sun(), settings))


def correct(seq: int, p_kw: float, q_kvar: float) -> Corrections:
    """Return a correction of the PV, asking to see it."""
    return Corrections(seq, (Correction("pv-2", p_kw, q_kvar),), SHOWN)


def seen(report: StateReport) -> AssetReading:
    """Return the asset of a report."""
    assert report.reading is not None
    return report.reading.assets[0]


def test_a_correction_moves_with_the_plan_and_stays_in_range() -> None:
    desk = controlled()
    asset = seen(desk.ask("volt", correct(1, -5.0, -3.0), StateReport))
    assert asset == AssetReading("pv-2", 20.0, 0.0, 15.0, -3.0)
    planned = desk.ask("ann", sets(1, ("pv-2", 12.0), view=View(assets=("pv-2",))), StateReport)
    assert seen(planned) == AssetReading("pv-2", 12.0, 0.0, 7.0, -3.0)
    low = desk.ask("ann", sets(2, ("pv-2", 2.0), view=View(assets=("pv-2",))), StateReport)
    assert seen(low) == AssetReading("pv-2", 2.0, 0.0, 0.0, -3.0)
    assert seen(desk.ask("volt", correct(2, 9.0, 99.0), StateReport)).p_kw == 2.0


def test_only_the_controller_corrects_and_only_the_owner_plans() -> None:
    desk = controlled()
    assert desk.refusal("ann", correct(1, 0.0, 1.0)).code is RefusalCode.NOT_OWNER
    assert desk.refusal("volt", sets(1, ("pv-2", 0.0))).code is RefusalCode.NOT_OWNER
    twice = Corrections(2, 2 * (Correction("pv-2", 0.0, 0.0),))
    assert desk.refusal("volt", twice).code is RefusalCode.BAD_REQUEST
    unseen = structs.replace(correct(1, 0.0, 1.0), view=None)
    assert Desk(service()).refusal("volt", unseen).code is RefusalCode.NOT_OWNER


def test_a_late_correction_is_stale_whatever_was_planned_meanwhile() -> None:
    desk = controlled()
    desk.ask("volt", correct(5, -5.0, 0.0), StateReport)
    desk.ask("ann", sets(9, ("pv-2", 10.0)), StateReport)
    assert desk.refusal("volt", correct(4, 0.0, 0.0)).code is RefusalCode.STALE_SEQ
    assert seen(desk.ask("volt", correct(6, -1.0, 0.0), StateReport)).p_kw == 9.0


def test_a_controller_hears_when_the_plan_moves() -> None:
    desk = controlled()
    desk.ask("volt", Subscription(1, SHOWN), StateReport)
    sent = desk.turn(("ann", sets(1, ("pv-2", 11.0))))
    pushed = [message for to, message in sent if to == "volt"]
    assert isinstance(pushed[0], StateReport)
    assert seen(pushed[0]).planned_kw == 11.0


def fire_primary(desk: Desk, seconds: int, from_s: int = 0) -> None:
    """Let the inverters act for some seconds."""
    for second in range(from_s, from_s + seconds):
        desk.role.step(TimerFired("primary"), float(second))


def look(desk: Desk) -> StateReport:
    """Return what the controller sees."""
    return desk.ask("volt", StateQuery(99, SHOWN), StateReport)


def test_an_inverter_does_nothing_within_its_limits() -> None:
    desk = controlled()
    before = look(desk)
    fire_primary(desk, 20)
    assert look(desk) == before


def test_an_inverter_acts_beyond_its_limits_and_stops_when_they_hold() -> None:
    desk = controlled(v_max_pu=1.013)
    fire_primary(desk, 20)
    acted = look(desk)
    assert seen(acted).p_kw < 20.0
    assert seen(acted).q_kvar < 0.0
    desk.ask("volt", correct(1, -20.0, 0.0), StateReport)
    fire_primary(desk, 25)
    assert seen(look(desk)) == AssetReading("pv-2", 20.0, 0.0, 0.0, 0.0)


def test_a_silent_controller_is_replaced_by_a_droop() -> None:
    desk = controlled(v_max_pu=1.02)
    desk.ask("volt", correct(1, -20.0, 0.0), StateReport)
    fire_primary(desk, 60)
    asset = seen(look(desk))
    assert 0.0 < asset.p_kw < 20.0
    assert asset.q_kvar < 0.0
    desk.ask("volt", correct(2, -20.0, 0.0), StateReport)
    # It was told at host time 0 by this desk, so it is silent still.
    assert seen(look(desk)).planned_kw == 20.0


def test_a_snapshot_holds_corrections_and_primary_control() -> None:
    desk = controlled(v_max_pu=1.0)
    desk.ask("volt", correct(1, -3.0, 1.0), StateReport)
    fire_primary(desk, 5)
    snapshot = desk.ask("dso", SnapshotQuery(1), GridSnapshot)
    assert snapshot.primary
    again = controlled(v_max_pu=1.0)
    again.ask("dso", RestoreOrder(2, snapshot), StateReport)
    copied = again.ask("dso", SnapshotQuery(3), GridSnapshot)
    assert copied.corrections == snapshot.corrections
    assert copied.primary == snapshot.primary
    assert look(again).reading == look(desk).reading


@pytest.mark.parametrize("asset", ["pv-9", "roof"])
def test_a_controlled_asset_must_be_there(asset: str) -> None:
    device = structs.replace(PV, asset=asset)
    ghost = ControlledAsset(device=device, controller="volt", bus="2", v_min_pu=0.9, v_max_pu=1.1)
    cell: Cell = village()
    profiles: Profiles = sun()
    with pytest.raises(Exception, match=asset):
        GridService(cell, profiles, GridServiceSettings(controlled=(ghost,)))
