"""A planned cell at work: its roles trade, dispatch and are measured, all on one virtual clock."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from peercell.agents.control.voltage_dual import VoltageDual
from peercell.agents.dso import Dso
from peercell.agents.dso_messages import CellObserved
from peercell.agents.grid_messages import GridRefusal
from peercell.agents.protocol import Action, Event, Role, Send
from peercell.agents.trading.aggregator import Aggregator
from peercell.agents.trading.contract_messages import (
    Delivery,
    Fallback,
    Settlement,
    Unsettled,
)
from peercell.agents.trading.market import MarketTrader
from peercell.agents.trading.prosumer import Prosumer
from peercell.broker.cells import load_cell
from peercell.broker.config import load_grid, read_config
from peercell.broker.faults.network import LinkFaults
from peercell.broker.plans.cell import GridPeerSettings, PeerPlan, plan_cell
from peercell.broker.simulation import Simulation
from peercell.grid.service import GridService

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
LOCAL = LinkFaults(delay_s_min=0.001, delay_s_max=0.003)


def _grid_service(settings: GridPeerSettings) -> GridService:
    loaded = load_cell(settings.folder)
    cell = structs.replace(loaded.cell, zones=settings.zones)
    return GridService(cell, loaded.profiles, settings.service)


ROLES: dict[str, Callable[[Any], Role]] = {
    "trader": MarketTrader,
    "prosumer": Prosumer,
    "aggregator": Aggregator,
    "dso": Dso,
    "voltage": VoltageDual,
    "grid": _grid_service,
}


class AmongNeighbours:
    """A role that may talk to the neighbours in its plan, and to nobody else."""

    def __init__(self, peer: PeerPlan) -> None:
        self._role = ROLES[peer.role](peer.settings)
        self._neighbours = peer.neighbours

    def step(self, event: Event, now_s: float) -> list[Action]:
        """See `Role.step`."""
        actions = self._role.step(event, now_s)
        addressed = {action.to for action in actions if isinstance(action, Send)}
        assert addressed <= set(self._neighbours)
        return actions


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_planned_cell_trades_and_delivers_what_it_traded(path: Path) -> None:
    config = read_config(path)
    clock = config.cell.clock
    plan = plan_cell(config, load_grid(config), origin_s=clock.interval_s / clock.speed)
    simulation = Simulation(LOCAL)
    for peer in plan.peers:
        simulation.start(peer.id, AmongNeighbours(peer))
    simulation.run(plan.calendar.start_s(2) - 0.001)
    settled = [fact for _, _, fact in simulation.facts_of(Settlement)]
    assert {fact.interval for fact in settled} == {0, 1, 2}
    assert all(fact.plan.certified for fact in settled)
    for kind in (Fallback, Unsettled, GridRefusal):
        assert simulation.facts_of(kind) == []
    delivered = [fact for _, _, fact in simulation.facts_of(Delivery)]
    assert len(delivered) == 2 * sum(peer.role == "prosumer" for peer in plan.peers)
    assert all(fact.scheduled for fact in delivered)
    deviations = [fact.deviation_kwh for fact in delivered]
    assert deviations == pytest.approx([0.0] * len(deviations), abs=1e-9)
    assert len(simulation.facts_of(CellObserved)) == 2
