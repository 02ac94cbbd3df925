"""Each peer of a cell has one place, with those of the same owner."""

from pathlib import Path

import pytest

from peercell.agents.errors import PeercellError
from peercell.broker.config import load_grid, read_config
from peercell.broker.directory import DIRECTORY
from peercell.broker.hosting.places import OBSERVER, peers_at, places
from peercell.broker.plans.cell import CellPlan, plan_cell
from peercell.grid.model import Zones

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.toml"))


def planned(path: Path) -> tuple[CellPlan, Zones]:
    config = read_config(path)
    loaded = load_grid(config)
    return plan_cell(config, loaded, 1e9), loaded.cell.zones


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_peer_has_exactly_one_place(path: Path) -> None:
    plan, zones = planned(path)
    where = places(plan, zones)
    here = [peer for peers in where.values() for peer in peers]
    assert sorted(here) == sorted([DIRECTORY, OBSERVER, *(peer.id for peer in plan.peers)])
    assert all(where.values())
    for microgrid in zones.microgrids:
        assert where[microgrid.id][0] == f"{microgrid.id}.trader"


def test_voltage_agents_live_with_the_microgrid_of_their_bus() -> None:
    where = places(*planned(CONFIGS[1]))
    assert where["mg1"] == ("mg1.trader", "mg1.c1", "volt.1")
    assert {"volt.2", "volt.9", "volt.13"} < set(where["mg2"])
    assert where["dso"] == ("dso", "volt.trafo-0")


def test_peers_are_chosen_by_place_and_by_name_each_once() -> None:
    plan, zones = planned(CONFIGS[1])
    chosen = [spec.peer for spec in peers_at(("observer", "mg1.c1", "mg1"), plan, zones)]
    assert chosen == ["observer", "mg1.c1", "mg1.trader", "volt.1"]


def test_a_name_that_is_none_is_told_with_the_nearest() -> None:
    with pytest.raises(PeercellError, match="phisics") as caught:
        peers_at(("phisics",), *planned(CONFIGS[1]))
    assert "physics" in f"{caught.value.why} {caught.value.fix}"
