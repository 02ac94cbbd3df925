"""Which voltage agents a cell has: at each customer's bus, and behind what may be overloaded."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from msgspec import Struct

from peercell.agents.control.coupling import CouplingSettings
from peercell.agents.control.device import DeviceSettings, Weights
from peercell.agents.control.paths import Path
from peercell.agents.control.rhythm import rhythm_for
from peercell.agents.control.station import Place
from peercell.agents.control.voltage_settings import VoltageSettings
from peercell.broker.config import Config
from peercell.broker.configuration.role_tables import (
    CONTROL,
    PROSUMER,
    ControlMethod,
    ControlTerms,
    ProsumerTerms,
)
from peercell.broker.plans.levels import AgentSettings, by_level
from peercell.grid.branch_limits import RatedBranch, overloadable_lines, rated_branch
from peercell.grid.model import Asset, AssetKind, Cell
from peercell.grid.paths import path_lists
from peercell.grid.service_control import ControlledAsset
from peercell.grid.service_rights import Access

# What feeds in and may be curtailed.
_SUN = {AssetKind.PV, AssetKind.WIND}
_INVERTERS = {*_SUN, AssetKind.BATTERY}
_SECONDS_PER_HOUR = 3600.0
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

    agents: Mapping[str, AgentSettings]
    access: Mapping[str, Access]
    controlled: tuple[ControlledAsset, ...]
    terms: ControlTerms

    def role_of(self, told: AgentSettings) -> str:
        """Return what an agent is."""
        if isinstance(told, CouplingSettings):
            return "voltage coupling"
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
    ConfigError : the cell has three phases, or levels are to be coupled without prices.
    """
    terms = config.table(CONTROL, "")
    if terms.method is ControlMethod.NONE:
        return VoltagePlan(agents={}, access={}, controlled=(), terms=terms)
    _check(config, cell, terms)
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
    told: Mapping[str, AgentSettings] = agents
    if terms.by_level:
        told = by_level(agents, [unit.id for unit in cell.transformers])
    return VoltagePlan(agents=told, access=access, controlled=controlled, terms=terms)


def _check(config: Config, cell: Cell, terms: ControlTerms) -> None:
    """Raise ConfigError where the method of the config cannot control the cell as it says."""
    if cell.phases != 1:
        raise config.file.wrong(
            ("control", "method"),
            f'voltage agents cannot control "{cell.name}"',
            "it has three phases, and they know balanced cells",
            '[control] method = "none"',
        )
    if terms.by_level and terms.method is not ControlMethod.DUAL:
        raise config.file.wrong(
            ("control", "by_level"),
            "levels of control are coupled by prices",
            f'method "{terms.method}" has none that could be passed on',
            '[control] method = "dual"',
        )


def _access(place: Place) -> Access:
    return Access(
        buses=() if place.bus is None else (place.bus,),
        branches=() if place.branch is None else (place.branch.branch,),
    )


def _places(
    config: Config, cell: Cell, paths: Mapping[str, Path], terms: ControlTerms
) -> Iterator[tuple[str, tuple[Place, Path]]]:
    """Yield where the agents are: at buses, behind transformers, and behind lines without one."""
    lines = _watched_lines(cell, paths)
    for bus, devices in _devices(config, cell, terms).items():
        if bus in paths:
            watched = next((line for line in lines if bus in line.buses), None)
            if watched is not None:
                lines.remove(watched)
            limit = None if watched is None else watched.limit
            yield f"volt.{bus}", (Place(bus=bus, devices=tuple(devices), branch=limit), paths[bus])
    percent_max = cell.limits.loading_percent_max
    units = [rated_branch(cell, unit.id, percent_max, paths) for unit in cell.transformers]
    for watched in (*units, *lines):
        if watched is not None:
            yield f"volt.{watched.limit.branch}", (Place(branch=watched.limit), watched.path)


def _watched_lines(cell: Cell, paths: Mapping[str, Path]) -> list[RatedBranch]:
    percent_max = cell.limits.loading_percent_max
    found = [
        rated_branch(cell, line, percent_max, paths) for line in overloadable_lines(cell, paths)
    ]
    return [line for line in found if line is not None]


def _devices(config: Config, cell: Cell, terms: ControlTerms) -> dict[str, list[DeviceSettings]]:
    """Return what control may move at each customer's bus."""
    hold_h = config.cell.clock.interval_s / _SECONDS_PER_HOUR
    at_bus: dict[str, list[DeviceSettings]] = defaultdict(list)
    for microgrid in cell.zones.microgrids:
        for customer in cell.customers:
            if customer.bus in microgrid.buses:
                wants = config.table(PROSUMER, f"{microgrid.id}.{customer.id}")
                found = (_device(asset, terms, wants, hold_h) for asset in customer.assets)
                at_bus[customer.bus] += [device for device in found if device is not None]
    return at_bus


def _device(
    asset: Asset, terms: ControlTerms, wants: ProsumerTerms, hold_h: float
) -> DeviceSettings | None:
    """Return what control may do to an asset; None for nothing.

    The weights are those of `control solve`: a curtailed kW costs 1 to 2, a battery lends cheaply,
    load is dear in large shares.
    """
    rating = max(asset.rating_kva or 0.0, abs(asset.p_kw), abs(asset.p_base_kw), 1e-3)
    if asset.kind in _INVERTERS:
        is_battery = asset.kind is AssetKind.BATTERY
        lends = is_battery and asset.energy_kwh is not None
        return DeviceSettings(
            asset=asset.id,
            rating_kva=rating,
            q_kvar_max=terms.reactive_share * rating,
            floor_kw=(-rating if lends else None) if is_battery else 0.0,
            ceiling_kw=rating if lends else None,
            weights=Weights(
                linear=0.0 if is_battery else 1.0,
                active=(0.3 if is_battery else 1.0) / rating,
                reactive=0.05 / rating,
            ),
            energy_kwh=asset.energy_kwh,
            hold_h=hold_h,
        )
    share = _flexible_share(asset, wants)
    if not share:
        return None
    return DeviceSettings(
        asset=asset.id,
        rating_kva=rating,
        q_kvar_max=0.0,
        ceiling_kw=0.0,
        share=share,
        weights=Weights(linear=0.0, active=3.0 / rating, reactive=0.05 / rating),
    )


def _flexible_share(asset: Asset, wants: ProsumerTerms) -> float:
    """Return which share of what an asset draws its prosumer lets go."""
    match asset.kind:
        case AssetKind.LOAD:
            return wants.load.flexible_share
        case AssetKind.HEAT_PUMP:
            return wants.heat_pump.flexible_share
        case AssetKind.EV:
            return wants.ev.flexible_share
        case _:
            return 0.0


def _limits(cell: Cell, terms: ControlTerms) -> tuple[float, float]:
    """Return the limits of the voltages: the config's, else the narrowest of the cell."""
    low_pu = max(bus.v_min_pu for bus in cell.buses)
    high_pu = min(bus.v_max_pu for bus in cell.buses)
    return (
        low_pu if terms.v_min_pu is None else terms.v_min_pu,
        high_pu if terms.v_max_pu is None else terms.v_max_pu,
    )
