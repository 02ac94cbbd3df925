"""The peers of a cell: who there is, what each is told, and that it works when they all run."""

from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec import structs
from tests.broker.configs import MINIMAL, make_config
from tests.broker.village import make_profiles, make_village

from peercell.agents.dso import DsoSettings
from peercell.agents.trading.aggregator import AggregatorSettings
from peercell.agents.trading.market import MarketTraderSettings
from peercell.agents.trading.prosumer import ProsumerSettings
from peercell.broker.cells import load_cell, save_cell, shipped_names
from peercell.broker.config import load_grid
from peercell.broker.configuration.check import check_config, check_text
from peercell.broker.configuration.toml_file import ConfigError
from peercell.broker.plans.cell import CellPlan, GridPeerSettings, PeerPlan, plan_cell
from peercell.grid.model import AssetKind, Customer
from peercell.grid.profiles import power_at
from peercell.grid.service_rights import Rights

ORIGIN_S = 1000.0


def planned(folder: Path, more: str = "", head: str = MINIMAL) -> CellPlan:
    """Return the plan of a config."""
    said = make_config(folder, more, head)
    return plan_cell(said, load_grid(said), ORIGIN_S)


def peer(plan: CellPlan, name: str) -> PeerPlan:
    """Return one peer of a plan."""
    (found,) = (each for each in plan.peers if each.id == name)
    return found


def test_the_peers_of_a_village(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert [each.id for each in plan.peers] == [
        "mg1.trader", "mg1.c1",
        "mg2.trader", "mg2.c2", "mg2.c9", "mg2.c13",
        "mg3.trader", "mg3.c3", "mg3.c8", "mg3.c10", "mg3.c11",
        "mg4.trader", "mg4.c5", "mg4.c6", "mg4.c7", "mg4.c12", "mg4.c14",
        "aggregator", "dso", "grid",
    ]  # fmt: skip
    kinds = {each.role: type(each.settings) for each in plan.peers}
    assert kinds == {
        "trader": MarketTraderSettings,
        "prosumer": ProsumerSettings,
        "aggregator": AggregatorSettings,
        "dso": DsoSettings,
        "grid": GridPeerSettings,
    }


def test_all_peers_share_one_calendar(tmp_path: Path) -> None:
    plan = planned(tmp_path, "speed = 90.0\nclosure = 0.7\n")
    told = [each.settings.calendar for each in plan.peers if each.role != "grid"]
    assert set(told) == {plan.calendar}
    assert plan.calendar.origin_s == ORIGIN_S
    assert plan.calendar.interval_s == 10.0
    assert plan.calendar.at(1) == datetime(2016, 5, 28, 6, 15)
    trading = peer(plan, "mg1.trader").settings.trading
    assert trading.gate_closure_s == pytest.approx(5.0)


def test_settings_survive_the_wire(tmp_path: Path) -> None:
    for each in planned(tmp_path).peers:
        packed = msgspec.msgpack.encode(each.settings)
        assert msgspec.msgpack.decode(packed, type=type(each.settings)) == each.settings


def test_neighbours_talk_to_each_other(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    near = {each.id: set(each.neighbours) for each in plan.peers}
    assert all(name in near[other] for name, others in near.items() for other in others)
    assert near["mg1.c1"] == {"mg1.trader", "grid"}
    assert near["dso"] == {"grid"}
    assert near["mg1.trader"] == {"mg1.c1", "mg2.trader", "mg3.trader", "mg4.trader", "aggregator"}


def test_a_prosumer_without_contract_has_no_trader(tmp_path: Path) -> None:
    plan = planned(tmp_path, '[peers."mg1.c1"]\ncontract = false\n')
    assert peer(plan, "mg1.c1").settings.trader is None
    assert peer(plan, "mg1.c1").neighbours == ("grid",)
    assert peer(plan, "mg1.trader").settings.prosumers == ()
    assert peer(plan, "mg2.trader").settings.prosumers == ("mg2.c2", "mg2.c9", "mg2.c13")


def test_a_prosumer_brings_its_profiles(tmp_path: Path) -> None:
    """The units of all prosumers add up to what the grid knows, interval by interval."""
    plan = planned(tmp_path)
    loaded = load_cell("rural1")
    start = loaded.cell.timeline.row(datetime(2016, 5, 28, 6))
    p_kw, q_kvar = power_at(loaded.cell, loaded.profiles, range(start, start + 8))
    units = [unit for each in plan.peers if each.role == "prosumer" for unit in each.settings.units]
    for values, series in ((p_kw, "p_kw"), (q_kvar, "q_kvar")):
        known = {asset.id: values[:, k] for k, asset in enumerate(loaded.cell.assets)}
        for unit in units:
            told = np.broadcast_to(getattr(unit, series), 8)
            np.testing.assert_array_equal(told, known[unit.asset])
        assert {unit.asset for unit in units} == set(known)


def test_longer_intervals_take_the_mean_and_shorter_ones_repeat(tmp_path: Path) -> None:
    def load_kw(more: str) -> list[float]:
        plan = planned(tmp_path, more, MINIMAL.replace("intervals = 8", ""))
        (unit,) = (u for u in peer(plan, "mg1.c1").settings.units if u.asset == "load-7")
        return list(unit.p_kw)

    usual = load_kw("intervals = 8\n")
    hours = load_kw("intervals = 2\ninterval_s = 3600.0\n")
    short = load_kw("intervals = 16\ninterval_s = 450.0\n")
    assert hours == pytest.approx(np.reshape(usual, (2, 4)).mean(axis=1))
    assert short == pytest.approx(np.repeat(usual, 2))


def test_terms_are_those_of_the_kind_of_asset(tmp_path: Path) -> None:
    plan = planned(
        tmp_path,
        """
        [prosumer.ev]
        flexible_share = 0.9
        price_eur_per_kwh = 0.1
        slope_eur_per_kwh2 = 0.2
        [[peers."mg3.c8".generators]]
        power_kw = 7.0
        price_eur_per_kwh = 0.4
        """,
    )
    units = peer(plan, "mg3.c8").settings.units
    charging = [unit for unit in units if unit.asset.startswith("ev-")]
    assert [unit.asset for unit in charging] == ["ev-15", "ev-20"]
    for unit in charging:
        terms = unit.flexible_share, unit.price_eur_per_kwh, unit.slope_eur_per_kwh2
        assert terms == (0.9, 0.1, 0.2)
    plant = units[-1]
    assert (plant.asset, plant.p_kw, plant.price_eur_per_kwh) == ("load-1", (7.0,), 0.4)
    (roof,) = (unit for unit in units if unit.asset == "pv-2")
    assert (roof.flexible_share, roof.price_eur_per_kwh) == (0.0, 0.0)


def test_every_asset_of_the_cell_has_one_owner(tmp_path: Path) -> None:
    settings = peer(planned(tmp_path), "grid").settings
    cell = load_cell("rural1").cell
    Rights(cell, settings.service)  # refuses an asset with two owners
    owned = [asset for access in settings.service.peers.values() for asset in access.assets]
    assert sorted(owned) == sorted(asset.id for asset in cell.assets)
    assert settings.service.peers["mg1.c1"].assets == ("load-7", "pv-5")
    assert settings.service.peers["mg1.trader"].microgrids == ("mg1",)
    assert [name for name, access in settings.service.peers.items() if access.operates] == ["dso"]
    assert settings.service.start == datetime(2016, 5, 28, 6)
    assert load_cell(settings.folder).cell == cell


@pytest.mark.parametrize(
    ("grid", "connection_kw"),
    [("rural1", 160.0), ("mvlv108", 50_000.0), ("cigre-lv3", 950.0), ("case33", 3715.0)],
)
def test_the_aggregator_sells_what_the_connection_carries(
    tmp_path: Path, grid: str, connection_kw: float
) -> None:
    """Ratings of the transformers to the grid above; without any, the power of all assets."""
    start = load_cell(grid).cell.timeline.windows[0].start
    head = f'name = "a"\ngrid = "{grid}"\n[clock]\nstart = {start.isoformat()}\nintervals = 1\n'
    settings = peer(planned(tmp_path, "", head), "aggregator").settings
    assert settings.retail_kwh_max == settings.feed_in_kwh_max == pytest.approx(connection_kw / 4)
    islanded = peer(planned(tmp_path, "[wholesale]\nretail_kw_max = 0.0\n", head), "aggregator")
    assert islanded.settings.retail_kwh_max == 0.0


@pytest.mark.parametrize(("bus", "connection_kw"), [("1", 100.0), ("mv", 216.0)])
def test_a_customer_before_the_transformer_is_not_limited_by_it(
    tmp_path: Path, bus: str, connection_kw: float
) -> None:
    """The transformer has 100 kVA; all homes draw 36 kW and all roofs make 180 kW."""
    cell = make_village()
    moved = structs.replace(cell.customers[0], bus=bus)
    cell = structs.replace(cell, customers=(moved, *cell.customers[1:]))
    save_cell(cell, make_profiles(), tmp_path / "village")
    plan = planned(tmp_path, "", MINIMAL.replace('"rural1"', '"./village"'))
    assert peer(plan, "aggregator").settings.retail_kwh_max == pytest.approx(connection_kw / 4)


def test_a_customer_without_assets_is_no_peer(tmp_path: Path) -> None:
    cell = make_village()
    shunt = structs.replace(cell.customers[0].assets[0], id="shunt-1", kind=AssetKind.SHUNT)
    customers = (
        *cell.customers,
        Customer(id="empty", bus="1", assets=()),
        Customer(id="compensation", bus="1", assets=(shunt,)),
    )
    save_cell(structs.replace(cell, customers=customers), make_profiles(), tmp_path / "village")
    head = MINIMAL.replace('"rural1"', '"./village"')
    names = [each.id for each in planned(tmp_path, "", head).peers if each.role == "prosumer"]
    assert names == [f"mg-{1 + (bus > 4)}.home-{bus}" for bus in range(1, 7)]
    checked = check_config(tmp_path / "cell.toml")
    assert checked.customers_left_out == 2
    assert "left out  2 customers without assets or microgrid" in check_text(checked)


def test_two_peers_of_one_name_are_refused(tmp_path: Path) -> None:
    cell = make_village()
    customer = structs.replace(cell.customers[0], id="trader")
    cell = structs.replace(cell, customers=(customer, *cell.customers[1:]))
    save_cell(cell, make_profiles(), tmp_path / "village")
    with pytest.raises(
        ConfigError, match=r'cell\.toml:2: two peers would be called "mg-1\.trader"'
    ):
        planned(tmp_path, "", MINIMAL.replace('"rural1"', '"./village"'))


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_cell_can_be_planned(tmp_path: Path, name: str) -> None:
    start = load_cell(name).cell.timeline.windows[0].start
    head = f'name = "a"\ngrid = "{name}"\n[clock]\nstart = {start.isoformat()}\nintervals = 2\n'
    plan = planned(tmp_path, "", head)
    assert len({each.id for each in plan.peers}) == len(plan.peers)
    sellers = {link.seller for cell in plan.market for link in cell.links}
    assert sellers == {each.id for each in plan.peers if each.role in {"trader", "aggregator"}}
