"""Which voltage agents a cell has: one at each customer's bus and one behind each transformer."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from msgspec import Struct

from peercell.agents.control.device import DeviceSettings, Weights
from peercell.agents.control.paths import Path
from peercell.agents.control.rhythm import rhythm_for
from peercell.agents.control.station import BranchLimit, Place
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.broker.config import Config
from peercell.broker.role_tables import CONTROL, PROSUMER, ControlMethod, ControlTerms
from peercell.grid.model import Asset, AssetKind, Cell
from peercell.grid.paths import path_lists
from peercell.grid.service_control import ControlledAsset
from peercell.grid.service_rights import Access

# What feeds in and may be curtailed; batteries keep their schedule and lend their inverter only.
_SUN = {AssetKind.PV, AssetKind.WIND}
_INVERTERS = {*_SUN, AssetKind.BATTERY}
_FLEXIBLE = {AssetKind.HEAT_PUMP, AssetKind.EV}
_RENEWALS = 3.0


class VoltagePlan(Struct, frozen=True, kw_only=True):
    """What the voltage agents of a cell, and the grid service, must be told.

    Parameters
    ----------
    agents : settings by id
    access : what each may see
    controlled : the assets that they correct
    terms : what the config says
    """

    agents: Mapping[str, VoltageSettings]
    access: Mapping[str, Access]
    controlled: tuple[ControlledAsset, ...]
    terms: ControlTerms

    @property
    def role(self) -> str:
        """What the agents are."""
        gradient = self.terms.method is ControlMethod.GRADIENT
        return "voltage gradient" if gradient else "voltage"


def voltage_plan(config: Config, cell: Cell, grid: str) -> VoltagePlan:
    """Return the voltage agents of a cell; none where the config has none.

    Parameters
    ----------
    config : says how voltages are kept
    cell : of the grid
    grid : id of the grid service

    Raises
    ------
    ConfigError : the cell has three phases.
    """
    terms = config.table(CONTROL, "")
    if terms.method is ControlMethod.NONE:
        return VoltagePlan(agents={}, access={}, controlled=(), terms=terms)
    if cell.phases != 1:
        raise config.file.wrong(
            ("control", "method"),
            f'voltage agents cannot control "{cell.name}"',
            "it has three phases, and they know balanced cells",
            '[control] method = "none"',
        )
    paths = path_lists(cell)
    places = dict(_places(config, cell, paths, terms))
    low_pu, high_pu = _limits(cell, terms)
    derived = {
        "grid": grid,
        "members": tuple(places),
        "rhythm": rhythm_for(len(places), terms.secondary_s, terms.late_ticks),
        "renew_s": terms.silence_s / _RENEWALS,
        "v_min_pu": low_pu,
        "v_max_pu": high_pu,
    }
    agents = {
        name: CONTROL.settle(
            VoltageSettings,
            terms,
            {**derived, "name": name, "place": place, "path": path},
        )
        for name, (place, path) in places.items()
    }
    controlled = tuple(
        ControlledAsset(
            device=device, controller=name, bus=str(place.bus), v_min_pu=low_pu, v_max_pu=high_pu
        )
        for name, (place, _) in places.items()
        for device in place.devices
    )
    access = {name: _access(place) for name, (place, _) in places.items()}
    return VoltagePlan(agents=agents, access=access, controlled=controlled, terms=terms)


def _access(place: Place) -> Access:
    return Access(
        buses=() if place.bus is None else (place.bus,),
        branches=() if place.branch is None else (place.branch.branch,),
    )


def _places(
    config: Config, cell: Cell, paths: Mapping[str, Path], terms: ControlTerms
) -> Iterator[tuple[str, tuple[Place, Path]]]:
    """Yield where the agents are: at buses, then behind transformers."""
    at_bus: dict[str, list[DeviceSettings]] = defaultdict(list)
    for microgrid in cell.zones.microgrids:
        for customer in cell.customers:
            if customer.bus in microgrid.buses:
                shares = _flexible_shares(config, f"{microgrid.id}.{customer.id}")
                at_bus[customer.bus] += [
                    _device(asset, shares.get(asset.kind, 0.0), terms.reactive_share)
                    for asset in customer.assets
                    if asset.kind in _INVERTERS or shares.get(asset.kind)
                ]
    for bus, devices in at_bus.items():
        if bus in paths:
            yield f"volt.{bus}", (Place(bus=bus, devices=tuple(devices)), paths[bus])
    for unit in cell.transformers:
        behind = [path for path in paths.values() if path and path[-1].branch == unit.id]
        if unit.rating_kva is not None and behind:
            limit = BranchLimit(
                branch=unit.id,
                rating_kva=unit.rating_kva,
                loading_percent_max=cell.limits.loading_percent_max,
            )
            yield f"volt.{unit.id}", (Place(branch=limit), behind[0])


def _flexible_shares(config: Config, prosumer: str) -> dict[AssetKind, float]:
    """Return which share of its flexible loads a prosumer lets go."""
    terms = config.table(PROSUMER, prosumer)
    return {
        AssetKind.HEAT_PUMP: terms.heat_pump.flexible_share,
        AssetKind.EV: terms.ev.flexible_share,
    }


def _device(asset: Asset, share: float, reactive_share: float) -> DeviceSettings:
    """Return what control may do to an asset, at weights that make a curtailed kW cost 1 to 2."""
    rating = max(asset.rating_kva or 0.0, abs(asset.p_kw), 1e-3)
    if asset.kind in _FLEXIBLE:
        return DeviceSettings(
            asset=asset.id,
            rating_kva=rating,
            q_kvar_max=0.0,
            ceiling_kw=0.0,
            share=share,
            weights=Weights(linear=0.0, active=3.0 / rating, reactive=0.05 / rating),
        )
    sunny = asset.kind in _SUN
    return DeviceSettings(
        asset=asset.id,
        rating_kva=rating,
        q_kvar_max=reactive_share * rating,
        floor_kw=0.0 if sunny else None,
        weights=Weights(linear=1.0 if sunny else 0.0, active=1.0 / rating, reactive=0.05 / rating),
    )


def _limits(cell: Cell, terms: ControlTerms) -> tuple[float, float]:
    """Return the limits of the voltages: the config's, else the narrowest of the cell."""
    low_pu = max(bus.v_min_pu for bus in cell.buses)
    high_pu = min(bus.v_max_pu for bus in cell.buses)
    return (
        low_pu if terms.v_min_pu is None else terms.v_min_pu,
        high_pu if terms.v_max_pu is None else terms.v_max_pu,
    )
