"""One thing goes wrong, of each kind that there is, and heals: the same optimum, soon enough."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from msgspec import structs
from tests.broker.fault_seeds import SLACK, TRADE_GAP, by_plan, gossip

from peercell.broker.configuration.toml_file import Setting
from peercell.broker.faults.kinds import (
    AnyFault,
    Bandwidth,
    Clock,
    Corrupt,
    Delay,
    DiskFull,
    Duplicate,
    Failpoint,
    Forge,
    Islanding,
    Kill,
    Lie,
    LineOpen,
    LinkFault,
    LoadStep,
    Loss,
    Memory,
    MeterNoise,
    Partition,
    Pause,
    PeerFault,
    PvTrip,
    Reorder,
    Replay,
    Slow,
)
from peercell.broker.faults.plan import FaultPlan, Step
from peercell.broker.outcomes.results import Run
from peercell.broker.plans.live import RunOrder
from peercell.broker.simulated_run import simulate

CONFIG = Path(__file__).parents[2] / "configs" / "rural1.toml"
MEMBER, OTHER = "mg2.trader", "mg1.trader"
ORDER = RunOrder(config=CONFIG, settings=(Setting(("clock", "intervals"), 5),))
AT_S, FOR_S = 8.0, 6.0
# Whom to hit in a gossip.
MEMBERS = {MEMBER: "m2", "role=trader": "m2", "mg1 from rest": "m1 from rest"}

FAULTS: tuple[AnyFault, ...] = (
    Loss(share=0.3),
    Delay(delay_s=0.2, jitter_s=0.1),
    Duplicate(share=0.3),
    Reorder(share=0.3, by_s=0.3),
    Corrupt(share=0.3),
    Bandwidth(bytes_per_s=2000.0, on="role=trader"),
    Partition(on="mg1 from rest"),
    *(Kill(on=MEMBER, restart_after_s=FOR_S, state=state) for state in Memory),
    Kill(on=MEMBER, restart_after_s=2.0, point=Failpoint.AFTER_SAVE),
    Pause(on=MEMBER),
    Slow(on="role=trader", share=0.2),
    Clock(on=MEMBER, ahead_s=1.0, drift_ppm=200.0),
    DiskFull(on=MEMBER),
    Lie(on=MEMBER, price_eur_per_kwh=0.5),
    Replay(on=MEMBER, share=0.5, after_s=1.0),
    Forge(on=MEMBER, share=0.5, name=OTHER),
    LineOpen(line="10-3"),
    LoadStep(on="load-1*", by_kw=2.0),
    PvTrip(on="pv-*"),
    MeterNoise(sigma_pu=0.01),
    Islanding(microgrid="mg1"),
)


SINGLE: Mapping[str, AnyFault] = {
    f"{each.kind}-{each.point or each.state}" if isinstance(each, Kill) else each.kind: each
    for each in FAULTS
}


GossipFault = LinkFault | PeerFault | Replay | Forge
IN_GOSSIP = {name: fault for name, fault in SINGLE.items() if isinstance(fault, GossipFault)}
"""A gossip has neither a grid nor prices."""


def step(fault: AnyFault, at_s: float, for_s: float) -> Step:
    """Return a fault that is on for some time, or the crash of a peer that is down for it."""
    return Step(fault=fault, at_s=at_s, for_s=None if isinstance(fault, Kill) else for_s)


@cache
def unhurt() -> Run:
    """Return the run in which nothing goes wrong."""
    return simulate(ORDER, lambda _: None)


def test_no_kind_is_left_out() -> None:
    assert {type(fault) for fault in FAULTS} == set(get_args(AnyFault))


@pytest.mark.slow
@pytest.mark.parametrize("fault", SINGLE.values(), ids=SINGLE)
def test_a_cell_finds_the_same_plans_soon_after_one_thing_went_wrong(fault: AnyFault) -> None:
    run = simulate(ORDER, lambda _: None, FaultPlan(5, (step(fault, AT_S, FOR_S),)))
    ((hits, refused),) = run.effects
    assert hits > 0, refused
    calendar, good = run.note.calendar, {row.interval: row for row in unhurt().intervals}
    after = [row for row in run.intervals if calendar.start_s(row.interval - 1) >= AT_S + FOR_S]
    assert len(after) == 2
    for row in after:
        assert row.certified
        assert row.cost_eur == pytest.approx(good[row.interval].cost_eur, rel=TRADE_GAP)
        assert row.rounds <= SLACK * max(each.rounds for each in good.values())
        assert row.v_max_pu == pytest.approx(good[row.interval].v_max_pu, abs=1e-6)


@pytest.mark.parametrize("fault", IN_GOSSIP.values(), ids=IN_GOSSIP)
def test_members_find_the_mean_soon_after_one_thing_went_wrong(fault: GossipFault) -> None:
    aimed = structs.replace(fault, on=MEMBERS.get(fault.on, fault.on))
    if isinstance(aimed, Forge):
        aimed = structs.replace(aimed, name="m1")
    gossip(3, by_plan(FaultPlan(5, (step(aimed, 3.0, 10.0),))))
