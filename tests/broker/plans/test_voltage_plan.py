"""Voltage agents in a cell that trades: who they are, what they keep, and that they come back."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from peercell.agents.control.device import DeviceSettings
from peercell.agents.control.voltage_dual import VoltageDual
from peercell.agents.control.voltage_gradient import VoltageGradient
from peercell.agents.control.voltage_messages import EpochsStalled
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.agents.grid_messages import (
    GridRefusal,
    GridRevision,
    StateQuery,
    StateReport,
    TimeOrder,
)
from peercell.agents.grid_parts import Reading, View
from peercell.agents.protocol import PeerUp
from peercell.agents.trading.contract_messages import Delivery
from peercell.broker.cells import load_cell, save_cell
from peercell.broker.config import load_grid, read_config
from peercell.broker.configuration.toml_file import ConfigError
from peercell.broker.faults.network import LinkFaults
from peercell.broker.plans.cell import CellPlan, plan_cell
from peercell.broker.plans.live import peer_specs
from peercell.broker.plans.voltage import voltage_plan
from peercell.broker.roles import build
from peercell.broker.simulation import Simulation
from peercell.grid.model import Asset, AssetKind

TEXT = """
name = "noon"
grid = "rural1"
[clock]
start = 2016-05-28T12:00:00
intervals = 4
speed = 180.0
[trading]
round_s = 0.03
[wholesale]
feed_in_kw_max = 1000.0  # the market does not know that the transformer carries 160
[control]
method = "{method}"
"""
LOCAL = LinkFaults(drop=0.1, delay_s_min=0.001, delay_s_max=0.02)


def planned(tmp_path: Path, method: str) -> CellPlan:
    """Return the plan of a village at noon, when the sun would overload its transformer."""
    path = tmp_path / "noon.toml"
    path.write_text(TEXT.format(method=method))
    config = read_config(path)
    return plan_cell(config, load_grid(config), 1.0)


class Noon:
    """The village at noon, on a virtual clock."""

    def __init__(self, plan: CellPlan, roles: tuple[str, ...] = ()) -> None:
        self.plan = plan
        self.simulation = Simulation(LOCAL, seed=6)
        for peer in plan.peers:
            if not roles or peer.role in roles:
                self.start(peer.id, 0.0)

    def start(self, peer: str, at_s: float) -> None:
        """Start a peer, or start it again."""
        (spec,) = (spec for spec in peer_specs(self.plan) if spec.peer == peer)
        role = build(spec.peer, spec.settings, np.random.default_rng(spec.seed))
        self.simulation.start(peer, role, at_s)

    def readings(self, from_s: float, to_s: float) -> list[Reading]:
        """Return the states of the grid between two times."""
        facts = self.simulation.facts_of(GridRevision)
        return [fact.reading for at, _, fact in facts if from_s <= at <= to_s]

    def loading_max(self, from_s: float, to_s: float) -> float:
        """Return the highest loading between two times, percent."""
        return max(reading.loading_percent_max or 0.0 for reading in self.readings(from_s, to_s))

    def voltage_max(self, from_s: float, to_s: float) -> float:
        """Return the highest voltage between two times, pu."""
        return max(reading.v_max_pu for reading in self.readings(from_s, to_s))


def test_who_controls_what(tmp_path: Path) -> None:
    plan = planned(tmp_path, "dual")
    agents = {peer.id: peer for peer in plan.peers if peer.role == "voltage"}
    assert len(agents) == 14
    assert isinstance(agents["volt.1"].settings, VoltageSettings)
    assert [d.asset for d in agents["volt.1"].settings.place.devices] == ["load-7", "pv-5"]
    assert agents["volt.trafo-0"].settings.place.branch.rating_kva == 160.0
    assert agents["volt.trafo-0"].settings.path[-1].branch == "trafo-0"
    assert "grid" in agents["volt.1"].neighbours
    (grid,) = (peer for peer in plan.peers if peer.role == "grid")
    by = {a.device.asset: a.controller for a in grid.settings.service.controlled}
    assert by["pv-5"] == "volt.1"
    assert agents["volt.7"].settings.place.branch.branch == "line-2"
    assert agents["volt.7"].settings.path[-1].branch == "line-2"
    battery = by_asset(agents["volt.12"].settings.place.devices, "bat-0")
    assert (battery.floor_kw, battery.ceiling_kw) == (-battery.rating_kva, battery.rating_kva)
    assert battery.energy_kwh == pytest.approx(146.7, abs=0.1)
    assert battery.hold_h == 0.25
    load = by_asset(agents["volt.1"].settings.place.devices, "load-7")
    assert (load.share, load.ceiling_kw, load.q_kvar_max) == (0.05, 0.0, 0.0)
    assert (grid.settings.service.primary_s, grid.settings.service.silence_s) == (0.1, 3.0)


def by_asset(devices: Sequence[DeviceSettings], asset: str) -> DeviceSettings:
    """Return the device of an asset."""
    (found,) = (device for device in devices if device.asset == asset)
    return found


def test_without_control_there_are_no_agents(tmp_path: Path) -> None:
    plan = planned(tmp_path, "none")
    assert not [peer for peer in plan.peers if peer.role.startswith("voltage")]


def test_agents_relieve_the_transformer_while_the_market_runs(tmp_path: Path) -> None:
    noon = Noon(planned(tmp_path, "dual"))
    noon.simulation.run(10.9)
    assert noon.loading_max(0.0, 1.0) > 195.0
    assert noon.loading_max(3.5, 5.9) <= 100.5
    assert noon.loading_max(8.0, 10.9) <= 100.5
    assert noon.voltage_max(1.6, 10.9) <= 1.055
    assert noon.simulation.facts_of(GridRefusal) == []
    delivered = [fact for _, _, fact in noon.simulation.facts_of(Delivery) if fact.interval == 0]
    curtailed = sum(fact.deviation_kwh or 0.0 for fact in delivered)
    assert curtailed < -10.0


def test_without_them_it_is_overloaded(tmp_path: Path) -> None:
    noon = Noon(planned(tmp_path, "none"))
    noon.simulation.run(10.9)
    assert noon.loading_max(0.0, 10.9) > 190.0


def test_agents_that_are_killed_come_back_and_the_limits_hold(tmp_path: Path) -> None:
    noon = Noon(planned(tmp_path, "dual"))
    for peer in ("volt.5", "volt.11"):
        noon.simulation.crash(peer, 7.0)
        noon.start(peer, 9.0)
    noon.simulation.run(15.9)
    # At 11 s a new quarter of an hour begins, and with it another plan.
    for from_s, to_s in ((6.9, 10.9), (13.0, 15.9)):
        assert noon.loading_max(from_s, to_s) <= 101.0
        assert noon.voltage_max(from_s, to_s) <= 1.055
    agents = {p: noon.simulation.role(p) for p in ("volt.5", "volt.11", "volt.1")}
    assert all(isinstance(agent, VoltageDual) and agent.prices for agent in agents.values())
    assert noon.simulation.facts_of(EpochsStalled) == []


def test_a_grid_service_that_comes_back_is_told_again(tmp_path: Path) -> None:
    noon = Noon(planned(tmp_path, "dual"))
    noon.start("grid", 7.0)
    for peer in noon.plan.peers:
        if "grid" in peer.neighbours:
            noon.simulation.give(peer.id, PeerUp("grid", 2), 7.01)
    noon.simulation.run(10.9)
    assert noon.loading_max(9.0, 10.9) <= 100.5


def test_the_gradient_method_is_another_role(tmp_path: Path) -> None:
    noon = Noon(planned(tmp_path, "gradient"))
    noon.simulation.run(0.5)
    assert isinstance(noon.simulation.role("volt.1"), VoltageGradient)


def test_cells_of_three_phases_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cell.toml"
    path.write_text(
        'name = "x"\ngrid = "eu-lv"\n[clock]\nstart = 2000-01-01T00:00:00\n'
        '[control]\nmethod = "dual"\n'
    )
    config = read_config(path)
    with pytest.raises(ConfigError, match="voltage agents cannot control"):
        voltage_plan(config, load_grid(config).cell, "grid")


def wide(tmp_path: Path, method: str) -> CellPlan:
    """Return the village with twice the sun and a transformer that carries it; its lines do not."""
    loaded = load_cell("rural1")
    units = tuple(replace(unit, rating_kva=1000.0) for unit in loaded.cell.transformers)
    customers = tuple(
        replace(customer, assets=tuple(sunnier(asset) for asset in customer.assets))
        for customer in loaded.cell.customers
    )
    cell = replace(loaded.cell, transformers=units, customers=customers)
    save_cell(cell, loaded.profiles, tmp_path / "cell")
    text = TEXT.format(method=method).replace('"rural1"', '"./cell"')
    (tmp_path / "noon.toml").write_text(text + "v_max_pu = 1.12\n")
    config = read_config(tmp_path / "noon.toml")
    return plan_cell(config, load_grid(config), 1.0)


def sunnier(asset: Asset) -> Asset:
    """Return an asset, twice as large if it is PV."""
    if asset.kind is not AssetKind.PV:
        return asset
    return replace(asset, p_kw=2.0 * asset.p_kw, rating_kva=2.0 * (asset.rating_kva or asset.p_kw))


def test_agents_relieve_lines_too(tmp_path: Path) -> None:
    noon = Noon(wide(tmp_path, "dual"))
    noon.simulation.run(10.9)
    assert noon.loading_max(0.0, 1.0) > 120.0
    assert noon.loading_max(4.5, 5.9) <= 100.5
    assert noon.loading_max(9.5, 10.9) <= 100.5
    lent = batteries_of(noon)
    assert sum(battery.lent_kwh for battery in lent.assets) > 5.0


def batteries_of(noon: Noon) -> Reading:
    """Return how the village and its batteries stand now."""
    assets = tuple(f"bat-{k}" for k in range(5))
    number = int(noon.simulation.now_s * 1e3)
    noon.simulation.command(
        "grid", number, StateQuery(number, View(assets=assets)), noon.simulation.now_s
    )
    noon.simulation.run(noon.simulation.now_s + 0.01)
    report = noon.simulation.replies.pop(number)
    assert isinstance(report, StateReport)
    assert report.reading is not None
    return report.reading


@pytest.mark.slow
def test_over_a_day_batteries_lend_and_are_paid_back(tmp_path: Path) -> None:
    """A day of profiles without a market: what the batteries take at noon they give at night."""
    plan = wide(tmp_path, "dual")
    noon = Noon(plan, roles=("voltage", "grid"))
    energy_kwh = {asset.id: asset.energy_kwh or 0.0 for asset in load_cell("rural1").cell.assets}
    lent_kwh: list[float] = []
    for quarter in range(96):
        at = datetime(2016, 5, 28, 12) + timedelta(minutes=15 * quarter)
        noon.simulation.command(
            "grid", quarter + 1, TimeOrder(quarter + 1, at), noon.simulation.now_s
        )
        noon.simulation.run(noon.simulation.now_s + 5.0)
        found = batteries_of(noon)
        assert (found.loading_percent_max or 0.0) <= 101.0
        assert found.v_max_pu <= 1.1205
        for battery in found.assets:
            assert 0.0 <= battery.stored_kwh <= energy_kwh[battery.asset]
        lent_kwh.append(sum(battery.lent_kwh for battery in found.assets))
    assert max(lent_kwh) > 100.0
    assert lent_kwh[60] < 0.1 * max(lent_kwh)
    assert noon.simulation.facts_of(GridRefusal) == []
