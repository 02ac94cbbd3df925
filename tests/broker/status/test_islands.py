"""Members that have lost each other: each settles and proves what it can, and all can tell."""

import json
import time
from pathlib import Path

import pytest
from msgspec import structs
from tests.agents.trading.village import MARKET, Village, calendar, homes
from tests.broker.cell_for_tests import NOTE, settlement
from tests.broker.conftest import Run as RunCli

from peercell.agents.protocol import PeerDown, PeerUp
from peercell.broker.clock import steady_clock
from peercell.broker.faults.aim import Links, Side
from peercell.broker.faults.kinds import Partition
from peercell.broker.faults.orders import Order
from peercell.broker.faults.staging import cut
from peercell.broker.home import CellHome
from peercell.broker.outcomes.results import Run
from peercell.broker.outcomes.verdict import verdict
from peercell.broker.plans.live import RunOrder, plan_run, run_note, supervised, write_note
from peercell.broker.processes.launch import launch
from peercell.broker.processes.operate import wait_until_up
from peercell.broker.status.islands import Told, absences, islands

APART = "mg1"


def told(*heard: str) -> Told:
    """Return settlements of members `a`, `b`, …, each of which has heard those that are named."""
    names = "abcdef"[: len(heard)]
    plain = settlement(3, "x")
    return [
        (
            name,
            structs.replace(
                plain,
                plan=structs.replace(
                    plain.plan,
                    heard=tuple(near),
                    absent=tuple(sorted(set(names) - {name, *near})),
                ),
            ),
        )
        for name, near in zip(names, heard, strict=True)
    ]


@pytest.mark.parametrize(
    ("heard", "groups"),
    [
        (("b", "a"), ["ab"]),
        (("", ""), ["a", "b"]),
        # Who hears is not heard.
        (("b", ""), ["a", "b"]),
        (("b", "ac", "b"), ["abc"]),
        (("c", "d", "a", "b"), ["ac", "bd"]),
        (("bz", "a"), ["ab"]),
    ],
)
def test_who_has_heard_each_other_belongs_together(
    heard: tuple[str, ...], groups: list[str]
) -> None:
    assert ["".join(group) for group in islands(told(*heard))] == groups


def test_who_is_not_heard_is_named() -> None:
    assert list(absences(told("bcdef", "a", "", "abef", "abcdf", "abcde"))) == [
        "b settled interval 3 without hearing c, d, e and 1 more",
        "c settled interval 3 without hearing anybody",
        "d settled interval 3 without hearing c",
    ]


def test_parts_of_a_village_settle_as_islands_and_come_together_again() -> None:
    """Links and news of a partition as membership gives them, while interval 1 is traded."""
    village = Village(calendar(4))
    village.start()
    cut_s, healed_s = (village.market.start_s(k) + 0.5 for k in (0, 1))
    cut(village.simulation, {APART, *homes(APART)}, cut_s, healed_s)
    for peer in MARKET:
        if peer != APART:
            for at_s, news in ((cut_s, PeerDown), (healed_s, PeerUp)):
                village.simulation.give(peer, news(APART, 1), at_s)
                village.simulation.give(APART, news(peer, 1), at_s)
    village.run_to_end()
    roles = {peer: "aggregator" if peer == MARKET[-1] else "trader" for peer in MARKET}
    note = structs.replace(NOTE, calendar=village.market, roles=roles)
    run = Run(note, [(peer, fact) for _, peer, fact in village.simulation.facts])
    assert [row.islands for row in run.intervals] == [1, 2, 1, 1]
    assert all(row.certified for row in run.intervals)
    found = verdict(run)
    assert (found.converged, found.islands_max) == (False, 2)
    assert found.unmet == (
        "mg1 settled interval 1 without hearing anybody;"
        " mg2 settled interval 1 without hearing mg1;"
        " mg4 settled interval 1 without hearing mg1;"
        " aggregator settled interval 1 without hearing mg1",
    )


@pytest.mark.slow
def test_a_cell_of_processes_in_two_parts_says_who_hears_nobody(
    run: RunCli, home: Path, tmp_path: Path
) -> None:
    order = RunOrder(config=tmp_path / "fast.toml")
    now_s = steady_clock()()
    plan = plan_run(order, now_s)
    note = run_note(plan, order, now_s)
    folder = home / note.cell
    CellHome(folder).prepare()
    side = frozenset({"mg1.trader", "mg1.c1"})
    fault = Order(
        id="f1",
        fault=Partition(on="mg1.* from rest"),
        links=Links(Side(side), Side(side, others=True)),
    )
    launch(structs.replace(supervised(plan, order, folder), faults=(fault,)))
    write_note(note, folder)
    wait_until_up(folder, 30.0, time.sleep)
    waited = run("--home", str(home), "wait", "converged", "--timeout", "10s")
    assert waited.code == 5
    why = waited.err.splitlines()[1]
    assert why.startswith("  why: mg1.trader settled interval ")
    assert why.partition(";")[0].endswith(" without hearing anybody")
    seen = json.loads(run("--home", str(home), "status", "-o", "json").out)
    assert (seen["converged"], seen["settled"]["islands"]) == (False, 2)
    others = {each["member"]: each["absent"] for each in seen["members"]}
    assert others.pop("mg1.trader") == list(others)
    assert set(map(tuple, others.values())) == {("mg1.trader",)}
