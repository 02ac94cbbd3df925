"""Levels of control in a cell that trades: a village below a feeder with a plant of its own."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from tests.broker.village import make_profiles, make_village

from peercell.agents.control.coupling import Coupling, CouplingSettings
from peercell.agents.control.voltage_dual import VoltageDual
from peercell.agents.grid_messages import GridRefusal, GridRevision
from peercell.broker.cells import save_cell
from peercell.broker.config import load_grid, read_config
from peercell.broker.configuration.toml_file import ConfigError
from peercell.broker.faults.network import LinkFaults
from peercell.broker.hosting.places import places
from peercell.broker.plans.cell import CellPlan, plan_cell
from peercell.broker.plans.live import peer_specs
from peercell.broker.roles import build
from peercell.broker.simulation import Simulation
from peercell.grid.model import Asset, AssetKind, Branch, Bus, Cell, Customer
from peercell.grid.partition import partition

COUPLING = "c.trafo-0"
TEXT = """
name = "noon"
grid = "./cell"
[clock]
start = 2016-05-28T12:00:00
intervals = 4
speed = 180.0
[trading]
round_s = 0.03
[wholesale]
feed_in_kw_max = 9000.0
[control]
v_max_pu = 1.05
"""


def two_levels() -> Cell:
    """Return the village, fed by 8 km of cable with a plant at their end."""
    village = make_village()
    plant = Asset(id="plant", kind=AssetKind.PV, p_kw=4000.0, p_profile="sun", rating_kva=4000.0)
    cable = Branch(id="cable", from_bus="mv", to_bus="mv1", r_ohm=5.0, x_ohm=2.0)
    (unit,) = village.transformers
    cell = replace(
        village,
        buses=(*village.buses, Bus(id="mv1", kv=20.0)),
        branches=(*village.branches, cable),
        transformers=(replace(unit, hv_bus="mv1"),),
        customers=(*village.customers, Customer(id="plant", bus="mv1", assets=(plant,))),
    )
    return replace(cell, zones=partition(cell))


def planned(tmp_path: Path, control: str) -> CellPlan:
    """Return the plan of the cell at noon, with more keys in its [control]."""
    save_cell(two_levels(), make_profiles(), tmp_path / "cell")
    path = tmp_path / "noon.toml"
    path.write_text(TEXT + control)
    config = read_config(path)
    return plan_cell(config, load_grid(config), 1.0)


def test_each_level_has_its_agents_and_a_coupling_agent_belongs_to_both(tmp_path: Path) -> None:
    plan = planned(tmp_path, 'method = "dual"\nby_level = true\n')
    peers = {peer.id: peer for peer in plan.peers}
    told = peers[COUPLING].settings
    assert peers[COUPLING].role == "voltage coupling"
    assert isinstance(told, CouplingSettings)
    assert set(told.upper.members) == {"volt.mv1", COUPLING}
    assert "volt.mv1" not in told.lower.members
    assert set(peers["volt.mv1"].settings.members) == {"volt.mv1", COUPLING}
    assert {"grid", "volt.mv1"} < set(peers[COUPLING].neighbours)
    assert COUPLING in peers["volt.mv1"].neighbours
    assert COUPLING in places(plan, two_levels().zones)["dso"]
    one = planned(tmp_path, 'method = "dual"\n')
    assert {peer.id for peer in plan.peers} - {peer.id for peer in one.peers} == {COUPLING}


def test_levels_without_prices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="coupled by prices") as refused:
        planned(tmp_path, 'method = "gradient"\nby_level = true\n')
    assert "dual" in refused.value.fix


@pytest.mark.parametrize("by_level", [True, False])
def test_both_levels_come_into_their_limits(tmp_path: Path, *, by_level: bool) -> None:
    plan = planned(tmp_path, f'method = "dual"\nby_level = {str(by_level).lower()}\n')
    simulation = Simulation(LinkFaults(drop=0.1, delay_s_min=0.001, delay_s_max=0.02), seed=6)
    for spec in peer_specs(plan):
        role = build(spec.peer, spec.settings, np.random.default_rng(spec.seed))
        simulation.start(spec.peer, role)
    simulation.run(5.9)
    assert simulation.facts_of(GridRefusal) == []
    facts = [(at, fact.reading) for at, _, fact in simulation.facts_of(GridRevision)]
    assert max(reading.v_max_pu for at, reading in facts if at < 1.0) > 1.06
    # At the busbar of the village there is no agent, and it is a little above those that there are.
    settled = [reading for at, reading in facts if at > 4.5]
    assert max(reading.v_max_pu for reading in settled) <= 1.0515
    assert min(reading.v_max_pu for reading in settled) >= 1.049
    upper = simulation.role("volt.mv1")
    assert isinstance(upper, VoltageDual)
    heard = set(upper.circle.number)
    assert (heard == {"volt.mv1", COUPLING}) == by_level
    if by_level:
        coupling = simulation.role(COUPLING)
        assert isinstance(coupling, Coupling)
        assert coupling.knows_all
